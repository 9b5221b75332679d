// SPDX-License-Identifier: Apache-2.0
//
// Keys that are generated under a name, and keys that are deleted.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/core_names.h>
#include <openssl/rsa.h>

#include <string>
#include <vector>

#include "tests/provider/host.h"
#include "tests/provider/key_folder.h"

namespace vhsm::test {
namespace {

using ossl::Receive;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr int kStoreDelete = 9;  // OSSL_FUNC_STORE_DELETE, OpenSSL 3.2
using DeleteFn = int(void*, const char*, const OSSL_PARAM*, OSSL_PASSPHRASE_CALLBACK*, void*);

bool is_daemon() { return std::getenv("VHSM_TEST_SOCKET") != nullptr; }

class NamedGenerationTest : public ::testing::Test {
 protected:
  [[nodiscard]] ossl::PKeyCtx begin(const char* type) const {
    ossl::PKeyCtx ctx(EVP_PKEY_CTX_new_from_name(host_.ctx(), type, kVhsm));
    EXPECT_EQ(EVP_PKEY_keygen_init(ctx.get()), 1) << take_errors();
    return ctx;
  }

  /// As `openssl genpkey -pkeyopt` does.
  static bool set(const ossl::PKeyCtx& ctx, const char* option, const std::string& value) {
    return EVP_PKEY_CTX_ctrl_str(ctx.get(), option, value.c_str()) == 1;
  }

  static ossl::PKey finish(const ossl::PKeyCtx& ctx) {
    ossl::PKey key;
    EVP_PKEY_generate(ctx.get(), Receive(key));
    return key;
  }

  [[nodiscard]] ossl::PKey generate(const std::string& uri) const {
    const auto ctx = begin("EC");
    EXPECT_TRUE(set(ctx, "group", "P-256")) << take_errors();
    return set(ctx, "vhsm-uri", uri) ? finish(ctx) : nullptr;
  }

  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> found;
    for (const auto& info : rest_of(open_store(host_, "vhsm:"))) {
      found.emplace_back(OSSL_STORE_INFO_get0_NAME(info.get()));
    }
    return found;
  }

  /// By libcrypto where it can, else as it would.
  [[nodiscard]] bool remove(const std::string& uri) const {
#if OPENSSL_VERSION_NUMBER >= 0x30200000L
    return OSSL_STORE_delete(uri.c_str(), host_.ctx(), nullptr, nullptr, nullptr, nullptr) == 1;
#else
    auto* const call = provided<DeleteFn>(host_, OSSL_OP_STORE, "vhsm", kStoreDelete);
    void* const context = OSSL_PROVIDER_get0_provider_ctx(host_.vhsm());
    return call != nullptr && call(context, uri.c_str(), nullptr, nullptr, nullptr) == 1;
#endif
  }

  static std::string text_of(EVP_PKEY* key) {
    const ossl::Bio out(BIO_new(BIO_s_mem()));
    EXPECT_EQ(EVP_PKEY_print_private(out.get(), key, 0, nullptr), 1) << take_errors();
    const Bytes text = contents(out.get());
    return {text.begin(), text.end()};
  }

