// SPDX-License-Identifier: Apache-2.0
//
// What libssl does to a server's key: probes, size queries, and RSA key transport of TLS 1.2.
#include <gtest/gtest.h>
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>

#include <array>
#include <string>

#include "tests/provider/host.h"
#include "tests/provider/key_folder.h"

namespace vhsm::test {
namespace {

class LibsslHabitsTest : public ::testing::Test {
 protected:
  [[nodiscard]] std::uint64_t operations() const { return host_.counter("vhsm-operations"); }

  [[nodiscard]] ossl::PKey open(const std::string& type) const {
    auto key = host_.open(folder_.uri(type));
    EXPECT_NE(key, nullptr) << take_errors();
    return key;
  }

  const KeyFolder folder_;
  const Host host_{"vhsm_files"};
};

TEST_F(LibsslHabitsTest, ProbesAndSizeQueriesNeverSign) {
  for (const char* type : {"RSA", "EC"}) {
    const auto key = open(type);
    const auto before = operations();
    EXPECT_EQ(EVP_PKEY_digestsign_supports_digest(key.get(), host_.ctx(), "SHA256", nullptr), 1);
    const ossl::MdCtx md(EVP_MD_CTX_new());
    std::size_t size = 0;
    ASSERT_EQ(EVP_DigestSignInit_ex(md.get(), nullptr, "SHA256", host_.ctx(), nullptr, key.get(),
                                    nullptr),
              1);
    EXPECT_EQ(EVP_DigestSign(md.get(), nullptr, &size, kMessage.data(), kMessage.size()), 1);
    EXPECT_EQ(size, static_cast<std::size_t>(EVP_PKEY_get_size(key.get())));
    EXPECT_EQ(operations(), before) << type;
    Bytes signature(size);
    EXPECT_EQ(EVP_DigestSign(md.get(), signature.data(), &size, kMessage.data(), kMessage.size()),
              1);
    EXPECT_EQ(operations(), before + 1) << type;
  }
}

TEST_F(LibsslHabitsTest, SizeQueriesNeverDecryptOrDerive) {
  const auto rsa = open("RSA");
  const auto ec = open("EC");
  const auto before = operations();
  std::size_t size = 0;
  const ossl::PKeyCtx decrypt(EVP_PKEY_CTX_new_from_pkey(host_.ctx(), rsa.get(), nullptr));
  ASSERT_EQ(EVP_PKEY_decrypt_init(decrypt.get()), 1);
  const Bytes ciphertext(256);
  EXPECT_EQ(EVP_PKEY_decrypt(decrypt.get(), nullptr, &size, ciphertext.data(), ciphertext.size()),
            1);
  EXPECT_EQ(size, 256U);
  const ossl::PKeyCtx derive(EVP_PKEY_CTX_new_from_pkey(host_.ctx(), ec.get(), nullptr));
  ASSERT_EQ(EVP_PKEY_derive_init(derive.get()), 1);
  ASSERT_EQ(EVP_PKEY_derive_set_peer(derive.get(), ec.get()), 1) << take_errors();
  EXPECT_EQ(EVP_PKEY_derive(derive.get(), nullptr, &size), 1);
  EXPECT_EQ(size, 32U);
  EXPECT_EQ(operations(), before);
}

/// An export that must fail does so without a fetch and without an entry in the error queue of
/// ours.
TEST_F(LibsslHabitsTest, TheExportToAnotherProviderFailsInSilence) {
  const auto key = open("EC");
  take_errors();
  OSSL_PARAM* params = nullptr;
  EXPECT_NE(EVP_PKEY_todata(key.get(), EVP_PKEY_KEYPAIR, &params), 1);
  OSSL_PARAM_free(params);
  EXPECT_EQ(take_errors().find("vhsm"), std::string::npos);
}

/// RSA key transport: a premaster secret of 48 bytes that begins with the client's version.
class KeyTransportTest : public LibsslHabitsTest {
 protected:
  static constexpr std::size_t kPremasterBytes = 48;
  using Premaster = std::array<unsigned char, kPremasterBytes>;

  void SetUp() override {
    RAND_bytes(premaster_.data(), kPremasterBytes);
    premaster_[0] = TLS1_2_VERSION >> 8;
    premaster_[1] = TLS1_2_VERSION & 0xFF;
  }

  [[nodiscard]] Bytes encrypt(const Bytes& plaintext, int padding) const {
    const ossl::PKeyCtx ctx(EVP_PKEY_CTX_new_from_pkey(host_.ctx(), key_.get(), nullptr));
    EXPECT_EQ(EVP_PKEY_encrypt_init(ctx.get()), 1);
    EXPECT_EQ(EVP_PKEY_CTX_set_rsa_padding(ctx.get(), padding), 1);
    Bytes out(256);
    std::size_t size = out.size();
    EXPECT_EQ(EVP_PKEY_encrypt(ctx.get(), out.data(), &size, plaintext.data(), plaintext.size()), 1)
        << take_errors();
    return out;
  }

  /// As libssl does it: into a buffer that is smaller than the modulus.
  [[nodiscard]] Premaster decrypt(const Bytes& ciphertext) const {
    const ossl::PKeyCtx ctx(EVP_PKEY_CTX_new_from_pkey(host_.ctx(), key_.get(), nullptr));
    unsigned version = TLS1_2_VERSION;
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_uint(OSSL_ASYM_CIPHER_PARAM_TLS_CLIENT_VERSION, &version),
        OSSL_PARAM_construct_end()};
    Premaster out{};
    std::size_t size = out.size();
    EXPECT_EQ(EVP_PKEY_decrypt_init(ctx.get()), 1);
    EXPECT_EQ(EVP_PKEY_CTX_set_rsa_padding(ctx.get(), RSA_PKCS1_WITH_TLS_PADDING), 1);
    EXPECT_EQ(EVP_PKEY_CTX_set_params(ctx.get(), params), 1);
    EXPECT_EQ(EVP_PKEY_decrypt(ctx.get(), out.data(), &size, ciphertext.data(), ciphertext.size()),
              1)
        << take_errors();
    EXPECT_EQ(size, kPremasterBytes);
    return out;
  }

  const ossl::PKey key_ = open("RSA");
  Premaster premaster_{};
};

TEST_F(KeyTransportTest, GivesThePremasterSecret) {
  const Bytes secret(premaster_.begin(), premaster_.end());
  EXPECT_EQ(decrypt(encrypt(secret, RSA_PKCS1_PADDING)), premaster_);
}

TEST_F(KeyTransportTest, GivesRandomBytesForBadPadding) {
  Bytes garbage(256, 0x55);
  garbage[0] = 0;
  const Bytes ciphertext = encrypt(garbage, RSA_NO_PADDING);
  const auto first = decrypt(ciphertext);
  EXPECT_NE(first, decrypt(ciphertext));
  EXPECT_NE(first, Premaster{});
}

TEST_F(KeyTransportTest, GivesRandomBytesForAnotherLength) {
  const Bytes ciphertext = encrypt(Bytes(47, 3), RSA_PKCS1_PADDING);
  EXPECT_NE(decrypt(ciphertext), decrypt(ciphertext));
}

TEST_F(KeyTransportTest, GivesRandomBytesForAnotherVersion) {
  premaster_[1] = 0;  // a roll-back
  const Bytes secret(premaster_.begin(), premaster_.end());
  const auto out = decrypt(encrypt(secret, RSA_PKCS1_PADDING));
  EXPECT_NE(out, premaster_);
}

}  // namespace
}  // namespace vhsm::test
