// SPDX-License-Identifier: Apache-2.0
//
// Files that are encrypted in chunks: whatever is done to one, nothing comes out but what was
// encrypted, from its beginning.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>

#include <memory>
#include <string>

#include "keystore/sealed_stream.h"
#include "tests/keystore/samples.h"

namespace vhsm::keystore {
namespace {

const std::string kKey = "0123456789abcdef0123456789ABCDEF";
constexpr std::size_t kSealedChunk = kStreamChunkBytes + kStreamTagBytes;

class TwoKeys final : public KeySource {
 public:
  Result<SecretBytes> fetch(const KeyName& name,
                            std::chrono::steady_clock::time_point /*deadline*/) override {
    if (name.path() == "default/key/file") return secret(kKey);
    if (name.path() == "default/key/other") return secret(std::string(32, 'o'));
    return secret("a short key");
  }
};

std::string pattern(std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 131 + i / 251);
  return text;
}

struct Decrypted {
  Status outcome;
  std::string text;  ///< what came out
};

class StreamTest : public KeystoreTest {
 protected:
  static KeyUri uri(const char* name) {
    return {KeyName::parse(std::string("default/key/") + name).value(), {}, {}};
  }
  static auto from(std::string text) {
    return [text = std::move(text),
            at = std::size_t{0}](std::span<std::uint8_t> into) mutable -> Result<std::size_t> {
      const std::size_t size = std::min(into.size(), text.size() - at);
      std::copy_n(text.data() + at, size, into.begin());
      at += size;
      return size;
    };
  }
  static auto into(std::string& text) {
    return [&text](std::span<const std::uint8_t> bytes) -> Status {
      text.append(bytes.begin(), bytes.end());
      return {};
    };
  }
  std::string encrypted(const std::string& text) const {
    std::string sealed;
    const Status done = encrypt_stream(*keystore_, uri("file"), from(text), into(sealed));
    EXPECT_TRUE(done.ok()) << (done.ok() ? "" : describe(done.error()));
    return sealed;
  }
  Decrypted decrypted(const std::string& sealed, const char* key = "file") const {
    Decrypted result;
    result.outcome = decrypt_stream(*keystore_, uri(key), from(sealed), into(result.text));
    return result;
  }
  void expect_noticed(const std::string& sealed, const std::string& original) const {
    const Decrypted result = decrypted(sealed);
    ASSERT_FALSE(result.outcome.ok());
    EXPECT_THAT(result.outcome.error().code,
                testing::AnyOf(Errc::kTampered, Errc::kBadFormat, Errc::kUnsupported));
    EXPECT_TRUE(original.starts_with(result.text));
    EXPECT_LT(result.text.size(), original.size() + (original.empty() ? 1 : 0));
  }

  std::unique_ptr<HoldingKeystore> keystore_ =
      make_memory_keystore(std::make_shared<TwoKeys>(), {}, std::make_shared<Metrics>());
};

TEST_F(StreamTest, FilesOfAnyLengthComeBack) {
  for (const std::size_t size :
       {0U, 1U, 15U, 16U, 65535U, 65536U, 65537U, 131071U, 131072U, 131073U, 500000U}) {
    const std::string text = pattern(size);
    const std::string sealed = encrypted(text);
    const std::size_t chunks = size == 0 ? 1 : (size + kStreamChunkBytes - 1) / kStreamChunkBytes;
    EXPECT_EQ(sealed.size(), StreamHead::kBytes + size + chunks * kStreamTagBytes);
    const Decrypted back = decrypted(sealed);
    ASSERT_TRUE(back.outcome.ok()) << size;
    EXPECT_TRUE(back.text == text) << size;
  }
}

TEST_F(StreamTest, EveryChangedByteIsNoticed) {
  const std::string text = "a short message";
  const std::string sealed = encrypted(text);
  for (std::size_t i = 0; i < sealed.size(); ++i) {
    // The version of the key, which a KBS's key has not: another one is asked for, and missing.
    if (i >= 12 && i < 16) continue;
    std::string changed = sealed;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    SCOPED_TRACE(i);
    expect_noticed(changed, text);
  }
}

TEST_F(StreamTest, AnotherVersionInTheHeadIsNoKeyThatIsThere) {
  std::string sealed = encrypted("text");
  sealed[15] = 1;
  EXPECT_FALSE(decrypted(sealed).outcome.ok());
  EXPECT_EQ(decrypted(sealed).text, "");
}

TEST_F(StreamTest, AFileThatIsCutOffAnywhereIsNoticed) {
  const std::string text = pattern(2 * kStreamChunkBytes + 10);
  const std::string sealed = encrypted(text);
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{1}, StreamHead::kBytes - 1, StreamHead::kBytes,
        StreamHead::kBytes + 15, StreamHead::kBytes + 16, StreamHead::kBytes + kSealedChunk - 1,
        StreamHead::kBytes + kSealedChunk, StreamHead::kBytes + kSealedChunk + 1,
        StreamHead::kBytes + 2 * kSealedChunk, sealed.size() - 1}) {
    SCOPED_TRACE(size);
    expect_noticed(sealed.substr(0, size), text);
  }
  SCOPED_TRACE("longer");
  const Decrypted longer = decrypted(sealed + "x");
  EXPECT_FALSE(longer.outcome.ok());
  EXPECT_TRUE(text.starts_with(longer.text));
}

