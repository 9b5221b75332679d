// SPDX-License-Identifier: Apache-2.0
//
// The key types that vhsm holds, and the curves of EC keys: a new one is a line of a table here.
#pragma once

#include <openssl/opensslv.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace vhsm::keystore {

/// The private OpenSSL from which on something is there, as OPENSSL_VERSION_NUMBER says it.
inline constexpr std::uint32_t kAlways = 0x30000000;
inline constexpr std::uint32_t kSince32 = 0x30200000;
inline constexpr std::uint32_t kSince35 = 0x30500000;

[[nodiscard]] constexpr bool is_there(std::uint32_t since) noexcept {
  return OPENSSL_VERSION_NUMBER >= since;
}

/// Types that have their parameters, checks and ways of working in common.
enum class Family : std::uint8_t {
  kRsa,
  kEc,
  kEdwards,     ///< Ed25519, Ed448
  kMontgomery,  ///< X25519, X448
  kMlKem,       ///< FIPS 203
  kMlDsa,       ///< FIPS 204
  kSlhDsa,      ///< FIPS 205
};

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
  std::uint32_t since = kAlways;
  bool approved = true;  ///< by FIPS 140-3, for types that are

  /// Whether the type has the operation, in this private OpenSSL.
  [[nodiscard]] constexpr bool exist() const noexcept { return own != nullptr && is_there(since); }
  /// The own name, or null.
  [[nodiscard]] constexpr const char* own_if_there() const noexcept {
    return exist() ? own : nullptr;
  }
};

/// What a key of a type without domain parameters has before it has a public half: libssl asks.
struct Sizes {
  int bits = 0;
  int security_bits = 0;
  int max_bytes = 0;  ///< of a shared secret or a ciphertext
};

struct KeyType {
  const char* name;  ///< the private OpenSSL's name, e.g. "RSA", "ED25519"
  const char*
      names;  ///< every name of the type, as OpenSSL's tables want them: "EC:id-ecPublicKey:…"
  Family family;
  Signing signing = Signing::kNone;
  OperationNames signature{};
  OperationNames exchange{};
  OperationNames cipher{};                      ///< asymmetric: RSA encryption
  OperationNames kem{};                         ///< key encapsulation
  std::span<const char* const> public_params;   ///< what get_params may answer: public names only
  std::span<const char* const> private_params;  ///< what must never be answered: d, p, q, priv, …
  Sizes sizes{};  ///< of the types whose name is their only TLS group; else zeros
  std::uint32_t since = kAlways;
  bool approved = true;  ///< by FIPS 140-3 (SP 800-140C and D)

  [[nodiscard]] constexpr bool is_own_group() const noexcept { return sizes.bits != 0; }
};

/// A curve that EC keys are held on.
struct Curve {
  const char* name;    ///< as OpenSSL names a key's group
  const char* common;  ///< as people call it
};

inline constexpr std::array kHeldCurves{
    Curve{"secp224r1", "P-224"},
    Curve{"prime256v1", "P-256"},
    Curve{"secp384r1", "P-384"},
    Curve{"secp521r1", "P-521"},
    Curve{"secp256k1", "secp256k1"},
    Curve{"brainpoolP256r1", "brainpoolP256r1"},
    Curve{"brainpoolP384r1", "brainpoolP384r1"},
    Curve{"brainpoolP512r1", "brainpoolP512r1"},
    Curve{"brainpoolP256t1", "brainpoolP256t1"},
    Curve{"brainpoolP384t1", "brainpoolP384t1"},
    Curve{"brainpoolP512t1", "brainpoolP512t1"},
};

/// The curve with this name, OpenSSL's; null if EC keys are not held on it.
[[nodiscard]] constexpr const Curve* find_curve(std::string_view name) noexcept {
  const auto* const found = std::ranges::find(kHeldCurves, name, &Curve::name);
  return found == kHeldCurves.end() ? nullptr : found;
}

