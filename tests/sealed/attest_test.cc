// SPDX-License-Identifier: Apache-2.0
//
// What the keystore says of a key: it and nobody else knows where the key comes from.
#include <gmock/gmock.h>

#include "keystore/algorithm_text.h"
#include "keystore/keystore.h"
#include "tests/sealed/sealed_folder.h"
#include "tests/sealed/test_witness.h"

namespace vhsm::keystore {
namespace {

using sealed::NewSlot;
using sealed::SlotKind;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

KeyUri uri() { return {KeyName::parse("default/app/key").value(), {}, {}}; }
const std::vector<std::uint8_t> kNonce(16, 7);

class AttestTest : public sealed::SealedFolderTest {
 protected:
  /// As another process would have it.
  std::unique_ptr<HoldingKeystore> keystore(std::shared_ptr<sealed::Folder> folder) {
    return make_memory_keystore(nullptr, {}, std::make_shared<Metrics>(), {}, nullptr,
                                std::move(folder), nullptr, witness_);
  }
  static void generate(Keystore& keystore, const char* algorithm = "EC:P-256") {
    auto parsed = AlgorithmText::parse(algorithm).value();
    const auto made = keystore.generate(uri().name, *parsed.type(), parsed.settings());
    ASSERT_TRUE(made.ok()) << describe(made.error());
  }
  static void import(HoldingKeystore& keystore) {
    const auto pem = pkcs8_pem(make_key("P-256").get());
    const auto made = keystore.import(uri(), sealed::secret(pem), {});
    ASSERT_TRUE(made.ok()) << describe(made.error());
  }
  const KeyClaims& claims(Keystore& keystore, const KeyUri& asked = uri()) {
    const auto evidence = keystore.attest(asked, kNonce);
    EXPECT_TRUE(evidence.ok()) << describe(evidence.error());
    return witness_->claims;
  }

  std::shared_ptr<TestWitness> witness_ = std::make_shared<TestWitness>();
};

TEST_F(AttestTest, AGeneratedKeyIsSaidToBeOneWithItsPublicHalfAndPolicy) {
  const auto here = keystore(open());
  generate(*here);
  ASSERT_TRUE(here->set_policy(uri(), "operations=sign").ok());
  const KeyClaims& said = claims(*here);
  EXPECT_EQ(said.origin, KeyOrigin::kGenerated);
  EXPECT_EQ(said.name, "default/app/key");
  EXPECT_EQ(said.version, 1U);
  EXPECT_EQ(said.policy, "operations=sign");
  EXPECT_EQ(said.nonce, kNonce);
  EXPECT_EQ(said.public_key_info, here->open(uri()).value().public_key_info);
}

TEST_F(AttestTest, AnImportedKeyIsSaidToBeOneAndItsSuccessorIsGenerated) {
  const auto here = keystore(open());
  import(*here);
  EXPECT_EQ(claims(*here).origin, KeyOrigin::kImported);
  ASSERT_TRUE(here->rotate(uri().name).ok());
  EXPECT_EQ(claims(*here).origin, KeyOrigin::kGenerated);
  KeyUri first = uri();
  first.version = 1;
  EXPECT_EQ(claims(*here, first).origin, KeyOrigin::kImported);
}

TEST_F(AttestTest, AKeyThatTookAnothersNameAndNumberLendsItNoOrigin) {
  const auto here = keystore(open());
  import(*here);
  const auto imported = here->open(uri()).value().public_key_info;  // on the shelf from now on
  const auto elsewhere = keystore(open());
  ASSERT_TRUE(elsewhere->remove(uri()).ok());
  generate(*elsewhere);
  const KeyClaims& said = claims(*here);
  EXPECT_EQ(said.origin, KeyOrigin::kGenerated);
  EXPECT_NE(said.public_key_info, imported);
}

TEST_F(AttestTest, AKeyInMemoryAloneIsGeneratedAndNobodyElseOpensIt) {
  const auto here = keystore(nullptr);
  generate(*here, "ED25519");
  EXPECT_EQ(claims(*here).origin, KeyOrigin::kGenerated);
  EXPECT_EQ(witness_->claims.version, 0U);
  EXPECT_THAT(witness_->claims.others, IsEmpty());
}

TEST_F(AttestTest, WhoElseCanOpenTheFolderIsSaid) {
  const std::shared_ptr<sealed::Folder> by_platform = open("a");
  const auto here = keystore(by_platform);
  generate(*here);
  EXPECT_THAT(claims(*here).others, ElementsAre("recovery"));
  ASSERT_TRUE(by_platform->add_slot(sealed::slot('c', SlotKind::kKbs)).ok());
  ASSERT_TRUE(by_platform->add_slot(sealed::slot('d', SlotKind::kPlatform)).ok());
  EXPECT_THAT(claims(*here).others, ElementsAre("kbs", "recovery", "snp"))
      << "the second platform's slot is another guest's";
  const auto by_recovery = keystore(open("b"));
  EXPECT_THAT(claims(*by_recovery).others, ElementsAre("kbs", "recovery", "snp"));
}

TEST_F(AttestTest, ANonceIsEightToSixtyFourBytesOrNone) {
  const auto here = keystore(open());
  generate(*here);
  EXPECT_TRUE(here->attest(uri(), {}).ok());
  for (const std::size_t size : {1U, 7U, 65U}) {
    const std::vector<std::uint8_t> nonce(size);
    const auto refused = here->attest(uri(), nonce);
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code, Errc::kInvalidArgument);
  }
}

TEST_F(AttestTest, WithoutAPlatformNobodyVouches) {
  const auto here = make_memory_keystore(nullptr, {}, std::make_shared<Metrics>(), {}, nullptr,
                                         std::shared_ptr<sealed::Folder>(open()));
  generate(*here);
  const auto refused = here->attest(uri(), kNonce);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Errc::kNoPlatform);
}

}  // namespace
}  // namespace vhsm::keystore
