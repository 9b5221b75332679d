// SPDX-License-Identifier: Apache-2.0
#include "keystore/material.h"

#include <openssl/core_names.h>
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
                         }()),
                         [](const auto& test) { return tests::plain(test.param); });

std::vector<std::uint8_t> octets_of(const EVP_PKEY* key, const char* name) {
  std::vector<std::uint8_t> octets(8192);
  std::size_t size = 0;
  EXPECT_EQ(EVP_PKEY_get_octet_string_param(key, name, octets.data(), octets.size(), &size), 1);
  octets.resize(size);
  return octets;
}

/// `contents` behind a tag and a length of two bytes or fewer (X.690).
std::string der_value(std::uint8_t tag, const std::string& contents) {
  std::string der(1, static_cast<char>(tag));
  const std::size_t size = contents.size();
  if (size >= 256) der += {static_cast<char>(0x82), static_cast<char>(size >> 8)};
  if (size >= 128 && size < 256) der += static_cast<char>(0x81);
  return der + static_cast<char>(size) + contents;
}

/// A PKCS#8 of the type of `key` around `inside`.
std::string pkcs8_around(const EVP_PKEY* key, const std::string& inside) {
  const ossl::Handle<PKCS8_PRIV_KEY_INFO, PKCS8_PRIV_KEY_INFO_free> info(PKCS8_PRIV_KEY_INFO_new());
  auto* const copy = static_cast<unsigned char*>(OPENSSL_memdup(inside.data(), inside.size()));
  PKCS8_pkey_set0(info.get(), OBJ_txt2obj(EVP_PKEY_get0_type_name(key), 0), 0, V_ASN1_UNDEF,
                  nullptr, copy, static_cast<int>(inside.size()));
  unsigned char* der = nullptr;
  const int size = i2d_PKCS8_PRIV_KEY_INFO(info.get(), &der);
  const std::string text(reinterpret_cast<char*>(der), static_cast<std::size_t>(size));
  OPENSSL_free(der);
  return text;
}

class SeedKindTest : public EveryKindTest {};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(SeedKindTest);

/// RFC 9881, section 6, and RFC 9935, section 6: seed, expandedKey, both.
TEST_P(SeedKindTest, IsReadFromItsSeedItsExpandedFormAndBoth) {
  const auto key = make_key(GetParam());
  const auto seed_bytes = octets_of(key.get(), "seed");
  const auto expanded_bytes = octets_of(key.get(), "priv");
  const std::string seed(seed_bytes.begin(), seed_bytes.end());
  const std::string expanded(expanded_bytes.begin(), expanded_bytes.end());
  const std::string as_octets = der_value(0x04, expanded);
  for (const std::string& inside :
       {der_value(0x80, seed), as_octets, der_value(0x30, der_value(0x04, seed) + as_octets)}) {
    expect_same_key(parse_material(secret(pkcs8_around(key.get(), inside))), key.get());
  }
  std::string other_seed = seed;
  other_seed[0] = static_cast<char>(other_seed[0] ^ 1);
  const std::string mixed = der_value(0x30, der_value(0x04, other_seed) + as_octets);
  EXPECT_FALSE(parse_material(secret(pkcs8_around(key.get(), mixed))).ok());
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, SeedKindTest,
    ::testing::ValuesIn(tests::names_of(tests::kinds_that([](const auto& kind) {
      return kind.type->family == Family::kMlKem || kind.type->family == Family::kMlDsa;
    }))),
    [](const auto& test) { return tests::plain(test.param); });

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

TEST_F(MaterialTest, ACertificateOfAnotherKeyIsRefusedAndTheReasonIsSaid) {
  const auto key = make_key("P-256");
  const std::string strangers = certificate_pem(make_key("P-256").get());
  const std::string others = certificate_pem(make_key("RSA").get());
  for (const std::string& bundle : {pkcs8_pem(key.get()) + strangers, others + pkcs8_pem(key.get()),
                                    strangers + others + pkcs8_pem(key.get())}) {
    const auto parsed = parse_material(secret(bundle));
    ASSERT_FALSE(parsed.ok());
    EXPECT_EQ(parsed.error().code, Errc::kBadFormat);
    EXPECT_NE(describe(parsed.error()).find("of another key"), std::string::npos)
        << describe(parsed.error());
  }
}

/// In PKCS#8 and SEC 1, also of a curve that has a name.
TEST_F(MaterialTest, AKeyThatSpellsItsCurveOutIsRefusedAndTheCureIsSaid) {
  const auto key = make_key("P-256");
  ASSERT_EQ(EVP_PKEY_set_utf8_string_param(key.get(), OSSL_PKEY_PARAM_EC_ENCODING, "explicit"), 1);
  for (const std::string& form : {pkcs8_pem(key.get()), pkcs8_der(key.get()),
                                  traditional_der(key.get()), traditional_pem(key.get())}) {
    const auto parsed = parse_material(secret(form));
    ASSERT_FALSE(parsed.ok());
    EXPECT_EQ(parsed.error().code, Errc::kUnsupported) << describe(parsed.error());
    EXPECT_NE(describe(parsed.error()).find("-ec_param_enc named_curve"), std::string::npos);
  }
  ASSERT_EQ(EVP_PKEY_set_utf8_string_param(key.get(), OSSL_PKEY_PARAM_EC_ENCODING, "named_curve"),
            1);
  expect_same_key(parse_material(secret(pkcs8_pem(key.get()))), key.get());
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
