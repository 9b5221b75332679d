// SPDX-License-Identifier: Apache-2.0
#include <openssl/core_names.h>
#include <openssl/params.h>

#include <array>
#include <thread>

#include "keystore/local_key.h"
#include "keystore/material.h"
#include "tests/keystore/samples.h"
#include "tests/kinds.h"

namespace vhsm::keystore {
namespace {

class OperationTest : public KeystoreTest {};

std::shared_ptr<LocalKey> held(const char* kind) {
  auto parsed = parse_material(secret(pkcs8_pem(make_key(kind).get())));
  EXPECT_TRUE(parsed.ok());
  Material material = std::move(parsed).value();
  auto half = PublicHalf::of(material.pair.get());
  EXPECT_TRUE(half.ok());
  auto key = LocalKey::hold(std::move(half).value(), std::move(material.pair));
  EXPECT_TRUE(key.ok());
  return key.value();
}

constexpr std::array<std::uint8_t, 32> kDigest{1, 2, 3};

TEST_F(OperationTest, SignsWhatThePublicHalfVerifies) {
  for (const auto& kind : tests::kinds_that([](const auto& k) { return k.digest() != nullptr; })) {
    const auto key = held(kind.name.c_str());
    std::array<std::uint8_t, 512> signature{};
    auto signer = key->begin({OperationKind::kSign, "SHA256"});
    ASSERT_TRUE(signer.ok()) << kind.name;
    const auto size = signer.value()->run(kDigest, signature);
    ASSERT_TRUE(size.ok()) << kind.name << describe(size.error());
    auto verifier = key->begin({OperationKind::kVerify, "SHA256"});
    ASSERT_TRUE(verifier.ok());
    const auto good = std::span(signature).first(size.value());
    EXPECT_TRUE(verifier.value()->verify(kDigest, good).value()) << kind.name;
    signature[size.value() / 2] ^= 1;
    const auto verdict = verifier.value()->verify(kDigest, good);
    EXPECT_FALSE(verdict.ok() && verdict.value()) << kind.name;
  }
}

TEST_F(OperationTest, MessagesAreSignedAgainAndAgainWithOneOperation) {
  const auto key = held("ED25519");
  auto signer = key->begin({OperationKind::kSignMessage});
  auto verifier = key->begin({OperationKind::kVerifyMessage});
  ASSERT_TRUE(signer.ok() && verifier.ok());
  for (std::uint8_t round = 0; round < 3; ++round) {
    const std::array<std::uint8_t, 5> message{round, 1, 2, 3, 4};
    std::array<std::uint8_t, 64> signature{};
    ASSERT_EQ(signer.value()->run(message, signature).value(), 64U);
    EXPECT_TRUE(verifier.value()->verify(message, signature).value());
  }
}

TEST_F(OperationTest, ASizeQueryDoesNoPrivateOperation) {
  const auto metrics = std::make_shared<Metrics>();
  auto parsed = parse_material(secret(pkcs8_pem(make_key("P-256").get())));
  Material material = std::move(parsed).value();
  auto half = PublicHalf::of(material.pair.get());
  const auto key =
      LocalKey::hold(std::move(half).value(), std::move(material.pair), std::nullopt, metrics)
          .value();
  auto signer = key->begin({OperationKind::kSign, "SHA256"});
  EXPECT_GE(signer.value()->run(kDigest, {}).value(), 70U);
  EXPECT_EQ(metrics->operations, 0U);
  std::array<std::uint8_t, 80> signature{};
  ASSERT_TRUE(signer.value()->run(kDigest, signature).ok());
  EXPECT_EQ(metrics->operations, 1U);
}

TEST_F(OperationTest, ASmallBufferIsRefused) {
  auto signer = held("RSA2048")->begin({OperationKind::kSign, "SHA256"});
  std::array<std::uint8_t, 255> signature{};
  EXPECT_FALSE(signer.value()->run(kDigest, signature).ok());
}

TEST_F(OperationTest, AParameterThatChangesTheResultIsNeverIgnored) {
  auto signer = held("ED25519")->begin({OperationKind::kSignMessage});
  ASSERT_TRUE(signer.ok());
  std::array<char, 16> unknown{"later"};
  const OSSL_PARAM params[] = {
      OSSL_PARAM_construct_utf8_string("message-encoding", unknown.data(), 0),
      OSSL_PARAM_construct_end()};
  EXPECT_EQ(signer.value()->set_params(params).error().code, Errc::kUnsupported);
}

TEST_F(OperationTest, SettingsOfOneUserNeverReachTheNext) {
  const auto key = held("RSA2048");
  std::array<char, 8> pss{"pss"};
  const OSSL_PARAM params[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE, pss.data(), 0),
      OSSL_PARAM_construct_end()};
  std::array<std::uint8_t, 256> signature{};
  {
    auto first = key->begin({OperationKind::kSign, "SHA256", params});
    ASSERT_TRUE(first.ok() && first.value()->run(kDigest, signature).ok());
  }
  auto second = key->begin({OperationKind::kSign, "SHA256"});
  ASSERT_TRUE(second.value()->run(kDigest, signature).ok());
  auto plain = key->begin({OperationKind::kVerify, "SHA256"});
  EXPECT_TRUE(plain.value()->verify(kDigest, signature).value()) << "PSS leaked through the pool";
}

/// Sets one parameter after the other, as libssl does.
Status set_all(Operation& operation, const std::vector<std::pair<const char*, std::string>>& all) {
  for (const auto& [name, value] : all) {
    std::string text = value;
    const OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(name, text.data(), 0),
                                 OSSL_PARAM_construct_end()};
    VHSM_TRY(operation.set_params(params));
  }
  return {};
}