  const KeyFolder folder_;
  const Host host_{"vhsm_files"};
};

TEST_F(NamedGenerationTest, ANamedKeyIsFoundByItsNameAndSigns) {
  const auto key = generate("vhsm:default/made/one");
  ASSERT_NE(key, nullptr) << take_errors();
  const auto opened = host_.open("vhsm:default/made/one");
  ASSERT_NE(opened, nullptr) << take_errors();
  EXPECT_EQ(EVP_PKEY_eq(key.get(), opened.get()), 1);
  const auto theirs = host_.public_in_default(key.get());
  for (EVP_PKEY* const signer : {key.get(), opened.get()}) {
    EXPECT_TRUE(verify(host_, theirs.get(), {"SHA256"}, kMessage,
                       sign(host_, signer, {"SHA256"}, kMessage)))
        << take_errors();
  }
  EXPECT_THAT(names(), ElementsAre("vhsm:default/made/one"));
}

TEST_F(NamedGenerationTest, ItsStandInHasItsName) {
  const auto key = generate("vhsm:default/made/one");
  ASSERT_NE(key, nullptr) << take_errors();
  const std::string pem = private_pem(key.get());
  EXPECT_THAT(pem, HasSubstr("VHSM KEY URI"));
  const auto read = read_private_pem(host_, pem);
  ASSERT_NE(read, nullptr) << take_errors();
  EXPECT_FALSE(sign(host_, read.get(), {"SHA256"}, kMessage).empty()) << take_errors();
}

TEST_F(NamedGenerationTest, ItSaysThatItIsStoredNowhereAndAFetchedKeyDoesNot) {
  const auto made = generate("vhsm:default/made/one");
  ASSERT_NE(made, nullptr) << take_errors();
  constexpr const char* kWarning = "stored nowhere";
  EXPECT_THAT(text_of(made.get()), HasSubstr(kWarning));
  EXPECT_THAT(text_of(host_.open("vhsm:default/made/one").get()), HasSubstr(kWarning));
  EXPECT_THAT(text_of(host_.open(folder_.uri("EC")).get()), Not(HasSubstr(kWarning)));
  EXPECT_THAT(text_of(host_.generate("EC").get()), Not(HasSubstr(kWarning)));
}

TEST_F(NamedGenerationTest, SettingsAndTemplatesReachTheKeeperOfTheKey) {
  const auto rsa = begin("RSA");
  ASSERT_EQ(EVP_PKEY_CTX_set_rsa_keygen_bits(rsa.get(), 3072), 1);
  ASSERT_TRUE(set(rsa, "vhsm-uri", "vhsm:default/made/rsa")) << take_errors();
  const auto long_key = finish(rsa);
  ASSERT_NE(long_key, nullptr) << take_errors();
  EXPECT_EQ(EVP_PKEY_get_bits(long_key.get()), 3072);

  const auto other = host_.generate("EC", "P-384");
  const ossl::PKeyCtx like(EVP_PKEY_CTX_new_from_pkey(host_.ctx(), other.get(), nullptr));
  ASSERT_EQ(EVP_PKEY_keygen_init(like.get()), 1) << take_errors();
  ASSERT_TRUE(set(like, "vhsm-uri", "vhsm:default/made/ec")) << take_errors();
  const auto key = finish(like);
  ASSERT_NE(key, nullptr) << take_errors();
  EXPECT_EQ(EVP_PKEY_get_bits(key.get()), 384);
  EXPECT_THAT(names(), ElementsAre("vhsm:default/made/ec", "vhsm:default/made/rsa"));
}

TEST_F(NamedGenerationTest, ATypeThatIsItsOwnGroupTakesANameToo) {
  for (const char* type : {"X25519", "ED25519"}) {
    const auto ctx = begin(type);
    ASSERT_TRUE(set(ctx, "vhsm-uri", std::string("vhsm:default/made/") + type)) << take_errors();
    ASSERT_NE(finish(ctx), nullptr) << take_errors();
    EXPECT_NE(host_.open(std::string("vhsm:default/made/") + type), nullptr) << take_errors();
  }
}

TEST_F(NamedGenerationTest, ATakenNameIsRefusedWhereverTheOtherKeyIs) {
  ASSERT_NE(generate("vhsm:default/made/one"), nullptr) << take_errors();
  for (const std::string& taken : {std::string("vhsm:default/made/one"), folder_.uri("EC")}) {
    EXPECT_EQ(generate(taken), nullptr) << taken;
    const std::string errors = take_errors();
    EXPECT_THAT(errors, HasSubstr("the name is taken"));
    EXPECT_THAT(errors, HasSubstr(taken));
  }
}

TEST_F(NamedGenerationTest, AUriThatNamesNoNewKeyIsRefusedWhenItIsSet) {
  const auto ctx = begin("EC");
  for (const char* uri :
       {"default/made/one", "vhsm:", "vhsm:default/made/", "vhsm:a/b/c/d", "vhsm:a/b*/c",
        "vhsm:default/made/one?version=2", "vhsm:default/made/one?type=private", ""}) {
    EXPECT_FALSE(set(ctx, "vhsm-uri", uri)) << uri;
    EXPECT_THAT(take_errors(), HasSubstr("vhsm")) << uri;
  }
  EXPECT_THAT(names(), IsEmpty());
}

TEST_F(NamedGenerationTest, DomainParametersHaveNoName) {
  const ossl::PKeyCtx ctx(EVP_PKEY_CTX_new_from_name(host_.ctx(), "EC", kVhsm));
  ASSERT_EQ(EVP_PKEY_paramgen_init(ctx.get()), 1) << take_errors();
  char uri[] = "vhsm:default/made/one";
  const OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string("vhsm-uri", uri, 0),
                               OSSL_PARAM_construct_end()};
  EXPECT_NE(EVP_PKEY_CTX_set_params(ctx.get(), params), 1);
}

