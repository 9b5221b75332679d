// SPDX-License-Identifier: Apache-2.0
//
// The TLS groups that vhsm's key managements serve. libssl adopts a group only from the provider
// that wins the fetch of its key type, so each served group must be told.
// Source: provider-base(7), "TLS-GROUP"; IANA, TLS Supported Groups.
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/prov_ssl.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include "provider/provider.h"

namespace vhsm::provider {
namespace {

/// The versions that a group is for: DTLS 1.0 to 1.2 where TLS 1.2 is among them.
enum class Versions : std::uint8_t { kAll, kUpTo12, kFrom13 };

struct Group {
  const char* name;
  const char* inner_name;
  const char* algorithm;
  unsigned id;
  unsigned security_bits;
  Versions versions = Versions::kAll;
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
  const std::array<OSSL_PARAM, 10> params{
      utf8(OSSL_CAPABILITY_TLS_GROUP_NAME, copy.name),
      utf8(OSSL_CAPABILITY_TLS_GROUP_NAME_INTERNAL, copy.inner_name),
      utf8(OSSL_CAPABILITY_TLS_GROUP_ALG, copy.algorithm),
      OSSL_PARAM_construct_uint(OSSL_CAPABILITY_TLS_GROUP_ID, &copy.id),
      OSSL_PARAM_construct_uint(OSSL_CAPABILITY_TLS_GROUP_SECURITY_BITS, &copy.security_bits),
      OSSL_PARAM_construct_int(OSSL_CAPABILITY_TLS_GROUP_MIN_TLS, &limits.min_tls),
      OSSL_PARAM_construct_int(OSSL_CAPABILITY_TLS_GROUP_MAX_TLS, &limits.max_tls),
      OSSL_PARAM_construct_int(OSSL_CAPABILITY_TLS_GROUP_MIN_DTLS, &limits.min_dtls),
      OSSL_PARAM_construct_int(OSSL_CAPABILITY_TLS_GROUP_MAX_DTLS, &limits.max_dtls),
      OSSL_PARAM_construct_end()};
  return tell(params.data(), arg) == 1;
}

}  // namespace

bool Provider::get_capabilities(std::string_view capability, OSSL_CALLBACK* tell,
                                void* arg) noexcept {
  if (capability != "TLS-GROUP") return true;  // nothing to tell of others
  return std::ranges::all_of(kGroups,
                             [&](const Group& group) { return tell_group(group, tell, arg); });
}

}  // namespace vhsm::provider