// Names of <openssl/core_names.h>, as the default provider's key managements list them.
namespace params {

inline constexpr const char* kRsaPublic[] = {
    "bits", "security-bits", "max-size", "default-digest", "mandatory-digest", "n", "e"};
inline constexpr const char* kRsaPrivate[] = {"d",
                                              "rsa-factor1",
                                              "rsa-factor2",
                                              "rsa-factor3",
                                              "rsa-factor4",
                                              "rsa-factor5",
                                              "rsa-factor6",
                                              "rsa-factor7",
                                              "rsa-factor8",
                                              "rsa-factor9",
                                              "rsa-factor10",
                                              "rsa-exponent1",
                                              "rsa-exponent2",
                                              "rsa-exponent3",
                                              "rsa-exponent4",
                                              "rsa-exponent5",
                                              "rsa-exponent6",
                                              "rsa-exponent7",
                                              "rsa-exponent8",
                                              "rsa-exponent9",
                                              "rsa-exponent10",
                                              "rsa-coefficient1",
                                              "rsa-coefficient2",
                                              "rsa-coefficient3",
                                              "rsa-coefficient4",
                                              "rsa-coefficient5",
                                              "rsa-coefficient6",
                                              "rsa-coefficient7",
                                              "rsa-coefficient8",
                                              "rsa-coefficient9"};
inline constexpr const char* kEcPublic[] = {"bits",
                                            "security-bits",
                                            "max-size",
                                            "default-digest",
                                            "group",
                                            "encoded-pub-key",
                                            "pub",
                                            "qx",
                                            "qy",
                                            "encoding",
                                            "point-format",
                                            "decoded-from-explicit",
                                            "field-type",
                                            "use-cofactor-flag",
                                            "p",
                                            "a",
                                            "b",
                                            "generator",
                                            "order",
                                            "cofactor",
                                            "seed",
                                            "basis-type",
                                            "m",
                                            "tp",
                                            "k1",
                                            "k2",
                                            "k3",
                                            "include-public"};
inline constexpr const char* kEcPrivate[] = {"priv"};
inline constexpr const char* kEcxPublic[] = {
    "bits", "security-bits",   "max-size", "default-digest", "mandatory-digest",
    "pub",  "encoded-pub-key", "group"};
inline constexpr const char* kOctetsPrivate[] = {"priv"};

inline constexpr const char* kPostQuantumPublic[] = {"bits",
                                                     "security-bits",
                                                     "security-category",
                                                     "max-size",
                                                     "mandatory-digest",
                                                     "pub",
                                                     "encoded-pub-key",
                                                     "group"};
inline constexpr const char* kSeedPrivate[] = {"priv", "seed"};

}  // namespace params

constexpr KeyType edwards(const char* name, const char* own, const char* names) {
  return {.name = name,
          .names = names,
          .family = Family::kEdwards,
          .signing = Signing::kMessage,
          .signature = {name, own},
          .public_params = params::kEcxPublic,
          .private_params = params::kOctetsPrivate};
}

/// Source of the sizes: RFC 7748, section 5; security bits as the default provider says.
constexpr KeyType montgomery(const char* name, const char* own, const char* names, Sizes sizes) {
  return {.name = name,
          .names = names,
          .family = Family::kMontgomery,
          .exchange = {name, own},
          .kem = {name, own, kSince32},
          .public_params = params::kEcxPublic,
          .private_params = params::kOctetsPrivate,
          .sizes = sizes,
          .approved = false};
}

constexpr KeyType ml_kem(const char* name, const char* own, const char* names, Sizes sizes) {
  return {.name = name,
          .names = names,
          .family = Family::kMlKem,
          .kem = {name, own},
          .public_params = params::kPostQuantumPublic,
          .private_params = params::kSeedPrivate,
          .sizes = sizes,
          .since = kSince35};
}

constexpr KeyType post_quantum_signature(Family family, const char* name, const char* own,
                                         const char* names) {
  return {.name = name,
          .names = names,
          .family = family,
          .signing = Signing::kMessage,
          .signature = {name, own},
          .public_params = params::kPostQuantumPublic,
          .private_params = params::kSeedPrivate,
          .since = kSince35};
}

constexpr KeyType ml_dsa(const char* name, const char* own, const char* names) {
  return post_quantum_signature(Family::kMlDsa, name, own, names);
}

constexpr KeyType slh_dsa(const char* name, const char* own, const char* names) {
  return post_quantum_signature(Family::kSlhDsa, name, own, names);
}

