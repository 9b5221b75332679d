// SPDX-License-Identifier: Apache-2.0
//
// The values of vhsm.cnf: one byte chooses the key, the rest is its value.
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/endpoint.h"
#include "base/settings.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const auto names = vhsm::setting_names();
  const std::string_view name = names[data[0] % names.size()];
  // The parsers take text; libFuzzer gives bytes.
  const std::string value(reinterpret_cast<const char*>(data + 1), size - 1);
  (void)vhsm::parse_endpoint(value);
  if (name == "config") return 0;
  const vhsm::Override given[] = {{std::string(name), value}};
  (void)vhsm::load_settings(given);
  return 0;
}
