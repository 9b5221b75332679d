// SPDX-License-Identifier: Apache-2.0
//
// What may come out, and what never does: by what stands in the resource, and by its name.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>

#include "jose/secret_jwk.h"
#include "keystore/keystore.h"
#include "keystore/secret_material.h"
#include "tests/keystore/samples.h"

namespace vhsm::keystore {
namespace {

std::string released(const SecretBytes& bytes) {
  return {bytes.expose().begin(), bytes.expose().end()};
}

std::string releasable(const std::string& text) {
  return released(jose::releasable(secret(text)).value());
}

Errc refusal(const Result<SecretMaterial>& parsed) {
  return parsed.ok() ? Errc::kInternal : parsed.error().code;
}

class SecretMaterialTest : public KeystoreTest {};

TEST_F(SecretMaterialTest, WhatIsMarkedIsReadBackAsItWas) {
  for (std::size_t size = 1; size < 70; ++size) {
    std::string text(size, '\0');
    for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 37 + size * 11);
    const auto parsed = parse_secret(secret(releasable(text)));
    ASSERT_TRUE(parsed.ok()) << size;
    EXPECT_EQ(parsed.value().uses.uses, KeyUses::kRelease);
    EXPECT_EQ(released(parsed.value().key), text) << size;
  }
}

TEST_F(SecretMaterialTest, TheMarkedFormIsTheOneThatTheManualShows) {
  EXPECT_EQ(releasable("sesame"), R"({"kty":"oct","key_ops":["release"],"k":"c2VzYW1l"})");
  EXPECT_EQ(releasable(std::string("\xfb\xff\xbf", 3)),
            R"({"kty":"oct","key_ops":["release"],"k":"-_-_"})");
}

TEST_F(SecretMaterialTest, ASecretHasUpTo64KiBAndAKey1) {
  EXPECT_TRUE(parse_secret(secret(releasable(std::string(65536, 'a')))).ok());
  EXPECT_EQ(refusal(parse_secret(secret(releasable(std::string(65537, 'a'))))), Errc::kBadFormat);
  EXPECT_EQ(refusal(parse_secret(secret(std::string(1025, 'a')))), Errc::kBadFormat);
}

TEST_F(SecretMaterialTest, ReleaseStandsAlone) {
  for (const char* const ops : {R"(["release","sign"])", R"(["deriveKey","release"])"}) {
    const auto jwk = std::string(R"({"kty":"oct","k":"AAAA","key_ops":)") + ops + "}";
    EXPECT_EQ(refusal(parse_secret(secret(jwk))), Errc::kBadFormat) << ops;
  }
}

TEST_F(SecretMaterialTest, NothingElseIsMarked) {
  for (const char* const stored :
       {"sesame", R"({"kty":"oct","k":"AAAA"})", R"({"kty":"oct","k":"AAAA","key_ops":[]})",
        R"({"kty":"oct","k":"AAAA","use":"release","key_ops":["sign"]})",
        R"({"kty":"oct","k":"AAAA","releasable":true})"}) {
    const auto parsed = parse_secret(secret(stored));
    EXPECT_EQ(parsed.ok() ? parsed.value().uses.uses & KeyUses::kRelease : 0U, 0U) << stored;
  }
}

TEST_F(SecretMaterialTest, AKeyPairIsNoSecretMarkedOrNot) {
  const std::string pem = pkcs8_pem(make_key("P-256").get());
  EXPECT_EQ(refusal(parse_secret(secret(releasable(pem)))), Errc::kBadFormat);
  EXPECT_EQ(refusal(parse_named_secret(secret(pem))), Errc::kBadFormat);
  EXPECT_EQ(refusal(parse_named_secret(secret(releasable(pem)))), Errc::kBadFormat);
}

TEST_F(SecretMaterialTest, WhereNamesSaySoBytesAreSecretsAndKeysAreRefused) {
  const auto parsed = parse_named_secret(secret("a passphrase\n"));
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(parsed.value().uses.uses, KeyUses::kRelease);
  EXPECT_EQ(released(parsed.value().key), "a passphrase\n");
  EXPECT_EQ(refusal(parse_named_secret(secret(R"({"kty":"oct","k":"AAAA"})"))), Errc::kBadFormat);
  EXPECT_EQ(refusal(parse_named_secret(secret(R"({"kty":"oct","k":"AAAA","key_ops":["sign"]})"))),
            Errc::kBadFormat);
}

// ----- a keystore in front of a KBS
// ---------------------------------------------------------------

class Resources final : public KeySource {
 public:
  explicit Resources(std::map<std::string, std::string> all) : all_(std::move(all)) {}
  Result<SecretBytes> fetch(const KeyName& name,
                            std::chrono::steady_clock::time_point /*deadline*/) override {
    const auto found = all_.find(name.path());
    if (found == all_.end()) return fail(Errc::kMissing, "no such resource", name.uri());
    return secret(found->second);
  }

