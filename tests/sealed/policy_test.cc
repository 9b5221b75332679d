// SPDX-License-Identifier: Apache-2.0
//
// What a key's policy refuses, at the keystore: below every host.
#include <gmock/gmock.h>
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/rsa.h>

#include <ctime>

#include "keystore/algorithm_text.h"
#include "keystore/key_policy.h"
#include "keystore/keystore.h"
#include "tests/sealed/sealed_folder.h"

namespace vhsm::keystore {
namespace {

using ::testing::HasSubstr;

KeyUri uri() { return {KeyName::parse("default/app/key").value(), {}, {}}; }

/// What a program does with a key.
struct Use {
  OperationKind kind = OperationKind::kSign;
  std::string digest = "SHA256";
  std::string padding{};  ///< RSA
};

struct PolicyCase {
  const char* name;
  const char* algorithm;
  std::string policy;
  Use use;
  std::string refusal;  ///< part of the sentence; empty: it is allowed
};

std::string seconds_from_now(long seconds) { return std::to_string(std::time(nullptr) + seconds); }

class PolicyTest : public sealed::SealedFolderTest {
 protected:
  void make_key(const char* algorithm) {
    keystore_ = make_memory_keystore(nullptr, {}, std::make_shared<Metrics>(), {}, nullptr, open());
    auto parsed = AlgorithmText::parse(algorithm).value();
    const auto made = keystore_->generate(uri().name, *parsed.type(), parsed.settings());
    ASSERT_TRUE(made.ok()) << describe(made.error());
  }

  /// The whole operation, on a handle that is opened for it.
  Status do_it(const Use& use) const {
    const auto entry = VHSM_TRY(keystore_->open(uri()));
    return do_with(*entry.key, use);
  }
  static Status do_with(const Key& key, const Use& use) {
    std::string padding = use.padding;
    std::vector<OSSL_PARAM> params;
    if (!padding.empty()) {
      params.push_back(
          OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_PAD_MODE, padding.data(), 0));
    }
    params.push_back(OSSL_PARAM_construct_end());
    auto operation =
        VHSM_TRY(key.begin({.kind = use.kind, .digest = use.digest, .params = params.data()}));
    if (use.kind == OperationKind::kDerive) VHSM_TRY(operation->set_peer(key));
    const std::vector<std::uint8_t> in(use.kind == OperationKind::kDecrypt ? 256 : 32, 1);
    std::vector<std::uint8_t> out(512);
    const auto done = operation->run(in, out);
    return done.ok() ? Status() : Status(done.error());
  }

