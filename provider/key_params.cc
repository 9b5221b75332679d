// SPDX-License-Identifier: Apache-2.0
#include "provider/key_params.h"

#include <openssl/core_names.h>
#include <openssl/params.h>

namespace vhsm::provider {
namespace {

constexpr OSSL_PARAM described(const char* name, unsigned type) {
  return {name, type, nullptr, 0, OSSL_PARAM_UNMODIFIED};
}
constexpr OSSL_PARAM integer(const char* name) { return described(name, OSSL_PARAM_INTEGER); }
constexpr OSSL_PARAM number(const char* name) {
  return described(name, OSSL_PARAM_UNSIGNED_INTEGER);
}
constexpr OSSL_PARAM text(const char* name) { return described(name, OSSL_PARAM_UTF8_STRING); }
constexpr OSSL_PARAM octets(const char* name) { return described(name, OSSL_PARAM_OCTET_STRING); }
constexpr OSSL_PARAM kEnd{nullptr, 0, nullptr, 0, 0};

constexpr OSSL_PARAM kRsaGettable[] = {
    integer(OSSL_PKEY_PARAM_BITS),          integer(OSSL_PKEY_PARAM_SECURITY_BITS),
    integer(OSSL_PKEY_PARAM_MAX_SIZE),      text(OSSL_PKEY_PARAM_DEFAULT_DIGEST),
    text(OSSL_PKEY_PARAM_MANDATORY_DIGEST), number(OSSL_PKEY_PARAM_RSA_N),
    number(OSSL_PKEY_PARAM_RSA_E),          kEnd,
};
constexpr OSSL_PARAM kRsaPublic[] = {number(OSSL_PKEY_PARAM_RSA_N), number(OSSL_PKEY_PARAM_RSA_E),
                                     kEnd};
constexpr OSSL_PARAM kRsaPair[] = {
    number(OSSL_PKEY_PARAM_RSA_N),
    number(OSSL_PKEY_PARAM_RSA_E),
    number(OSSL_PKEY_PARAM_RSA_D),
    number(OSSL_PKEY_PARAM_RSA_FACTOR1),
    number(OSSL_PKEY_PARAM_RSA_FACTOR2),
    number(OSSL_PKEY_PARAM_RSA_EXPONENT1),
    number(OSSL_PKEY_PARAM_RSA_EXPONENT2),
    number(OSSL_PKEY_PARAM_RSA_COEFFICIENT1),
    kEnd,
};
constexpr KeyParams kRsa{kRsaGettable, nullptr, kRsaPublic, kRsaPair};

constexpr OSSL_PARAM kEcGettable[] = {
    integer(OSSL_PKEY_PARAM_BITS),
    integer(OSSL_PKEY_PARAM_SECURITY_BITS),
    integer(OSSL_PKEY_PARAM_MAX_SIZE),
    text(OSSL_PKEY_PARAM_DEFAULT_DIGEST),
    text(OSSL_PKEY_PARAM_GROUP_NAME),
    text(OSSL_PKEY_PARAM_EC_ENCODING),
    text(OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT),
    integer(OSSL_PKEY_PARAM_EC_DECODED_FROM_EXPLICIT_PARAMS),
    octets(OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY),
    octets(OSSL_PKEY_PARAM_PUB_KEY),
    number(OSSL_PKEY_PARAM_EC_PUB_X),
    number(OSSL_PKEY_PARAM_EC_PUB_Y),
    kEnd,
};
constexpr OSSL_PARAM kEncodedPublic[] = {octets(OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY), kEnd};
constexpr OSSL_PARAM kEcPublic[] = {
    text(OSSL_PKEY_PARAM_GROUP_NAME), text(OSSL_PKEY_PARAM_EC_ENCODING),
    text(OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT), octets(OSSL_PKEY_PARAM_PUB_KEY), kEnd};
constexpr OSSL_PARAM kEcPair[] = {
    text(OSSL_PKEY_PARAM_GROUP_NAME),
    text(OSSL_PKEY_PARAM_EC_ENCODING),
    text(OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT),
    octets(OSSL_PKEY_PARAM_PUB_KEY),
    number(OSSL_PKEY_PARAM_PRIV_KEY),
    kEnd,
};
constexpr KeyParams kEc{kEcGettable, kEncodedPublic, kEcPublic, kEcPair};

constexpr OSSL_PARAM kEcxGettable[] = {
    integer(OSSL_PKEY_PARAM_BITS),
    integer(OSSL_PKEY_PARAM_SECURITY_BITS),
    integer(OSSL_PKEY_PARAM_MAX_SIZE),
    text(OSSL_PKEY_PARAM_MANDATORY_DIGEST),
    octets(OSSL_PKEY_PARAM_PUB_KEY),
    octets(OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY),
    kEnd,
};
constexpr OSSL_PARAM kEcxPublic[] = {octets(OSSL_PKEY_PARAM_PUB_KEY), kEnd};
constexpr OSSL_PARAM kEcxPair[] = {octets(OSSL_PKEY_PARAM_PUB_KEY),
                                   octets(OSSL_PKEY_PARAM_PRIV_KEY), kEnd};
constexpr KeyParams kEdwards{kEcxGettable, nullptr, kEcxPublic, kEcxPair};
constexpr KeyParams kMontgomery{kEcxGettable, kEncodedPublic, kEcxPublic, kEcxPair};

// The post-quantum types. Source: EVP_PKEY-ML-KEM(7), EVP_PKEY-ML-DSA(7), EVP_PKEY-SLH-DSA(7).
constexpr const char* kSeed = "seed";
constexpr OSSL_PARAM kSeedPair[] = {octets(OSSL_PKEY_PARAM_PUB_KEY),
                                    octets(OSSL_PKEY_PARAM_PRIV_KEY), octets(kSeed), kEnd};
constexpr OSSL_PARAM kSignerGettable[] = {
    integer(OSSL_PKEY_PARAM_BITS),     integer(OSSL_PKEY_PARAM_SECURITY_BITS),
    integer(OSSL_PKEY_PARAM_MAX_SIZE), text(OSSL_PKEY_PARAM_MANDATORY_DIGEST),
    octets(OSSL_PKEY_PARAM_PUB_KEY),   kEnd,
};
constexpr KeyParams kMlKem{kEcxGettable, kEncodedPublic, kEcxPublic, kSeedPair};
constexpr KeyParams kMlDsa{kSignerGettable, nullptr, kEcxPublic, kSeedPair};
constexpr KeyParams kSlhDsa{kSignerGettable, nullptr, kEcxPublic, kEcxPair};

}  // namespace

const KeyParams& key_params(const keystore::KeyType& type) noexcept {
  switch (type.family) {
    case keystore::Family::kRsa: return kRsa;
    case keystore::Family::kEc: return kEc;
    case keystore::Family::kEdwards: return kEdwards;
    case keystore::Family::kMontgomery: return kMontgomery;
    case keystore::Family::kMlKem: return kMlKem;
    case keystore::Family::kMlDsa: return kMlDsa;
    case keystore::Family::kSlhDsa: break;
  }
  return kSlhDsa;
}

}  // namespace vhsm::provider
