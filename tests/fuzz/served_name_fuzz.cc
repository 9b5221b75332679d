// SPDX-License-Identifier: Apache-2.0
//
// The name that a peer of `vhsm secret serve` is bound to. What is accepted says the same again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "cli/served_name.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using vhsm::cli::parse_served_name;
  const auto name = parse_served_name({reinterpret_cast<const char*>(data), size});
  if (!name.has_value()) return 0;
  const std::string again = std::string("\0x/", 3) +
                            (name->is_volume ? "cryptsetup/" : "unit/" + name->unit + "/") +
                            name->id;
  if (parse_served_name(again) != name || name->id.empty()) std::abort();
  return 0;
}
