// SPDX-License-Identifier: Apache-2.0
//
// What a key's policy refuses, at the keystore: below every host.
#include <gmock/gmock.h>

#include <ctime>

#include "keystore/key_policy.h"
#include "tests/sealed/one_key.h"

namespace vhsm::keystore {
namespace {

using ::testing::HasSubstr;

struct PolicyCase {
  const char* name;
  const char* algorithm;
  std::string policy;
  KeyUse use;
  std::string refusal;  ///< part of the sentence; empty: it is allowed
};

std::string seconds_from_now(long seconds) { return std::to_string(std::time(nullptr) + seconds); }

using PolicyTest = OneKeyTest;

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
        PolicyCase{
            "DeriveIsNotNamed", "EC:P-256", "operations=sign", {kDerive, ""}, "(operations)"},
        PolicyCase{"MessagesAreSigned", "ED25519", "operations=sign", {kSignMessage, ""}, ""},
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

TEST_F(PolicyTest, TheDigestOfOaepIsReadBackFromTheContext) {
  make_key("RSA:2048");
  const KeyUse oaep{OperationKind::kDecrypt, "", "oaep"};  // with SHA-1
  ASSERT_TRUE(keystore_->set_policy(uri(), "digests=SHA256").ok());
  EXPECT_THAT(describe(do_it(oaep).error()), HasSubstr("(digests)"));
  EXPECT_THAT(describe(do_it({OperationKind::kDecrypt, "", "none"}).error()),
              HasSubstr("paddings=none"))
      << "there is no digest, and it would be a signature with any";
  ASSERT_TRUE(keystore_->set_policy(uri(), "digests=SHA1").ok());
  EXPECT_EQ(do_it(oaep).error().code, Errc::kCrypto) << "allowed, and no ciphertext";
}

TEST_F(PolicyTest, RsaWithoutAPaddingIsEveryOperationAndHasToBeNamed) {
  make_key("RSA:2048");
  const KeyUse decrypts{OperationKind::kDecrypt, "", "none"};
  const KeyUse signs{kSign, "", "none"};
  ASSERT_TRUE(do_it(decrypts).ok());
  for (const char* const policy : {"operations=decrypt", "operations=sign", "digests=SHA256",
                                   "operations=sign,decrypt,decapsulate"}) {
    ASSERT_TRUE(keystore_->set_policy(uri(), policy).ok());
    for (const KeyUse& use : {decrypts, signs}) {
      const Status done = do_it(use);
      ASSERT_FALSE(done.ok()) << policy;
      EXPECT_EQ(done.error().code, Errc::kPolicy) << policy << describe(done.error());
    }
  }
  ASSERT_TRUE(keystore_->set_policy(uri(), "operations=decrypt paddings=none").ok());
  EXPECT_TRUE(do_it(decrypts).ok());
}

TEST_F(PolicyTest, ASecretThatRsaEncapsulatesIsRsaWithoutAPadding) {
  make_key("RSA:2048");
  const KeyUse opens{OperationKind::kDecapsulate, ""};
  ASSERT_TRUE(keystore_->set_policy(uri(), "operations=decapsulate").ok());
  EXPECT_EQ(do_it(opens).error().code, Errc::kPolicy);
  ASSERT_TRUE(keystore_->set_policy(uri(), "operations=decapsulate paddings=none").ok());
  EXPECT_EQ(do_it(opens).error().code, Errc::kCrypto) << "allowed, and too short";
}

TEST_F(PolicyTest, TheMasksDigestIsADigestToo) {
  make_key("RSA:2048");
  ASSERT_TRUE(keystore_->set_policy(uri(), "digests=SHA256").ok());
  EXPECT_TRUE(do_it({kSign, "SHA256", "pss"}).ok());
  EXPECT_THAT(describe(do_it({kSign, "SHA256", "pss", "SHA1"}).error()), HasSubstr("(digests)"));
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
  const auto other = another();
  const auto handle = other->open(uri()).value();
  ASSERT_TRUE(do_with(*handle.key, {kSign}).ok());
  ASSERT_TRUE(keystore_->set_policy(uri(), "operations=derive").ok());
  EXPECT_TRUE(do_with(*handle.key, {kSign}).ok()) << "an open handle goes on";
  EXPECT_EQ(do_with(*other->open(uri()).value().key, {kSign}).error().code, Errc::kPolicy);
}

TEST_F(PolicyTest, AMalformedPolicyIsRefusedAndTheOldOneStays) {
  make_key("EC:P-256");
  ASSERT_TRUE(keystore_->set_policy(uri(), "digests=SHA384").ok());
  for (const char* const text : {"operations",
                                 "operations=",
                                 "operations=fly",
                                 "digests=MD17",
                                 "paddings=cotton",
                                 "not-after=soon",
                                 "not-after=",
                                 "not-after=1x",
                                 "digests=SHA256 digests=SHA384",
                                 "not-after=1 not-after=2",
                                 "color=red",
                                 "=",
                                 "operations=sign,fly",
                                 "uses=0",
                                 "uses=-1",
                                 "uses=1 uses=2",
                                 "uses=18446744073709551615",
                                 "not-before=9 not-after=8",
                                 "operations=decrypt",
                                 "operations=decapsulate,decrypt",
                                 "algorithms=HMAC",
                                 "algorithms=ROT13",
                                 "paddings=pss",
                                 "salt=digest",
                                 "salt=32",
                                 "gate=open",
                                 "gate=lease",
                                 "lease=60",
                                 "grace=60",
                                 "gate=first-use lease=60",
                                 "gate=lease lease=0",
                                 "gate=lease grace=5",
                                 "gate=lease lease=60 gate=lease",
                                 "gate=lease lease=99999999999",
                                 "backup=",
                                 "backup=always",
                                 "backup=attested backup=attested",
                                 "backup=attested uses=3",
                                 "operations=restore,sign",
                                 "operations=restore digests=SHA256",
                                 "operations=restore not-after=1",
                                 "operations=restore backup=attested"}) {
    const Status set = keystore_->set_policy(uri(), text);
    ASSERT_FALSE(set.ok()) << text;
    EXPECT_EQ(set.error().code, Errc::kInvalidArgument) << text;
  }
  EXPECT_EQ(keystore_->list().value().back().policy, "digests=SHA384");
}

TEST_F(PolicyTest, OperationsThatTheAlgorithmDoesNotHaveAreRefusedBeforeAKeyIsMade) {
  for (const auto& [algorithm, policy] : {std::pair{"ED25519", "operations=decrypt,derive"},
                                          {"X25519", "operations=sign"},
                                          {"RSA:2048", "operations=derive"},
                                          {"EC:P-256", "operations=decrypt"},
                                          {"ED25519", "operations=restore"},
                                          {"EC:P-256", "paddings=pss"}}) {
    keystore_ = another();
    auto parsed = AlgorithmText::parse(algorithm).value();
    const auto made = keystore_->generate(uri().name, *parsed.type(), parsed.settings(), policy);
    ASSERT_FALSE(made.ok()) << algorithm << policy;
    EXPECT_EQ(made.error().code, Errc::kInvalidArgument) << algorithm << policy;
    EXPECT_TRUE(keystore_->list().value().empty());
  }
  make_key("RSA:2048", "operations=sign,derive");
  EXPECT_TRUE(do_it({kSign}).ok()) << "it has one of them";
}

TEST_F(PolicyTest, ItsTextIsWhatIsReadAgain) {
  const char* const text =
      "operations=sign,decrypt digests=SHA256 paddings=pss,oaep salt=digest gate=lease "
      "not-before=1 "
      "not-after=2 uses=3 lease=4 grace=0";
  EXPECT_EQ(KeyPolicy::parse(text).value().text(), text);
  const char* const leaves = "operations=sign gate=first-use backup=attested not-after=2";
  EXPECT_EQ(KeyPolicy::parse(leaves).value().text(), leaves);
  EXPECT_EQ(KeyPolicy::parse("").value().text(), "");
}

TEST_F(PolicyTest, AKeyIsBoundFromItsFirstMomentOn) {
  make_key("EC:P-256", "digests=SHA384");
  EXPECT_EQ(keystore_->list().value().back().policy, "digests=SHA384");
  EXPECT_EQ(do_it({kSign}).error().code, Errc::kPolicy);
  const auto refused = keystore_->generate(KeyName::parse("a/b/c").value(),
                                           *AlgorithmText::parse("ED25519").value().type(), nullptr,
                                           "operations=fly");
  EXPECT_EQ(refused.error().code, Errc::kInvalidArgument);
  EXPECT_EQ(keystore_->list().value().size(), 1U)
      << "no key without the policy that it should have";
}

TEST_F(PolicyTest, WithoutAFolderThereIsNowhereToKeepAPolicy) {
  const auto memory = make_memory_keystore(nullptr, {}, std::make_shared<Metrics>());
  const auto made = memory->generate(uri().name, *AlgorithmText::parse("ED25519").value().type(),
                                     nullptr, "operations=sign");
  EXPECT_EQ(made.error().code, Errc::kUnsupported);
}

TEST_F(PolicyTest, AnotherKeyOfTheSameNameIsNotTakenForTheOldOne) {
  make_key("EC:P-256");
  const auto other = another();
  const auto old_key = other->open(uri()).value().public_key_info;
  ASSERT_TRUE(keystore_->remove(uri()).ok());
  make_key("EC:P-256");
  EXPECT_NE(other->open(uri()).value().public_key_info, old_key);
}

}  // namespace
}  // namespace vhsm::keystore
