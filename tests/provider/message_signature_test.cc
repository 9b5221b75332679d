// SPDX-License-Identifier: Apache-2.0
//
// Algorithms that are fetched by a name that says all, and sign messages:
// EVP_PKEY_sign_message_init(3) of OpenSSL 3.4. Named keys that the default provider has too.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/core_names.h>

#include <string>
#include <vector>

#include "tests/provider/host.h"
#include "tests/provider/key_folder.h"
#include "tests/provider/params.h"

namespace vhsm::test {
namespace {

using ::testing::HasSubstr;
using Signature = ossl::Handle<EVP_SIGNATURE, EVP_SIGNATURE_free>;

class MessageTest : public ::testing::Test {
 protected:
  [[nodiscard]] Signature fetch(const std::string& name, const char* properties = kVhsm) const {
    return Signature(EVP_SIGNATURE_fetch(host_.ctx(), name.c_str(), properties));
  }
  [[nodiscard]] ossl::PKeyCtx context(EVP_PKEY* key) const {
    return ossl::PKeyCtx(EVP_PKEY_CTX_new_from_pkey(host_.ctx(), key, nullptr));
  }
  [[nodiscard]] ossl::PKey ours(const std::string& type) const {
    auto key = host_.open(folder_.uri(type));
    EXPECT_NE(key, nullptr) << take_errors();
    return key;
  }
  [[nodiscard]] ossl::PKey theirs(const std::string& type) const {
    return folder_.in_default(host_, type);
  }

  [[nodiscard]] Bytes sign(EVP_PKEY* key, EVP_SIGNATURE* algorithm, const Params& params,
                           const Bytes& message) const {
    const auto ctx = context(key);
    std::size_t size = 0;
    if (EVP_PKEY_sign_message_init(ctx.get(), algorithm, params.get().data()) != 1 ||
        EVP_PKEY_sign(ctx.get(), nullptr, &size, message.data(), message.size()) != 1) {
      return {};
    }
    Bytes signature(size);
    if (EVP_PKEY_sign(ctx.get(), signature.data(), &size, message.data(), message.size()) != 1) {
      return {};
    }
    signature.resize(size);
    return signature;
  }
  [[nodiscard]] bool verify(EVP_PKEY* key, EVP_SIGNATURE* algorithm, const Params& params,
                            const Bytes& message, const Bytes& signature) const {
    const auto ctx = context(key);
    return EVP_PKEY_verify_message_init(ctx.get(), algorithm, params.get().data()) == 1 &&
           EVP_PKEY_verify(ctx.get(), signature.data(), signature.size(), message.data(),
                           message.size()) == 1;
  }

