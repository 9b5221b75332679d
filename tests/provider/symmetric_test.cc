// SPDX-License-Identifier: Apache-2.0
//
// Symmetric keys that stay in vhsm: published vectors, the default provider with the same key, and
// other processes.
#include <sys/wait.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/core_names.h>

#include <array>
#include <string>

#include "tests/provider/symmetric_fixture.h"

namespace vhsm::test {
namespace {

using ::testing::HasSubstr;

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

}  // namespace
}  // namespace vhsm::test
