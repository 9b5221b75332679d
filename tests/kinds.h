// SPDX-License-Identifier: Apache-2.0
//
// The keys that tests make: one of each type and curve that vhsm holds, taken from its tables, so
// that a new row is tested everywhere.
#pragma once

#include <algorithm>
#include <ostream>
#include <string>
#include <vector>

#include "keystore/key_type.h"

namespace vhsm::tests {

struct Kind {
  std::string name;  ///< "RSA", "P-256", "ED25519"
  const keystore::KeyType* type;
  std::string detail{};  ///< EC: the group; RSA: the bits

  [[nodiscard]] bool signs() const noexcept { return type->signature.exist(); }
  [[nodiscard]] bool exchanges() const noexcept { return type->exchange.exist(); }
  /// SLH-DSA's small kinds sign for tenths of a second. On a machine with much else to do that may
  /// be longer than a client of vhsmd waits.
  [[nodiscard]] bool is_slow() const noexcept {
    return type->family == keystore::Family::kSlhDsa && name.ends_with('s');
  }
  /// Of the curves DHKEM knows three (RFC 9180, section 7.1).
  [[nodiscard]] bool encapsulates() const noexcept {
    return type->kem.exist() && (type->family != keystore::Family::kEc || name.starts_with("P-")) &&
           name != "P-224";
  }
  /// Null for types that sign whole messages.
  [[nodiscard]] const char* digest() const noexcept {
    return type->signing == keystore::Signing::kDigest ? "SHA256" : nullptr;
  }
};

inline void PrintTo(const Kind& kind, std::ostream* out) { *out << kind.name; }

inline std::vector<Kind> every_kind() {
  using keystore::Family;
  std::vector<Kind> kinds;
  for (const keystore::KeyType& type : keystore::kTypeTable) {
    if (!keystore::is_there(type.since)) continue;
    if (type.family == Family::kEc) {
      for (const auto& curve : keystore::kHeldCurves)
        kinds.push_back({curve.common, &type, curve.name});
    } else {
      kinds.push_back({type.name, &type, type.family == Family::kRsa ? "2048" : ""});
    }
  }
  return kinds;
}

template <class Predicate>
std::vector<Kind> kinds_that(Predicate predicate) {
  auto kinds = every_kind();
  std::erase_if(kinds, [&](const Kind& kind) { return !predicate(kind); });
  return kinds;
}

inline std::vector<std::string> names_of(const std::vector<Kind>& kinds) {
  std::vector<std::string> names;
  for (const Kind& kind : kinds) names.push_back(kind.name);
  return names;
}

/// A name as tests may have it.
inline std::string plain(std::string name) {
  std::erase(name, '-');
  return name;
}

}  // namespace vhsm::tests