// T18
TEST_F(NamedGenerationTest, AKeyWithoutANameLeavesNothingBehind) {
  for (const char* type : {"EC", "RSA", "ED25519"}) {
    ASSERT_NE(host_.generate(type), nullptr) << type << take_errors();
  }
  EXPECT_THAT(names(), IsEmpty());
}

TEST_F(NamedGenerationTest, OperationsOfGeneratedKeysCount) {
  const auto ephemeral = host_.generate("EC");
  const auto named = generate("vhsm:default/made/one");
  ASSERT_NE(named, nullptr) << take_errors();
  for (EVP_PKEY* const key : {ephemeral.get(), named.get()}) {
    const auto before = host_.counter("vhsm-operations");
    EXPECT_FALSE(sign(host_, key, {"SHA256"}, kMessage).empty());
    EXPECT_EQ(host_.counter("vhsm-operations"), before + 1);
  }
}

TEST_F(NamedGenerationTest, ADeletedKeyIsGoneAndItsNameFree) {
  const auto key = generate("vhsm:default/made/one");
  ASSERT_NE(key, nullptr) << take_errors();
  ASSERT_TRUE(remove("vhsm:default/made/one")) << take_errors();
  EXPECT_THAT(names(), IsEmpty());
  EXPECT_EQ(host_.open("vhsm:default/made/one"), nullptr);
  take_errors();
  // An open handle has the key itself in this process, and only its name with vhsmd.
  EXPECT_EQ(sign(host_, key.get(), {"SHA256"}, kMessage).empty(), is_daemon());
  if (is_daemon()) {
    EXPECT_THAT(take_errors(), HasSubstr("vhsm:default/made/one"));
  }
  const auto next = generate("vhsm:default/made/one");
  ASSERT_NE(next, nullptr) << take_errors();
  EXPECT_NE(EVP_PKEY_eq(next.get(), key.get()), 1);
}

TEST_F(NamedGenerationTest, AnOpenHandleNeverSignsWithItsSuccessor) {
  const auto key = generate("vhsm:default/made/one");
  const auto theirs = host_.public_in_default(key.get());
  ASSERT_TRUE(remove("vhsm:default/made/one")) << take_errors();
  ASSERT_NE(generate("vhsm:default/made/one"), nullptr) << take_errors();
  const Bytes signature = sign(host_, key.get(), {"SHA256"}, kMessage);
  if (is_daemon()) {
    EXPECT_TRUE(signature.empty());
  } else {
    EXPECT_TRUE(verify(host_, theirs.get(), {"SHA256"}, kMessage, signature));
  }
}

TEST_F(NamedGenerationTest, ADeletedKeyThatIsStoredElsewhereComesBack) {
  const auto key = host_.open(folder_.uri("EC"));
  ASSERT_TRUE(remove(folder_.uri("EC"))) << take_errors();
  EXPECT_THAT(names(), IsEmpty());
  EXPECT_FALSE(sign(host_, key.get(), {"SHA256"}, kMessage).empty()) << take_errors();
  EXPECT_NE(host_.open(folder_.uri("EC")), nullptr) << take_errors();
}

TEST_F(NamedGenerationTest, OnlyAKeyThatIsHereIsDeletedAndAsAWhole) {
  ASSERT_NE(host_.open(folder_.uri("EC")), nullptr);
  for (const std::string& uri :
       {std::string("vhsm:default/made/none"), folder_.uri("RSA"), std::string("vhsm:"),
        std::string("vhsm:default/test/"), folder_.uri("EC") + "?type=cert",
        folder_.uri("EC") + "?version=1"}) {
    EXPECT_FALSE(remove(uri)) << uri;
    EXPECT_THAT(take_errors(), HasSubstr("vhsm")) << uri;
  }
  EXPECT_THAT(names(), ElementsAre(folder_.uri("EC")));
}

}  // namespace
}  // namespace vhsm::test
