// SPDX-License-Identifier: Apache-2.0
//
// The names under which a program finds vhsm's operations, and a key finds its own.
#include <gtest/gtest.h>
#include <openssl/evp.h>

#include <string>
#include <vector>

#include "keystore/key_type.h"
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

using keystore::OperationNames;

/// What the types have of one operation.
std::vector<OperationNames> names_of(OperationNames keystore::KeyType::*operation) {
  std::vector<OperationNames> all;
  for (const keystore::KeyType& type : keystore::kTypeTable) {
    const bool there = keystore::is_there(type.since) && (type.*operation).exist();
    if (there) all.push_back(type.*operation);
  }
  return all;
}

/// By OpenSSL's name vhsm is found where it is asked for; a key's own name leads to vhsm without a
/// question to others.
template <class Fetch>
void expect_both(OperationNames keystore::KeyType::*operation, Fetch&& fetch) {
  const auto all = names_of(operation);
  EXPECT_FALSE(all.empty());
  for (const OperationNames& names : all) {
    EXPECT_NE(fetch(names.common, kVhsm), nullptr) << names.common;
    EXPECT_NE(fetch(names.own, ""), nullptr) << names.own;
    EXPECT_EQ(fetch(names.own, kDefault), nullptr) << names.own;
    EXPECT_TRUE(std::string(names.own).starts_with(kOwnPrefix));
  }
}

TEST_F(OperationNamesTest, EveryOperationOfEveryTypeHasBoth) {
  expect_both(&keystore::KeyType::signature, [&](auto... args) { return signature(args...); });
  expect_both(&keystore::KeyType::exchange, [&](auto... args) { return exchange(args...); });
  expect_both(&keystore::KeyType::cipher, [&](auto... args) { return cipher(args...); });
  expect_both(&keystore::KeyType::kem, [&](auto... args) { return kem(args...); });
}

TEST_F(OperationNamesTest, AKeysOwnNameIsVhsms) {
  const Signature own = signature(kOwnPrefix + "RSA");
  ASSERT_NE(own, nullptr);
  EXPECT_STREQ(OSSL_PROVIDER_get0_name(EVP_SIGNATURE_get0_provider(own.get())), "vhsm");
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
