// SPDX-License-Identifier: Apache-2.0
//
// What a JWK or COSE_Key says of its use holds beside what its owner says in the folder: both are
// told, and no policy loosens it.
#include <gmock/gmock.h>

#include <ctime>

#include "tests/keystore/make_key.h"
#include "tests/keystore/spelling.h"
#include "tests/sealed/one_key.h"
#include "tests/sealed/test_witness.h"

namespace vhsm::keystore {
namespace {

using ::testing::HasSubstr;

constexpr auto kSign = OperationKind::kSign;
constexpr auto kDerive = OperationKind::kDerive;

class StoredTermsTest : public OneKeyTest {
 protected:
  void SetUp() override {
    OneKeyTest::SetUp();
    keystore_ = make_memory_keystore(nullptr, {}, std::make_shared<Metrics>(), {}, nullptr, open(),
                                     nullptr, witness_);
  }
  static SecretBytes jwk(const char* kind, const std::string& members) {
    const auto key = vhsm::keystore::make_key(kind);
    return sealed::secret(spelling_of(key.get(), kind).jwk("," + members));
  }
  Status import(const SecretBytes& stored, std::string_view policy = {}, bool secret = false) {
    KeyUri name = uri();
    if (secret) name.type = ObjectType::kSecret;
    const auto made = keystore_->import(name, stored, {.policy = policy});
    return made.ok() ? Status() : Status(made.error());
  }
  [[nodiscard]] std::string listed() const { return keystore_->list().value().back().policy; }
  [[nodiscard]] std::string attested() const {
    const auto evidence = keystore_->attest(uri(), {});
    EXPECT_TRUE(evidence.ok()) << describe(evidence.error());
    return witness_->claims.policy;
  }

