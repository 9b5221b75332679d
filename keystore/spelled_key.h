// SPDX-License-Identifier: Apache-2.0
//
// A key that is spelled out number by number, as a JWK and a COSE_Key are, with what its owner lets
// it be used for. The two formats have the same parts, curves, algorithms and operations under
// other names: each is a line of a table in spelled_key.cc.
// Sources: RFC 7517, RFC 7518 (6), RFC 8037; RFC 9052 (7), RFC 9053 (2 to 7), RFC 8230.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "keystore/inner_context.h"
#include "keystore/secret_material.h"
#include "memory/secret_bytes.h"

namespace vhsm::keystore {

enum class Kty : std::uint8_t { kRsaKey, kEcKey, kOkp, kSecret };

/// What something is called in a JWK, and in a COSE_Key.
struct Names {
  std::string_view jose{};  ///< empty: it has no name there
  std::int64_t cose = 0;    ///< 0: the same
};

struct SpelledCurve {
  Names names;
  Kty kty;
  const char* openssl;  ///< a group of EC keys, else a key type
  std::size_t bytes;    ///< of a coordinate, and of a private key
};

struct SpelledPart {
  Kty kty;
  Names names;
  const char* param;  ///< of EVP_PKEY_fromdata(3); null: it is put together with others
  bool needed;
};

inline constexpr std::size_t kSpelledParts = 14;

struct SpelledAlgorithm;

/// What the owner says of a key.
struct SpelledTerms {
  static constexpr unsigned kEvery = ~0U;

  const SpelledAlgorithm* algorithm = nullptr;  ///< `alg`; null: any
  std::optional<unsigned> operations{};         ///< `key_ops`: bits
  std::optional<unsigned> purpose{};            ///< operations that go with `use`
  std::optional<std::uint64_t> not_before{};    ///< seconds since 1970
  std::optional<std::uint64_t> expires{};       ///< from then on it must not be used
};

struct SpelledKey {
  Kty kty = Kty::kSecret;
  const SpelledCurve* curve = nullptr;             ///< of kEcKey and kOkp
  std::array<SecretBytes, kSpelledParts> parts{};  ///< in the order of spelled_parts()
  bool y_is_sign = false;                          ///< of kEcKey: `y` is 0 or 1
  SpelledTerms terms{};
  std::vector<std::vector<std::uint8_t>> certificates{};  ///< DER; the first one is the key's
};

// ----- for the readers of a format

[[nodiscard]] std::span<const SpelledPart, kSpelledParts> spelled_parts() noexcept;

/// By either name; the other one stays empty.
/// @errors kUnsupported.
Result<Kty> find_kty(Names name);
Result<const SpelledCurve*> find_spelled_curve(Names name, Kty kty);
/// @errors kUnsupported; kBadFormat when it does not go with the type or curve of the key.
Result<const SpelledAlgorithm*> find_spelled_algorithm(Names name, const SpelledKey& key);
/// @return its bit.  @errors kUnsupported.
Result<unsigned> find_key_operation(Names name);
/// The operations that a JWK's `use` is for.  @errors kUnsupported.
Result<unsigned> find_key_purpose(std::string_view use);

/// Whether all parts are there that the type needs, and what is said of its use agrees.
/// @errors kBadFormat.
Status check_spelled(const SpelledKey& key);

// ----- what it comes to.  In a scope.

/// The pair.  @errors kBadFormat for a symmetric key, and for numbers that make no key.
Result<HeldPKey> pair_of(const SpelledKey& key);
/// What it may be used for, as key_policy.h reads it; empty: for everything.
/// @errors kBadFormat when nothing is left that a private half does.
Result<std::string> policy_of(const SpelledKey& key);
/// The symmetric key.  @errors kBadFormat for a key pair.
Result<SecretMaterial> secret_of(const SpelledKey& key);

}  // namespace vhsm::keystore
