// SPDX-License-Identifier: Apache-2.0
//
// RSA decryption with a named key that the default provider has too: what that encrypts comes
// back, and nobody learns from us whether a padding was right.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rsa.h>

#include <optional>
#include <string>

#include "tests/provider/configured.h"
#include "tests/provider/host.h"
#include "tests/provider/key_folder.h"
#include "tests/provider/params.h"

namespace vhsm::test {
namespace {

using ::testing::HasSubstr;

/// With `lines` in vhsm.cnf.
class Decrypter {
 public:
  explicit Decrypter(const std::string& lines = "") : configured_(lines) {
    EXPECT_NE(key_, nullptr) << take_errors();
  }

  [[nodiscard]] ossl::PKeyCtx begin(const Params& params) const {
    ossl::PKeyCtx ctx(EVP_PKEY_CTX_new_from_pkey(host_.ctx(), key_.get(), nullptr));
    const bool begun = EVP_PKEY_decrypt_init_ex(ctx.get(), params.get().data()) == 1;
    return begun ? std::move(ctx) : nullptr;
  }
  static std::optional<Bytes> decrypt(EVP_PKEY_CTX* ctx, const Bytes& cipher,
                                      std::size_t capacity = 256) {
    Bytes plain(capacity);
    std::size_t size = capacity;
    if (ctx == nullptr ||
        EVP_PKEY_decrypt(ctx, plain.data(), &size, cipher.data(), cipher.size()) != 1) {
      return std::nullopt;
    }
    plain.resize(size);
    return plain;
  }
  [[nodiscard]] std::optional<Bytes> decrypt(const Params& params, const Bytes& cipher) const {
    return decrypt(begin(params).get(), cipher);
  }
  /// By the default provider.
  [[nodiscard]] Bytes encrypt(const Params& params, const Bytes& plain) const {
    const auto peer = host_.public_in_default(key_.get());
    const ossl::PKeyCtx ctx(EVP_PKEY_CTX_new_from_pkey(host_.ctx(), peer.get(), nullptr));
    Bytes cipher(256);
    std::size_t size = cipher.size();
    EXPECT_EQ(EVP_PKEY_encrypt_init_ex(ctx.get(), params.get().data()), 1) << take_errors();
    EXPECT_EQ(EVP_PKEY_encrypt(ctx.get(), cipher.data(), &size, plain.data(), plain.size()), 1)
        << take_errors();
    return cipher;
  }
  /// A ciphertext whose padding is not PKCS#1 v1.5's.
  [[nodiscard]] Bytes badly_padded() const {
    Bytes block(256, 0x55);
    block[0] = 0;
    return encrypt(Params().text("pad-mode", "none"), block);
  }
  [[nodiscard]] bool hides_wrong_padding() const {
    return OSSL_PARAM_locate_const(EVP_PKEY_CTX_settable_params(begin(Params()).get()),
                                   "implicit-rejection") != nullptr;
  }
  [[nodiscard]] const Host& host() const { return host_; }

