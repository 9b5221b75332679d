// SPDX-License-Identifier: Apache-2.0
//
// Init-data: TOML.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/init_data.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static_cast<void>(vhsm::parse_init_data({reinterpret_cast<const char*>(data), size}));
  return 0;
}