TEST_F(OperationTest, IdleContextsComeBackWithTheSettingsThatWereAskedFor) {
  const auto key = held("RSA2048");
  using Settings = std::vector<std::pair<const char*, std::string>>;
  const Settings kinds[] = {{},
                            {{"pad-mode", "pss"}, {"saltlen", "digest"}},
                            {{"pad-mode", "pss"}, {"saltlen", "20"}},
                            {{"pad-mode", "pss"}, {"mgf1-digest", "SHA384"}, {"saltlen", "0"}},
                            {{"pad-mode", "pss"}, {"saltlen", "20"}, {"pad-mode", "pkcs1"}}};
  const auto work = [&](unsigned seed) {
    for (unsigned round = 0; round < 40; ++round) {
      const Settings& settings = kinds[(round * 7 + seed * 3 + round / 3) % std::size(kinds)];
      std::array<std::uint8_t, 256> signature{};
      auto signer = key->begin({OperationKind::kSign, "SHA256"});
      ASSERT_TRUE(signer.ok() && set_all(*signer.value(), settings).ok());
      ASSERT_TRUE(signer.value()->run(kDigest, signature).ok());
      auto verifier = key->begin({OperationKind::kVerify, "SHA256"});
      ASSERT_TRUE(verifier.ok() && set_all(*verifier.value(), settings).ok());
      EXPECT_TRUE(verifier.value()->verify(kDigest, signature).value()) << settings.size();
    }
  };
  std::vector<std::thread> threads;
  for (unsigned seed = 0; seed < 4; ++seed) threads.emplace_back(work, seed);
  for (auto& thread : threads) thread.join();
}

TEST_F(OperationTest, AContextThatRefusedAParameterIsNotUsedAgain) {
  const auto key = held("RSA2048");
  for (int round = 0; round < 3; ++round) {
    auto signer = key->begin({OperationKind::kSign, "SHA256"});
    ASSERT_TRUE(signer.ok());
    EXPECT_FALSE(set_all(*signer.value(), {{"pad-mode", "pss"}, {"saltlen", "-9"}}).ok());
  }
  std::array<std::uint8_t, 256> signature{};
  auto signer = key->begin({OperationKind::kSign, "SHA256"});
  ASSERT_TRUE(signer.value()->run(kDigest, signature).ok());
  auto verifier = key->begin({OperationKind::kVerify, "SHA256"});
  EXPECT_TRUE(verifier.value()->verify(kDigest, signature).value());
}

TEST_F(OperationTest, ManyThreadsSignWithOneKey) {
  const auto key = held("P-256");
  std::vector<std::thread> threads;
  for (int i = 0; i < 6; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 200; ++round) {
        std::array<std::uint8_t, 80> signature{};
        auto signer = key->begin({OperationKind::kSign, "SHA256"});
        const auto size = signer.value()->run(kDigest, signature);
        ASSERT_TRUE(size.ok());
        auto verifier = key->begin({OperationKind::kVerify, "SHA256"});
        ASSERT_TRUE(
            verifier.value()->verify(kDigest, std::span(signature).first(size.value())).value());
      }
    });
  }
  for (auto& thread : threads) thread.join();
}

TEST_F(OperationTest, UsedMemoryIsGivenBack) {
  const auto key = held("RSA2048");
  const auto once = [&] {
    std::array<std::uint8_t, 256> signature{};
    auto signer = key->begin({OperationKind::kSign, "SHA256"});
    auto copy = signer.value()->clone();
    ASSERT_TRUE(copy.ok() && copy.value()->run(kDigest, signature).ok());
  };
  for (int i = 0; i < 20; ++i) once();
  const std::size_t before = memory::in_use_bytes();
  for (int i = 0; i < 500; ++i) once();
  EXPECT_LE(memory::in_use_bytes(), before + 512) << "less than a byte and a half each time";
}

TEST_F(OperationTest, AgreesWithAPeer) {
  for (const char* kind : {"P-256", "X25519"}) {
    const auto ours = held(kind);
    const auto theirs = held(kind);
    const auto derive = [](const LocalKey& key, const Key& peer) {
      auto operation = key.begin({OperationKind::kDerive});
      EXPECT_TRUE(operation.ok() && operation.value()->set_peer(peer).ok());
      std::array<std::uint8_t, 32> shared{};
      EXPECT_EQ(operation.value()->run({}, shared).value(), 32U);
      return shared;
    };
    EXPECT_EQ(derive(*ours, *theirs), derive(*theirs, *ours)) << kind;
  }
}

TEST_F(OperationTest, OnlyEncapsulationsWithASenderHaveAPeerWhenTheyBegin) {
  const auto key = held("P-256");
  const auto peer = held("P-256");
  for (const auto kind : {OperationKind::kSign, OperationKind::kDerive, OperationKind::kVerify,
                          OperationKind::kEncapsulate}) {
    EXPECT_EQ(key->begin({.kind = kind, .peer = peer.get()}).error().code, Errc::kInvalidArgument);
  }
  EXPECT_EQ(key->begin({.kind = OperationKind::kAuthEncapsulate}).error().code,
            Errc::kInvalidArgument);
}

TEST_F(OperationTest, APublicKeyDoesNoPrivateWork) {
  const auto half = import_public(kEc, EVP_PKEY_PUBLIC_KEY,
                                  held("P-256")->export_public(EVP_PKEY_PUBLIC_KEY).value().get());
  ASSERT_TRUE(half.ok());
  EXPECT_EQ(half.value()->begin({OperationKind::kSign, "SHA256"}).error().code,
            Errc::kNoPrivateKey);
}

}  // namespace
}  // namespace vhsm::keystore