  std::unique_ptr<HoldingKeystore> keystore_;
};

class PolicyRuleTest : public PolicyTest, public ::testing::WithParamInterface<PolicyCase> {};

TEST_P(PolicyRuleTest, AllowsOrRefusesAndSaysWhichRule) {
  const PolicyCase& one = GetParam();
  make_key(one.algorithm);
  const Status before = do_it(one.use);
  ASSERT_TRUE(before.ok()) << "without a policy: " << describe(before.error());
  ASSERT_TRUE(keystore_->set_policy(uri(), one.policy).ok());
  const Status done = do_it(one.use);
  EXPECT_EQ(done.ok(), one.refusal.empty()) << (done.ok() ? "" : describe(done.error()));
  if (one.refusal.empty()) return;
  EXPECT_EQ(done.error().code, Errc::kPolicy);
  EXPECT_THAT(describe(done.error()), HasSubstr(one.refusal));
  EXPECT_THAT(describe(done.error()), HasSubstr("vhsm:default/app/key"));
  ASSERT_TRUE(keystore_->set_policy(uri(), "").ok());
  EXPECT_TRUE(do_it(one.use).ok()) << "without the policy again";
}

constexpr auto kSign = OperationKind::kSign;
constexpr auto kSignMessage = OperationKind::kSignMessage;
constexpr auto kDerive = OperationKind::kDerive;

INSTANTIATE_TEST_SUITE_P(
    Rules, PolicyRuleTest,
    ::testing::Values(
        PolicyCase{"SignIsNamed", "EC:P-256", "operations=sign", {kSign}, ""},
        PolicyCase{"SignIsNotNamed", "EC:P-256", "operations=derive", {kSign}, "(operations)"},
        PolicyCase{"DeriveIsNamed", "EC:P-256", "operations=sign,derive", {kDerive, ""}, ""},
        PolicyCase{"DeriveIsNotNamed", "X25519", "operations=sign", {kDerive, ""}, "(operations)"},
        PolicyCase{"MessagesAreSigned", "ED25519", "operations=sign", {kSignMessage, ""}, ""},
        PolicyCase{"MessagesAreNotSigned",
                   "ED25519",
                   "operations=decrypt",
                   {kSignMessage, ""},
                   "(operations)"},
        PolicyCase{"TheDigestIsNamed", "EC:P-256", "digests=SHA384,SHA256", {kSign}, ""},
        PolicyCase{"TheDigestIsNamedOtherwise", "EC:P-256", "digests=SHA2-256", {kSign}, ""},
        PolicyCase{"TheDigestIsNotNamed", "EC:P-256", "digests=SHA384", {kSign}, "(digests)"},
        PolicyCase{"ThereIsNoDigest", "RSA:2048", "digests=SHA256", {kSign, ""}, "(digests)"},
        PolicyCase{"TheDigestOfRsaIsNotNamed", "RSA:2048", "digests=SHA512", {kSign}, "(digests)"},
        PolicyCase{"PssIsNamed", "RSA:2048", "paddings=pss", {kSign, "SHA256", "pss"}, ""},
        PolicyCase{"Pkcs1IsNotNamed",
                   "RSA:2048",
                   "paddings=pss",
                   {kSign, "SHA256", "pkcs1"},
                   "(paddings)"},
        PolicyCase{
            "TheDefaultPaddingIsNotNamed", "RSA:2048", "paddings=pss", {kSign}, "(paddings)"},
        PolicyCase{"ItIsTooEarly",
                   "EC:P-256",
                   "not-before=" + seconds_from_now(3600),
                   {kSign},
                   "(not-before)"},
        PolicyCase{"ItIsTooLate",
                   "EC:P-256",
                   "not-after=" + seconds_from_now(-3600),
                   {kSign},
                   "(not-after)"},
        PolicyCase{"ItIsTime",
                   "EC:P-256",
                   "not-before=" + seconds_from_now(-3600) + " not-after=" + seconds_from_now(3600),
                   {kSign},
                   ""},
        PolicyCase{"OneOfTwoRulesRefuses",
                   "RSA:2048",
                   "digests=SHA256 paddings=pss",
                   {kSign, "SHA256", "pkcs1"},
                   "(paddings)"}),
    [](const auto& tested) { return std::string(tested.param.name); });

TEST_F(PolicyTest, APaddingForDecryptionIsReadBackFromTheContext) {
  make_key("RSA:2048");
  ASSERT_TRUE(keystore_->set_policy(uri(), "paddings=oaep").ok());
  const Status refused = do_it({OperationKind::kDecrypt, "", "none"});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Errc::kPolicy);
}

TEST_F(PolicyTest, ASuccessorHasThePolicyOfItsPredecessor) {
  make_key("EC:P-256");
  ASSERT_TRUE(keystore_->set_policy(uri(), "digests=SHA384").ok());
  ASSERT_TRUE(keystore_->rotate(uri().name).ok());
  EXPECT_EQ(keystore_->list().value().back().policy, "digests=SHA384");
  EXPECT_EQ(do_it({kSign}).error().code, Errc::kPolicy);
}

TEST_F(PolicyTest, AnotherProcessHasToObeyToo) {
  make_key("EC:P-256");
  const auto other =
      make_memory_keystore(nullptr, {}, std::make_shared<Metrics>(), {}, nullptr, open());
  const auto handle = other->open(uri()).value();
  ASSERT_TRUE(do_with(*handle.key, {kSign}).ok());
  ASSERT_TRUE(keystore_->set_policy(uri(), "operations=derive").ok());
  EXPECT_TRUE(do_with(*handle.key, {kSign}).ok()) << "an open handle goes on";
  EXPECT_EQ(do_with(*other->open(uri()).value().key, {kSign}).error().code, Errc::kPolicy);
}

TEST_F(PolicyTest, AMalformedPolicyIsRefusedAndTheOldOneStays) {
  make_key("EC:P-256");
  ASSERT_TRUE(keystore_->set_policy(uri(), "digests=SHA384").ok());
  for (const char* const text :
       {"operations", "operations=", "operations=fly", "digests=MD17", "paddings=cotton",
        "not-after=soon", "not-after=", "not-after=1x", "digests=SHA256 digests=SHA384",
        "not-after=1 not-after=2", "color=red", "=", "operations=sign,fly"}) {
    const Status set = keystore_->set_policy(uri(), text);
    ASSERT_FALSE(set.ok()) << text;
    EXPECT_EQ(set.error().code, Errc::kInvalidArgument) << text;
  }
  EXPECT_EQ(keystore_->list().value().back().policy, "digests=SHA384");
}

TEST_F(PolicyTest, ItsTextIsWhatIsReadAgain) {
  const char* const text =
      "operations=sign,decrypt digests=SHA256 paddings=pss,oaep not-before=1 not-after=2";
  EXPECT_EQ(KeyPolicy::parse(text).value().text(), text);
  EXPECT_EQ(KeyPolicy::parse("").value().text(), "");
}

}  // namespace
}  // namespace vhsm::keystore
