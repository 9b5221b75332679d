// SPDX-License-Identifier: Apache-2.0
//
// Symmetric keys that vhsm_files holds.
#pragma once

#include <gtest/gtest.h>
#include <openssl/core_names.h>

#include <string>

#include "tests/provider/secrets.h"

namespace vhsm::test {

inline Params hmac_digest(const std::string& digest) {
  return Params().text(OSSL_MAC_PARAM_DIGEST, digest);
}

/// Of RFC 5869, test case 1.
inline Params hkdf_params() {
  return Params()
      .text(OSSL_KDF_PARAM_DIGEST, "SHA256")
      .octets(OSSL_KDF_PARAM_SALT, from_hex("000102030405060708090a0b0c"))
      .octets(OSSL_KDF_PARAM_INFO, from_hex("f0f1f2f3f4f5f6f7f8f9"));
}

class SymmetricTest : public ::testing::Test {
 protected:
  [[nodiscard]] Secret secret(const std::string& name, const Bytes& bytes) const {
    return store_secret(folder_, name, bytes);
  }
  /// Stored as a JWK with `members` beside kty and k.
  [[nodiscard]] Secret jwk(const std::string& name, const Bytes& bytes,
                           const std::string& members = {}) const {
    const std::string text = R"({"kty":"oct","k":")" + base64url(bytes) + "\"" + members + "}\n";
    return store_secret(folder_, name, from_text(text), bytes);
  }

  const KeyFolder folder_;
  const Host host_{"vhsm_files"};
};

}  // namespace vhsm::test
