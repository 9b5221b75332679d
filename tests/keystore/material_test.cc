// SPDX-License-Identifier: Apache-2.0
#include "keystore/material.h"

#include <openssl/param_build.h>

#include <array>
#include <memory>

#include "keystore/pair_check.h"
#include "tests/keystore/samples.h"
#include "tests/kinds.h"

namespace vhsm::keystore {
namespace {

class MaterialTest : public KeystoreTest {};
class EveryKindTest : public KeystoreTest, public ::testing::WithParamInterface<std::string> {};

void expect_same_key(const Result<Material>& parsed, EVP_PKEY* original) {
  ASSERT_TRUE(parsed.ok()) << describe(parsed.error());
  ASSERT_NE(parsed.value().pair, nullptr);
  EXPECT_TRUE(memory::contains(parsed.value().pair.get()));
  EXPECT_EQ(EVP_PKEY_eq(parsed.value().pair.get(), original), 1);
  const auto half = PublicHalf::of(parsed.value().pair.get());
  ASSERT_TRUE(half.ok());
  EXPECT_TRUE(check_pair(half.value(), parsed.value().pair.get()).ok());
}

TEST_P(EveryKindTest, IsReadInEveryForm) {
  const auto key = make_key(GetParam());
  ASSERT_NE(key, nullptr);
  expect_same_key(parse_material(secret(pkcs8_pem(key.get()))), key.get());
  expect_same_key(parse_material(secret(pkcs8_der(key.get()))), key.get());
  expect_same_key(parse_material(secret(traditional_der(key.get()))), key.get());
  const std::string traditional = traditional_pem(key.get());
  if (!traditional.empty()) expect_same_key(parse_material(secret(traditional)), key.get());
}

INSTANTIATE_TEST_SUITE_P(Kinds, EveryKindTest, ::testing::ValuesIn([] {
                           auto names = tests::names_of(tests::every_kind());
                           names.insert(names.end(), {"RSA3072", "RSA4096"});
                           return names;
                         }()));

TEST_F(MaterialTest, CertificatesOfABundleComeBackInStoredOrder) {
  const auto key = make_key("P-256");
  const std::string leaf = certificate_pem(key.get());
  const std::string other = certificate_pem(make_key("P-384").get());
  for (const std::string& bundle :
       {pkcs8_pem(key.get()) + leaf + other, leaf + pkcs8_pem(key.get()) + other,
        "some words\n" + leaf + other + pkcs8_pem(key.get())}) {
    const auto parsed = parse_material(secret(bundle));
    expect_same_key(parsed, key.get());
    ASSERT_EQ(parsed.value().certificates.size(), 2U);
    EXPECT_NE(parsed.value().certificates[0], parsed.value().certificates[1]);
    EXPECT_FALSE(memory::contains(parsed.value().certificates[0].data()));
  }
}

TEST_F(MaterialTest, CertificatesAloneAreFine) {
  const auto parsed = parse_material(secret(certificate_pem(make_key("P-256").get())));
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(parsed.value().pair, nullptr);
}

void expect_refused(const std::string& text, Errc code) {
  const auto parsed = parse_material(secret(text));
  ASSERT_FALSE(parsed.ok());
  EXPECT_EQ(parsed.error().code, code) << describe(parsed.error());
}

TEST_F(MaterialTest, WhatIsNoKeyIsRefused) {
  expect_refused("", Errc::kBadFormat);
  expect_refused("hello", Errc::kBadFormat);
  expect_refused(std::string(100'000, '0'), Errc::kBadFormat);
  expect_refused("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
                 Errc::kBadFormat);
  expect_refused("-----BEGIN PRIVATE KEY-----\nAAAA", Errc::kBadFormat);
}

TEST_F(MaterialTest, TruncatedAndLongerKeysAreRefused) {
  const std::string der = pkcs8_der(make_key("P-256").get());
  for (std::size_t size = 1; size < der.size(); size += 7) {
    expect_refused(der.substr(0, size), Errc::kBadFormat);
  }
  expect_refused(der + "x", Errc::kBadFormat);
}

TEST_F(MaterialTest, TwoPrivateKeysAreAmbiguous) {
  expect_refused(pkcs8_pem(make_key("P-256").get()) + pkcs8_pem(make_key("P-256").get()),
                 Errc::kBadFormat);
}

TEST_F(MaterialTest, UnheldTypesSizesAndCurvesAreRefusedByName) {
  expect_refused(pkcs8_pem(make_key("RSA1024").get()), Errc::kUnsupported);
  for (const char* curve : {"secp192k1", "prime239v1", "brainpoolP320r1", "sect283k1"}) {
    expect_refused(pkcs8_pem(ossl::PKey(EVP_EC_gen(curve)).get()), Errc::kUnsupported);
  }
  expect_refused("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
                 Errc::kUnsupported);
}

TEST_F(MaterialTest, EncryptedKeysAreRefusedWithTheReason) {
  const auto key = make_key("P-256");
  const ossl::Bio bio(BIO_new(BIO_s_mem()));
  char password[] = "secret";
  ASSERT_EQ(PEM_write_bio_PKCS8PrivateKey(bio.get(), key.get(), EVP_aes_256_cbc(), password, 6,
                                          nullptr, nullptr),
            1);
  expect_refused(text_of(bio.get()), Errc::kUnsupported);
}

TEST_F(MaterialTest, AnRsaKeyUnderAForeignPublicHalfIsFoundOut) {
  const auto parsed = parse_material(secret(pkcs8_pem(make_key("RSA2048").get())));
  ASSERT_TRUE(parsed.ok());
  const auto half = PublicHalf::of(make_key("RSA2048").get());
  ASSERT_TRUE(half.ok());
  EXPECT_EQ(check_pair(half.value(), parsed.value().pair.get()).error().code, Errc::kBadFormat);
}

TEST_F(MaterialTest, AnEcKeyStoredWithAForeignPublicPointIsFoundOut) {
  const auto mine = make_key("P-256");
  const auto stranger = make_key("P-256");
  ossl::Bignum scalar;
  ASSERT_EQ(EVP_PKEY_get_bn_param(mine.get(), "priv", ossl::Receive(scalar)), 1);
  std::array<unsigned char, 65> point{};
  std::size_t size = 0;
  ASSERT_EQ(
      EVP_PKEY_get_octet_string_param(stranger.get(), "pub", point.data(), point.size(), &size), 1);
  const std::unique_ptr<OSSL_PARAM_BLD, ossl::Deleter<OSSL_PARAM_BLD_free>> builder(
      OSSL_PARAM_BLD_new());
  OSSL_PARAM_BLD_push_utf8_string(builder.get(), "group", "P-256", 0);
  OSSL_PARAM_BLD_push_BN(builder.get(), "priv", scalar.get());
  OSSL_PARAM_BLD_push_octet_string(builder.get(), "pub", point.data(), size);
  const OwnedParams params(OSSL_PARAM_BLD_to_param(builder.get()));
  const ossl::PKeyCtx ctx(EVP_PKEY_CTX_new_from_name(nullptr, "EC", nullptr));
  ossl::PKey mixed;
  ASSERT_EQ(EVP_PKEY_fromdata_init(ctx.get()), 1);
  ASSERT_EQ(EVP_PKEY_fromdata(ctx.get(), ossl::Receive(mixed), EVP_PKEY_KEYPAIR, params.get()), 1);
  const auto parsed = parse_material(secret(pkcs8_der(mixed.get())));
  ASSERT_TRUE(parsed.ok());
  const auto half = PublicHalf::of(parsed.value().pair.get());
  EXPECT_EQ(check_pair(half.value(), parsed.value().pair.get()).error().code, Errc::kBadFormat);
}

}  // namespace
}  // namespace vhsm::keystore
