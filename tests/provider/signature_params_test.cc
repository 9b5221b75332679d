// SPDX-License-Identifier: Apache-2.0
//
// Signatures with every parameter, of a named key that the default provider has too: both take and
// refuse the same, say the same of themselves, and verify each other.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/core_names.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <array>
#include <filesystem>
#include <string>

#include "tests/provider/host.h"
#include "tests/provider/key_folder.h"
#include "tests/provider/params.h"

namespace vhsm::test {
namespace {

using ::testing::HasSubstr;

class NamedKeyTest : public ::testing::Test {
 protected:
  [[nodiscard]] ossl::PKey ours(const std::string& name) const {
    auto key = host_.open(folder_.uri(name));
    EXPECT_NE(key, nullptr) << take_errors();
    return key;
  }
  [[nodiscard]] ossl::PKey theirs(const std::string& name) const {
    return folder_.in_default(host_, name);
  }
  [[nodiscard]] std::uint64_t operations() const { return host_.counter("vhsm-operations"); }
  [[nodiscard]] ossl::PKeyCtx context(EVP_PKEY* key) const {
    return ossl::PKeyCtx(EVP_PKEY_CTX_new_from_pkey(host_.ctx(), key, nullptr));
  }

  const KeyFolder folder_;
  const Host host_{"vhsm_files"};
};

struct Case {
  const char* name;
  const char* type;
  const char* digest;
  Params params;
};
void PrintTo(const Case& one, std::ostream* out) { *out << one.name; }

/// What became of a case: whether it was taken, what the context said, and the signature.
struct Outcome {
  bool taken = false;
  std::string said;
  Bytes signature;
};

/// A digest has many names.
std::string first_name(const std::string& text) {
  const ossl::Md digest(EVP_MD_fetch(nullptr, text.c_str(), nullptr));
  return digest != nullptr ? EVP_MD_get0_name(digest.get()) : text;
}

/// Every parameter that a signature context may tell, in one text.
std::string told(EVP_PKEY_CTX* ctx) {
  std::string said;
  for (const char* name : {"digest", "pad-mode", "saltlen", "mgf1-digest"}) {
    std::array<char, 64> text{};
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(name, text.data(), text.size()),
                           OSSL_PARAM_construct_end()};
    const bool answered = EVP_PKEY_CTX_get_params(ctx, params) == 1;
    said += std::string(name) + "=" + (answered ? first_name(text.data()) : "?") + " ";
  }
  for (const char* name : {"pad-mode", "saltlen"}) {
    int number = 0;
    OSSL_PARAM params[] = {OSSL_PARAM_construct_int(name, &number), OSSL_PARAM_construct_end()};
    said += EVP_PKEY_CTX_get_params(ctx, params) == 1 ? std::to_string(number) + " " : "? ";
  }
  std::size_t digest_bytes = 0;
  std::array<unsigned char, 256> id{};
  OSSL_PARAM params[] = {OSSL_PARAM_construct_size_t("digest-size", &digest_bytes),
                         OSSL_PARAM_construct_octet_string("algorithm-id", id.data(), id.size()),
                         OSSL_PARAM_construct_end()};
  static_cast<void>(EVP_PKEY_CTX_get_params(ctx, params));
  said += std::to_string(digest_bytes) + " ";
  for (const unsigned char byte : id) said += std::to_string(byte) + ".";
  take_errors();
  return said;
}

class SignatureParamsTest : public NamedKeyTest, public ::testing::WithParamInterface<Case> {
 protected:
  [[nodiscard]] Outcome run(EVP_PKEY* key) const {
    Outcome outcome;
    const ossl::MdCtx md(EVP_MD_CTX_new());
    EVP_PKEY_CTX* ctx = nullptr;
    if (EVP_DigestSignInit_ex(md.get(), &ctx, GetParam().digest, host_.ctx(), nullptr, key,
                              nullptr) != 1) {
      return outcome;
    }
    outcome.taken = set(ctx);
    if (!outcome.taken) return outcome;
    outcome.said = told(ctx);
    std::size_t size = 1024;
    Bytes signature(size);
    if (EVP_DigestSign(md.get(), signature.data(), &size, kMessage.data(), kMessage.size()) == 1) {
      signature.resize(size);
      outcome.signature = signature;
    }
    return outcome;
  }
  static bool set(EVP_PKEY_CTX* ctx) {
    const Params& params = GetParam().params;  // older types take none at all
    return params.empty() || EVP_PKEY_CTX_set_params(ctx, params.get().data()) == 1;
  }
  [[nodiscard]] bool verifies(EVP_PKEY* key, const Bytes& signature) const {
    const ossl::MdCtx md(EVP_MD_CTX_new());
    EVP_PKEY_CTX* ctx = nullptr;
    return EVP_DigestVerifyInit_ex(md.get(), &ctx, GetParam().digest, host_.ctx(), nullptr, key,
                                   nullptr) == 1 &&
           set(ctx) &&
           EVP_DigestVerify(md.get(), signature.data(), signature.size(), kMessage.data(),
                            kMessage.size()) == 1;
  }
};

TEST_P(SignatureParamsTest, AreTakenRefusedAndToldAsInTheDefaultProvider) {
  const auto held = ours(GetParam().type);
  const auto file = theirs(GetParam().type);
  const Outcome expected = run(file.get());
  take_errors();
  const Outcome outcome = run(held.get());
  EXPECT_EQ(outcome.taken, expected.taken) << take_errors();
  EXPECT_EQ(outcome.said, expected.said);
  ASSERT_EQ(outcome.signature.empty(), expected.signature.empty()) << take_errors();
  if (expected.signature.empty()) return;
  EXPECT_TRUE(verifies(file.get(), outcome.signature)) << take_errors();
  EXPECT_TRUE(verifies(held.get(), expected.signature)) << take_errors();
  const auto peer = host_.public_in_default(held.get());
  EXPECT_TRUE(verifies(peer.get(), outcome.signature)) << take_errors();
}

Params pss() { return Params().text("pad-mode", "pss"); }
Params pss_by_number() { return Params().number("pad-mode", RSA_PKCS1_PSS_PADDING); }

INSTANTIATE_TEST_SUITE_P(
    Cases, SignatureParamsTest,
    ::testing::Values(
        Case{"Pkcs1", "RSA", "SHA256", Params().text("pad-mode", "pkcs1")},
        Case{"Pkcs1ByNumber", "RSA", "SHA3-384", Params().number("pad-mode", RSA_PKCS1_PADDING)},
        Case{"X931", "RSA", "SHA256", Params().text("pad-mode", "x931")},
        Case{"RawTakesNoDigest", "RSA", "SHA256", Params().text("pad-mode", "none")},
        Case{"OaepIsNoSignature", "RSA", "SHA256", Params().text("pad-mode", "oaep")},
        Case{"Pss", "RSA", "SHA256", pss()}, Case{"PssByNumber", "RSA", "SHA384", pss_by_number()},
        Case{"PssSaltDigest", "RSA", "SHA256", pss().text("saltlen", "digest")},
        Case{"PssSaltMax", "RSA", "SHA256", pss().text("saltlen", "max")},
        Case{"PssSaltAuto", "RSA", "SHA256", pss().text("saltlen", "auto")},
        Case{"PssSaltAutoDigestMax", "RSA", "SHA256", pss().text("saltlen", "auto-digestmax")},
        Case{"PssSaltOfTwenty", "RSA", "SHA256", pss().text("saltlen", "20")},
        Case{"PssSaltByNumber", "RSA", "SHA256", pss().number("saltlen", 17)},
        Case{"PssSaltDigestByNumber", "RSA", "SHA512", pss().number("saltlen", -1)},
        Case{"PssSaltAutoByNumber", "RSA", "SHA256", pss().number("saltlen", -2)},
        Case{"PssSaltMaxByNumber", "RSA", "SHA256", pss().number("saltlen", -3)},
        Case{"PssSaltAutoDigestMaxByNumber", "RSA", "SHA256", pss().number("saltlen", -4)},
        Case{"PssSaltOfAnUnknownKind", "RSA", "SHA256", pss().number("saltlen", -5)},
        Case{"PssSaltThatIsTooLong", "RSA", "SHA256", pss().text("saltlen", "1000")},
        Case{"PssMgf1", "RSA", "SHA256", pss().text("mgf1-digest", "SHA512")},
        Case{"PssMgf1WithProperties", "RSA", "SHA256",
             pss().text("mgf1-digest", "SHA384").text("mgf1-properties", "provider=default")},
        Case{"PssMgf1OfAnUnknownDigest", "RSA", "SHA256", pss().text("mgf1-digest", "SHA-7")},
        Case{"SaltWithoutPss", "RSA", "SHA256", Params().text("saltlen", "digest")},
        Case{"PssKey", "RSA-PSS", "SHA256", Params()},
        Case{"PssKeyTakesNoPkcs1", "RSA-PSS", "SHA256", Params().text("pad-mode", "pkcs1")},
        Case{"PssKeyWithSaltAndMgf1", "RSA-PSS", "SHA384",
             Params().text("saltlen", "12").text("mgf1-digest", "SHA256")},
        Case{"Ecdsa", "EC", "SHA256", Params()}, Case{"EcdsaSha3", "EC", "SHA3-512", Params()},
        Case{"EcdsaUnknownParamsAreIgnored", "EC", "SHA384", Params().text("no-such-name", "x")},
        Case{"Ed25519", "ED25519", nullptr, Params()}, Case{"Ed448", "ED448", nullptr, Params()}),
    [](const auto& test) { return std::string(test.param.name); });

/// A PSS key that says which digest, MGF1 and least salt its signatures have (RFC 4055).
class RestrictedKeyTest : public NamedKeyTest {
 protected:
  RestrictedKeyTest() {
    const ossl::PKeyCtx gen(EVP_PKEY_CTX_new_from_name(host_.ctx(), "RSA-PSS", kDefault));
    EVP_PKEY_keygen_init(gen.get());
    const Params params =
        Params().text("digest", "SHA384").text("mgf1-digest", "SHA384").number("saltlen", 32);
    EXPECT_EQ(EVP_PKEY_CTX_set_params(gen.get(), params.get().data()), 1) << take_errors();
    EVP_PKEY_generate(gen.get(), ossl::Receive(file_));
    const ossl::Bio out(BIO_new_file((folder_.path() + "/default/test/" + kName).c_str(), "w"));
    EXPECT_EQ(
        PEM_write_bio_PrivateKey(out.get(), file_.get(), nullptr, nullptr, 0, nullptr, nullptr), 1);
  }
  ~RestrictedKeyTest() override {
    std::filesystem::remove(folder_.path() + "/default/test/" + kName);
  }

