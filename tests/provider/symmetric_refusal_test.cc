// SPDX-License-Identifier: Apache-2.0
//
// What is refused with symmetric keys, and what their JWKs allow.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/core_names.h>

#include <array>
#include <string>

#include "tests/provider/symmetric_fixture.h"

namespace vhsm::test {
namespace {

using ::testing::HasSubstr;

// ----- what is refused --------------------------------------------------------------------------

TEST_F(SymmetricTest, AChangedTagIsRefused) {
  const Secret key = secret("any-256", pattern(32, 3));
  const CipherTask task{"AES-256-GCM", pattern(12, 4), pattern(5, 5)};
  auto sealed = encrypt(host_, By::kName, key, task, kMessage);
  ASSERT_TRUE(sealed.has_value()) << take_errors();
  sealed->tag[0] ^= 1U;
  EXPECT_FALSE(decrypt(host_, By::kName, key, task, *sealed).has_value());
}

TEST_F(SymmetricTest, AnEncryptionWithoutAnIvIsRefused) {
  const Secret key = secret("any-256", pattern(32, 3));
  for (const char* mode : {"GCM", "CBC", "CTR"}) {
    CipherTask task{std::string("AES-256-") + mode, pattern(mode[0] == 'G' ? 12 : 16, 4)};
    ASSERT_TRUE(encrypt(host_, By::kName, key, task, kMessage).has_value()) << take_errors();
    const ossl::Cipher method(
        EVP_CIPHER_fetch(host_.ctx(), ("VHSM-" + task.algorithm).c_str(), nullptr));
    const ossl::CipherCtx ctx(EVP_CIPHER_CTX_new());
    const Params params = Params().text("vhsm-uri", key.uri);
    ASSERT_EQ(EVP_EncryptInit_ex2(ctx.get(), method.get(), nullptr, nullptr, params.array().data()),
              1);
    std::array<std::uint8_t, 64> out{};
    int size = 0;
    EXPECT_EQ(EVP_EncryptUpdate(ctx.get(), out.data(), &size, kMessage.data(), 10), 0);
    EXPECT_THAT(take_errors(), HasSubstr("no IV"));
  }
}

TEST_F(SymmetricTest, AKeyOfAnotherLengthIsRefusedByName) {
  const Secret key = secret("any-128", pattern(16, 3));
  EXPECT_EQ(begin_cipher(host_, By::kName, key, {"AES-256-CBC", pattern(16, 4)}, true), nullptr);
  const std::string errors = take_errors();
  EXPECT_THAT(errors, HasSubstr("length"));
  EXPECT_THAT(errors, HasSubstr("vhsm:default/test/any-128"));
}

TEST_F(SymmetricTest, AKeyInTheClearIsForAnotherProvider) {
  const Bytes raw = pattern(32, 1);
  const ossl::Mac hmac(EVP_MAC_fetch(host_.ctx(), "VHSM-HMAC", nullptr));
  const MacCtx ctx(EVP_MAC_CTX_new(hmac.get()));
  EXPECT_EQ(EVP_MAC_init(ctx.get(), raw.data(), raw.size(), hmac_digest("SHA256").array().data()),
            0);
  EXPECT_THAT(take_errors(), HasSubstr("another provider"));
  EXPECT_EQ(
      EVP_MAC_CTX_set_params(ctx.get(), Params().octets(OSSL_MAC_PARAM_KEY, raw).array().data()),
      0);
  EXPECT_THAT(take_errors(), HasSubstr("another provider"));
  const ossl::Cipher aes(EVP_CIPHER_fetch(host_.ctx(), "VHSM-AES-256-CTR", nullptr));
  const ossl::CipherCtx cipher(EVP_CIPHER_CTX_new());
  EXPECT_EQ(EVP_EncryptInit_ex2(cipher.get(), aes.get(), raw.data(), raw.data(), nullptr), 0);
  EXPECT_THAT(take_errors(), HasSubstr("another provider"));
  const ossl::Kdf hkdf(EVP_KDF_fetch(host_.ctx(), "VHSM-HKDF", nullptr));
  const ossl::KdfCtx kdf(EVP_KDF_CTX_new(hkdf.get()));
  Bytes out(32);
  const Params with_key = hkdf_params().octets(OSSL_KDF_PARAM_KEY, raw);
  EXPECT_EQ(EVP_KDF_derive(kdf.get(), out.data(), out.size(), with_key.array().data()), 0);
  EXPECT_THAT(take_errors(), HasSubstr("another provider"));
}

TEST_F(SymmetricTest, AnOperationWithoutAKeyIsRefused) {
  EXPECT_EQ(begin_mac(host_, By::kName, {}, {"HMAC", hmac_digest("SHA256")}), nullptr);
  EXPECT_THAT(take_errors(), HasSubstr("URI"));
  const ossl::Mac hmac(EVP_MAC_fetch(host_.ctx(), "VHSM-HMAC", nullptr));
  const MacCtx ctx(EVP_MAC_CTX_new(hmac.get()));
  EXPECT_EQ(EVP_MAC_init(ctx.get(), nullptr, 0, hmac_digest("SHA256").array().data()), 0);
  EXPECT_THAT(take_errors(), HasSubstr("no key"));
  const ossl::Cipher aes(EVP_CIPHER_fetch(host_.ctx(), "VHSM-AES-256-CTR", nullptr));
  const ossl::CipherCtx cipher(EVP_CIPHER_CTX_new());
  const Bytes iv(16);
  ASSERT_EQ(EVP_EncryptInit_ex2(cipher.get(), aes.get(), nullptr, iv.data(), nullptr), 1);
  std::array<std::uint8_t, 64> out{};
  int size = 0;
  EXPECT_EQ(EVP_EncryptUpdate(cipher.get(), out.data(), &size, kMessage.data(), 10), 0);
  EXPECT_THAT(take_errors(), HasSubstr("no key"));
}

TEST_F(SymmetricTest, AParameterThatIsNotKnownIsRefused) {
  const Secret key = secret("any-32", pattern(32, 1));
  MacTask task{"HMAC", hmac_digest("SHA256").number("pepper", 1)};
  EXPECT_EQ(begin_mac(host_, By::kName, key, task), nullptr);
  EXPECT_THAT(take_errors(), HasSubstr("pepper"));
}

TEST_F(SymmetricTest, AKeyPairIsNoSymmetricKeyAndTheOtherWayRound) {
  EXPECT_EQ(begin_mac(host_, By::kName, {folder_.uri("EC"), {}}, {"HMAC", hmac_digest("SHA256")}),
            nullptr);
  EXPECT_THAT(take_errors(), HasSubstr("key pair"));
  const Secret key = secret("any-32", pattern(32, 1));
  EXPECT_EQ(host_.open(key.uri), nullptr);
  EXPECT_EQ(host_.open(key.uri + "?type=secret"), nullptr);
  EXPECT_EQ(
      begin_mac(host_, By::kName, {key.uri + "?type=private", {}}, {"HMAC", hmac_digest("SHA256")}),
      nullptr);
  EXPECT_FALSE(
      mac(host_, By::kName, {key.uri + "?type=secret", {}}, {"HMAC", hmac_digest("SHA256")}, {})
          .empty())
      << take_errors();
  EXPECT_EQ(host_.open(key.uri), nullptr) << "now that it is here as a symmetric key";
}

// ----- JWK --------------------------------------------------------------------------------------

TEST_F(SymmetricTest, AJwkHoldsTheSameKey) {
  for (const std::size_t size : {1U, 2U, 3U, 16U, 31U, 32U, 64U}) {
    const Bytes bytes = pattern(size, 11);
    const Secret key =
        jwk("jwk-" + std::to_string(size), bytes,
            R"(, "kid" : "a", "ext":true,"exp": 32503680000, "key_ops":["sign","verify"])");
    const MacTask task{"HMAC", hmac_digest("SHA256")};
    const Bytes ours = mac(host_, By::kName, key, task, kMessage);
    EXPECT_EQ(ours.size(), 32U) << take_errors();
    EXPECT_EQ(ours, mac(host_, By::kBytes, key, task, kMessage)) << size;
  }
}

TEST_F(SymmetricTest, KeyOpsOfAJwkAreKept) {
  const Secret seals =
      jwk("jwk-encrypts", pattern(32, 12), R"(,"alg":"A256GCM","key_ops":["encrypt"])");
  const CipherTask gcm{"AES-256-GCM", pattern(12, 4)};
  const auto sealed = encrypt(host_, By::kName, seals, gcm, kMessage);
  ASSERT_TRUE(sealed.has_value()) << take_errors();
  EXPECT_FALSE(decrypt(host_, By::kName, seals, gcm, *sealed).has_value());
  EXPECT_THAT(take_errors(), HasSubstr("key_ops"));
  EXPECT_TRUE(mac(host_, By::kName, seals, {"HMAC", hmac_digest("SHA256")}, kMessage).empty());
  EXPECT_TRUE(derive(host_, By::kName, seals, "HKDF", hkdf_params(), 32).empty());
  EXPECT_FALSE(encrypt(host_, By::kName, seals, {"AES-256-CTR", pattern(16, 4)}, kMessage));
  EXPECT_THAT(take_errors(), HasSubstr("alg"));
}

TEST_F(SymmetricTest, TheAlgOfAJwkNamesTheDigest) {
  const Secret key = jwk("jwk-hs256", pattern(32, 13), R"(,"alg":"HS256","use":"sig")");
  EXPECT_FALSE(mac(host_, By::kName, key, {"HMAC", hmac_digest("SHA2-256")}, kMessage).empty())
      << take_errors();
  EXPECT_TRUE(mac(host_, By::kName, key, {"HMAC", hmac_digest("SHA1")}, kMessage).empty());
  EXPECT_THAT(take_errors(), HasSubstr("digest"));
}

TEST_F(SymmetricTest, AMalformedJwkIsNoKey) {
  int number = 0;
  for (const std::string text :
       {"{}", R"({"kty":"oct"})", R"({"kty":"oct","k":""})", R"({"kty":"oct","k":"A"})",
        R"({"kty":"oct","k":"AB"})", R"({"kty":"oct","k":"AA=="})", R"({"kty":"oct","k":"A+/A"})",
        R"({"kty":"RSA","k":"AAAA"})", R"({"kty":"oct","k":"AAAA","k":"AAAA"})",
        R"({"kty":"oct","k":"AAAA","alg":"A256GCMX"})", R"({"kty":"oct","k":"AAAA","use":"all"})",
        R"({"kty":"oct","k":"AAAA","key_ops":["fly"]})", R"({"kty":"oct","k":"AAAA",})",
        R"({"kty":"oct","k":"A\u0041AA"})", R"({"kty":"oct","k":"AAAA"}})",
        R"({"kty":"oct" "k":"AAAA"})", R"({"kty":"oct","k":"AAAA","x5c":["a"]})"}) {
    const Secret key =
        store_secret(folder_, "bad-jwk-" + std::to_string(number++), from_text(text), {});
    EXPECT_TRUE(mac(host_, By::kName, key, {"HMAC", hmac_digest("SHA256")}, kMessage).empty())
        << text;
    EXPECT_THAT(take_errors(), HasSubstr("vhsm:default/test/bad-jwk-")) << text;
  }
}

TEST_F(SymmetricTest, ARawKeyMayBeginWithABrace) {
  Bytes bytes = pattern(32, 14);
  bytes.front() = '{';
  bytes.back() = '}';
  const Secret key = secret("brace", bytes);
  EXPECT_EQ(mac(host_, By::kName, key, {"HMAC", hmac_digest("SHA256")}, kMessage),
            mac(host_, By::kBytes, key, {"HMAC", hmac_digest("SHA256")}, kMessage));
}

TEST_F(SymmetricTest, KeysHaveBoundedLengths) {
  const MacTask task{"HMAC", hmac_digest("SHA256")};
  EXPECT_FALSE(mac(host_, By::kName, secret("max", pattern(1024, 1)), task, kMessage).empty())
      << take_errors();
  EXPECT_TRUE(mac(host_, By::kName, secret("over", pattern(1025, 1)), task, kMessage).empty());
  EXPECT_TRUE(mac(host_, By::kName, secret("none", {}), task, kMessage).empty());
}

}  // namespace
}  // namespace vhsm::test