  std::shared_ptr<TestWitness> witness_ = std::make_shared<TestWitness>();
};

TEST_F(StoredTermsTest, AreListedAndAttestedWithoutAWordOfTheOwner) {
  ASSERT_TRUE(import(jwk("P-256", R"("alg":"ES256","exp":4000000000)")).ok());
  const char* const terms = "operations=sign digests=SHA256 not-after=3999999999";
  EXPECT_EQ(listed(), terms);
  EXPECT_EQ(attested(), terms);
}

TEST_F(StoredTermsTest, AreListedAndAttestedTogetherWithWhatTheOwnerSays) {
  const auto stored = jwk("P-256", R"("key_ops":["sign","deriveBits"],"exp":4000000000,"nbf":100)");
  ASSERT_TRUE(import(stored, "operations=sign uses=7 not-before=200 not-after=5000000000").ok());
  const char* const both = "operations=sign not-before=200 not-after=3999999999 uses=7";
  EXPECT_EQ(listed(), both);
  EXPECT_EQ(attested(), both);
  EXPECT_EQ(keystore_->list().value().back().uses_left, 7U);
}

TEST_F(StoredTermsTest, AreNotLoosenedByAPolicyThatIsSetLater) {
  ASSERT_TRUE(import(jwk("P-256", R"("use":"sig","exp":4000000000)"), "digests=SHA384").ok());
  ASSERT_TRUE(keystore_->set_policy(uri(), "").ok());
  EXPECT_EQ(listed(), "operations=sign not-after=3999999999");
  ASSERT_TRUE(keystore_->set_policy(uri(), "operations=sign,derive not-after=4100000000").ok());
  EXPECT_EQ(listed(), "operations=sign not-after=3999999999");
  EXPECT_EQ(attested(), listed());
  EXPECT_TRUE(do_it({kSign}).ok());
  EXPECT_EQ(do_it({kDerive, ""}).error().code, Errc::kPolicy);
}

TEST_F(StoredTermsTest, RefuseAPolicyThatLeavesNothingAndTheOldOneStays) {
  ASSERT_TRUE(import(jwk("P-256", R"("alg":"ES256")")).ok());
  for (const auto& [policy, rule] :
       {std::pair{"operations=derive", "operations"}, {"digests=SHA384", "digests"}}) {
    const Status set = keystore_->set_policy(uri(), policy);
    ASSERT_FALSE(set.ok()) << policy;
    EXPECT_EQ(set.error().code, Errc::kPolicy);
    EXPECT_THAT(describe(set.error()), HasSubstr(rule));
  }
  EXPECT_EQ(listed(), "operations=sign digests=SHA256");
  ASSERT_TRUE(keystore_->remove(uri()).ok());
  EXPECT_EQ(import(jwk("P-256", R"("alg":"ES256")"), "operations=derive").error().code,
            Errc::kPolicy);
}

TEST_F(StoredTermsTest, HoldOfEachVersionItsOwn) {
  ASSERT_TRUE(import(jwk("P-256", R"("exp":4000000000)")).ok());
  ASSERT_TRUE(keystore_
                  ->import(uri(), jwk("P-256", R"("exp":4100000000)"),
                           {.successor = true, .policy = "operations=sign"})
                  .ok());
  ASSERT_TRUE(keystore_->set_enabled({uri().name, {}, 1}, false).ok());
  ASSERT_TRUE(keystore_->set_policy(uri(), "digests=SHA256").ok()) << "a disabled version, too";
  const auto lines = keystore_->list().value();
  EXPECT_EQ(lines[0].policy, "digests=SHA256 not-after=3999999999");
  EXPECT_EQ(lines[1].policy, "digests=SHA256 not-after=4099999999");
}

TEST_F(StoredTermsTest, DigestsAreComparedByAllTheirNames) {
  ASSERT_TRUE(import(jwk("P-256", R"("alg":"ES256")"), "digests=SHA2-256,SHA384").ok());
  EXPECT_EQ(listed(), "operations=sign digests=SHA2-256");
  EXPECT_TRUE(do_it({kSign}).ok());
}

TEST_F(StoredTermsTest, OfASymmetricKeyAreItsOperationsAlgorithmDigestAndTimes) {
  const auto stored = sealed::secret(
      R"({"kty":"oct","k":"c2VzYW1lc2VzYW1lc2VzYW1l","alg":"HS256","use":"sig","exp":4000000000})");
  ASSERT_TRUE(import(stored, "uses=3", true).ok());
  EXPECT_EQ(listed(), "operations=sign algorithms=HMAC digests=SHA256 not-after=3999999999 uses=3");
  ASSERT_TRUE(keystore_->set_policy(uri(), "").ok());
  EXPECT_EQ(listed(), "operations=sign algorithms=HMAC digests=SHA256 not-after=3999999999");
  EXPECT_EQ(keystore_->set_policy(uri(), "algorithms=AES-128-GCM").error().code, Errc::kPolicy);
}

TEST_F(StoredTermsTest, OfASecretBindNoKeyThatTakesItsPlace) {
  ASSERT_TRUE(
      import(sealed::secret(R"({"kty":"oct","k":"c2VzYW1l","key_ops":["release"]})"), "", true)
          .ok());
  EXPECT_EQ(listed(), "") << "that it comes out is its type";
  const KeyUri name{uri().name, ObjectType::kSecret, {}};
  ASSERT_TRUE(
      keystore_->import(name, sealed::secret("sixteen bytes :-)"), {.successor = true}).ok());
  EXPECT_EQ(keystore_->release(name).error().code, Errc::kNotExportable);
}

TEST_F(StoredTermsTest, OfBytesThatNobodySaysAnythingOfAreNone) {
  ASSERT_TRUE(import(sealed::secret("sixteen bytes :-)"), "", true).ok());
  EXPECT_EQ(listed(), "");
}

// ----- the salt of PSS ---------------------------------------------------------------------------

struct SaltCase {
  const char* name;
  const char* salt;
  bool allowed;
};
class SaltTest : public StoredTermsTest, public ::testing::WithParamInterface<SaltCase> {};

/// RFC 7518, section 3.5.
TEST_P(SaltTest, OfAKeyForPs256IsAsLongAsTheDigest) {
  ASSERT_TRUE(import(jwk("RSA", R"("alg":"PS256")")).ok());
  EXPECT_EQ(listed(), "operations=sign digests=SHA256 paddings=pss salt=digest");
  const Status done = do_it({kSign, "SHA256", "pss", "", GetParam().salt});
  EXPECT_EQ(done.ok(), GetParam().allowed) << (done.ok() ? "" : describe(done.error()));
  if (done.ok()) return;
  EXPECT_EQ(done.error().code, Errc::kPolicy);
  EXPECT_THAT(describe(done.error()), HasSubstr("rsa_pss_saltlen:digest (salt)"));
}

INSTANTIATE_TEST_SUITE_P(Salts, SaltTest,
                         ::testing::Values(SaltCase{"Digest", "digest", true},
                                           SaltCase{"AsMany", "32", true},
                                           SaltCase{"Fewer", "31", false},
                                           SaltCase{"Zero", "0", false},
                                           SaltCase{"TheMost", "max", false}),
                         [](const auto& tested) { return std::string(tested.param.name); });

TEST_F(StoredTermsTest, ASaltAsLongAsTheDigestIsAnOwnersRuleToo) {
  make_key("RSA:2048", "salt=digest");
  EXPECT_TRUE(do_it({kSign, "SHA256", "pss", "", "32"}).ok());
  EXPECT_EQ(do_it({kSign, "SHA256", "pss", "", "48"}).error().code, Errc::kPolicy);
  EXPECT_TRUE(do_it({kSign, "SHA256", "pkcs1"}).ok()) << "it has none";
}

}  // namespace
}  // namespace vhsm::keystore