 private:
  std::map<std::string, std::string> all_;
};

class ReleaseTest : public KeystoreTest {
 protected:
  void SetUp() override {
    Policy policy;
    policy.secret_paths.push_back(KeyFolder::parse("vhsm:default/secret/").value());
    keystore_ =
        make_memory_keystore(std::make_shared<Resources>(std::map<std::string, std::string>{
                                 {"default/key/raw", std::string(32, 'k')},
                                 {"default/key/marked", releasable("sesame")},
                                 {"default/key/pair", pkcs8_pem(make_key("P-256").get())},
                                 {"default/secret/luks", "open sesame"},
                                 {"default/secret/pair", pkcs8_pem(make_key("P-256").get())},
                                 {"default/secretive/luks", "not below that folder"}}),
                             {}, std::make_shared<Metrics>(), policy);
  }
  static KeyUri uri(const char* name, std::optional<ObjectType> type = std::nullopt) {
    return {KeyName::parse(name).value(), type, {}};
  }
  Errc refusal(const char* name) const {
    const auto got = keystore_->release(uri(name));
    return got.ok() ? Errc::kInternal : got.error().code;
  }

  std::unique_ptr<HoldingKeystore> keystore_;
};

TEST_F(ReleaseTest, MarkedBytesComeOutAndKeysDoNot) {
  EXPECT_EQ(released(keystore_->release(uri("default/key/marked")).value()), "sesame");
  EXPECT_EQ(refusal("default/key/raw"), Errc::kNotExportable);
  EXPECT_NE(refusal("default/key/pair"), Errc::kInternal);
  EXPECT_EQ(refusal("default/key/nobody"), Errc::kMissing);
}

TEST_F(ReleaseTest, APairThatIsHereAlreadyDoesNotComeOutEither) {
  ASSERT_TRUE(keystore_->open(uri("default/key/pair")).ok());
  EXPECT_EQ(refusal("default/key/pair"), Errc::kNotExportable);
}

TEST_F(ReleaseTest, BytesBelowASecretPathComeOutAndServeAsNoKey) {
  EXPECT_EQ(released(keystore_->release(uri("default/secret/luks")).value()), "open sesame");
  EXPECT_EQ(refusal("default/secretive/luks"), Errc::kNotExportable);
  EXPECT_EQ(refusal("default/secret/pair"), Errc::kBadFormat);
  const auto as_key = keystore_->open(uri("default/secret/pair"));
  ASSERT_FALSE(as_key.ok());
  EXPECT_EQ(as_key.error().code, Errc::kPolicy);
}

TEST_F(ReleaseTest, NoOperationTakesASecret) {
  for (const char* const name : {"default/key/marked", "default/secret/luks"}) {
    const auto entry = keystore_->open(uri(name, ObjectType::kSecret));
    ASSERT_TRUE(entry.ok());
    for (const SymmetricAlgorithm* const algorithm : symmetric_algorithms()) {
      const auto operation = make_local_operation(*algorithm);
      if (!operation.ok()) continue;
      const Status started = operation.value()->start({.key = entry.value().symmetric});
      ASSERT_FALSE(started.ok()) << algorithm->name;
      EXPECT_EQ(started.error().code, Errc::kPolicy) << algorithm->name;
    }
  }
}

}  // namespace
}  // namespace vhsm::keystore