/// All rows, whatever the private OpenSSL has: key_types() are those that are there.
inline constexpr std::array kTypeTable{
    KeyType{.name = "RSA",
            .names = "RSA:rsaEncryption:1.2.840.113549.1.1.1",
            .family = Family::kRsa,
            .signing = Signing::kDigest,
            .signature = {"RSA", "VHSM-RSA"},
            .cipher = {"RSA", "VHSM-RSA"},
            .kem = {"RSA", "VHSM-RSA"},
            .public_params = params::kRsaPublic,
            .private_params = params::kRsaPrivate},
    KeyType{.name = "RSA-PSS",
            .names = "RSA-PSS:RSASSA-PSS:1.2.840.113549.1.1.10",
            .family = Family::kRsa,
            .signing = Signing::kDigest,
            .signature = {"RSA", "VHSM-RSA"},
            .public_params = params::kRsaPublic,
            .private_params = params::kRsaPrivate},
    KeyType{.name = "EC",
            .names = "EC:id-ecPublicKey:1.2.840.10045.2.1",
            .family = Family::kEc,
            .signing = Signing::kDigest,
            .signature = {"ECDSA", "VHSM-ECDSA"},
            .exchange = {"ECDH", "VHSM-ECDH"},
            .kem = {"EC", "VHSM-EC", kSince32, false},
            .public_params = params::kEcPublic,
            .private_params = params::kEcPrivate},
    edwards("ED25519", "VHSM-ED25519", "ED25519:1.3.101.112"),
    montgomery("X25519", "VHSM-X25519", "X25519:1.3.101.110", {253, 128, 32}),
    edwards("ED448", "VHSM-ED448", "ED448:1.3.101.113"),
    montgomery("X448", "VHSM-X448", "X448:1.3.101.111", {448, 224, 56}),
    ml_kem("ML-KEM-512", "VHSM-ML-KEM-512",
           "ML-KEM-512:MLKEM512:id-alg-ml-kem-512:2.16.840.1.101.3.4.4.1", {512, 128, 768}),
    ml_kem("ML-KEM-768", "VHSM-ML-KEM-768",
           "ML-KEM-768:MLKEM768:id-alg-ml-kem-768:2.16.840.1.101.3.4.4.2", {768, 192, 1088}),
    ml_kem("ML-KEM-1024", "VHSM-ML-KEM-1024",
           "ML-KEM-1024:MLKEM1024:id-alg-ml-kem-1024:2.16.840.1.101.3.4.4.3", {1024, 256, 1568}),
    ml_dsa("ML-DSA-44", "VHSM-ML-DSA-44", "ML-DSA-44:MLDSA44:2.16.840.1.101.3.4.3.17:id-ml-dsa-44"),
    ml_dsa("ML-DSA-65", "VHSM-ML-DSA-65", "ML-DSA-65:MLDSA65:2.16.840.1.101.3.4.3.18:id-ml-dsa-65"),
    ml_dsa("ML-DSA-87", "VHSM-ML-DSA-87", "ML-DSA-87:MLDSA87:2.16.840.1.101.3.4.3.19:id-ml-dsa-87"),
    slh_dsa("SLH-DSA-SHA2-128s", "VHSM-SLH-DSA-SHA2-128s",
            "SLH-DSA-SHA2-128s:id-slh-dsa-sha2-128s:2.16.840.1.101.3.4.3.20"),
    slh_dsa("SLH-DSA-SHA2-128f", "VHSM-SLH-DSA-SHA2-128f",
            "SLH-DSA-SHA2-128f:id-slh-dsa-sha2-128f:2.16.840.1.101.3.4.3.21"),
    slh_dsa("SLH-DSA-SHA2-192s", "VHSM-SLH-DSA-SHA2-192s",
            "SLH-DSA-SHA2-192s:id-slh-dsa-sha2-192s:2.16.840.1.101.3.4.3.22"),
    slh_dsa("SLH-DSA-SHA2-192f", "VHSM-SLH-DSA-SHA2-192f",
            "SLH-DSA-SHA2-192f:id-slh-dsa-sha2-192f:2.16.840.1.101.3.4.3.23"),
    slh_dsa("SLH-DSA-SHA2-256s", "VHSM-SLH-DSA-SHA2-256s",
            "SLH-DSA-SHA2-256s:id-slh-dsa-sha2-256s:2.16.840.1.101.3.4.3.24"),
    slh_dsa("SLH-DSA-SHA2-256f", "VHSM-SLH-DSA-SHA2-256f",
            "SLH-DSA-SHA2-256f:id-slh-dsa-sha2-256f:2.16.840.1.101.3.4.3.25"),
    slh_dsa("SLH-DSA-SHAKE-128s", "VHSM-SLH-DSA-SHAKE-128s",
            "SLH-DSA-SHAKE-128s:id-slh-dsa-shake-128s:2.16.840.1.101.3.4.3.26"),
    slh_dsa("SLH-DSA-SHAKE-128f", "VHSM-SLH-DSA-SHAKE-128f",
            "SLH-DSA-SHAKE-128f:id-slh-dsa-shake-128f:2.16.840.1.101.3.4.3.27"),
    slh_dsa("SLH-DSA-SHAKE-192s", "VHSM-SLH-DSA-SHAKE-192s",
            "SLH-DSA-SHAKE-192s:id-slh-dsa-shake-192s:2.16.840.1.101.3.4.3.28"),
    slh_dsa("SLH-DSA-SHAKE-192f", "VHSM-SLH-DSA-SHAKE-192f",
            "SLH-DSA-SHAKE-192f:id-slh-dsa-shake-192f:2.16.840.1.101.3.4.3.29"),
    slh_dsa("SLH-DSA-SHAKE-256s", "VHSM-SLH-DSA-SHAKE-256s",
            "SLH-DSA-SHAKE-256s:id-slh-dsa-shake-256s:2.16.840.1.101.3.4.3.30"),
    slh_dsa("SLH-DSA-SHAKE-256f", "VHSM-SLH-DSA-SHAKE-256f",
            "SLH-DSA-SHAKE-256f:id-slh-dsa-shake-256f:2.16.840.1.101.3.4.3.31"),
};

/// The row of this name, which the table has.
[[nodiscard]] consteval const KeyType& type_called(std::string_view name) {
  return *std::ranges::find(kTypeTable, name,
                            [](const KeyType& type) { return std::string_view(type.name); });
}

inline constexpr const KeyType& kRsa = type_called("RSA");
inline constexpr const KeyType& kRsaPss = type_called("RSA-PSS");
inline constexpr const KeyType& kEc = type_called("EC");
inline constexpr const KeyType& kEd25519 = type_called("ED25519");

/// The types that this private OpenSSL has.
[[nodiscard]] std::span<const KeyType* const> key_types() noexcept;

/// The type that one of `names` calls so (no case); null if none, or if it is not there.
[[nodiscard]] const KeyType* find_key_type(std::string_view name) noexcept;

}  // namespace vhsm::keystore
