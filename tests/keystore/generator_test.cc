// SPDX-License-Identifier: Apache-2.0
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/params.h>

#include <array>

#include "keystore/key.h"
#include "tests/keystore/samples.h"
#include "tests/kinds.h"

namespace vhsm::keystore {
namespace {

constexpr int kPair = OSSL_KEYMGMT_SELECT_KEYPAIR;

class GeneratorTest : public KeystoreTest {};

Result<KeyPtr> generate(const KeyType& type, const char* group = "") {
  auto generator = Generator::create(type, kPair);
  if (!generator.ok()) return generator.error();
  std::array<char, 32> name{};
  if (*group != '\0') {
    std::snprintf(name.data(), name.size(), "%s", group);
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, name.data(), 0),
        OSSL_PARAM_construct_end()};
    const Status set = generator.value()->set_params(params);
    if (!set.ok()) return set.error();
  }
  return generator.value()->generate();
}

TEST_F(GeneratorTest, EveryTypeAndCurveIsGeneratedAndConsistent) {
  for (const auto& kind : tests::every_kind()) {
    const bool is_ec = kind.type == &kEc;
    const auto key = generate(*kind.type, is_ec ? kind.detail.c_str() : "");
    ASSERT_TRUE(key.ok()) << kind.name << ": " << describe(key.error());
    EXPECT_TRUE(key.value()->has_private());
    EXPECT_EQ(&key.value()->type(), kind.type);
    EXPECT_TRUE(key.value()->validate(kPair, false).ok()) << kind.name;
  }
}

TEST_F(GeneratorTest, AnEcKeyWithoutAGroupIsAnErrorAndNotP256) { EXPECT_FALSE(generate(kEc).ok()); }

TEST_F(GeneratorTest, AnUnheldGroupIsAnError) { EXPECT_FALSE(generate(kEc, "secp192k1").ok()); }

TEST_F(GeneratorTest, ATemplateGivesItsGroup) {
  const auto first = generate(kEc, "P-521");
  ASSERT_TRUE(first.ok());
  auto generator = Generator::create(kEc, kPair);
  ASSERT_TRUE(generator.ok());
  ASSERT_TRUE(generator.value()->set_template(*first.value()).ok());
  const auto second = generator.value()->generate();
  ASSERT_TRUE(second.ok());
  EXPECT_TRUE(second.value()->matches(*first.value(), OSSL_KEYMGMT_SELECT_DOMAIN_PARAMETERS));
  EXPECT_FALSE(second.value()->matches(*first.value(), kPair));
}

TEST_F(GeneratorTest, AnImportedPairWithAForeignPublicHalfIsRefused) {
  const auto mine = make_key("ED25519");
  const auto stranger = make_key("ED25519");
  std::array<unsigned char, 32> priv{};
  std::array<unsigned char, 32> pub{};
  std::size_t size = 32;
  ASSERT_EQ(EVP_PKEY_get_raw_private_key(mine.get(), priv.data(), &size), 1);
  ASSERT_EQ(EVP_PKEY_get_raw_public_key(stranger.get(), pub.data(), &size), 1);
  OSSL_PARAM params[] = {
      OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PRIV_KEY, priv.data(), priv.size()),
      OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, pub.data(), pub.size()),
      OSSL_PARAM_construct_end()};
  const auto refused = import_pair(kEd25519, params);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Errc::kBadFormat);
  ASSERT_EQ(EVP_PKEY_get_raw_public_key(mine.get(), pub.data(), &size), 1);
  EXPECT_TRUE(import_pair(kEd25519, params).ok());
}

TEST_F(GeneratorTest, OnEachCurveAForeignPointIsRefused) {
  for (const Curve& curve : kHeldCurves) {
    const ossl::PKey mine = make_key(curve.common);
    const ossl::PKey stranger = make_key(curve.common);
    OSSL_PARAM* own = nullptr;
    OSSL_PARAM* foreign = nullptr;
    ASSERT_EQ(EVP_PKEY_todata(mine.get(), EVP_PKEY_KEYPAIR, &own), 1);
    ASSERT_EQ(EVP_PKEY_todata(stranger.get(), EVP_PKEY_PUBLIC_KEY, &foreign), 1);
    const OwnedParams owned(own);
    const OwnedParams strange(foreign);
    EXPECT_TRUE(import_pair(kEc, own).ok()) << curve.name;
    *OSSL_PARAM_locate(own, OSSL_PKEY_PARAM_PUB_KEY) =
        *OSSL_PARAM_locate(foreign, OSSL_PKEY_PARAM_PUB_KEY);
    const auto refused = import_pair(kEc, own);
    ASSERT_FALSE(refused.ok()) << curve.name;
    EXPECT_EQ(refused.error().code, Errc::kBadFormat) << curve.name;
  }
}

TEST_F(GeneratorTest, APublicImportIgnoresPrivateMembers) {
  const auto key = make_key("P-256");
  OSSL_PARAM* params = nullptr;
  ASSERT_EQ(EVP_PKEY_todata(key.get(), EVP_PKEY_KEYPAIR, &params), 1);
  const auto half = import_public(kEc, kPair, params);
  OSSL_PARAM_free(params);
  ASSERT_TRUE(half.ok());
  EXPECT_FALSE(half.value()->has_private());
  EXPECT_TRUE(half.value()->has_public());
}

}  // namespace
}  // namespace vhsm::keystore
