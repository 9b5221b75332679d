// SPDX-License-Identifier: Apache-2.0
//
// What the policy of a symmetric key refuses, at the keystore.
#include <gmock/gmock.h>
#include <openssl/core_names.h>
#include <openssl/params.h>

#include <array>
#include <ctime>

#include "keystore/symmetric_operation.h"
#include "tests/sealed/one_key.h"

namespace vhsm::keystore {
namespace {

using ::testing::HasSubstr;
using Bytes = std::vector<std::uint8_t>;
using OperationPtr = std::unique_ptr<SymmetricOperation>;

class SecretPolicyTest : public OneKeyTest {
 protected:
  void SetUp() override {
    OneKeyTest::SetUp();
    keystore_ = another();
  }
  Status make(std::string_view policy = {}) {
    const auto made = keystore_->generate_secret(uri().name, 32, policy);
    return made.ok() ? Status() : Status(made.error());
  }
  [[nodiscard]] SymmetricKeyPtr key() const {
    return keystore_->open({uri().name, ObjectType::kSecret, {}}).value().symmetric;
  }
  static OperationPtr operation(const char* algorithm) {
    return make_local_operation(*find_symmetric_algorithm(algorithm)).value();
  }
  static Status set_digest(SymmetricOperation& operation, std::string digest) {
    const std::array params{
        OSSL_PARAM_construct_utf8_string(OSSL_ALG_PARAM_DIGEST, digest.data(), 0),
        OSSL_PARAM_construct_end()};
    return operation.set_params(params.data());
  }
  static Status fed(SymmetricOperation& operation) {
    Bytes out(64);
    const auto done = operation.update(Bytes(16, 1), out);
    return done.ok() ? Status() : Status(done.error());
  }
  static Status finished(SymmetricOperation& operation) {
    Bytes out(64);
    const auto done = operation.finish(out);
    return done.ok() ? Status() : Status(done.error());
  }
  [[nodiscard]] Status hmac(const std::string& digest = "SHA256") const {
    const auto mac = operation("HMAC");
    VHSM_TRY(set_digest(*mac, digest));
    VHSM_TRY(mac->start({.key = key()}));
    VHSM_TRY(fed(*mac));
    return finished(*mac);
  }
  [[nodiscard]] OperationPtr cipher() const {
    auto made = operation("AES-256-CTR");
    EXPECT_TRUE(made->start({.key = key(), .iv = kIv}).ok());
    return made;
  }
  [[nodiscard]] std::optional<std::uint64_t> left() const {
    return another()->list().value().back().uses_left;
  }
  static constexpr std::array<std::uint8_t, 16> kIv{};
};

void expect_refusal(const Status& status, const char* rule) {
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, Errc::kPolicy);
  EXPECT_THAT(describe(status.error()), HasSubstr(rule));
  EXPECT_THAT(describe(status.error()), HasSubstr("vhsm:default/app/key"));
}

TEST_F(SecretPolicyTest, OperationsThatAreNotNamedAreRefused) {
  ASSERT_TRUE(make("operations=encrypt").ok());
  EXPECT_TRUE(fed(*cipher()).ok());
  expect_refusal(operation("AES-256-CTR")->start({.key = key(), .forwards = false, .iv = kIv}),
                 "(operations)");
  expect_refusal(hmac(), "(operations)");
}

TEST_F(SecretPolicyTest, OtherDigestsAreRefused) {
  ASSERT_TRUE(make("digests=SHA384").ok());
  EXPECT_TRUE(hmac("SHA2-384").ok()) << "by another name";
  expect_refusal(hmac("SHA256"), "(digests)");
  EXPECT_TRUE(fed(*cipher()).ok()) << "it has none";
}

TEST_F(SecretPolicyTest, AlgorithmsThatAreNotNamedAreRefused) {
  ASSERT_TRUE(make("algorithms=AES-256-CTR,HKDF").ok());
  EXPECT_TRUE(fed(*cipher()).ok());
  expect_refusal(hmac(), "(algorithms)");
  expect_refusal(operation("AES-256-CBC")->start({.key = key(), .iv = kIv}), "(algorithms)");
}

TEST_F(SecretPolicyTest, AlgorithmsWithoutOneOfTheOperationsAreRefusedWhenTheyAreSaid) {
  for (const char* const policy :
       {"operations=sign algorithms=AES-256-GCM", "operations=release algorithms=HMAC",
        "algorithms=ED25519", "salt=digest", "not-before=2 not-after=1"}) {
    const Status made = make(policy);
    ASSERT_FALSE(made.ok()) << policy;
    EXPECT_EQ(made.error().code, Errc::kInvalidArgument) << policy;
  }
  EXPECT_TRUE(make("operations=sign,encrypt algorithms=AES-256-GCM").ok());
}

TEST_F(SecretPolicyTest, ADigestThatIsSetAfterTheKeyIsAskedForToo) {
  ASSERT_TRUE(make("digests=SHA384").ok());
  const auto kdf = operation("HKDF");
  ASSERT_TRUE(set_digest(*kdf, "SHA384").ok());
  ASSERT_TRUE(kdf->start({.key = key()}).ok());
  EXPECT_TRUE(finished(*kdf).ok());
  ASSERT_TRUE(set_digest(*kdf, "SHA256").ok());
  expect_refusal(finished(*kdf), "(digests)");
}

TEST_F(SecretPolicyTest, ItHasTimes) {
  ASSERT_TRUE(make("not-after=" + std::to_string(std::time(nullptr) - 1)).ok());
  expect_refusal(hmac(), "(not-after)");
  const KeyUri whole{uri().name, {}, {}};
  ASSERT_TRUE(
      keystore_->set_policy(whole, "not-before=" + std::to_string(std::time(nullptr) + 60)).ok());
  expect_refusal(hmac(), "(not-before)");
  ASSERT_TRUE(keystore_->set_policy(whole, "").ok());
  EXPECT_TRUE(hmac().ok());
}

TEST_F(SecretPolicyTest, ItIsUsedAsOftenAsItsPolicySays) {
  ASSERT_TRUE(make("uses=3").ok());
  EXPECT_EQ(left(), 3U);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(hmac().ok()) << i;
  expect_refusal(hmac(), "(uses)");
  EXPECT_EQ(left(), 0U);
}

TEST_F(SecretPolicyTest, AnOperationCountsWithItsFirstPieceAndACloneIsAnother) {
  ASSERT_TRUE(make("uses=2").ok());
  const auto first = cipher();
  EXPECT_EQ(left(), 2U) << "nothing is done yet";
  EXPECT_TRUE(fed(*first).ok());
  EXPECT_TRUE(fed(*first).ok());
  EXPECT_EQ(left(), 1U);
  const auto clone = first->clone().value();
  EXPECT_TRUE(fed(*clone).ok());
  EXPECT_TRUE(fed(*first).ok()) << "it goes on";
  expect_refusal(fed(*first->clone().value()), "(uses)");
  ASSERT_TRUE(first->start({.iv = kIv}).ok());
  expect_refusal(fed(*first), "(uses)");
}

TEST_F(SecretPolicyTest, EachDerivationCounts) {
  ASSERT_TRUE(make("uses=2").ok());
  const auto kdf = operation("HKDF");
  ASSERT_TRUE(set_digest(*kdf, "SHA256").ok());
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(kdf->start({.key = key()}).ok());
    EXPECT_TRUE(finished(*kdf).ok()) << i;
  }
  ASSERT_TRUE(kdf->start({.key = key()}).ok());
  expect_refusal(finished(*kdf), "(uses)");
}

