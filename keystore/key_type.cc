// SPDX-License-Identifier: Apache-2.0
#include "keystore/key_type.h"

#include <strings.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace vhsm::keystore {
namespace {

// Names of <openssl/core_names.h>, as the default provider's key managements list them.
constexpr const char* kRsaPublic[] = {
    "bits", "security-bits", "max-size", "default-digest", "mandatory-digest", "n", "e"};
constexpr const char* kRsaPrivate[] = {"d",
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
constexpr const char* kEcPublic[] = {"bits",
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
constexpr const char* kEcPrivate[] = {"priv"};
constexpr const char* kEcxPublic[] = {
    "bits", "security-bits",   "max-size", "default-digest", "mandatory-digest",
    "pub",  "encoded-pub-key", "group"};
constexpr const char* kEcxPrivate[] = {"priv"};

constexpr std::array kAll{&kRsa, &kRsaPss, &kEc, &kEd25519, &kX25519, &kEd448, &kX448};

}  // namespace

const KeyType kRsa{.name = "RSA",
                   .names = "RSA:rsaEncryption:1.2.840.113549.1.1.1",
                   .signing = Signing::kDigest,
                   .signature = {"RSA", "VHSM-RSA"},
                   .cipher = {"RSA", "VHSM-RSA"},
                   .public_params = kRsaPublic,
                   .private_params = kRsaPrivate};
const KeyType kRsaPss{.name = "RSA-PSS",
                      .names = "RSA-PSS:RSASSA-PSS:1.2.840.113549.1.1.10",
                      .signing = Signing::kDigest,
                      .signature = {"RSA", "VHSM-RSA"},
                      .public_params = kRsaPublic,
                      .private_params = kRsaPrivate};
const KeyType kEc{.name = "EC",
                  .names = "EC:id-ecPublicKey:1.2.840.10045.2.1",
                  .signing = Signing::kDigest,
                  .signature = {"ECDSA", "VHSM-ECDSA"},
                  .exchange = {"ECDH", "VHSM-ECDH"},
                  .public_params = kEcPublic,
                  .private_params = kEcPrivate};
const KeyType kEd25519{.name = "ED25519",
                       .names = "ED25519:1.3.101.112",
                       .signing = Signing::kMessage,
                       .signature = {"ED25519", "VHSM-ED25519"},
                       .public_params = kEcxPublic,
                       .private_params = kEcxPrivate};
const KeyType kX25519{.name = "X25519",
                      .names = "X25519:1.3.101.110",
                      .signing = Signing::kNone,
                      .exchange = {"X25519", "VHSM-X25519"},
                      .public_params = kEcxPublic,
                      .private_params = kEcxPrivate};
const KeyType kEd448{.name = "ED448",
                     .names = "ED448:1.3.101.113",
                     .signing = Signing::kMessage,
                     .signature = {"ED448", "VHSM-ED448"},
                     .public_params = kEcxPublic,
                     .private_params = kEcxPrivate};
const KeyType kX448{.name = "X448",
                    .names = "X448:1.3.101.111",
                    .signing = Signing::kNone,
                    .exchange = {"X448", "VHSM-X448"},
                    .public_params = kEcxPublic,
                    .private_params = kEcxPrivate};

std::span<const KeyType* const> key_types() noexcept { return kAll; }

const KeyType* find_key_type(std::string_view name) noexcept {
  const auto called_so = [name](const KeyType* type) {
    std::string_view rest = type->names;
    while (!rest.empty()) {
      const std::string_view one = rest.substr(0, rest.find(':'));
      if (one.size() == name.size() && ::strncasecmp(one.data(), name.data(), one.size()) == 0) {
        return true;
      }
      rest.remove_prefix(std::min(rest.size(), one.size() + 1));
    }
    return false;
  };
  const auto found = std::ranges::find_if(kAll, called_so);
  return found == kAll.end() ? nullptr : *found;
}

}  // namespace vhsm::keystore