 private:
  const KeyFolder folder_;
  const Configured configured_;
  const Host host_{"vhsm_files"};
  const ossl::PKey key_ = host_.open(folder_.uri("RSA"));
};

Params pkcs1() { return Params().text("pad-mode", "pkcs1"); }
Params oaep() { return Params().text("pad-mode", "oaep"); }

TEST(OaepTest, EveryDigestMgf1AndLabelComesBack) {
  const Decrypter ours;
  const Bytes label{'l', 'a', 'b', 'e', 'l'};
  for (const Params& params :
       {oaep(), oaep().text("digest", "SHA256"), oaep().text("digest", "SHA3-384"),
        oaep().text("digest", "SHA512").text("mgf1-digest", "SHA1"),
        oaep().text("digest", "SHA1").text("mgf1-digest", "SHA256"),
        oaep().text("digest", "SHA256").text("digest-props", "provider=default"),
        oaep().bytes("oaep-label", label),
        oaep().text("digest", "SHA256").text("mgf1-digest", "SHA384").bytes("oaep-label", label),
        Params().number("pad-mode", RSA_PKCS1_OAEP_PADDING)}) {
    EXPECT_EQ(ours.decrypt(params, ours.encrypt(params, kMessage)), kMessage) << take_errors();
  }
}

TEST(OaepTest, AnotherLabelOrDigestGivesNothing) {
  const Decrypter ours;
  const Bytes cipher = ours.encrypt(oaep().bytes("oaep-label", {1, 2, 3}), kMessage);
  EXPECT_EQ(ours.decrypt(oaep(), cipher), std::nullopt);
  EXPECT_EQ(ours.decrypt(oaep().bytes("oaep-label", {1, 2, 4}), cipher), std::nullopt);
  EXPECT_EQ(ours.decrypt(oaep().text("digest", "SHA256").bytes("oaep-label", {1, 2, 3}), cipher),
            std::nullopt);
}

TEST(OaepTest, ACopyOfTheContextHasTheLabel) {
  const Decrypter ours;
  const Params params = oaep().bytes("oaep-label", {9, 8, 7});
  const auto one = ours.begin(params);
  ASSERT_NE(one, nullptr);
  const ossl::PKeyCtx other(EVP_PKEY_CTX_dup(one.get()));
  ASSERT_NE(other, nullptr) << take_errors();
  const Bytes cipher = ours.encrypt(params, kMessage);
  EXPECT_EQ(Decrypter::decrypt(other.get(), cipher), kMessage) << take_errors();
  EXPECT_EQ(Decrypter::decrypt(one.get(), cipher), kMessage) << take_errors();
}

TEST(OaepTest, ATooSmallBufferIsRefused) {
  const Decrypter ours;
  const Bytes cipher = ours.encrypt(oaep(), kMessage);
  EXPECT_EQ(Decrypter::decrypt(ours.begin(oaep()).get(), cipher, 255), std::nullopt);
}

TEST(RawDecryptionTest, GivesTheWholeBlock) {
  const Decrypter ours;
  Bytes block(256, 0x33);
  block[0] = 0;
  const Params raw = Params().text("pad-mode", "none");
  EXPECT_EQ(ours.decrypt(raw, ours.encrypt(raw, block)), block) << take_errors();
}

TEST(Pkcs1DecryptionTest, IsRefusedWhereItWouldTellOfAWrongPadding) {
  const Decrypter ours;
  const auto before = ours.host().counter("vhsm-operations");
  const auto plain = ours.decrypt(pkcs1(), ours.encrypt(pkcs1(), kMessage));
  if (ours.hides_wrong_padding()) {
    EXPECT_EQ(plain, kMessage) << take_errors();
    return;
  }
  EXPECT_EQ(plain, std::nullopt);
  EXPECT_THAT(take_errors(), HasSubstr("pkcs1_v15_decrypt = yes"));
  EXPECT_EQ(ours.decrypt(Params(), ours.encrypt(pkcs1(), kMessage)), std::nullopt)
      << "it is what comes without a parameter";
  EXPECT_EQ(ours.host().counter("vhsm-operations"), before);
}

TEST(Pkcs1DecryptionTest, ComesBackWithTheSetting) {
  const Decrypter ours("pkcs1_v15_decrypt = yes\n");
  EXPECT_EQ(ours.decrypt(pkcs1(), ours.encrypt(pkcs1(), kMessage)), kMessage) << take_errors();
}

TEST(Pkcs1DecryptionTest, AWrongPaddingIsHiddenOrAnErrorOfWhoAskedForIt) {
  const Decrypter ours("pkcs1_v15_decrypt = yes\n");
  const Bytes bad = ours.badly_padded();
  const auto made_up = ours.decrypt(pkcs1(), bad);
  EXPECT_EQ(made_up.has_value(), ours.hides_wrong_padding());
  EXPECT_EQ(made_up, ours.decrypt(pkcs1(), bad)) << "the same each time, or it would tell";
  const Params told = pkcs1().unsigned_number("implicit-rejection", 0);
  EXPECT_EQ(ours.decrypt(told, bad), std::nullopt);
}

TEST(Pkcs1DecryptionTest, EachTryIsCountedWhateverComesOfIt) {
  const Decrypter ours("pkcs1_v15_decrypt = yes\n");
  const auto before = ours.host().counter("vhsm-operations");
  static_cast<void>(ours.decrypt(pkcs1(), ours.badly_padded()));
  static_cast<void>(ours.decrypt(oaep(), ours.badly_padded()));
  EXPECT_EQ(ours.host().counter("vhsm-operations"), before + 2);
}

TEST(TlsDecryptionTest, AWrongPaddingLooksLikeARightOne) {
  constexpr int kTlsPadding = 7;  // RSA_PKCS1_WITH_TLS_PADDING
  const Decrypter ours;
  const Params params = Params().number("pad-mode", kTlsPadding);
  const auto ctx = ours.begin(params);
  ASSERT_NE(ctx, nullptr) << take_errors();
  unsigned version = 0x0303;
  OSSL_PARAM client[] = {
      OSSL_PARAM_construct_uint(OSSL_ASYM_CIPHER_PARAM_TLS_CLIENT_VERSION, &version),
      OSSL_PARAM_construct_end()};
  ASSERT_EQ(EVP_PKEY_CTX_set_params(ctx.get(), client), 1);
  Bytes premaster(48, 0x5a);
  premaster[0] = premaster[1] = 3;
  take_errors();
  for (const Bytes& cipher :
       {ours.encrypt(pkcs1(), premaster), ours.badly_padded(), ours.encrypt(pkcs1(), kMessage)}) {
    const auto secret = Decrypter::decrypt(ctx.get(), cipher, 48);
    ASSERT_TRUE(secret.has_value()) << take_errors();
    EXPECT_EQ(secret->size(), 48U);
    EXPECT_EQ(ERR_peek_error(), 0U);
  }
}

TEST(EncryptionTest, WithAnImportedPublicKeyIsReadByTheDefaultProvider) {
  const Host host;
  const auto theirs = host.generate("RSA", {}, kDefault);
  OSSL_PARAM* params = nullptr;
  ASSERT_EQ(EVP_PKEY_todata(theirs.get(), EVP_PKEY_PUBLIC_KEY, &params), 1);
  const ossl::PKeyCtx make(EVP_PKEY_CTX_new_from_name(host.ctx(), "RSA", kVhsm));
  ossl::PKey peer;
  EVP_PKEY_fromdata_init(make.get());
  EVP_PKEY_fromdata(make.get(), ossl::Receive(peer), EVP_PKEY_PUBLIC_KEY, params);
  OSSL_PARAM_free(params);
  const ossl::PKeyCtx ctx(EVP_PKEY_CTX_new_from_pkey(host.ctx(), peer.get(), kVhsm));
  ASSERT_EQ(EVP_PKEY_encrypt_init(ctx.get()), 1) << take_errors();
  Bytes cipher(256);
  std::size_t size = cipher.size();
  ASSERT_EQ(EVP_PKEY_encrypt(ctx.get(), cipher.data(), &size, kMessage.data(), kMessage.size()), 1)
      << take_errors();
  const ossl::PKeyCtx back(EVP_PKEY_CTX_new_from_pkey(host.ctx(), theirs.get(), nullptr));
  ASSERT_EQ(EVP_PKEY_decrypt_init(back.get()), 1);
  EXPECT_EQ(Decrypter::decrypt(back.get(), cipher, 256), kMessage);
}

}  // namespace
}  // namespace vhsm::test
