// SPDX-License-Identifier: Apache-2.0
//
// The key types that vhsm holds: a new one is a line in key_type.cc.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace vhsm::keystore {

/// How a type signs.
enum class Signing : std::uint8_t {
  kNone,     ///< it does not (X25519)
  kDigest,   ///< a digest of the message (RSA, EC)
  kMessage,  ///< the whole message at once (Ed25519)
};

/// The two names of an operation's algorithm; both null where the type has no such operation.
/// Whoever fetches by name uses OpenSSL's. A key's own operations go by a name that no other
/// provider has: by the common one OpenSSL first fetches from the preferred provider, tries to
/// export the key there, and only then turns to the key's own provider, at each initialisation.
struct OperationNames {
  const char* common = nullptr;
  const char* own = nullptr;
};

struct KeyType {
  const char* name;  ///< the private OpenSSL's name, e.g. "RSA", "ED25519"
  const char*
      names;  ///< every name of the type, as OpenSSL's tables want them: "EC:id-ecPublicKey:…"
  Signing signing;
  OperationNames signature{};
  OperationNames exchange{};
  OperationNames cipher{};                      ///< asymmetric: RSA encryption
  std::span<const char* const> public_params;   ///< what get_params may answer: public names only
  std::span<const char* const> private_params;  ///< what must never be answered: d, p, q, priv, …
};

extern const KeyType kRsa;
extern const KeyType kRsaPss;
extern const KeyType kEc;
extern const KeyType kEd25519;
extern const KeyType kX25519;
extern const KeyType kEd448;
extern const KeyType kX448;

/// The curves that EC keys are held on, as OpenSSL names a key's group.
inline constexpr std::array<const char*, 3> kHeldCurves{"prime256v1", "secp384r1", "secp521r1"};

/// All types.
[[nodiscard]] std::span<const KeyType* const> key_types() noexcept;

/// The type that one of `names` calls so (no case); null if none.
[[nodiscard]] const KeyType* find_key_type(std::string_view name) noexcept;

}  // namespace vhsm::keystore
