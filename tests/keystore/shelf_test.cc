// SPDX-License-Identifier: Apache-2.0
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <latch>
#include <thread>
#include <vector>

#include "keystore/keystore.h"
#include "tests/keystore/samples.h"

namespace vhsm::keystore {
namespace {

using std::chrono::milliseconds;

/// A KBS of the test's: one resource, or one error, after a while.
class FakeSource final : public KeySource {
 public:
  Result<SecretBytes> fetch(const KeyName& name,
                            std::chrono::steady_clock::time_point /*deadline*/) override {
    ++fetches;
    std::this_thread::sleep_for(delay.load());
    const auto error = broken.load();
    if (error) return fail(*error, "the test says so", name.uri());
    return SecretBytes::copy(
        {reinterpret_cast<const std::uint8_t*>(resource.data()), resource.size()});
  }

  std::string resource;
  std::atomic<std::optional<Errc>> broken;
  std::atomic<milliseconds> delay{milliseconds(0)};
  std::atomic<int> fetches{0};
};

class ShelfTest : public KeystoreTest {
 protected:
  void SetUp() override {
    source_->resource = pkcs8_pem(key_.get());
    keystore_ = make_memory_keystore(source_, {milliseconds(200), milliseconds(2000)},
                                     std::make_shared<Metrics>());
  }
  static KeyUri uri(const char* text = "vhsm:default/tls/www") {
    return KeyUri::parse(text, "default/key").value();
  }
  Result<KeyPtr> stand_in(EVP_PKEY* key, const KeyType& type) {
    const auto info = PublicHalf::of(key).value().key_info().value();
    return keystore_->open_stand_in(uri(), type, info);
  }

  static std::optional<Errc> signing(const KeyPtr& key) {
    const auto begun = key->begin({OperationKind::kSign, "SHA256"});
    return begun.ok() ? std::nullopt : std::optional(begun.error().code);
  }
  static bool signs_within(const KeyPtr& key, milliseconds patience) {
    const auto deadline = std::chrono::steady_clock::now() + patience;
    while (std::chrono::steady_clock::now() < deadline) {
      if (!signing(key)) return true;
      std::this_thread::sleep_for(milliseconds(20));
    }
    return false;
  }

  ossl::PKey key_ = make_key("P-256");
  std::shared_ptr<FakeSource> source_ = std::make_shared<FakeSource>();
  std::unique_ptr<HoldingKeystore> keystore_;
};

// One who comes while the key arrives begins a wait of his own, and must not end that of others.
TEST_F(ShelfTest, WhoExpectAKeyAtOnceAllGetIt) {
  constexpr int kThreads = 8;
  std::atomic<int> refused{0};
  for (int round = 0; round < 100; ++round) {
    std::latch together(kThreads);
    std::vector<std::jthread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&] {
        together.arrive_and_wait();
        refused += keystore_->expect(uri(), milliseconds(5000)).ok() ? 0 : 1;
      });
    }
    threads.clear();
    ASSERT_TRUE(keystore_->remove(uri()).ok());
  }
  EXPECT_EQ(refused, 0);
}

TEST_F(ShelfTest, FetchesOnceAndAnswersFromMemoryAfterwards) {
  const auto first = keystore_->open(uri());
  ASSERT_TRUE(first.ok()) << describe(first.error());
  const auto second = keystore_->open(uri("vhsm:///default/tls/www"));
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(first.value().key, second.value().key);
  EXPECT_EQ(source_->fetches, 1);
}

TEST_F(ShelfTest, NamesAndFindTellWhatIsHereAndFetchNothing) {
  EXPECT_TRUE(keystore_->names().value().empty());
  EXPECT_FALSE(keystore_->find(uri()).value().has_value());
  ASSERT_TRUE(keystore_->open(uri("vhsm:b")).ok());
  ASSERT_TRUE(keystore_->open(uri("vhsm:a")).ok());
  EXPECT_EQ(keystore_->names().value(), (std::vector{uri("vhsm:a"), uri("vhsm:b")}));
  const auto found = keystore_->find(uri("vhsm:a")).value();
  ASSERT_TRUE(found.has_value());
  EXPECT_FALSE(signing(found->key));
  EXPECT_EQ(source_->fetches, 2);
}

TEST_F(ShelfTest, ARemovedKeyIsFetchedAnewAndThoseWhoHaveItGoOn) {
  const KeyPtr key = keystore_->open(uri()).value().key;
  ASSERT_TRUE(keystore_->remove(uri()).ok());
  EXPECT_EQ(keystore_->remove(uri()).error().code, Errc::kMissing);
  EXPECT_TRUE(keystore_->names().value().empty());
  EXPECT_FALSE(signing(key));
  EXPECT_TRUE(keystore_->open(uri()).ok());
  EXPECT_EQ(source_->fetches, 2);
}