TEST_F(StreamTest, ChunksThatAreMovedDoubledOrLeftOutAreNoticed) {
  const std::string text = pattern(3 * kStreamChunkBytes);
  const std::string sealed = encrypted(text);
  const std::string head = sealed.substr(0, StreamHead::kBytes);
  const auto chunk = [&](std::size_t i) {
    return sealed.substr(StreamHead::kBytes + i * kSealedChunk, kSealedChunk);
  };
  ASSERT_TRUE(decrypted(head + chunk(0) + chunk(1) + chunk(2)).outcome.ok());
  expect_noticed(head + chunk(1) + chunk(0) + chunk(2), text);
  expect_noticed(head + chunk(0) + chunk(2), text);
  expect_noticed(head + chunk(0) + chunk(0) + chunk(1) + chunk(2), text);
  expect_noticed(head + chunk(2), text);
  const std::string other = encrypted(text);
  expect_noticed(head + other.substr(StreamHead::kBytes), text);
}

TEST_F(StreamTest, AnotherKeyOpensNothingAndAShortOneEncryptsNothing) {
  const Decrypted wrong = decrypted(encrypted("text"), "other");
  ASSERT_FALSE(wrong.outcome.ok());
  EXPECT_EQ(wrong.outcome.error().code, Errc::kTampered);
  EXPECT_EQ(wrong.text, "");
  std::string sealed;
  const Status refused = encrypt_stream(*keystore_, uri("short"), from("text"), into(sealed));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Errc::kBadLength);
  EXPECT_EQ(sealed, "");
}

TEST_F(StreamTest, TwoFilesOfOneTextHaveNothingInCommon) {
  const std::string text = pattern(1000);
  const std::string one = encrypted(text).substr(16);
  const std::string two = encrypted(text).substr(16);
  std::size_t same = 0;
  for (std::size_t i = 0; i < one.size(); ++i) same += one[i] == two[i] ? 1U : 0U;
  EXPECT_LT(same, one.size() / 16);
}

/// AES-256-GCM without vhsm.
std::string gcm_open(const std::string& key, const std::string& nonce, const std::string& bound,
                     const std::string& sealed) {
  const auto at = [](const std::string& s) {
    return reinterpret_cast<const unsigned char*>(s.data());
  };
  const std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)> ctx(EVP_CIPHER_CTX_new(),
                                                                            EVP_CIPHER_CTX_free);
  std::string text(sealed.size() - kStreamTagBytes, '\0');
  std::string tag = sealed.substr(text.size());
  int size = 0;
  EVP_DecryptInit_ex(ctx.get(), EVP_aes_256_gcm(), nullptr, at(key), at(nonce));
  if (!bound.empty()) {
    EVP_DecryptUpdate(ctx.get(), nullptr, &size, at(bound), static_cast<int>(bound.size()));
  }
  EVP_DecryptUpdate(ctx.get(), reinterpret_cast<unsigned char*>(text.data()), &size, at(sealed),
                    static_cast<int>(text.size()));
  EVP_CIPHER_CTX_ctrl(ctx.get(), EVP_CTRL_AEAD_SET_TAG, kStreamTagBytes, tag.data());
  return EVP_DecryptFinal_ex(ctx.get(), nullptr, &size) == 1 ? text : "refused";
}

TEST_F(StreamTest, WhatTheDocumentSaysIsEnoughToDecryptAFile) {
  const std::string text = pattern(kStreamChunkBytes + 7);
  const std::string sealed = encrypted(text);
  EXPECT_EQ(sealed.substr(0, 16), std::string("VHSMFILE\0\0\0\1\0\0\0\0", 16));
  const std::string key =
      gcm_open(kKey, sealed.substr(16, 12), sealed.substr(0, 16), sealed.substr(28, 48));
  ASSERT_EQ(key.size(), 32U);
  EXPECT_EQ(gcm_open(key, std::string(12, '\0'), "", sealed.substr(76, kSealedChunk)),
            text.substr(0, kStreamChunkBytes));
  EXPECT_EQ(gcm_open(key, std::string("\0\0\0\0\0\0\0\0\0\0\1\1", 12), "",
                     sealed.substr(76 + kSealedChunk)),
            text.substr(kStreamChunkBytes));
}

}  // namespace
}  // namespace vhsm::keystore
