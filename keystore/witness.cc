// SPDX-License-Identifier: Apache-2.0
#include "keystore/witness.h"

#include <algorithm>
#include <array>

namespace vhsm::keystore {
namespace {

struct OriginName {
  KeyOrigin origin;
  std::string_view name;
};
constexpr std::array<OriginName, 5> kOrigins{{{KeyOrigin::kGenerated, "generated"},
                                              {KeyOrigin::kImported, "imported"},
                                              {KeyOrigin::kFetched, "fetched"},
                                              {KeyOrigin::kRestored, "restored"},
                                              {KeyOrigin::kKbsReceiver, "kbs-receiver"}}};

}  // namespace

std::string_view name_of(KeyOrigin origin) noexcept {
  return std::ranges::find(kOrigins, origin, &OriginName::origin)->name;
}

std::optional<KeyOrigin> parse_origin(std::string_view name) noexcept {
  const auto* const found = std::ranges::find(kOrigins, name, &OriginName::name);
  if (found == kOrigins.end()) return std::nullopt;
  return found->origin;
}

}  // namespace vhsm::keystore