TEST_F(ShelfTest, AKeyIsGeneratedUnderANameThatIsFreeHereAndAtTheSource) {
  source_->broken = Errc::kMissing;
  const auto made = keystore_->generate(uri().name, kEd25519, nullptr);
  ASSERT_TRUE(made.ok()) << describe(made.error());
  EXPECT_EQ(made.value()->uri()->name, uri().name);
  EXPECT_EQ(made.value()->keeping(), Keeping::kInMemory);
  EXPECT_EQ(keystore_->open(uri()).value().key, made.value());
  EXPECT_EQ(keystore_->generate(uri().name, kEd25519, nullptr).error().code, Errc::kWrongState);
}

TEST_F(ShelfTest, ANameThatTheSourceHasOrCannotTellOfIsNotGenerated) {
  EXPECT_EQ(keystore_->generate(uri().name, kEd25519, nullptr).error().code, Errc::kWrongState);
  for (const Errc why : {Errc::kDenied, Errc::kUnreachable, Errc::kForged}) {
    source_->broken = why;
    EXPECT_EQ(keystore_->generate(uri("vhsm:b").name, kEd25519, nullptr).error().code, why);
  }
  EXPECT_EQ(keystore_->names().value(), std::vector{uri()});
}

TEST_F(ShelfTest, OneOfManyThreadsGetsTheNameThatAllGenerate) {
  source_->broken = Errc::kMissing;
  std::atomic<int> made{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] { made += keystore_->generate(uri().name, kEd25519, nullptr).ok(); });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(made, 1);
}

TEST_F(ShelfTest, ManyThreadsShareOneFetch) {
  source_->delay = milliseconds(100);
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] { EXPECT_TRUE(keystore_->open(uri()).ok()); });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(source_->fetches, 1);
}

TEST_F(ShelfTest, WhoAsksForASecretDoesNotDecideForThoseWhoWaitForAKeyPair) {
  source_->delay = milliseconds(300);
  std::thread other([&] {
    EXPECT_EQ(keystore_->open(uri("vhsm:default/tls/www?type=secret")).error().code,
              Errc::kBadFormat);
  });
  while (source_->fetches == 0) std::this_thread::yield();
  EXPECT_TRUE(keystore_->open(uri()).ok());
  other.join();
}

TEST_F(ShelfTest, AKeyPairIsHadWhoeverHasAskedForItAsASecret) {
  const auto as_secret = uri("vhsm:default/tls/www?type=secret");
  const milliseconds patience(5000);
  EXPECT_EQ(keystore_->expect(as_secret, patience).error().code, Errc::kBadFormat);
  const auto pair = keystore_->expect(uri(), patience);
  ASSERT_TRUE(pair.ok()) << describe(pair.error());
  EXPECT_FALSE(signing(pair.value().key));
}

TEST_F(ShelfTest, PrivateKeyPublicKeyAndCertificateOfANameAreOneFetch) {
  for (const char* const type : {"private", "public", "cert"}) {
    const auto part = uri((std::string("vhsm:default/tls/www?type=") + type).c_str());
    EXPECT_TRUE(keystore_->expect(part, milliseconds(5000)).ok());
  }
  EXPECT_EQ(source_->fetches, 1);
}

TEST_F(ShelfTest, NamesOfWhatIsNoKeyGiveWayToOthersThatAreSought) {
  source_->resource = "not a key";
  for (int i = 0; i < 256; ++i) {
    const auto wrong = uri(("vhsm:default/wrong/k" + std::to_string(i)).c_str());
    EXPECT_EQ(keystore_->expect(wrong, milliseconds(5000)).error().code, Errc::kBadFormat);
  }
  source_->resource = pkcs8_pem(key_.get());
  const auto sought = keystore_->expect(uri(), milliseconds(5000));
  EXPECT_TRUE(sought.ok()) << describe(sought.error());
}

TEST_F(ShelfTest, ErrorsNameTheKeyAndAreNotRemembered) {
  source_->broken = Errc::kDenied;
  const auto refused = keystore_->open(uri());
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Errc::kDenied);
  EXPECT_NE(describe(refused.error()).find("vhsm:default/tls/www"), std::string::npos);
  source_->broken = std::nullopt;
  EXPECT_TRUE(keystore_->open(uri()).ok());
}

TEST_F(ShelfTest, WithoutASourceAKeyIsMissing) {
  const auto alone = make_memory_keystore(nullptr, {}, std::make_shared<Metrics>());
  EXPECT_EQ(alone->open(uri()).error().code, Errc::kMissing);
}

TEST_F(ShelfTest, AVersionIsRefused) {
  EXPECT_EQ(keystore_->open(uri("vhsm:default/tls/www?version=2")).error().code,
            Errc::kUnsupported);
}