  const KeyFolder folder_;
  const Host host_{"vhsm_files"};
};

std::vector<std::string> names_of(EVP_SIGNATURE* algorithm) {
  std::vector<std::string> names;
  EVP_SIGNATURE_names_do_all(
      algorithm,
      [](const char* name, void* all) {
        static_cast<std::vector<std::string>*>(all)->emplace_back(name);
      },
      &names);
  return names;
}

struct NamedScheme {
  const char* name;
  const char* type;
};

class HashingSchemeTest : public MessageTest, public ::testing::WithParamInterface<NamedScheme> {
 protected:
  const Signature algorithm_ = fetch(GetParam().name);
  const Signature theirs_algorithm_ = fetch(GetParam().name, kDefault);
  const ossl::PKey held_ = ours(GetParam().type);
  const ossl::PKey file_ = theirs(GetParam().type);
};

TEST_P(HashingSchemeTest, HasEveryNameThatTheDefaultProvidersHas) {
  ASSERT_NE(algorithm_, nullptr) << take_errors();
  const auto names = names_of(theirs_algorithm_.get());
  EXPECT_GE(names.size(), 3U);
  for (const auto& name : names) {
    EXPECT_NE(fetch(name), nullptr) << name;
    EXPECT_EQ(EVP_SIGNATURE_is_a(algorithm_.get(), name.c_str()), 1) << name;
  }
}

TEST_P(HashingSchemeTest, SignsAMessageAtOnce) {
  const Bytes signature = sign(held_.get(), algorithm_.get(), {}, kMessage);
  ASSERT_FALSE(signature.empty()) << take_errors();
  const auto peer = host_.public_in_default(held_.get());
  EXPECT_TRUE(verify(peer.get(), theirs_algorithm_.get(), {}, kMessage, signature));
  EXPECT_TRUE(verify(held_.get(), algorithm_.get(), {}, kMessage, signature)) << take_errors();
  EXPECT_FALSE(verify(held_.get(), algorithm_.get(), {}, Bytes{1}, signature));
}

TEST_P(HashingSchemeTest, SignsAndVerifiesInParts) {
  const auto signer = context(held_.get());
  std::size_t size = 0;
  ASSERT_EQ(EVP_PKEY_sign_message_init(signer.get(), algorithm_.get(), nullptr), 1);
  for (const auto& byte : kMessage) {
    ASSERT_EQ(EVP_PKEY_sign_message_update(signer.get(), &byte, 1), 1) << take_errors();
  }
  ASSERT_EQ(EVP_PKEY_sign_message_final(signer.get(), nullptr, &size), 1);
  Bytes signature(size);
  ASSERT_EQ(EVP_PKEY_sign_message_final(signer.get(), signature.data(), &size), 1) << take_errors();
  signature.resize(size);
  const auto peer = host_.public_in_default(held_.get());
  EXPECT_TRUE(verify(peer.get(), theirs_algorithm_.get(), {}, kMessage, signature));

  const auto verifier = context(held_.get());
  ASSERT_EQ(EVP_PKEY_verify_message_init(verifier.get(), algorithm_.get(), nullptr), 1);
  ASSERT_EQ(EVP_PKEY_CTX_set_signature(verifier.get(), signature.data(), signature.size()), 1);
  ASSERT_EQ(EVP_PKEY_verify_message_update(verifier.get(), kMessage.data(), kMessage.size()), 1);
  EXPECT_EQ(EVP_PKEY_verify_message_final(verifier.get()), 1) << take_errors();
}

TEST_P(HashingSchemeTest, WithoutASignatureThereIsNothingToVerify) {
  const auto verifier = context(held_.get());
  ASSERT_EQ(EVP_PKEY_verify_message_init(verifier.get(), algorithm_.get(), nullptr), 1);
  ASSERT_EQ(EVP_PKEY_verify_message_update(verifier.get(), kMessage.data(), kMessage.size()), 1);
  EXPECT_NE(EVP_PKEY_verify_message_final(verifier.get()), 1);
  EXPECT_THAT(take_errors(), HasSubstr("no signature"));
}

TEST_P(HashingSchemeTest, SignsADigestThatTheCallerHasMade) {
  const Bytes expected = sign(file_.get(), theirs_algorithm_.get(), {}, kMessage);
  const auto ctx = context(held_.get());
  ASSERT_EQ(EVP_PKEY_sign_init_ex2(ctx.get(), algorithm_.get(), nullptr), 1) << take_errors();
  const std::string name = GetParam().name;
  const std::string digest = name.substr(name.find('-') + 1);
  Bytes hash(EVP_MAX_MD_SIZE);
  std::size_t hashed = 0;
  ASSERT_EQ(EVP_Q_digest(host_.ctx(), digest.c_str(), nullptr, kMessage.data(), kMessage.size(),
                         hash.data(), &hashed),
            1);
  std::size_t size = expected.size() + 16;
  Bytes signature(size);
  ASSERT_EQ(EVP_PKEY_sign(ctx.get(), signature.data(), &size, hash.data(), hashed), 1)
      << take_errors();
  signature.resize(size);
  EXPECT_TRUE(verify(file_.get(), theirs_algorithm_.get(), {}, kMessage, signature));
}

TEST_P(HashingSchemeTest, RefusesWhatItsNameHasFixed) {
  const auto ctx = context(held_.get());
  for (const Params& params : {Params().text("digest", "SHA256"), Params().text("pad-mode", "pss"),
                               Params().unsigned_number("nonce-type", 1)}) {
    EXPECT_NE(EVP_PKEY_sign_message_init(ctx.get(), algorithm_.get(), params.get().data()), 1);
    EXPECT_THAT(take_errors(), HasSubstr("name has fixed"));
  }
}

TEST_P(HashingSchemeTest, TakesNoKeyOfAnotherType) {
  for (const char* type : {"RSA", "RSA-PSS", "EC", "ED25519"}) {
    if (std::string(type) == GetParam().type) continue;
    const auto other = ours(type);
    EXPECT_NE(EVP_PKEY_sign_message_init(context(other.get()).get(), algorithm_.get(), nullptr), 1)
        << type;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Names, HashingSchemeTest,
    ::testing::Values(NamedScheme{"RSA-RIPEMD160", "RSA"}, NamedScheme{"RSA-SHA1", "RSA"},
                      NamedScheme{"RSA-SHA2-224", "RSA"}, NamedScheme{"RSA-SHA2-256", "RSA"},
                      NamedScheme{"RSA-SHA2-384", "RSA"}, NamedScheme{"RSA-SHA2-512", "RSA"},
                      NamedScheme{"RSA-SHA2-512/224", "RSA"},
                      NamedScheme{"RSA-SHA2-512/256", "RSA"}, NamedScheme{"RSA-SHA3-224", "RSA"},
                      NamedScheme{"RSA-SHA3-256", "RSA"}, NamedScheme{"RSA-SHA3-384", "RSA"},
                      NamedScheme{"RSA-SHA3-512", "RSA"}, NamedScheme{"ECDSA-SHA1", "EC"},
                      NamedScheme{"ECDSA-SHA2-224", "EC"}, NamedScheme{"ECDSA-SHA2-256", "EC"},
                      NamedScheme{"ECDSA-SHA2-384", "EC"}, NamedScheme{"ECDSA-SHA2-512", "EC"},
                      NamedScheme{"ECDSA-SHA3-224", "EC"}, NamedScheme{"ECDSA-SHA3-256", "EC"},
                      NamedScheme{"ECDSA-SHA3-384", "EC"}, NamedScheme{"ECDSA-SHA3-512", "EC"}),
    [](const auto& test) {
      std::string name = test.param.name;
      std::erase(name, '-');
      std::erase(name, '/');
      return name;
    });

TEST_F(MessageTest, EddsaInstancesGiveTheDefaultProvidersSignature) {
  struct Instance {
    const char* name;
    const char* type;
    Params params;
  };
  const Bytes context{'c', 't', 'x'};
  for (const auto& [name, type, params] :
       {Instance{"ED25519", "ED25519", {}}, Instance{"ED448", "ED448", {}},
        Instance{"ED448", "ED448", Params().bytes("context-string", context)},
        Instance{"ED25519ph", "ED25519", {}},
        Instance{"ED25519ph", "ED25519", Params().bytes("context-string", context)},
        Instance{"ED25519ctx", "ED25519", Params().bytes("context-string", context)},
        Instance{"ED448ph", "ED448", {}}}) {
    const auto held = ours(type);
    const auto file = theirs(type);
    const Signature algorithm = fetch(name);
    ASSERT_NE(algorithm, nullptr) << name;
    const Signature their_algorithm = fetch(name, kDefault);
    const Bytes expected = sign(file.get(), their_algorithm.get(), params, kMessage);
    ASSERT_FALSE(expected.empty()) << name << take_errors();
    EXPECT_EQ(sign(held.get(), algorithm.get(), params, kMessage), expected)
        << name << take_errors();
    EXPECT_TRUE(verify(held.get(), algorithm.get(), params, kMessage, expected)) << name;
    EXPECT_FALSE(verify(held.get(), algorithm.get(), params, Bytes{1}, expected)) << name;
  }
}

TEST_F(MessageTest, AnInstanceThatTheNameSaysCannotBeChanged) {
  const auto held = ours("ED25519");
  const Params params = Params().text("instance", "Ed25519");
  EXPECT_TRUE(sign(held.get(), fetch("ED25519ph").get(), params, kMessage).empty());
  EXPECT_THAT(take_errors(), HasSubstr("instance"));
}

TEST_F(MessageTest, APrehashedInstanceTakesTheCallersDigest) {
  const auto held = ours("ED25519");
  const auto ctx = context(held.get());
  const Signature algorithm = fetch("ED25519ph");
  ASSERT_EQ(EVP_PKEY_sign_init_ex2(ctx.get(), algorithm.get(), nullptr), 1) << take_errors();
  Bytes hash(64);
  std::size_t hashed = 0;
  ASSERT_EQ(EVP_Q_digest(host_.ctx(), "SHA512", nullptr, kMessage.data(), kMessage.size(),
                         hash.data(), &hashed),
            1);
  std::size_t size = 64;
  Bytes signature(size);
  ASSERT_EQ(EVP_PKEY_sign(ctx.get(), signature.data(), &size, hash.data(), hashed), 1)
      << take_errors();
  EXPECT_EQ(signature,
            sign(theirs("ED25519").get(), fetch("ED25519ph", kDefault).get(), {}, kMessage));
}

TEST_F(MessageTest, AKeysOwnAlgorithmSignsMessagesWhereTheTypeDoes) {
  const auto held = ours("ED25519");
  const Bytes signature = sign(held.get(), nullptr, {}, kMessage);
  EXPECT_EQ(signature, sign(theirs("ED25519").get(), nullptr, {}, kMessage)) << take_errors();
  const auto rsa = ours("RSA");
  EXPECT_EQ(EVP_PKEY_sign_message_init(context(rsa.get()).get(), nullptr, nullptr), -2)
      << "its name says no digest; so does the default provider";
}

TEST_F(MessageTest, OpenSslsNamesTakeTheKeysOfTheirTypes) {
  struct Use {
    const char* name;
    const char* type;
  };
  for (const auto& [name, type] : {Use{"RSA", "RSA"}, Use{"RSA", "RSA-PSS"}, Use{"ECDSA", "EC"}}) {
    const auto held = ours(type);
    const auto ctx = context(held.get());
    EXPECT_EQ(EVP_PKEY_sign_init_ex2(ctx.get(), fetch(name).get(), nullptr), 1)
        << name << type << take_errors();
  }
}

TEST_F(MessageTest, ACopyHasTheMessageSoFarAndTheSignature) {
  const auto held = ours("RSA");
  const Signature algorithm = fetch("RSA-SHA256");
  const Bytes signature = sign(held.get(), algorithm.get(), {}, kMessage);
  const auto one = context(held.get());
  ASSERT_EQ(EVP_PKEY_verify_message_init(one.get(), algorithm.get(), nullptr), 1);
  ASSERT_EQ(EVP_PKEY_CTX_set_signature(one.get(), signature.data(), signature.size()), 1);
  ASSERT_EQ(EVP_PKEY_verify_message_update(one.get(), kMessage.data(), 4), 1);
  const ossl::PKeyCtx other(EVP_PKEY_CTX_dup(one.get()));
  ASSERT_NE(other, nullptr) << take_errors();
  for (EVP_PKEY_CTX* ctx : {other.get(), one.get()}) {
    ASSERT_EQ(EVP_PKEY_verify_message_update(ctx, kMessage.data() + 4, kMessage.size() - 4), 1);
    EXPECT_EQ(EVP_PKEY_verify_message_final(ctx), 1) << take_errors();
  }
}

/// Programs that ask for no provider, with keys of their own.
class UnqualifiedFetchTest : public ::testing::TestWithParam<Order> {
 protected:
  const KeyFolder folder_;
  const Host host_{"vhsm_files", GetParam()};
};

TEST_P(UnqualifiedFetchTest, VerificationWithAForeignKeyWorksWhoeverComesFirst) {
  const auto file = folder_.in_default(host_, "RSA");
  const auto peer = host_.public_in_default(file.get());
  const Signature algorithm(EVP_SIGNATURE_fetch(host_.ctx(), "RSA-SHA256", nullptr));
  const Bytes signature = test::sign(host_, file.get(), {"SHA256"}, kMessage);
  ASSERT_FALSE(signature.empty());
  const ossl::PKeyCtx ctx(EVP_PKEY_CTX_new_from_pkey(host_.ctx(), peer.get(), nullptr));
  ASSERT_EQ(EVP_PKEY_verify_message_init(ctx.get(), algorithm.get(), nullptr), 1) << take_errors();
  EXPECT_EQ(EVP_PKEY_verify(ctx.get(), signature.data(), signature.size(), kMessage.data(),
                            kMessage.size()),
            1)
      << take_errors();
}

TEST_P(UnqualifiedFetchTest, IsOfTheProviderThatWasLoadedFirst) {
  const Signature algorithm(EVP_SIGNATURE_fetch(host_.ctx(), "RSA-SHA256", nullptr));
  EXPECT_STREQ(OSSL_PROVIDER_get0_name(EVP_SIGNATURE_get0_provider(algorithm.get())),
               GetParam() == Order::kVhsmFirst ? "vhsm_files" : "default");
}

INSTANTIATE_TEST_SUITE_P(Orders, UnqualifiedFetchTest,
                         ::testing::Values(Order::kDefaultFirst, Order::kVhsmFirst),
                         [](const auto& test) {
                           return test.param == Order::kVhsmFirst ? "VhsmFirst" : "DefaultFirst";
                         });

}  // namespace
}  // namespace vhsm::test
