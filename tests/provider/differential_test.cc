// SPDX-License-Identifier: Apache-2.0
//
// What vhsm computes against what the default provider computes, both ways.
#include <gtest/gtest.h>
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/rsa.h>

#include <functional>
#include <ostream>
#include <string>
#include <tuple>
#include <vector>

#include "tests/kinds.h"
#include "tests/provider/host.h"

namespace vhsm::test {
namespace {

struct Case {
  std::string name;
  std::string type;
  std::string detail;
  Scheme scheme;
};

void PrintTo(const Case& test, std::ostream* out) { *out << test.name; }

class SignatureTest : public ::testing::TestWithParam<std::tuple<Case, Order>> {
 protected:
  [[nodiscard]] const Case& parts() const { return std::get<0>(GetParam()); }
  const Host host_{"vhsm", std::get<1>(GetParam())};
  const ossl::PKey ours_ = host_.generate(parts().type, parts().detail);
};

TEST_P(SignatureTest, OursVerifiesInTheDefaultProvider) {
  ASSERT_NE(ours_, nullptr) << take_errors();
  const auto theirs = host_.public_in_default(ours_.get());
  const Bytes whole = sign(host_, ours_.get(), parts().scheme, kMessage);
  ASSERT_FALSE(whole.empty()) << take_errors();
  EXPECT_TRUE(verify(host_, theirs.get(), parts().scheme, kMessage, whole)) << take_errors();
  EXPECT_TRUE(verify(host_, ours_.get(), parts().scheme, kMessage, whole)) << take_errors();
}

TEST_P(SignatureTest, StreamedPartsAndAnEmptyMessageSignAsWell) {
  if (parts().scheme.digest == nullptr) GTEST_SKIP() << "signs whole messages only";
  const auto theirs = host_.public_in_default(ours_.get());
  for (const Bytes& message : {kMessage, Bytes()}) {
    const Bytes signature = sign_streaming(host_, ours_.get(), parts().scheme, message);
    ASSERT_FALSE(signature.empty()) << take_errors();
    EXPECT_TRUE(verify(host_, theirs.get(), parts().scheme, message, signature));
  }
}

TEST_P(SignatureTest, TheDefaultProvidersVerifiesInOurs) {
  const auto theirs = host_.generate(parts().type, parts().detail, kDefault);
  ASSERT_NE(theirs, nullptr);
  const Bytes signature = sign(host_, theirs.get(), parts().scheme, kMessage);
  ASSERT_FALSE(signature.empty()) << take_errors();

  const Bytes der = public_der(theirs.get());
  OSSL_PARAM* params = nullptr;
  ASSERT_EQ(EVP_PKEY_todata(theirs.get(), EVP_PKEY_PUBLIC_KEY, &params), 1);
  const ossl::PKeyCtx ctx(EVP_PKEY_CTX_new_from_name(host_.ctx(), parts().type.c_str(), kVhsm));
  ossl::PKey imported;
  ASSERT_EQ(EVP_PKEY_fromdata_init(ctx.get()), 1);
  ASSERT_EQ(EVP_PKEY_fromdata(ctx.get(), ossl::Receive(imported), EVP_PKEY_PUBLIC_KEY, params), 1)
      << take_errors();
  OSSL_PARAM_free(params);
  EXPECT_EQ(public_der(imported.get()), der);
  EXPECT_TRUE(verify(host_, imported.get(), parts().scheme, kMessage, signature)) << take_errors();
}

TEST_P(SignatureTest, AChangedSignatureOrMessageIsRefused) {
  Bytes signature = sign(host_, ours_.get(), parts().scheme, kMessage);
  EXPECT_FALSE(verify(host_, ours_.get(), parts().scheme, Bytes{1}, signature));
  signature.back() ^= 1;
  EXPECT_FALSE(verify(host_, ours_.get(), parts().scheme, kMessage, signature));
}

const Case kCases[] = {
    {"RsaPkcs1Sha1", "RSA", "2048", {"SHA1", "pkcs1"}},
    {"RsaPkcs1Sha256", "RSA", "2048", {"SHA256", "pkcs1"}},
    {"RsaPkcs1Sha512", "RSA", "2048", {"SHA512", "pkcs1"}},
    {"RsaPkcs1Sha3", "RSA", "2048", {"SHA3-256", "pkcs1"}},
    {"Rsa3072Pkcs1", "RSA", "3072", {"SHA384", "pkcs1"}},
    {"RsaPkcs1Md5Sha1", "RSA", "2048", {"MD5-SHA1", "pkcs1"}},
    {"RsaX931", "RSA", "2048", {"SHA256", "x931"}},
    {"RsaPssDigestSalt", "RSA", "2048", {"SHA256", "pss", "digest"}},
    {"RsaPssMaxSalt", "RSA", "2048", {"SHA256", "pss", "max"}},
    {"RsaPssAutoSalt", "RSA", "2048", {"SHA256", "pss", "auto"}},
    {"RsaPssNumberedSalt", "RSA", "2048", {"SHA384", "pss", "20"}},
    {"RsaPssNoSalt", "RSA", "2048", {"SHA512", "pss", "0"}},
    {"RsaPssOtherMgf1", "RSA", "2048", {"SHA256", "pss", "digest", "SHA512"}},
    {"RsaPssKey", "RSA-PSS", "2048", {"SHA256", nullptr, "digest"}},
    {"P256Sha512", "EC", "P-256", {"SHA512"}},
    {"P384Sha384", "EC", "P-384", {"SHA384"}},
    {"P521Sha1", "EC", "P-521", {"SHA1"}},
};

/// Special schemes, and the plain one of each kind that signs.
std::vector<Case> cases() {
  std::vector<Case> all(std::begin(kCases), std::end(kCases));
  for (const tests::Kind& kind : tests::kinds_that(std::mem_fn(&tests::Kind::signs))) {
    all.push_back({tests::plain(kind.name), kind.type->name, kind.detail, {kind.digest()}});
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(Schemes, SignatureTest,
                         ::testing::Combine(::testing::ValuesIn(cases()),
                                            ::testing::Values(Order::kDefaultFirst,
                                                              Order::kVhsmFirst)),
                         [](const auto& test) {
                           return std::get<0>(test.param).name +
                                  (std::get<1>(test.param) == Order::kVhsmFirst ? "VhsmFirst"
                                                                                : "DefaultFirst");
                         });

class ExchangeTest : public ::testing::TestWithParam<tests::Kind> {};

TEST_P(ExchangeTest, BothSidesDeriveTheSameSecret) {
  const Host host;
  const auto ours = host.generate(GetParam().type->name, GetParam().detail);
  const auto theirs = host.generate(GetParam().type->name, GetParam().detail, kDefault);
  ASSERT_NE(ours, nullptr) << take_errors();
  const auto peer = host.public_in_default(theirs.get());
  const Bytes secret = derive(host, ours.get(), peer.get());
  ASSERT_FALSE(secret.empty()) << take_errors();
  const auto public_half = host.public_in_default(ours.get());
  EXPECT_EQ(secret, derive(host, theirs.get(), public_half.get())) << take_errors();
}

INSTANTIATE_TEST_SUITE_P(
    Types, ExchangeTest,
    ::testing::ValuesIn(tests::kinds_that(std::mem_fn(&tests::Kind::exchanges))),
    [](const auto& test) { return tests::plain(test.param.name); });

TEST(ExchangeTest, AKeyDerivationFunctionIsAppliedAsInTheDefaultProvider) {
  const Host host;
  const auto ours = host.generate("EC");
  const auto theirs = host.generate("EC", {}, kDefault);
  const auto public_half = host.public_in_default(ours.get());
  const auto with_kdf = [&](EVP_PKEY* key, EVP_PKEY* peer) {
    const ossl::PKeyCtx ctx(EVP_PKEY_CTX_new_from_pkey(host.ctx(), key, nullptr));
    char kdf[] = OSSL_KDF_NAME_X963KDF;
    char digest[] = "SHA256";
    std::size_t outlen = 40;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_EXCHANGE_PARAM_KDF_TYPE, kdf, 0),
        OSSL_PARAM_construct_utf8_string(OSSL_EXCHANGE_PARAM_KDF_DIGEST, digest, 0),
        OSSL_PARAM_construct_size_t(OSSL_EXCHANGE_PARAM_KDF_OUTLEN, &outlen),
        OSSL_PARAM_construct_end()};
    Bytes secret(outlen);
    EXPECT_EQ(EVP_PKEY_derive_init_ex(ctx.get(), params), 1) << take_errors();
    EXPECT_EQ(EVP_PKEY_derive_set_peer(ctx.get(), peer), 1);
    EXPECT_EQ(EVP_PKEY_derive(ctx.get(), secret.data(), &outlen), 1) << take_errors();
    return secret;
  };
  const auto peer = host.public_in_default(theirs.get());
  EXPECT_EQ(with_kdf(ours.get(), peer.get()), with_kdf(theirs.get(), public_half.get()));
}

class DecryptionTest : public ::testing::Test {
 protected:
  Bytes encrypt(int padding, const char* digest, const Bytes& plain) const {
    const auto peer = host_.public_in_default(ours_.get());
    const ossl::PKeyCtx ctx(EVP_PKEY_CTX_new_from_pkey(host_.ctx(), peer.get(), nullptr));
    EVP_PKEY_encrypt_init(ctx.get());
    EVP_PKEY_CTX_set_rsa_padding(ctx.get(), padding);
    if (digest != nullptr) EVP_PKEY_CTX_set_rsa_oaep_md_name(ctx.get(), digest, nullptr);
    Bytes cipher(256);
    std::size_t size = cipher.size();
    EXPECT_EQ(EVP_PKEY_encrypt(ctx.get(), cipher.data(), &size, plain.data(), plain.size()), 1);
    return cipher;
  }
  [[nodiscard]] ossl::PKeyCtx decryption(int padding) const {
    ossl::PKeyCtx ctx(EVP_PKEY_CTX_new_from_pkey(host_.ctx(), ours_.get(), nullptr));
    EXPECT_EQ(EVP_PKEY_decrypt_init(ctx.get()), 1) << take_errors();
    EXPECT_EQ(EVP_PKEY_CTX_set_rsa_padding(ctx.get(), padding), 1) << take_errors();
    return ctx;
  }
  static Bytes decrypt(EVP_PKEY_CTX* ctx, const Bytes& cipher, std::size_t capacity) {
    Bytes plain(capacity);
    std::size_t size = capacity;
    if (EVP_PKEY_decrypt(ctx, plain.data(), &size, cipher.data(), cipher.size()) != 1) return {};
    plain.resize(size);
    return plain;
  }
  const Host host_;
  const ossl::PKey ours_ = host_.generate("RSA");
};

TEST_F(DecryptionTest, OaepWithEitherDigestComesBack) {
  for (const char* digest : {"SHA1", "SHA256", "SHA512"}) {
    const auto ctx = decryption(RSA_PKCS1_OAEP_PADDING);
    EXPECT_EQ(EVP_PKEY_CTX_set_rsa_oaep_md_name(ctx.get(), digest, nullptr), 1);
    const Bytes cipher = encrypt(RSA_PKCS1_OAEP_PADDING, digest, kMessage);
    EXPECT_EQ(decrypt(ctx.get(), cipher, 256), kMessage) << digest << take_errors();
  }
}

TEST_F(DecryptionTest, Pkcs1ComesBack) {
  const auto ctx = decryption(RSA_PKCS1_PADDING);
  EXPECT_EQ(decrypt(ctx.get(), encrypt(RSA_PKCS1_PADDING, nullptr, kMessage), 256), kMessage);
}

TEST_F(DecryptionTest, TheSizeIsToldWithoutAPrivateOperation) {
  const auto ctx = decryption(RSA_PKCS1_OAEP_PADDING);
  const Bytes cipher(256);
  const auto before = host_.counter("vhsm-operations");
  std::size_t size = 0;
  EXPECT_EQ(EVP_PKEY_decrypt(ctx.get(), nullptr, &size, cipher.data(), cipher.size()), 1);
  EXPECT_EQ(size, 256U);
  EXPECT_EQ(host_.counter("vhsm-operations"), before);
}

TEST_F(DecryptionTest, ATlsPremasterFitsInFortyEightBytesAndABadOneIsReplaced) {
  constexpr int kTlsPadding = 7;  // RSA_PKCS1_WITH_TLS_PADDING
  unsigned version = 0x0303;
  OSSL_PARAM params[] = {
      OSSL_PARAM_construct_uint(OSSL_ASYM_CIPHER_PARAM_TLS_CLIENT_VERSION, &version),
      OSSL_PARAM_construct_end()};
  Bytes premaster(48, 0x5a);
  premaster[0] = 0x03;
  premaster[1] = 0x03;
  const auto ctx = decryption(kTlsPadding);
  ASSERT_EQ(EVP_PKEY_CTX_set_params(ctx.get(), params), 1) << take_errors();
  EXPECT_EQ(decrypt(ctx.get(), encrypt(RSA_PKCS1_PADDING, nullptr, premaster), 48), premaster)
      << take_errors();
  const Bytes wrong = decrypt(ctx.get(), encrypt(RSA_PKCS1_PADDING, nullptr, kMessage), 48);
  EXPECT_EQ(wrong.size(), 48U);
  EXPECT_NE(wrong, premaster);
}

TEST_F(DecryptionTest, OurEncryptionIsReadByTheDefaultProvider) {
  const auto theirs = host_.generate("RSA", {}, kDefault);
  OSSL_PARAM* params = nullptr;
  ASSERT_EQ(EVP_PKEY_todata(theirs.get(), EVP_PKEY_PUBLIC_KEY, &params), 1);
  const ossl::PKeyCtx make(EVP_PKEY_CTX_new_from_name(host_.ctx(), "RSA", kVhsm));
  ossl::PKey peer;
  EVP_PKEY_fromdata_init(make.get());
  EVP_PKEY_fromdata(make.get(), ossl::Receive(peer), EVP_PKEY_PUBLIC_KEY, params);
  OSSL_PARAM_free(params);
  const ossl::PKeyCtx ctx(EVP_PKEY_CTX_new_from_pkey(host_.ctx(), peer.get(), kVhsm));
  ASSERT_EQ(EVP_PKEY_encrypt_init(ctx.get()), 1) << take_errors();
  Bytes cipher(256);
  std::size_t size = cipher.size();
  ASSERT_EQ(EVP_PKEY_encrypt(ctx.get(), cipher.data(), &size, kMessage.data(), kMessage.size()), 1)
      << take_errors();
  const ossl::PKeyCtx back(EVP_PKEY_CTX_new_from_pkey(host_.ctx(), theirs.get(), nullptr));
  ASSERT_EQ(EVP_PKEY_decrypt_init(back.get()), 1);
  EXPECT_EQ(decrypt(back.get(), cipher, 256), kMessage);
}

}  // namespace
}  // namespace vhsm::test
