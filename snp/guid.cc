// SPDX-License-Identifier: Apache-2.0
#include "snp/guid.h"

#include <algorithm>

#include "snp/hex.h"

namespace vhsm::snp {
namespace {
constexpr std::array<std::size_t, 4> kDashes{8, 13, 18, 23};
}  // namespace

std::string to_text(const Guid& guid) {
  std::string text = to_hex(guid);
  for (const std::size_t position : kDashes) text.insert(position, 1, '-');
  return text;
}

Result<Guid> parse_guid(std::string_view text) {
  std::string digits(text.substr(0, 64));
  for (std::size_t i = kDashes.size(); i-- > 0;) {
    if (digits.size() <= kDashes[i] || digits[kDashes[i]] != '-') {
      return fail(Errc::kInvalidArgument, "this is not a GUID");
    }
    digits.erase(kDashes[i], 1);
  }
  Guid guid{};
  VHSM_TRY(from_hex(digits, guid));
  return guid;
}

Guid swap_groups(Guid guid) noexcept {
  std::reverse(guid.begin(), guid.begin() + 4);
  std::reverse(guid.begin() + 4, guid.begin() + 6);
  std::reverse(guid.begin() + 6, guid.begin() + 8);
  return guid;
}

}  // namespace vhsm::snp
