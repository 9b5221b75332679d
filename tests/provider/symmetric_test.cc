// SPDX-License-Identifier: Apache-2.0
//
// Symmetric keys that stay in vhsm: published vectors, the default provider with the same key, and
// what is refused.
#include <sys/wait.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/core_names.h>
#include <openssl/params.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <string>
#include <vector>

#include "provider/ossl/compat.h"
#include "tests/provider/secrets.h"

namespace vhsm::test {
namespace {

using ::testing::HasSubstr;

Params hmac_digest(const std::string& digest) {
  return Params().text(OSSL_MAC_PARAM_DIGEST, digest);
}

class SymmetricTest : public ::testing::Test {
 protected:
  [[nodiscard]] Secret secret(const std::string& name, const Bytes& bytes) const {
    return store_secret(folder_, name, bytes);
  }
  /// Stored as a JWK with `members` beside kty and k.
  [[nodiscard]] Secret jwk(const std::string& name, const Bytes& bytes,
                           const std::string& members = {}) const {
    const std::string text = R"({"kty":"oct","k":")" + base64url(bytes) + "\"" + members + "}\n";
    return store_secret(folder_, name, from_text(text), bytes);
  }

  const KeyFolder folder_;
  const Host host_{"vhsm_files"};
};

// ----- vectors ----------------------------------------------------------------------------------

TEST_F(SymmetricTest, HmacGivesTheCodesOfRfc4231) {
  const Secret first = secret("hmac-1", Bytes(20, 0x0b));
  EXPECT_EQ(mac(host_, By::kName, first, {"HMAC", hmac_digest("SHA256")}, from_text("Hi There")),
            from_hex("b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"))
      << take_errors();
  EXPECT_EQ(
      mac(host_, By::kName, first, {"HMAC", hmac_digest("SHA512")}, from_text("Hi There")),
      from_hex("87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cdedaa833b7d6b8a7"
               "02038b274eaea3f4e4be9d914eeb61f1702e696c203a126854"));
  const Secret short_key = secret("hmac-2", from_text("Jefe"));
  EXPECT_EQ(mac(host_, By::kName, short_key, {"HMAC", hmac_digest("SHA256")},
                from_text("what do ya want for nothing?")),
            from_hex("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"));
  const Secret long_key = secret("hmac-6", Bytes(131, 0xaa));
  EXPECT_EQ(mac(host_, By::kName, long_key, {"HMAC", hmac_digest("SHA256"), 7},
                from_text("Test Using Larger Than Block-Size Key - Hash Key First")),
            from_hex("60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"));
}

TEST_F(SymmetricTest, CmacGivesTheCodesOfRfc4493) {
  const Secret key = secret("cmac", from_hex("2b7e151628aed2a6abf7158809cf4f3c"));
  const MacTask task{"CMAC", Params().text(OSSL_MAC_PARAM_CIPHER, "AES-128-CBC")};
  const Bytes message = from_hex(
      "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411"
      "e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710");
  const auto code = [&](std::ptrdiff_t size) {
    return mac(host_, By::kName, key, task, Bytes(message.begin(), message.begin() + size));
  };
  EXPECT_EQ(code(0), from_hex("bb1d6929e95937287fa37d129b756746")) << take_errors();
  EXPECT_EQ(code(16), from_hex("070a16b46b4d4144f79bdd9dd04a287c"));
  EXPECT_EQ(code(40), from_hex("dfa66747de9ae63030ca32611497c827"));
  EXPECT_EQ(code(64), from_hex("51f0bebf7e3b9d92fc49741779363cfe"));
}

struct GcmVector {
  const char* algorithm;
  const char* key;
  const char* text;
  const char* tag;
};

TEST_F(SymmetricTest, GcmSealsAndOpensTestCases4And16OfItsSpecification) {
  const Bytes clear = from_hex(
      "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
      "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39");
  for (const GcmVector& vector :
       {GcmVector{"AES-128-GCM", "feffe9928665731c6d6a8f9467308308",
                  "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"
                  "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091",
                  "5bc94fbc3221a5db94fae95ae7121a47"},
        GcmVector{"AES-256-GCM", "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
                  "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
                  "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
                  "76fc6ece0f4e1768cddf8853bb2d551b"}}) {
    const Secret key = secret(vector.algorithm, from_hex(vector.key));
    const CipherTask task{vector.algorithm, from_hex("cafebabefacedbaddecaf888"),
                          from_hex("feedfacedeadbeeffeedfacedeadbeefabaddad2")};
    const auto sealed = encrypt(host_, By::kName, key, task, clear);
    ASSERT_TRUE(sealed.has_value()) << take_errors();
    EXPECT_EQ(sealed->text, from_hex(vector.text));
    EXPECT_EQ(sealed->tag, from_hex(vector.tag));
    EXPECT_EQ(decrypt(host_, By::kName, key, task, *sealed), clear) << take_errors();
  }
}

TEST_F(SymmetricTest, CbcAndCtrGiveTheBlocksOfSp800_38a) {
  const Secret key = secret("sp800-38a", from_hex("2b7e151628aed2a6abf7158809cf4f3c"));
  const Bytes clear = from_hex("6bc1bee22e409f96e93d7e117393172a");
  CipherTask cbc{"AES-128-CBC", from_hex("000102030405060708090a0b0c0d0e0f")};
  cbc.padding = false;
  const auto cbc_text = encrypt(host_, By::kName, key, cbc, clear);
  ASSERT_TRUE(cbc_text.has_value()) << take_errors();
  EXPECT_EQ(cbc_text->text, from_hex("7649abac8119b246cee98e9b12e9197d"));
  const CipherTask ctr{"AES-128-CTR", from_hex("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff")};
  const auto ctr_text = encrypt(host_, By::kName, key, ctr, clear);
  ASSERT_TRUE(ctr_text.has_value()) << take_errors();
  EXPECT_EQ(ctr_text->text, from_hex("874d6191b620e3261bef6864990db6ce"));
}

TEST_F(SymmetricTest, WrapGivesTheCiphertextsOfRfc3394AndUnwrapsThem) {
  const Secret small = secret("kek-128", from_hex("000102030405060708090a0b0c0d0e0f"));
  const Bytes data = from_hex("00112233445566778899aabbccddeeff");
  const auto wrapped = encrypt(host_, By::kName, small, {"AES-128-WRAP"}, data);
  ASSERT_TRUE(wrapped.has_value()) << take_errors();
  EXPECT_EQ(wrapped->text, from_hex("1fa68b0a8112b447aef34bd8fb5a7b829d3e862371d2cfe5"));
  EXPECT_EQ(decrypt(host_, By::kName, small, {"AES-128-WRAP"}, *wrapped), data) << take_errors();
  const Secret large = secret(
      "kek-256", from_hex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"));
  const auto whole =
      encrypt(host_, By::kName, large, {"AES-256-WRAP"},
              from_hex("00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f"));
  ASSERT_TRUE(whole.has_value()) << take_errors();
  EXPECT_EQ(whole->text, from_hex("28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43b"
                                  "fb988b9b7a02dd21"));
}

TEST_F(SymmetricTest, AWrappedKeyThatWasChangedIsNotUnwrapped) {
  const Secret key = secret("kek-128", from_hex("000102030405060708090a0b0c0d0e0f"));
  Sealed wrapped{from_hex("1fa68b0a8112b447aef34bd8fb5a7b829d3e862371d2cfe5"), {}};
  wrapped.text[3] ^= 1U;
  EXPECT_FALSE(decrypt(host_, By::kName, key, {"AES-128-WRAP"}, wrapped).has_value());
}

Params hkdf_params() {
  return Params()
      .text(OSSL_KDF_PARAM_DIGEST, "SHA256")
      .octets(OSSL_KDF_PARAM_SALT, from_hex("000102030405060708090a0b0c"))
      .octets(OSSL_KDF_PARAM_INFO, from_hex("f0f1f2f3f4f5f6f7f8f9"));
}

TEST_F(SymmetricTest, HkdfGivesTheKeyOfRfc5869) {
  EXPECT_EQ(derive(host_, By::kName, secret("hkdf", Bytes(22, 0x0b)), "HKDF", hkdf_params(), 42),
            from_hex("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b8"
                     "87185865"))
      << take_errors();
}

TEST_F(SymmetricTest, Tls13KdfGivesTheDerivedSecretOfRfc8448) {
  const Secret early =
      secret("tls13", from_hex("33ad0a1c607ec03b09e6cd9893680ce210adf300aa1f2660e1b22e10f170f92a"));
  const Params params =
      Params()
          .text(OSSL_KDF_PARAM_DIGEST, "SHA256")
          .text(OSSL_KDF_PARAM_MODE, "EXPAND_ONLY")
          .octets(OSSL_KDF_PARAM_PREFIX, from_text("tls13 "))
          .octets(OSSL_KDF_PARAM_LABEL, from_text("derived"))
          .octets(OSSL_KDF_PARAM_DATA,
                  from_hex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
  EXPECT_EQ(derive(host_, By::kName, early, "TLS13-KDF", params, 32),
            from_hex("6f2615a108c702c5678f54fc9dbab69716c076189c48250cebeac3576c3611ba"))
      << take_errors();
}

// ----- the default provider with the same key ---------------------------------------------------

constexpr std::size_t kSizes[] = {0, 1, 15, 16, 17, 31, 64, 1000, 70000, 600000};

TEST_F(SymmetricTest, MacsAreThoseOfTheDefaultProviderInWholeAndInParts) {
  const Secret key = secret("any-32", pattern(32, 1));
  for (const MacTask& task :
       {MacTask{"HMAC", hmac_digest("SHA1")}, MacTask{"HMAC", hmac_digest("SHA3-256"), 100},
        MacTask{"CMAC", Params().text(OSSL_MAC_PARAM_CIPHER, "AES-256-CBC"), 13},
        MacTask{"KMAC-256", Params().number(OSSL_MAC_PARAM_SIZE, 40), 4096}}) {
    for (const std::size_t size : kSizes) {
      const Bytes message = pattern(size, 2);
      const Bytes ours = mac(host_, By::kName, key, task, message);
      EXPECT_FALSE(ours.empty()) << task.algorithm << take_errors();
      EXPECT_EQ(ours, mac(host_, By::kBytes, key, task, message)) << task.algorithm << size;
    }
  }
}

TEST_F(SymmetricTest, CiphersAreThoseOfTheDefaultProviderInWholeInPartsAndInPlace) {
  for (const std::size_t bits : {128U, 192U, 256U}) {
    const Secret key = secret("any-" + std::to_string(bits), pattern(bits / 8, 3));
    for (const std::string mode : {"GCM", "CBC", "CTR"}) {
      CipherTask task{"AES-" + std::to_string(bits) + "-" + mode};
      task.iv = pattern(mode == "GCM" ? 12 : 16, 4);
      if (mode == "GCM") task.aad = pattern(45, 5);
      for (const std::size_t size : kSizes) {
        for (const std::size_t step : {std::size_t{0}, std::size_t{37}, std::size_t{4096}}) {
          if (step == 37 && size > 1000) continue;
          task.step = step;
          task.in_place = step != 37;
          const Bytes clear = pattern(size, 6);
          const auto ours = encrypt(host_, By::kName, key, task, clear);
          const auto theirs = encrypt(host_, By::kBytes, key, task, clear);
          ASSERT_TRUE(ours.has_value() && theirs.has_value()) << task.algorithm << take_errors();
          ASSERT_EQ(ours->text, theirs->text) << task.algorithm << " " << size << " " << step;
          EXPECT_EQ(ours->tag, theirs->tag);
          ASSERT_EQ(decrypt(host_, By::kName, key, task, *theirs), clear)
              << task.algorithm << " " << size << " " << step << take_errors();
        }
      }
    }
  }
}

TEST_F(SymmetricTest, GcmTakesIvsOfOtherLengths) {
  const Secret key = secret("any-128", pattern(16, 3));
  for (const std::size_t size : {std::size_t{8}, std::size_t{16}, std::size_t{60}}) {
    const CipherTask task{"AES-128-GCM", pattern(size, 7)};
    const Bytes clear = pattern(50, 8);
    const auto ours = encrypt(host_, By::kName, key, task, clear);
    const auto theirs = encrypt(host_, By::kBytes, key, task, clear);
    ASSERT_TRUE(ours.has_value() && theirs.has_value()) << take_errors();
    EXPECT_EQ(ours->text, theirs->text);
    EXPECT_EQ(ours->tag, theirs->tag);
  }
}

TEST_F(SymmetricTest, DerivedKeysAreThoseOfTheDefaultProvider) {
  const Secret key = secret("any-32", pattern(32, 1));
  for (const std::size_t size : {std::size_t{1}, std::size_t{32}, std::size_t{200}}) {
    const Bytes ours = derive(host_, By::kName, key, "HKDF", hkdf_params(), size);
    EXPECT_EQ(ours.size(), size) << take_errors();
    EXPECT_EQ(ours, derive(host_, By::kBytes, key, "HKDF", hkdf_params(), size));
  }
  Params extract = hkdf_params().text(OSSL_KDF_PARAM_MODE, "EXTRACT_ONLY");
  const Bytes ours = derive(host_, By::kName, key, "HKDF", extract, 32);
  EXPECT_EQ(ours, derive(host_, By::kBytes, key, "HKDF", extract, 32));
  EXPECT_EQ(ours.size(), 32U);
}

TEST_F(SymmetricTest, ACopyOfAnOperationGoesItsOwnWay) {
  const Secret key = secret("any-32", pattern(32, 1));
  const auto whole = begin_mac(host_, By::kName, key, {"HMAC", hmac_digest("SHA256")});
  ASSERT_NE(whole, nullptr) << take_errors();
  ASSERT_EQ(EVP_MAC_update(whole.get(), kMessage.data(), kMessage.size()), 1);
  const MacCtx copy(EVP_MAC_CTX_dup(whole.get()));
  ASSERT_NE(copy, nullptr) << take_errors();
  ASSERT_EQ(EVP_MAC_update(copy.get(), kMessage.data(), kMessage.size()), 1);
  const auto code = [](EVP_MAC_CTX* ctx) {
    Bytes bytes(32);
    std::size_t size = 0;
    EXPECT_EQ(EVP_MAC_final(ctx, bytes.data(), &size, bytes.size()), 1) << take_errors();
    return bytes;
  };
  Bytes twice = kMessage;
  twice.insert(twice.end(), kMessage.begin(), kMessage.end());
  EXPECT_EQ(code(whole.get()),
            mac(host_, By::kBytes, key, {"HMAC", hmac_digest("SHA256")}, kMessage));
  EXPECT_EQ(code(copy.get()), mac(host_, By::kBytes, key, {"HMAC", hmac_digest("SHA256")}, twice));
}

TEST_F(SymmetricTest, ACopyOfACipherGoesOnWhereTheFirstWas) {
  const Secret key = secret("any-128", pattern(16, 3));
  const CipherTask task{"AES-128-CBC", pattern(16, 4)};
  const auto first = begin_cipher(host_, By::kName, key, task, true);
  ASSERT_NE(first, nullptr) << take_errors();
  const Bytes clear = pattern(40, 9);
  std::array<std::uint8_t, 80> whole{};
  int size = 0;
  ASSERT_EQ(EVP_CipherUpdate(first.get(), whole.data(), &size, clear.data(), 20), 1);
  const ossl::CipherCtx copy(EVP_CIPHER_CTX_new());
  ASSERT_EQ(EVP_CIPHER_CTX_copy(copy.get(), first.get()), 1) << take_errors();
  int more = 0;
  ASSERT_EQ(EVP_CipherUpdate(copy.get(), whole.data() + size, &more, clear.data() + 20, 20), 1);
  int last = 0;
  ASSERT_EQ(EVP_CipherFinal_ex(copy.get(), whole.data() + size + more, &last), 1);
  const Bytes ours(whole.begin(), whole.begin() + size + more + last);
  EXPECT_EQ(ours, encrypt(host_, By::kBytes, key, task, clear)->text);
}

TEST_F(SymmetricTest, AnOperationStartsAgainWithItsKey) {
  const Secret key = secret("any-32", pattern(32, 1));
  const auto ctx = begin_mac(host_, By::kName, key, {"HMAC", hmac_digest("SHA256")});
  ASSERT_NE(ctx, nullptr) << take_errors();
  for (int round = 0; round < 3; ++round) {
    ASSERT_EQ(EVP_MAC_init(ctx.get(), nullptr, 0, nullptr), 1) << take_errors();
    ASSERT_EQ(EVP_MAC_update(ctx.get(), kMessage.data(), kMessage.size()), 1);
    Bytes code(32);
    std::size_t size = 0;
    ASSERT_EQ(EVP_MAC_final(ctx.get(), code.data(), &size, code.size()), 1);
    EXPECT_EQ(code, mac(host_, By::kBytes, key, {"HMAC", hmac_digest("SHA256")}, kMessage));
  }
}

TEST_F(SymmetricTest, ACipherIsToldItsKeyAfterItsIv) {
  const Secret key = secret("any-128", pattern(16, 3));
  const CipherTask task{"AES-128-CTR", pattern(16, 4)};
  const ossl::Cipher method(EVP_CIPHER_fetch(host_.ctx(), "VHSM-AES-128-CTR", nullptr));
  const ossl::CipherCtx ctx(EVP_CIPHER_CTX_new());
  ASSERT_EQ(EVP_EncryptInit_ex2(ctx.get(), method.get(), nullptr, task.iv.data(), nullptr), 1);
  const Params params = Params().text("vhsm-uri", key.uri);
  ASSERT_EQ(EVP_CIPHER_CTX_set_params(ctx.get(), params.array().data()), 1) << take_errors();
  std::array<std::uint8_t, 64> out{};
  int size = 0;
  ASSERT_EQ(EVP_EncryptUpdate(ctx.get(), out.data(), &size, kMessage.data(),
                              static_cast<int>(kMessage.size())),
            1);
  EXPECT_EQ(Bytes(out.begin(), out.begin() + size),
            encrypt(host_, By::kBytes, key, task, kMessage)->text);
}

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
    const Secret key = jwk("jwk-" + std::to_string(size), bytes,
                           R"(, "kid" : "a", "ext":true,"exp": 12, "key_ops":["sign","verify"])");
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
    EXPECT_THAT(take_errors(), HasSubstr("JWK")) << text;
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

// ----- other processes --------------------------------------------------------------------------

TEST_F(SymmetricTest, AChildOfAForkUsesTheKeyAndTheOperation) {
  const Secret key = secret("any-32", pattern(32, 1));
  const MacTask task{"HMAC", hmac_digest("SHA256")};
  const Bytes code = mac(host_, By::kName, key, task, kMessage);
  const auto begun = begin_mac(host_, By::kName, key, task);
  ASSERT_NE(begun, nullptr) << take_errors();
  const pid_t child = ::fork();
  if (child == 0) {
    Bytes own(32);
    std::size_t size = 0;
    const bool same = EVP_MAC_update(begun.get(), kMessage.data(), kMessage.size()) == 1 &&
                      EVP_MAC_final(begun.get(), own.data(), &size, own.size()) == 1 &&
                      own == code && mac(host_, By::kName, key, task, kMessage) == code;
    ::_exit(same ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(mac(host_, By::kName, key, task, kMessage), code);
}

/// What the openssl command prints, with our module loaded.
std::string openssl(const std::string& arguments) {
  const auto words = arguments.find(' ');
  const std::string command = "openssl " + arguments.substr(0, words) +
                              " -provider-path " VHSM_MODULE_DIR
                              " -provider vhsm_files -provider default" +
                              arguments.substr(words) + " 2>&1";
  FILE* const output = ::popen(command.c_str(), "r");
  std::string text;
  std::array<char, 256> part{};
  while (std::fgets(part.data(), part.size(), output) != nullptr) text += part.data();
  ::pclose(output);
  return text;
}

TEST_F(SymmetricTest, TheOpensslCommandUsesAKeyByItsName) {
  const Secret key = secret("hmac-1", Bytes(20, 0x0b));
  const Secret message = secret("message", from_text("Hi There"));
  EXPECT_THAT(openssl("mac -macopt digest:SHA256 -macopt vhsm-uri:" + key.uri + " -in " +
                      folder_.path() + "/default/test/message VHSM-HMAC"),
              HasSubstr("B0344C61D8DB38535CA8AFCEAF0BF12B881DC200C9833DA726E9376C2E32CFF7"));
  const Secret input = secret("hkdf", Bytes(22, 0x0b));
  EXPECT_THAT(openssl("kdf -keylen 16 -kdfopt digest:SHA256 -kdfopt vhsm-uri:" + input.uri +
                      " -kdfopt hexsalt:000102030405060708090a0b0c"
                      " -kdfopt hexinfo:f0f1f2f3f4f5f6f7f8f9 VHSM-HKDF"),
              HasSubstr("3C:B2:5F:25:FA:AC:D5:7A:90:43:4F:64:D0:36:2F:2A"));
}

// ----- keys as objects: OpenSSL 3.5 and 3.6 -----------------------------------------------------

namespace compat = ossl::compat;

/// Our functions as a host of any version finds them, so that what only later ones call is tried
/// with earlier ones, too.
class Functions {
 public:
  Functions(const Host& host, int operation, const std::string& name)
      : provctx_(OSSL_PROVIDER_get0_provider_ctx(host.vhsm())) {
    int no_cache = 0;
    const OSSL_ALGORITHM* row = OSSL_PROVIDER_query_operation(host.vhsm(), operation, &no_cache);
    while (row != nullptr && row->algorithm_names != nullptr && row->algorithm_names != name) ++row;
    EXPECT_TRUE(row != nullptr && row->algorithm_names != nullptr) << name;
    functions_ = row->implementation;
  }
  template <class Fn>
  [[nodiscard]] Fn* get(int id) const {
    for (const OSSL_DISPATCH* entry = functions_; entry->function_id != 0; ++entry) {
      if (entry->function_id == id) return reinterpret_cast<Fn*>(entry->function);
    }
    ADD_FAILURE() << "no function " << id;
    return nullptr;
  }
  [[nodiscard]] void* provctx() const { return provctx_; }

 private:
  void* provctx_;
  const OSSL_DISPATCH* functions_ = nullptr;
};

class SecretObjectTest : public SymmetricTest {
 protected:
  /// Frees it at the end.
  void* keep(void* object) {
    EXPECT_NE(object, nullptr) << take_errors();
    objects_.push_back(object);
    return object;
  }
  void* import(const Secret& named) {
    const Params params = Params().text("vhsm-uri", named.uri);
    return keep(management_.get<compat::SkeymgmtImportFn>(compat::kSkeymgmtImport)(
        management_.provctx(), 2, params.array().data()));
  }
  [[nodiscard]] void* generate(const Params& params) const {
    return management_.get<compat::SkeymgmtGenerateFn>(compat::kSkeymgmtGenerate)(
        management_.provctx(), params.array().data());
  }
  /// The HMAC of kMessage.
  [[nodiscard]] Bytes mac_with(void* key) const {
    const Functions hmac(host_, OSSL_OP_MAC, "VHSM-HMAC");
    void* const ctx = hmac.get<OSSL_FUNC_mac_newctx_fn>(OSSL_FUNC_MAC_NEWCTX)(hmac.provctx());
    Bytes code(32);
    std::size_t size = 0;
    const bool made = hmac.get<compat::MacInitSkeyFn>(compat::kMacInitSkey)(
                          ctx, key, hmac_digest("SHA256").array().data()) == 1 &&
                      hmac.get<OSSL_FUNC_mac_update_fn>(OSSL_FUNC_MAC_UPDATE)(
                          ctx, kMessage.data(), kMessage.size()) == 1 &&
                      hmac.get<OSSL_FUNC_mac_final_fn>(OSSL_FUNC_MAC_FINAL)(ctx, code.data(), &size,
                                                                            code.size()) == 1;
    hmac.get<OSSL_FUNC_mac_freectx_fn>(OSSL_FUNC_MAC_FREECTX)(ctx);
    return made ? code : Bytes();
  }
  void TearDown() override {
    for (void* const object : objects_) {
      management_.get<compat::SkeymgmtFreeFn>(compat::kSkeymgmtFree)(object);
    }
  }

  const Functions management_{host_, compat::kOpSkeymgmt, "VHSM-GENERIC-SECRET"};
  std::vector<void*> objects_;
};

TEST_F(SecretObjectTest, IsImportedByItsNameAndTellsIt) {
  const Secret named = secret("any-32", pattern(32, 1));
  void* const key = import(named);
  EXPECT_STREQ(management_.get<compat::SkeymgmtGetKeyIdFn>(compat::kSkeymgmtGetKeyId)(key),
               named.uri.c_str());
  EXPECT_EQ(mac_with(key),
            mac(host_, By::kBytes, named, {"HMAC", hmac_digest("SHA256")}, kMessage));
}

TEST_F(SecretObjectTest, IsNeitherImportedInTheClearNorExported) {
  const Params raw = Params().octets("raw-bytes", pattern(32, 1));
  EXPECT_EQ(management_.get<compat::SkeymgmtImportFn>(compat::kSkeymgmtImport)(
                management_.provctx(), 2, raw.array().data()),
            nullptr);
  EXPECT_THAT(take_errors(), HasSubstr("in the clear"));
  const auto tell = [](const OSSL_PARAM[], void*) { return ADD_FAILURE(), 1; };
  for (void* const key : {import(secret("any-32", pattern(32, 1))),
                          keep(generate(Params().number("key-length", 32)))}) {
    for (const int selection : {1, 2, 3}) {
      EXPECT_EQ(management_.get<compat::SkeymgmtExportFn>(compat::kSkeymgmtExport)(key, selection,
                                                                                   tell, nullptr),
                0);
      EXPECT_THAT(take_errors(), HasSubstr("not exportable"));
    }
  }
}

TEST_F(SecretObjectTest, IsGeneratedForTheProcessAlone) {
  void* const first = keep(generate(Params().number("key-length", 32)));
  void* const second = keep(generate(Params().number("key-length", 32)));
  EXPECT_EQ(management_.get<compat::SkeymgmtGetKeyIdFn>(compat::kSkeymgmtGetKeyId)(first), nullptr);
  EXPECT_EQ(mac_with(first).size(), 32U) << take_errors();
  EXPECT_EQ(mac_with(first), mac_with(first));
  EXPECT_NE(mac_with(first), mac_with(second));
  for (const Params& wrong :
       {Params(), Params().number("key-length", 0), Params().number("key-length", 1025),
        Params().number("key-length", 32).text("vhsm-uri", "vhsm:a/b/c")}) {
    EXPECT_EQ(generate(wrong), nullptr);
  }
  take_errors();
}

TEST_F(SecretObjectTest, IsDerivedAndStays) {
  const Secret input = secret("hkdf", Bytes(22, 0x0b));
  const Functions hkdf(host_, OSSL_OP_KDF, "VHSM-HKDF");
  void* const ctx = hkdf.get<OSSL_FUNC_kdf_newctx_fn>(OSSL_FUNC_KDF_NEWCTX)(hkdf.provctx());
  const auto set_key = hkdf.get<compat::KdfSetSkeyFn>(compat::kKdfSetSkey);
  EXPECT_EQ(set_key(ctx, import(input), "salt"), 0);
  ASSERT_EQ(set_key(ctx, objects_.back(), OSSL_KDF_PARAM_KEY), 1) << take_errors();
  const auto derive_key = hkdf.get<compat::KdfDeriveSkeyFn>(compat::kKdfDeriveSkey);
  int other = 0;
  EXPECT_EQ(
      derive_key(ctx, "VHSM-GENERIC-SECRET", &other, nullptr, 42, hkdf_params().array().data()),
      nullptr);
  void* const derived = keep(derive_key(ctx, "VHSM-GENERIC-SECRET", hkdf.provctx(), nullptr, 42,
                                        hkdf_params().array().data()));
  hkdf.get<OSSL_FUNC_kdf_freectx_fn>(OSSL_FUNC_KDF_FREECTX)(ctx);
  const Secret known{
      {},
      from_hex("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b8"
               "87185865")};
  EXPECT_EQ(mac_with(derived),
            mac(host_, By::kBytes, known, {"HMAC", hmac_digest("SHA256")}, kMessage));
  take_errors();
}

#ifdef OSSL_OP_SKEYMGMT
using Skey = ossl::Handle<EVP_SKEY, EVP_SKEY_free>;

class SkeyTest : public SymmetricTest {
 protected:
  [[nodiscard]] Skey import(const Secret& named) const {
    const Params params = Params().text("vhsm-uri", named.uri);
    return Skey(EVP_SKEY_import(host_.ctx(), "VHSM-GENERIC-SECRET", kSymmetric,
                                OSSL_SKEYMGMT_SELECT_SECRET_KEY, params.array().data()));
  }
};

TEST_F(SkeyTest, SealsAndOpensLikeItsBytes) {
  const Secret named = secret("any-256", pattern(32, 3));
  const Skey key = import(named);
  ASSERT_NE(key, nullptr) << take_errors();
  EXPECT_STREQ(EVP_SKEY_get0_key_id(key.get()), named.uri.c_str());
  const CipherTask task{"AES-256-GCM", pattern(12, 4)};
  const ossl::Cipher method(EVP_CIPHER_fetch(host_.ctx(), "VHSM-AES-256-GCM", nullptr));
  const ossl::CipherCtx ctx(EVP_CIPHER_CTX_new());
  ASSERT_EQ(EVP_CipherInit_SKEY(ctx.get(), method.get(), key.get(), task.iv.data(), 12, 1, nullptr),
            1)
      << take_errors();
  std::array<std::uint8_t, 64> out{};
  int size = 0;
  int last = 0;
  ASSERT_EQ(EVP_EncryptUpdate(ctx.get(), out.data(), &size, kMessage.data(),
                              static_cast<int>(kMessage.size())),
            1);
  ASSERT_EQ(EVP_EncryptFinal_ex(ctx.get(), out.data() + size, &last), 1);
  EXPECT_EQ(Bytes(out.begin(), out.begin() + size),
            encrypt(host_, By::kBytes, named, task, kMessage)->text);
}

TEST_F(SkeyTest, MakesTheMacOfItsBytes) {
  const Secret named = secret("any-32", pattern(32, 1));
  const Skey key = import(named);
  ASSERT_NE(key, nullptr) << take_errors();
  const ossl::Mac method(EVP_MAC_fetch(host_.ctx(), "VHSM-HMAC", nullptr));
  const MacCtx ctx(EVP_MAC_CTX_new(method.get()));
  Bytes code(32);
  std::size_t size = 0;
  ASSERT_EQ(EVP_MAC_init_SKEY(ctx.get(), key.get(), hmac_digest("SHA256").array().data()), 1)
      << take_errors();
  ASSERT_EQ(EVP_MAC_update(ctx.get(), kMessage.data(), kMessage.size()), 1);
  ASSERT_EQ(EVP_MAC_final(ctx.get(), code.data(), &size, code.size()), 1);
  EXPECT_EQ(code, mac(host_, By::kBytes, named, {"HMAC", hmac_digest("SHA256")}, kMessage));
}

TEST_F(SkeyTest, NeverTellsItsBytes) {
  const Skey key = import(secret("any-256", pattern(32, 3)));
  ASSERT_NE(key, nullptr) << take_errors();
  const unsigned char* bytes = nullptr;
  std::size_t size = 0;
  EXPECT_NE(EVP_SKEY_get0_raw_key(key.get(), &bytes, &size), 1);
  EXPECT_EQ(bytes, nullptr);
  EXPECT_EQ(Skey(EVP_SKEY_to_provider(key.get(), host_.ctx(), nullptr, kDefault)), nullptr);
  const ossl::Cipher theirs(EVP_CIPHER_fetch(host_.ctx(), "AES-256-GCM", kDefault));
  const ossl::CipherCtx ctx(EVP_CIPHER_CTX_new());
  const Bytes iv(12);
  EXPECT_NE(EVP_CipherInit_SKEY(ctx.get(), theirs.get(), key.get(), iv.data(), 12, 1, nullptr), 1);
  const ossl::Mac their_mac(EVP_MAC_fetch(host_.ctx(), "HMAC", kDefault));
  const MacCtx mac_ctx(EVP_MAC_CTX_new(their_mac.get()));
  EXPECT_NE(EVP_MAC_init_SKEY(mac_ctx.get(), key.get(), hmac_digest("SHA256").array().data()), 1);
  take_errors();
}

TEST_F(SkeyTest, TheOpensslCommandGeneratesOneAndEncryptsWithANamedOne) {
  EXPECT_THAT(openssl("skeyutl -genkey -skeymgmt VHSM-GENERIC-SECRET -skeyopt key-length:32"),
              HasSubstr("Provider: vhsm"));
  const Secret named = secret("sp800-38a", from_hex("2b7e151628aed2a6abf7158809cf4f3c"));
  secret("block", from_hex("6bc1bee22e409f96e93d7e117393172a"));
  EXPECT_THAT(openssl("enc -VHSM-AES-128-CBC -e -nopad -a -iv 000102030405060708090a0b0c0d0e0f"
                      " -skeymgmt VHSM-GENERIC-SECRET -skeyopt vhsm-uri:" +
                      named.uri + " -in " + folder_.path() + "/default/test/block"),
              HasSubstr("dkmrrIEZskbO6Y6bEukZfQ=="));
}
#endif

// ----- who finds it -----------------------------------------------------------------------------

TEST(SymmetricNamesTest, NoUnrelatedFetchFindsVhsmWhateverTheOrder) {
  for (const Order order : {Order::kDefaultFirst, Order::kVhsmFirst}) {
    const Host host("vhsm_files", order);
    for (const char* properties : {static_cast<const char*>(nullptr), "?provider=vhsm"}) {
      const ossl::Mac mac(EVP_MAC_fetch(host.ctx(), "HMAC", properties));
      ASSERT_NE(mac, nullptr);
      EXPECT_STREQ(OSSL_PROVIDER_get0_name(EVP_MAC_get0_provider(mac.get())), "default");
      const ossl::Cipher cipher(EVP_CIPHER_fetch(host.ctx(), "AES-256-GCM", properties));
      ASSERT_NE(cipher, nullptr);
      EXPECT_STREQ(OSSL_PROVIDER_get0_name(EVP_CIPHER_get0_provider(cipher.get())), "default");
      const ossl::Kdf kdf(EVP_KDF_fetch(host.ctx(), "HKDF", properties));
      ASSERT_NE(kdf, nullptr);
      EXPECT_STREQ(OSSL_PROVIDER_get0_name(EVP_KDF_get0_provider(kdf.get())), "default");
    }
    EXPECT_EQ(ossl::Mac(EVP_MAC_fetch(host.ctx(), "HMAC", kVhsm)), nullptr);
    EXPECT_EQ(ossl::Cipher(EVP_CIPHER_fetch(host.ctx(), "AES-256-GCM", kVhsm)), nullptr);
    EXPECT_EQ(ossl::Kdf(EVP_KDF_fetch(host.ctx(), "HKDF", kVhsm)), nullptr);
    EXPECT_EQ(ossl::Mac(EVP_MAC_fetch(host.ctx(), "HMAC", kSymmetric)), nullptr);
    EXPECT_NE(ossl::Mac(EVP_MAC_fetch(host.ctx(), "VHSM-HMAC", kSymmetric)), nullptr);
    EXPECT_NE(ossl::Mac(EVP_MAC_fetch(host.ctx(), "VHSM-HMAC", nullptr)), nullptr);
    take_errors();
  }
}

TEST(SymmetricNamesTest, NoParameterTellsAKey) {
  const KeyFolder folder;
  const Host host("vhsm_files");
  const Secret key = store_secret(folder, "any-32", pattern(32, 1));
  const auto mac = begin_mac(host, By::kName, key, {"HMAC", hmac_digest("SHA256")});
  const auto cipher = begin_cipher(host, By::kName, key, {"AES-256-GCM", pattern(12, 4)}, true);
  ASSERT_NE(mac, nullptr);
  ASSERT_NE(cipher, nullptr);
  for (const char* name : {"key", "raw-bytes", "secret", "seed", "vhsm-uri", "iv", "updated-iv"}) {
    Bytes buffer(256);
    OSSL_PARAM params[] = {OSSL_PARAM_construct_octet_string(name, buffer.data(), buffer.size()),
                           OSSL_PARAM_construct_end()};
    EVP_MAC_CTX_get_params(mac.get(), params);
    EVP_CIPHER_CTX_get_params(cipher.get(), params);
    EXPECT_EQ(std::search(buffer.begin(), buffer.end(), key.bytes.begin(), key.bytes.begin() + 8),
              buffer.end())
        << name;
  }
  for (const OSSL_PARAM* list :
       {EVP_MAC_CTX_settable_params(mac.get()), EVP_CIPHER_CTX_settable_params(cipher.get())}) {
    EXPECT_NE(OSSL_PARAM_locate_const(list, "vhsm-uri"), nullptr);
    EXPECT_EQ(OSSL_PARAM_locate_const(list, OSSL_MAC_PARAM_KEY), nullptr);
  }
  take_errors();
}

}  // namespace
}  // namespace vhsm::test