TEST_F(SecretPolicyTest, RotatedItIsBoundAsBefore) {
  ASSERT_TRUE(make("digests=SHA384 uses=5").ok());
  ASSERT_TRUE(keystore_->rotate(uri().name).ok());
  EXPECT_EQ(keystore_->list().value().back().policy, "digests=SHA384 uses=5");
  EXPECT_EQ(left(), 5U);
  expect_refusal(hmac("SHA256"), "(digests)");
}

TEST_F(SecretPolicyTest, WhatMayComeOutHasAPolicyToo) {
  const auto stored = sealed::secret(R"({"kty":"oct","k":"c2VzYW1l","key_ops":["release"]})");
  const KeyUri name{uri().name, ObjectType::kSecret, {}};
  ASSERT_TRUE(keystore_->import(name, stored, {.policy = "operations=release uses=1"}).ok());
  EXPECT_TRUE(keystore_->release(name).ok());
  const auto refused = keystore_->release(name);
  ASSERT_FALSE(refused.ok());
  expect_refusal(refused.error(), "(uses)");
}

TEST_F(SecretPolicyTest, WordsAreThoseOfTheKindOfKey) {
  for (const char* const policy : {"operations=decapsulate", "paddings=pss"}) {
    const Status made = make(policy);
    ASSERT_FALSE(made.ok()) << policy;
    EXPECT_EQ(made.error().code, Errc::kInvalidArgument) << policy;
  }
  make_key("EC:P-256");
  for (const char* const policy : {"operations=wrap", "operations=sign,encrypt"}) {
    EXPECT_EQ(keystore_->set_policy(uri(), policy).error().code, Errc::kInvalidArgument) << policy;
  }
}

}  // namespace
}  // namespace vhsm::keystore
