// SPDX-License-Identifier: Apache-2.0
//
// The TLS groups and signatures that vhsm's key managements serve. libssl adopts one only from the
// provider that wins the fetch of its key type, so each that is served must be told.
// Source: provider-base(7), "TLS-GROUP" and "TLS-SIGALG"; IANA, TLS Supported Groups and TLS
// SignatureScheme.
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/prov_ssl.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include "keystore/key_type.h"
#include "provider/ossl/compat.h"
#include "provider/provider.h"

namespace vhsm::provider {
namespace {

using keystore::kSince35;

/// The versions that a group is for: DTLS 1.0 to 1.2 where TLS 1.2 is among them.
enum class Versions : std::uint8_t { kAll, kUpTo12, kFrom13 };

struct Group {
  const char* name;
  const char* inner_name;
  const char* algorithm;
  unsigned id;
  unsigned security_bits;
  Versions versions = Versions::kAll;
  bool is_kem = false;
  std::uint32_t since = keystore::kAlways;  ///< the private OpenSSL that has it
};

// RFC 8422 leaves P-224 and secp256k1 to TLS 1.2; RFC 8734 gives brainpool numbers of its own in
// TLS 1.3.
constexpr Group kGroups[] = {
    {"secp256r1", "prime256v1", "EC", 0x0017, 128},
    {"P-256", "prime256v1", "EC", 0x0017, 128},
    {"secp384r1", "secp384r1", "EC", 0x0018, 192},
    {"P-384", "secp384r1", "EC", 0x0018, 192},
    {"secp521r1", "secp521r1", "EC", 0x0019, 256},
    {"P-521", "secp521r1", "EC", 0x0019, 256},
    {"x25519", "X25519", "X25519", 0x001d, 128},
    {"x448", "X448", "X448", 0x001e, 224},
    {"secp224r1", "secp224r1", "EC", 0x0015, 112, Versions::kUpTo12},
    {"P-224", "secp224r1", "EC", 0x0015, 112, Versions::kUpTo12},
    {"secp256k1", "secp256k1", "EC", 0x0016, 128, Versions::kUpTo12},
    {"brainpoolP256r1", "brainpoolP256r1", "EC", 0x001a, 128, Versions::kUpTo12},
    {"brainpoolP384r1", "brainpoolP384r1", "EC", 0x001b, 192, Versions::kUpTo12},
    {"brainpoolP512r1", "brainpoolP512r1", "EC", 0x001c, 256, Versions::kUpTo12},
    {"brainpoolP256r1tls13", "brainpoolP256r1", "EC", 0x001f, 128, Versions::kFrom13},
    {"brainpoolP384r1tls13", "brainpoolP384r1", "EC", 0x0020, 192, Versions::kFrom13},
    {"brainpoolP512r1tls13", "brainpoolP512r1", "EC", 0x0021, 256, Versions::kFrom13},
    {"MLKEM512", "ML-KEM-512", "ML-KEM-512", 0x0200, 128, Versions::kFrom13, true, kSince35},
    {"MLKEM768", "ML-KEM-768", "ML-KEM-768", 0x0201, 192, Versions::kFrom13, true, kSince35},
    {"MLKEM1024", "ML-KEM-1024", "ML-KEM-1024", 0x0202, 256, Versions::kFrom13, true, kSince35},
};

/// A signature of a handshake that libssl does not know by itself.
struct SignatureAlgorithm {
  const char* name;  ///< IANA's
  const char* algorithm;
  const char* oid;
  unsigned code_point;
  unsigned security_bits;
};

constexpr SignatureAlgorithm kSignatureAlgorithms[] = {
    {"mldsa44", "ML-DSA-44", "2.16.840.1.101.3.4.3.17", 0x0904, 128},
    {"mldsa65", "ML-DSA-65", "2.16.840.1.101.3.4.3.18", 0x0905, 192},
    {"mldsa87", "ML-DSA-87", "2.16.840.1.101.3.4.3.19", 0x0906, 256},
};

struct Limits {
  int min_tls;
  int max_tls;   ///< 0: none
  int min_dtls;  ///< -1: never
  int max_dtls;
};

constexpr Limits limits_of(Versions versions) noexcept {
  switch (versions) {
    case Versions::kUpTo12: return {TLS1_VERSION, TLS1_2_VERSION, DTLS1_VERSION, DTLS1_2_VERSION};
    case Versions::kFrom13: return {TLS1_3_VERSION, 0, -1, -1};
    case Versions::kAll: break;
  }
  return {TLS1_VERSION, 0, DTLS1_VERSION, 0};
}

OSSL_PARAM utf8(const char* key, const char* text) {
  return OSSL_PARAM_construct_utf8_string(key, const_cast<char*>(text), 0);
}

bool tell_group(const Group& group, OSSL_CALLBACK* tell, void* arg) noexcept {
  Group copy = group;  // OSSL_PARAM's pointers are not const
  Limits limits = limits_of(group.versions);
  unsigned is_kem = group.is_kem ? 1 : 0;
  const std::array<OSSL_PARAM, 11> params{
      utf8(OSSL_CAPABILITY_TLS_GROUP_NAME, copy.name),
      utf8(OSSL_CAPABILITY_TLS_GROUP_NAME_INTERNAL, copy.inner_name),
      utf8(OSSL_CAPABILITY_TLS_GROUP_ALG, copy.algorithm),
      OSSL_PARAM_construct_uint(OSSL_CAPABILITY_TLS_GROUP_ID, &copy.id),
      OSSL_PARAM_construct_uint(OSSL_CAPABILITY_TLS_GROUP_SECURITY_BITS, &copy.security_bits),
      OSSL_PARAM_construct_int(OSSL_CAPABILITY_TLS_GROUP_MIN_TLS, &limits.min_tls),
      OSSL_PARAM_construct_int(OSSL_CAPABILITY_TLS_GROUP_MAX_TLS, &limits.max_tls),
      OSSL_PARAM_construct_int(OSSL_CAPABILITY_TLS_GROUP_MIN_DTLS, &limits.min_dtls),
      OSSL_PARAM_construct_int(OSSL_CAPABILITY_TLS_GROUP_MAX_DTLS, &limits.max_dtls),
      OSSL_PARAM_construct_uint(OSSL_CAPABILITY_TLS_GROUP_IS_KEM, &is_kem),
      OSSL_PARAM_construct_end()};
  return tell(params.data(), arg) == 1;
}

bool tell_signature_algorithm(const SignatureAlgorithm& algorithm, OSSL_CALLBACK* tell,
                              void* arg) noexcept {
  namespace name = ossl::compat;
  SignatureAlgorithm copy = algorithm;
  Limits limits = limits_of(Versions::kFrom13);
  const std::array<OSSL_PARAM, 10> params{
      utf8(name::kTlsSigalgIanaName, copy.name),
      utf8(name::kTlsSigalgName, copy.algorithm),
      utf8(name::kTlsSigalgOid, copy.oid),
      OSSL_PARAM_construct_uint(name::kTlsSigalgCodePoint, &copy.code_point),
      OSSL_PARAM_construct_uint(name::kTlsSigalgSecurityBits, &copy.security_bits),
      OSSL_PARAM_construct_int(name::kTlsSigalgMinTls, &limits.min_tls),
      OSSL_PARAM_construct_int(name::kTlsSigalgMaxTls, &limits.max_tls),
      OSSL_PARAM_construct_int(name::kTlsSigalgMinDtls, &limits.min_dtls),
      OSSL_PARAM_construct_int(name::kTlsSigalgMaxDtls, &limits.max_dtls),
      OSSL_PARAM_construct_end()};
  return tell(params.data(), arg) == 1;
}

bool tell_groups(OSSL_CALLBACK* tell, void* arg) noexcept {
  return std::ranges::all_of(kGroups, [&](const Group& group) {
    return !keystore::is_there(group.since) || tell_group(group, tell, arg);
  });
}

bool tell_signature_algorithms(OSSL_CALLBACK* tell, void* arg) noexcept {
  if (!keystore::is_there(kSince35)) return true;
  return std::ranges::all_of(kSignatureAlgorithms, [&](const SignatureAlgorithm& algorithm) {
    return tell_signature_algorithm(algorithm, tell, arg);
  });
}

}  // namespace

bool Provider::get_capabilities(std::string_view capability, OSSL_CALLBACK* tell,
                                void* arg) noexcept {
  if (capability == "TLS-GROUP") return tell_groups(tell, arg);
  if (capability == ossl::compat::kTlsSigalg) return tell_signature_algorithms(tell, arg);
  return true;  // nothing to tell of others
}

}  // namespace vhsm::provider
