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

#include "provider/provider.h"

namespace vhsm::provider {
namespace {

struct Group {
  const char* name;
  const char* inner_name;
  const char* algorithm;
  unsigned id;
  unsigned security_bits;
};

constexpr Group kGroups[] = {
    {"secp256r1", "prime256v1", "EC", 0x0017, 128}, {"P-256", "prime256v1", "EC", 0x0017, 128},
    {"secp384r1", "secp384r1", "EC", 0x0018, 192},  {"P-384", "secp384r1", "EC", 0x0018, 192},
    {"secp521r1", "secp521r1", "EC", 0x0019, 256},  {"P-521", "secp521r1", "EC", 0x0019, 256},
    {"x25519", "X25519", "X25519", 0x001d, 128},    {"x448", "X448", "X448", 0x001e, 224},
};

OSSL_PARAM utf8(const char* key, const char* text) {
  return OSSL_PARAM_construct_utf8_string(key, const_cast<char*>(text), 0);
}

bool tell_group(const Group& group, OSSL_CALLBACK* tell, void* arg) noexcept {
  Group copy = group;  // OSSL_PARAM's pointers are not const
  int min_tls = TLS1_VERSION;
  int min_dtls = DTLS1_VERSION;
  int no_limit = 0;
  const std::array<OSSL_PARAM, 10> params{
      utf8(OSSL_CAPABILITY_TLS_GROUP_NAME, copy.name),
      utf8(OSSL_CAPABILITY_TLS_GROUP_NAME_INTERNAL, copy.inner_name),
      utf8(OSSL_CAPABILITY_TLS_GROUP_ALG, copy.algorithm),
      OSSL_PARAM_construct_uint(OSSL_CAPABILITY_TLS_GROUP_ID, &copy.id),
      OSSL_PARAM_construct_uint(OSSL_CAPABILITY_TLS_GROUP_SECURITY_BITS, &copy.security_bits),
      OSSL_PARAM_construct_int(OSSL_CAPABILITY_TLS_GROUP_MIN_TLS, &min_tls),
      OSSL_PARAM_construct_int(OSSL_CAPABILITY_TLS_GROUP_MAX_TLS, &no_limit),
      OSSL_PARAM_construct_int(OSSL_CAPABILITY_TLS_GROUP_MIN_DTLS, &min_dtls),
      OSSL_PARAM_construct_int(OSSL_CAPABILITY_TLS_GROUP_MAX_DTLS, &no_limit),
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
