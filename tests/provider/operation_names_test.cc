// SPDX-License-Identifier: Apache-2.0
//
// The names under which a program finds vhsm's operations, and a key finds its own.
#include <gtest/gtest.h>
#include <openssl/evp.h>

#include <string>

#include "tests/provider/host.h"

namespace vhsm::test {
namespace {

using Signature = ossl::Handle<EVP_SIGNATURE, EVP_SIGNATURE_free>;
using Exchange = ossl::Handle<EVP_KEYEXCH, EVP_KEYEXCH_free>;
using Kem = ossl::Handle<EVP_KEM, EVP_KEM_free>;
using Cipher = ossl::Handle<EVP_ASYM_CIPHER, EVP_ASYM_CIPHER_free>;

const std::string kOwnPrefix = "VHSM-";

class OperationNamesTest : public ::testing::Test {
 protected:
  [[nodiscard]] Signature signature(const std::string& name, const char* properties = "") const {
    return Signature(EVP_SIGNATURE_fetch(host_.ctx(), name.c_str(), properties));
  }
  [[nodiscard]] Exchange exchange(const std::string& name, const char* properties = "") const {
    return Exchange(EVP_KEYEXCH_fetch(host_.ctx(), name.c_str(), properties));
  }
  [[nodiscard]] Cipher cipher(const std::string& name, const char* properties = "") const {
    return Cipher(EVP_ASYM_CIPHER_fetch(host_.ctx(), name.c_str(), properties));
  }

  [[nodiscard]] Kem kem(const std::string& name, const char* properties = "") const {
    return Kem(EVP_KEM_fetch(host_.ctx(), name.c_str(), properties));
  }

  const Host host_;
};

TEST_F(OperationNamesTest, OpenSslsNamesFindVhsmWhereItIsAskedFor) {
  for (const char* name : {"RSA", "ECDSA", "ED25519", "ED448"}) {
    EXPECT_NE(signature(name, kVhsm), nullptr) << name;
  }
  for (const char* name : {"ECDH", "X25519", "X448"}) EXPECT_NE(exchange(name, kVhsm), nullptr);
  EXPECT_NE(cipher("RSA", kVhsm), nullptr);
  EXPECT_NE(kem("RSA", kVhsm), nullptr);
}

TEST_F(OperationNamesTest, AKeysOwnNamesLeadToVhsmWithoutAQuestionToOthers) {
  for (const char* name : {"RSA", "ECDSA", "ED25519", "ED448"}) {
    const Signature own = signature(kOwnPrefix + name);
    ASSERT_NE(own, nullptr) << name;
    EXPECT_STREQ(OSSL_PROVIDER_get0_name(EVP_SIGNATURE_get0_provider(own.get())), "vhsm");
    EXPECT_EQ(signature(kOwnPrefix + name, kDefault), nullptr) << name;
  }
  for (const char* name : {"ECDH", "X25519", "X448"}) {
    EXPECT_NE(exchange(kOwnPrefix + name), nullptr) << name;
    EXPECT_EQ(exchange(kOwnPrefix + name, kDefault), nullptr) << name;
  }
  EXPECT_NE(kem(kOwnPrefix + "RSA"), nullptr);
  EXPECT_EQ(kem(kOwnPrefix + "RSA", kDefault), nullptr);
  EXPECT_NE(cipher(kOwnPrefix + "RSA"), nullptr);
  EXPECT_EQ(cipher(kOwnPrefix + "RSA", kDefault), nullptr);
}

TEST_F(OperationNamesTest, OwnNamesAreNoAliasesOfOpenSslsNames) {
  // As aliases they would name the default provider's algorithm too, and win it back the fetch.
  EXPECT_EQ(EVP_SIGNATURE_is_a(signature("ED25519", kDefault).get(), "VHSM-ED25519"), 0);
  EXPECT_EQ(EVP_SIGNATURE_is_a(signature("VHSM-ED25519").get(), "ED25519"), 0);
}

TEST_F(OperationNamesTest, NamesThatSayADigestAreForHostsThatSignMessages) {
  constexpr bool kSignsMessages = OPENSSL_VERSION_NUMBER >= 0x30400000L;
  for (const char* name : {"RSA-SHA2-256", "RSA-SHA256", "ECDSA-SHA3-256"}) {
    EXPECT_EQ(signature(name, kVhsm) != nullptr, kSignsMessages) << name;
  }
}

}  // namespace
}  // namespace vhsm::test
