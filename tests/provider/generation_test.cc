// SPDX-License-Identifier: Apache-2.0
//
// Keys made in the provider, and what programs then do with a handle: templates, copies,
// comparison, parameters.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/rsa.h>

#include <array>
#include <string>

#include "tests/kinds.h"
#include "tests/provider/host.h"

namespace vhsm::test {
namespace {

using ossl::Receive;

std::string group_of(EVP_PKEY* key) {
  std::array<char, 64> name{};
  std::size_t size = 0;
  EVP_PKEY_get_group_name(key, name.data(), name.size(), &size);
  return {name.data(), size};
}

std::string provider_of(EVP_PKEY* key) {
  return OSSL_PROVIDER_get0_name(EVP_PKEY_get0_provider(key));
}

TEST(GenerationTest, EachKindIsMadeByVhsmWithTheSizesThatTheDefaultProviderHas) {
  const Host host;
  for (const tests::Kind& kind : tests::every_kind()) {
    const auto key = host.generate(kind.type->name, kind.detail);
    const auto theirs = host.generate(kind.type->name, kind.detail, kDefault);
    ASSERT_NE(key, nullptr) << kind.name << take_errors();
    EXPECT_EQ(provider_of(key.get()), "vhsm");
    EXPECT_EQ(EVP_PKEY_get_bits(key.get()), EVP_PKEY_get_bits(theirs.get())) << kind.name;
    EXPECT_EQ(EVP_PKEY_get_security_bits(key.get()), EVP_PKEY_get_security_bits(theirs.get()))
        << kind.name;
    EXPECT_EQ(EVP_PKEY_get_size(key.get()), EVP_PKEY_get_size(theirs.get())) << kind.name;
    EXPECT_GT(EVP_PKEY_get_size(key.get()), 0) << kind.name;
  }
}

// T9
TEST(GenerationTest, ParametersAreATemplateForKeysOfTheirGroup) {
  const Host host;
  const ossl::PKeyCtx make(EVP_PKEY_CTX_new_from_name(host.ctx(), "EC", kVhsm));
  ASSERT_EQ(EVP_PKEY_paramgen_init(make.get()), 1) << take_errors();
  ASSERT_EQ(EVP_PKEY_CTX_set_group_name(make.get(), "P-384"), 1) << take_errors();
  ossl::PKey parameters;
  ASSERT_EQ(EVP_PKEY_paramgen(make.get(), Receive(parameters)), 1) << take_errors();
  EXPECT_EQ(group_of(parameters.get()), "secp384r1");

  const ossl::PKeyCtx from(EVP_PKEY_CTX_new_from_pkey(host.ctx(), parameters.get(), nullptr));
  ASSERT_EQ(EVP_PKEY_keygen_init(from.get()), 1) << take_errors();
  ossl::PKey key;
  ASSERT_EQ(EVP_PKEY_keygen(from.get(), Receive(key)), 1) << take_errors();
  EXPECT_EQ(group_of(key.get()), "secp384r1");
  EXPECT_EQ(EVP_PKEY_parameters_eq(key.get(), parameters.get()), 1);
}

// T9
TEST(GenerationTest, AnEcKeyWithoutAGroupIsAnError) {
  const Host host;
  const ossl::PKeyCtx make(EVP_PKEY_CTX_new_from_name(host.ctx(), "EC", kVhsm));
  ASSERT_EQ(EVP_PKEY_keygen_init(make.get()), 1);
  ossl::PKey key;
  EXPECT_NE(EVP_PKEY_keygen(make.get(), Receive(key)), 1);
  EXPECT_THAT(take_errors(), ::testing::HasSubstr("group"));
}

TEST(GenerationTest, ACopySignsAndTheOriginalOutlivesIt) {
  const Host host;
  const auto key = host.generate("EC");
  const auto theirs = host.public_in_default(key.get());
  ossl::PKey copy(EVP_PKEY_dup(key.get()));
  ASSERT_NE(copy, nullptr) << take_errors();
  EXPECT_EQ(EVP_PKEY_eq(copy.get(), key.get()), 1);
  EXPECT_TRUE(verify(host, theirs.get(), {"SHA256"}, kMessage,
                     sign(host, copy.get(), {"SHA256"}, kMessage)));
  copy.reset();
  EXPECT_FALSE(sign(host, key.get(), {"SHA256"}, kMessage).empty());
}

TEST(GenerationTest, ComparisonWithAnotherProvidersPublicKeyWorksBothWays) {
  const Host host;
  for (const char* type : {"RSA", "EC", "ED25519", "X25519"}) {
    const auto key = host.generate(type);
    const auto same = host.public_in_default(key.get());
    const auto other = host.generate(type, {}, kDefault);
    EXPECT_EQ(EVP_PKEY_eq(key.get(), same.get()), 1) << type << take_errors();
    EXPECT_EQ(EVP_PKEY_eq(same.get(), key.get()), 1) << type << take_errors();
    EXPECT_NE(EVP_PKEY_eq(key.get(), other.get()), 1) << type;
    EXPECT_NE(EVP_PKEY_eq(other.get(), key.get()), 1) << type;
  }
}

TEST(GenerationTest, AnEphemeralExchangeAsInTlsWorksOnCopiedParameters) {
  const Host host;
  for (const char* type : {"EC", "X25519", "X448"}) {
    const auto own = host.generate(type);
    const auto theirs = host.generate(type, {}, kDefault);
    unsigned char* encoded = nullptr;
    const std::size_t size = EVP_PKEY_get1_encoded_public_key(theirs.get(), &encoded);
    const ossl::PKey peer(EVP_PKEY_new());
    ASSERT_EQ(EVP_PKEY_copy_parameters(peer.get(), own.get()), 1) << type << take_errors();
    ASSERT_EQ(EVP_PKEY_set1_encoded_public_key(peer.get(), encoded, size), 1)
        << type << take_errors();
    OPENSSL_free(encoded);
    EXPECT_EQ(EVP_PKEY_eq(peer.get(), theirs.get()), 1) << type;
    EXPECT_EQ(derive(host, own.get(), peer.get()),
              derive(host, theirs.get(), host.public_in_default(own.get()).get()))
        << type;
  }
}

TEST(GenerationTest, DigestsAreAdvisedOrRuledOut) {
  const Host host;
  std::array<char, 32> name{};
  const auto ec = host.generate("EC");
  EXPECT_EQ(EVP_PKEY_get_default_digest_name(ec.get(), name.data(), name.size()), 1);
  EXPECT_STREQ(name.data(), "SHA256");
  const auto ed = host.generate("ED25519");
  EXPECT_EQ(EVP_PKEY_get_default_digest_name(ed.get(), name.data(), name.size()), 2);
  EXPECT_THAT(std::string(name.data()), ::testing::AnyOf("", "UNDEF"));
}

TEST(GenerationTest, PrivateImportIsDeclinedWithoutAnErrorOfOurs) {
  const Host host;
  const auto theirs = host.generate("EC", {}, kDefault);
  OSSL_PARAM* params = nullptr;
  ASSERT_EQ(EVP_PKEY_todata(theirs.get(), EVP_PKEY_KEYPAIR, &params), 1);
  const ossl::PKeyCtx ctx(EVP_PKEY_CTX_new_from_name(host.ctx(), "EC", kVhsm));
  ossl::PKey key;
  EVP_PKEY_fromdata_init(ctx.get());
  EXPECT_NE(EVP_PKEY_fromdata(ctx.get(), Receive(key), EVP_PKEY_KEYPAIR, params), 1);
  EXPECT_THAT(take_errors(), ::testing::Not(::testing::HasSubstr("vhsm")));
  OSSL_PARAM_free(params);
}

TEST(GenerationTest, ASizeQueryDoesNoPrivateOperationAndASignatureDoesOne) {
  const Host host;
  const auto key = host.generate("ED25519");
  const ossl::MdCtx ctx(EVP_MD_CTX_new());
  ASSERT_EQ(
      EVP_DigestSignInit_ex(ctx.get(), nullptr, nullptr, host.ctx(), nullptr, key.get(), nullptr),
      1);
  std::size_t size = 0;
  ASSERT_EQ(EVP_DigestSign(ctx.get(), nullptr, &size, kMessage.data(), kMessage.size()), 1);
  EXPECT_EQ(size, 64U);
  Bytes signature(size);
  // The same context again, as `openssl speed` does.
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(EVP_DigestSignInit(ctx.get(), nullptr, nullptr, nullptr, nullptr), 1)
        << take_errors();
    EXPECT_EQ(EVP_DigestSign(ctx.get(), signature.data(), &size, kMessage.data(), kMessage.size()),
              1)
        << take_errors();
  }
  EXPECT_TRUE(verify(host, host.public_in_default(key.get()).get(), {}, kMessage, signature));
}

TEST(GenerationTest, ResultChangingParametersThatAreUnknownInsideAreErrors) {
  const Host host;
  const auto key = host.generate("ED25519");
  const ossl::MdCtx ctx(EVP_MD_CTX_new());
  char instance[] = "Ed25519ph";
  const OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string("instance", instance, 0),
                               OSSL_PARAM_construct_end()};
  const int begun =
      EVP_DigestSignInit_ex(ctx.get(), nullptr, nullptr, host.ctx(), nullptr, key.get(), params);
  if (begun != 1) {
    SUCCEED();
    return;
  }
  const auto theirs = host.public_in_default(key.get());
  Bytes signature(64);
  std::size_t size = signature.size();
  ASSERT_EQ(EVP_DigestSign(ctx.get(), signature.data(), &size, kMessage.data(), kMessage.size()),
            1);
  EXPECT_FALSE(verify(host, theirs.get(), {}, kMessage, signature))
      << "Ed25519ph was asked for, plain Ed25519 was signed";
}

}  // namespace
}  // namespace vhsm::test
