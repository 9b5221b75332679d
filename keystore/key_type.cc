// SPDX-License-Identifier: Apache-2.0
#include "keystore/key_type.h"

#include <strings.h>

namespace vhsm::keystore {
namespace {

constexpr bool type_is_there(const KeyType& type) noexcept { return is_there(type.since); }

constexpr std::size_t kCount = std::ranges::count_if(kTypeTable, type_is_there);

constexpr std::array<const KeyType*, kCount> kThere = [] {
  std::array<const KeyType*, kCount> there{};
  std::size_t next = 0;
  for (const KeyType& type : kTypeTable) {
    if (type_is_there(type)) there.at(next++) = &type;
  }
  return there;
}();

bool is_called(const KeyType& type, std::string_view name) noexcept {
  std::string_view rest = type.names;
  while (!rest.empty()) {
    const std::string_view one = rest.substr(0, rest.find(':'));
    if (one.size() == name.size() && ::strncasecmp(one.data(), name.data(), one.size()) == 0) {
      return true;
    }
    rest.remove_prefix(std::min(rest.size(), one.size() + 1));
  }
  return false;
}

}  // namespace

std::span<const KeyType* const> key_types() noexcept { return kThere; }

const KeyType* find_key_type(std::string_view name) noexcept {
  const auto* const found =
      std::ranges::find_if(kThere, [name](const KeyType* type) { return is_called(*type, name); });
  return found == kThere.end() ? nullptr : *found;
}

}  // namespace vhsm::keystore
