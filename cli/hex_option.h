// SPDX-License-Identifier: Apache-2.0
//
// Bytes that operators write in hex.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "snp/hex.h"

namespace vhsm::cli {

/// @errors kInvalidArgument (subject: the option).
[[nodiscard]] inline Result<std::vector<std::uint8_t>> parse_hex(const std::string& text,
                                                                 const char* option) {
  std::vector<std::uint8_t> bytes(text.size() / 2);
  const Status parsed = snp::from_hex(text, bytes);
  if (parsed.ok()) return bytes;
  return fail(Errc::kInvalidArgument, "this is no string of bytes in hex", option);
}

}  // namespace vhsm::cli