TEST_F(ShelfTest, AWaitEndsAtItsDeadline) {
  source_->delay = milliseconds(3000);
  std::thread first([&] { static_cast<void>(keystore_->open(uri())); });
  std::this_thread::sleep_for(milliseconds(100));
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(keystore_->open(uri()).error().code, Errc::kUnreachable);
  EXPECT_LT(std::chrono::steady_clock::now() - start, milliseconds(2900));
  first.join();
}

TEST_F(ShelfTest, AChildFetchesForItselfWhatItsParentIsStillWaitingFor) {
  source_->delay = milliseconds(500);
  std::thread first([&] { static_cast<void>(keystore_->open(uri())); });
  std::this_thread::sleep_for(milliseconds(100));
  const pid_t child = ::fork();
  if (child == 0) ::_exit(keystore_->open(uri()).ok() ? 0 : 1);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  first.join();
}

TEST_F(ShelfTest, AStandInStartsDuringAnOutageAndWorksAfterIt) {
  source_->broken = Errc::kUnreachable;
  const auto key = stand_in(key_.get(), kEc);
  ASSERT_TRUE(key.ok()) << describe(key.error());
  EXPECT_TRUE(key.value()->has_private());
  EXPECT_EQ(signing(key.value()), Errc::kUnreachable);
  EXPECT_TRUE(key.value()->begin({OperationKind::kVerify, "SHA256"}).ok());
  source_->broken = std::nullopt;
  EXPECT_TRUE(signs_within(key.value(), milliseconds(5000)));
}

TEST_F(ShelfTest, ALostKeyIsSoughtByOneThreadAndItsReasonToldAtOnce) {
  source_->broken = Errc::kDenied;
  const auto key = stand_in(key_.get(), kEc).value();
  EXPECT_EQ(signing(key), Errc::kDenied);
  const int after_the_first = source_->fetches;
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(signing(key), Errc::kDenied);
  EXPECT_LE(source_->fetches, after_the_first + 1);
}

TEST_F(ShelfTest, ASourceThatHangsDelaysOnlyThoseWhoAskFirst) {
  source_->broken = Errc::kUnreachable;
  const auto key = stand_in(key_.get(), kEc).value();
  source_->delay = milliseconds(1500);
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(signing(key), Errc::kUnreachable);
  EXPECT_LT(std::chrono::steady_clock::now() - start, milliseconds(1400));
}

TEST_F(ShelfTest, AChildOfAProcessThatSeeksAKeySeeksItItself) {
  source_->broken = Errc::kUnreachable;
  const auto key = stand_in(key_.get(), kEc).value();
  EXPECT_EQ(signing(key), Errc::kUnreachable);  // this process has its thread now
  const pid_t child = ::fork();
  if (child == 0) {
    const bool refused = signing(key) == Errc::kUnreachable;
    source_->broken = std::nullopt;
    ::_exit(refused && signs_within(key, milliseconds(5000)) ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  source_->broken = std::nullopt;
  EXPECT_TRUE(signs_within(key, milliseconds(5000)));
}

TEST_F(ShelfTest, WhereNoThreadCanBeHadTheCallersFetch) {
  source_->broken = Errc::kUnreachable;
  const auto key = stand_in(key_.get(), kEc).value();
  const pid_t child = ::fork();
  if (child == 0) {  // as HAProxy does with its workers; the limit does not bind root
    const rlimit none{0, 0};
    const bool bound = ::setrlimit(RLIMIT_NPROC, &none) == 0 && ::setuid(65534) == 0;
    const bool refused = signing(key) == Errc::kUnreachable;
    source_->broken = std::nullopt;
    ::_exit(!bound ? 77 : refused && signs_within(key, milliseconds(5000)) ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 77) GTEST_SKIP() << "only root can become nobody";
  EXPECT_EQ(status, 0);
}

TEST_F(ShelfTest, AKeystoreCanGoWhileAKeyIsSought) {
  source_->broken = Errc::kUnreachable;
  EXPECT_EQ(signing(stand_in(key_.get(), kEc).value()), Errc::kUnreachable);
  keystore_.reset();
  for (int i = 0; i < 500 && source_.use_count() > 1; ++i) {
    std::this_thread::sleep_for(milliseconds(10));
  }
  EXPECT_EQ(source_.use_count(), 1) << "the thread goes on";
}

TEST_F(ShelfTest, AStandInOfAnotherKeyIsRefused) {
  const auto other = make_key("P-256");
  EXPECT_EQ(stand_in(other.get(), kEc).error().code, Errc::kBadFormat);
  EXPECT_EQ(stand_in(key_.get(), kEd25519).error().code, Errc::kBadFormat);
}

TEST_F(ShelfTest, WhatTheKbsSendsIsNotTrustedToBeAKey) {
  source_->resource = "not a key";
  EXPECT_EQ(keystore_->open(uri()).error().code, Errc::kBadFormat);
}

}  // namespace
}  // namespace vhsm::keystore
