// SPDX-License-Identifier: Apache-2.0
//
// The parser of PEM stand-ins: whatever it accepts, it writes back byte for byte.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>

#include "provider/stand_in.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace vhsm::provider;  // NOLINT(google-build-using-namespace): the target is this
  const std::span input(data, size);
  const auto parsed = parse_stand_in(input);
  if (parsed.ok() && !std::ranges::equal(encode_stand_in(parsed.value()), input)) std::abort();
  static_cast<void>(looks_like_stand_in(input));
  static_cast<void>(from_base64(std::string(input.begin(), input.end())));
  return 0;
}