  // Another for each test, as a name's key is kept once it is loaded.
  const std::string kName =
      std::string("pss-") + ::testing::UnitTest::GetInstance()->current_test_info()->name();
  ossl::PKey file_;
};

TEST_F(RestrictedKeyTest, SignsAsItsParametersSay) {
  const auto held = ours(kName);
  const Scheme scheme{"SHA384"};
  const Bytes signature = sign(host_, held.get(), scheme, kMessage);
  ASSERT_FALSE(signature.empty()) << take_errors();
  EXPECT_TRUE(verify(host_, file_.get(), scheme, kMessage, signature)) << take_errors();
  EXPECT_TRUE(
      verify(host_, held.get(), scheme, kMessage, sign(host_, file_.get(), scheme, kMessage)));
}

TEST_F(RestrictedKeyTest, RefusesOtherDigestsAndShorterSalts) {
  const auto held = ours(kName);
  EXPECT_TRUE(sign(host_, held.get(), {"SHA256"}, kMessage).empty());
  EXPECT_TRUE(sign(host_, held.get(), {"SHA384", nullptr, "20"}, kMessage).empty());
  EXPECT_TRUE(sign(host_, held.get(), {"SHA384", nullptr, nullptr, "SHA256"}, kMessage).empty());
  EXPECT_FALSE(sign(host_, held.get(), {"SHA384", nullptr, "48"}, kMessage).empty());
}

class RecoverTest : public NamedKeyTest {
 protected:
  /// The signature of `data`.
  [[nodiscard]] Bytes sign_raw(EVP_PKEY* key, const Params& params, const Bytes& data) const {
    const auto ctx = context(key);
    std::size_t size = 256;
    Bytes signature(size);
    EXPECT_EQ(EVP_PKEY_sign_init_ex(ctx.get(), params.get().data()), 1) << take_errors();
    EXPECT_EQ(EVP_PKEY_sign(ctx.get(), signature.data(), &size, data.data(), data.size()), 1)
        << take_errors();
    return signature;
  }
  [[nodiscard]] Bytes recover(EVP_PKEY* key, const Params& params, const Bytes& signature) const {
    const auto ctx = context(key);
    std::size_t size = 0;
    EXPECT_EQ(EVP_PKEY_verify_recover_init_ex(ctx.get(), params.get().data()), 1) << take_errors();
    if (EVP_PKEY_verify_recover(ctx.get(), nullptr, &size, signature.data(), signature.size()) !=
        1) {
      return {};
    }
    Bytes data(size);
    if (EVP_PKEY_verify_recover(ctx.get(), data.data(), &size, signature.data(),
                                signature.size()) != 1) {
      return {};
    }
    data.resize(size);
    return data;
  }
};

TEST_F(RecoverTest, WhatWasSignedComesBack) {
  const auto held = ours("RSA");
  const auto file = theirs("RSA");
  const Bytes digest(32, 0x5a);
  for (const Params& params :
       {Params(), Params().text("pad-mode", "pkcs1").text("digest", "SHA256"),
        Params().text("pad-mode", "x931").text("digest", "SHA256")}) {
    const Bytes signature = sign_raw(held.get(), params, digest);
    EXPECT_EQ(signature, sign_raw(file.get(), params, digest));
    EXPECT_EQ(recover(held.get(), params, signature), digest) << take_errors();
    EXPECT_EQ(recover(file.get(), params, signature), digest);
  }
}

TEST_F(RecoverTest, ARawSignatureGivesTheWholeBlockBack) {
  const auto held = ours("RSA");
  Bytes block(256, 0x11);
  block[0] = 0;
  const Params raw = Params().text("pad-mode", "none");
  EXPECT_EQ(recover(held.get(), raw, sign_raw(held.get(), raw, block)), block) << take_errors();
}

TEST_F(RecoverTest, AChangedSignatureGivesNothing) {
  const auto held = ours("RSA");
  Bytes signature = sign_raw(held.get(), Params(), kMessage);
  signature[100] ^= 1;
  EXPECT_TRUE(recover(held.get(), Params(), signature).empty());
}

TEST_F(RecoverTest, TypesThatCannotSaySo) {
  for (const char* type : {"EC", "ED25519"}) {
    const auto held = ours(type);
    EXPECT_NE(EVP_PKEY_verify_recover_init(context(held.get()).get()), 1) << type;
  }
}

class BufferTest : public NamedKeyTest, public ::testing::WithParamInterface<const char*> {};

TEST_P(BufferTest, OneByteTooFewIsRefusedWithoutAPrivateOperation) {
  const auto held = ours(GetParam());
  const bool whole = std::string(GetParam()).starts_with("ED");
  const auto before = operations();
  const ossl::MdCtx md(EVP_MD_CTX_new());
  ASSERT_EQ(EVP_DigestSignInit_ex(md.get(), nullptr, whole ? nullptr : "SHA256", host_.ctx(),
                                  nullptr, held.get(), nullptr),
            1);
  std::size_t size = static_cast<std::size_t>(EVP_PKEY_get_size(held.get())) - 1;
  Bytes signature(size);
  EXPECT_NE(EVP_DigestSign(md.get(), signature.data(), &size, kMessage.data(), kMessage.size()), 1);
  EXPECT_THAT(take_errors(), HasSubstr("too small"));
  EXPECT_EQ(operations(), before);
}

INSTANTIATE_TEST_SUITE_P(Types, BufferTest,
                         ::testing::Values("RSA", "RSA-PSS", "EC", "ED25519", "ED448"),
                         [](const auto& test) {
                           std::string name = test.param;
                           std::erase(name, '-');
                           return name;
                         });

class CopyTest : public NamedKeyTest {
 protected:
  static Bytes finish(EVP_MD_CTX* md) {
    std::size_t size = 512;
    Bytes signature(size);
    EXPECT_EQ(EVP_DigestSignFinal(md, signature.data(), &size), 1) << take_errors();
    signature.resize(size);
    return signature;
  }
  static Bytes sign_digest(EVP_PKEY_CTX* ctx) {
    const Bytes digest(32, 7);
    std::size_t size = 512;
    Bytes signature(size);
    EXPECT_EQ(EVP_PKEY_sign(ctx, signature.data(), &size, digest.data(), digest.size()), 1)
        << take_errors();
    signature.resize(size);
    return signature;
  }
};

TEST_F(CopyTest, AHashUnderWayGoesOnInBoth) {
  const auto held = ours("RSA");
  const ossl::MdCtx md(EVP_MD_CTX_new());
  ASSERT_EQ(
      EVP_DigestSignInit_ex(md.get(), nullptr, "SHA256", host_.ctx(), nullptr, held.get(), nullptr),
      1);
  const ossl::MdCtx fresh(EVP_MD_CTX_new());
  ASSERT_EQ(EVP_MD_CTX_copy_ex(fresh.get(), md.get()), 1) << take_errors();
  ASSERT_EQ(EVP_DigestSignUpdate(md.get(), kMessage.data(), 4), 1);
  const ossl::MdCtx half(EVP_MD_CTX_new());
  ASSERT_EQ(EVP_MD_CTX_copy_ex(half.get(), md.get()), 1) << take_errors();
  for (EVP_MD_CTX* ctx : {md.get(), half.get()}) {
    ASSERT_EQ(EVP_DigestSignUpdate(ctx, kMessage.data() + 4, kMessage.size() - 4), 1);
  }
  ASSERT_EQ(EVP_DigestSignUpdate(fresh.get(), kMessage.data(), kMessage.size()), 1);
  const Bytes signature = finish(md.get());
  EXPECT_EQ(signature, finish(half.get()));
  EXPECT_EQ(signature, finish(fresh.get()));
  EXPECT_EQ(signature, sign(host_, theirs("RSA").get(), {"SHA256"}, kMessage));
}

TEST_F(CopyTest, SettingsGoAlongAndStayApart) {
  const auto held = ours("RSA");
  const auto one = context(held.get());
  ASSERT_EQ(EVP_PKEY_sign_init(one.get()), 1);
  const Params digest = Params().text("digest", "SHA256");
  ASSERT_EQ(EVP_PKEY_CTX_set_params(one.get(), digest.get().data()), 1);
  const ossl::PKeyCtx other(EVP_PKEY_CTX_dup(one.get()));
  ASSERT_NE(other, nullptr) << take_errors();
  EXPECT_EQ(sign_digest(one.get()), sign_digest(other.get()));
  ASSERT_EQ(EVP_PKEY_CTX_set_params(other.get(), pss().get().data()), 1);
  EXPECT_EQ(sign_digest(one.get()), sign_digest(one.get()));
  EXPECT_NE(sign_digest(one.get()), sign_digest(other.get()));
}

TEST_F(CopyTest, AContextThatWasNotBegunHasACopyToo) {
  const auto held = ours("EC");
  const auto one = context(held.get());
  const ossl::PKeyCtx other(EVP_PKEY_CTX_dup(one.get()));
  ASSERT_NE(other, nullptr) << take_errors();
  ASSERT_EQ(EVP_PKEY_sign_init(other.get()), 1);
  EXPECT_FALSE(sign_digest(other.get()).empty());
}

class ReinitTest : public NamedKeyTest {
 protected:
  [[nodiscard]] Bytes sign_again(EVP_MD_CTX* md) const {
    std::size_t size = 512;
    Bytes signature(size);
    EXPECT_EQ(EVP_DigestSignInit_ex(md, nullptr, nullptr, host_.ctx(), nullptr, nullptr, nullptr),
              1)
        << take_errors();
    EXPECT_EQ(EVP_DigestSign(md, signature.data(), &size, kMessage.data(), kMessage.size()), 1)
        << take_errors();
    signature.resize(size);
    return signature;
  }
};

TEST_F(ReinitTest, WithoutAKeyItGoesOnWithTheLastOneAndItsDigest) {
  const auto held = ours("RSA");
  const ossl::MdCtx md(EVP_MD_CTX_new());
  ASSERT_EQ(
      EVP_DigestSignInit_ex(md.get(), nullptr, "SHA512", host_.ctx(), nullptr, held.get(), nullptr),
      1);
  ASSERT_EQ(EVP_DigestSignUpdate(md.get(), kMessage.data(), 3), 1);
  const Bytes expected = sign(host_, theirs("RSA").get(), {"SHA512"}, kMessage);
  EXPECT_EQ(sign_again(md.get()), expected);
  EXPECT_EQ(sign_again(md.get()), expected);
}

TEST_F(ReinitTest, ADigestThatWasChosenBeforeARawSignatureIsForgotten) {
  const auto held = ours("RSA");
  const auto ctx = context(held.get());
  const Params sha512 = Params().text("digest", "SHA512");
  const Params sha256 = Params().text("digest", "SHA256");
  ASSERT_EQ(EVP_PKEY_sign_init_ex(ctx.get(), sha512.get().data()), 1);
  ASSERT_EQ(EVP_PKEY_sign_init_ex(ctx.get(), sha256.get().data()), 1) << take_errors();
  const Bytes digest(32, 1);
  std::size_t size = 256;
  Bytes signature(size);
  EXPECT_EQ(EVP_PKEY_sign(ctx.get(), signature.data(), &size, digest.data(), digest.size()), 1)
      << take_errors();
}

/// Parameters that OpenSSL 3.2 brought: known to the private OpenSSL, or refused.
class LaterParamsTest : public NamedKeyTest {
 protected:
  /// Empty, when the parameters were refused.
  [[nodiscard]] Bytes sign_with(EVP_PKEY* key, const char* digest, const OSSL_PARAM* params) const {
    const ossl::MdCtx md(EVP_MD_CTX_new());
    std::size_t size = 512;
    Bytes signature(size);
    if (EVP_DigestSignInit_ex(md.get(), nullptr, digest, host_.ctx(), nullptr, key, params) != 1 ||
        EVP_DigestSign(md.get(), signature.data(), &size, kMessage.data(), kMessage.size()) != 1) {
      return {};
    }
    signature.resize(size);
    return signature;
  }
  [[nodiscard]] bool knows(EVP_PKEY* key, const char* digest, const char* name) const {
    const ossl::MdCtx md(EVP_MD_CTX_new());
    EVP_PKEY_CTX* ctx = nullptr;
    EXPECT_EQ(EVP_DigestSignInit_ex(md.get(), &ctx, digest, host_.ctx(), nullptr, key, nullptr), 1);
    const OSSL_PARAM* settable = EVP_PKEY_CTX_settable_params(ctx);
    return settable != nullptr && OSSL_PARAM_locate_const(settable, name) != nullptr;
  }
};

TEST_F(LaterParamsTest, ADeterministicNonceGivesTheDefaultProvidersSignatureOrIsRefused) {
  const auto held = ours("EC");
  const Params deterministic = Params().unsigned_number("nonce-type", 1);  // RFC 6979
  const auto all = deterministic.get();
  const OSSL_PARAM* const params = all.data();
  const Bytes signature = sign_with(held.get(), "SHA256", params);
  if (!knows(held.get(), "SHA256", "nonce-type")) {
    EXPECT_TRUE(signature.empty());
    EXPECT_THAT(take_errors(), HasSubstr("nonce-type"));
    return;
  }
  EXPECT_EQ(signature, sign_with(theirs("EC").get(), "SHA256", params));
  EXPECT_EQ(signature, sign_with(held.get(), "SHA256", params));
  EXPECT_NE(signature, sign_with(held.get(), "SHA256", nullptr));
}

TEST_F(LaterParamsTest, InstancesAndContextsGiveTheDefaultProvidersSignatureOrAreRefused) {
  struct Instance {
    const char* type;
    const char* name;
    Bytes context;
  };
  for (const auto& [type, name, context] :
       {Instance{"ED25519", "Ed25519ctx", {'c'}}, Instance{"ED25519", "Ed25519ph", {}},
        Instance{"ED25519", "Ed25519ph", {'c', 't'}}, Instance{"ED448", "Ed448", {'c'}},
        Instance{"ED448", "Ed448ph", {}}}) {
    const auto held = ours(type);
    Params params = Params().text("instance", name);
    if (!context.empty()) params.bytes("context-string", context);
    const Bytes signature = sign_with(held.get(), nullptr, params.get().data());
    if (!knows(held.get(), nullptr, "instance")) {
      EXPECT_TRUE(signature.empty()) << name;
      EXPECT_THAT(take_errors(), HasSubstr("instance"));
      continue;
    }
    EXPECT_EQ(signature, sign_with(theirs(type).get(), nullptr, params.get().data())) << name;
    EXPECT_EQ(signature, sign_with(held.get(), nullptr, params.get().data())) << name;
    const Bytes plain = sign_with(held.get(), nullptr, nullptr);
    EXPECT_EQ(plain, sign_with(theirs(type).get(), nullptr, nullptr));
    EXPECT_NE(signature, plain) << name;
  }
}

TEST_F(LaterParamsTest, BegunAgainWithoutAKeyTheInstanceStays) {
  const auto held = ours("ED25519");
  const Params params = Params().text("instance", "Ed25519ph");
  const bool known = knows(held.get(), nullptr, "instance");
  const ossl::MdCtx md(EVP_MD_CTX_new());
  const Params used = known ? params : Params();
  ASSERT_EQ(EVP_DigestSignInit_ex(md.get(), nullptr, nullptr, host_.ctx(), nullptr, held.get(),
                                  used.get().data()),
            1);
  const Bytes expected = sign_with(theirs("ED25519").get(), nullptr, used.get().data());
  for (int i = 0; i < 3; ++i) {
    std::size_t size = 64;
    Bytes signature(size);
    ASSERT_EQ(
        EVP_DigestSignInit_ex(md.get(), nullptr, nullptr, host_.ctx(), nullptr, nullptr, nullptr),
        1)
        << take_errors();
    ASSERT_EQ(EVP_DigestSign(md.get(), signature.data(), &size, kMessage.data(), kMessage.size()),
              1)
        << take_errors();
    EXPECT_EQ(signature, expected);
  }
}

}  // namespace
}  // namespace vhsm::test
