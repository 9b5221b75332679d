// SPDX-License-Identifier: Apache-2.0
#include "provider/digests.h"

#include <strings.h>

#include <openssl/evp.h>

#include <algorithm>

namespace vhsm::provider {
namespace {

// The names of the default provider's digests; the most used first, as the search is linear.
constexpr std::string_view kNames[] = {
    "SHA2-256:SHA-256:SHA256:2.16.840.1.101.3.4.2.1",
    "SHA2-384:SHA-384:SHA384:2.16.840.1.101.3.4.2.2",
    "SHA2-512:SHA-512:SHA512:2.16.840.1.101.3.4.2.3",
    "SHA1:SHA-1:SSL3-SHA1:1.3.14.3.2.26",
    "SHA2-224:SHA-224:SHA224:2.16.840.1.101.3.4.2.4",
    "SHA2-512/224:SHA-512/224:SHA512-224:2.16.840.1.101.3.4.2.5",
    "SHA2-512/256:SHA-512/256:SHA512-256:2.16.840.1.101.3.4.2.6",
    "SHA3-224:2.16.840.1.101.3.4.2.7",
    "SHA3-256:2.16.840.1.101.3.4.2.8",
    "SHA3-384:2.16.840.1.101.3.4.2.9",
    "SHA3-512:2.16.840.1.101.3.4.2.10",
    "MD5-SHA1",
    "MD5:SSL3-MD5:1.2.840.113549.2.5",
    "RIPEMD-160:RIPEMD160:RIPEMD:RMD160:1.3.36.3.2.1",
    "SM3:1.2.156.10197.1.401",
};

bool is_called(std::string_view names, std::string_view name) noexcept {
  while (!names.empty()) {
    const std::string_view one = names.substr(0, names.find(':'));
    if (one.size() == name.size() && ::strncasecmp(one.data(), name.data(), one.size()) == 0) {
      return true;
    }
    names.remove_prefix(std::min(names.size(), one.size() + 1));
  }
  return false;
}

}  // namespace

Result<Digests> Digests::fetch() {
  static_assert(std::size(kNames) == kCount);
  const ossl::ErrorMark quiet;  // a build of OpenSSL may lack some
  Digests digests;
  for (std::size_t i = 0; i < kCount; ++i) {
    const std::string name(kNames[i].substr(0, kNames[i].find(':')));
    digests.digests_[i].reset(EVP_MD_fetch(nullptr, name.c_str(), nullptr));
  }
  if (digests.digests_[0] == nullptr) return fail(Errc::kCrypto, "no SHA-256");
  return digests;
}

Result<const EVP_MD*> Digests::find(std::string_view name) const {
  for (std::size_t i = 0; i < kCount; ++i) {
    if (digests_[i] != nullptr && is_called(kNames[i], name)) return digests_[i].get();
  }
  return fail(Errc::kUnsupported, "this digest cannot be used for signatures", name);
}

}  // namespace vhsm::provider
