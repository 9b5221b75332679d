// SPDX-License-Identifier: Apache-2.0
//
// The provider's side of vhsmd: keys that are elsewhere work as if they were here, through
// takeovers and restarts, after fork, setuid and chroot.
#include "keystore/daemon/remote_keystore.h"

#include "keystore/daemon/channel.h"
#include "keystore/local_key.h"
#include "tests/vhsmd/running_daemon.h"

namespace vhsm::keystore {
namespace {

class RemoteKeystoreTest : public ServerTest {};

TEST_F(RemoteKeystoreTest, KeysSignDecryptAndDeriveAsIfTheyWereHere) {
  start();
  const auto keystore = remote();
  EXPECT_FALSE(signing(keystore->open(uri(kP256)).value().key).has_value());

  const KeyPtr rsa = keystore->open(uri(kRsaKey)).value().key;
  std::array<std::uint8_t, 256> sealed{};
  std::array<std::uint8_t, 256> opened{};
  ASSERT_EQ(rsa->begin({OperationKind::kEncrypt}).value()->run(kDigest, sealed).value(), 256U);
  const auto size = rsa->begin({OperationKind::kDecrypt}).value()->run(sealed, opened);
  ASSERT_TRUE(size.ok()) << describe(size.error());
  EXPECT_TRUE(std::ranges::equal(std::span(opened).first(size.value()), kDigest));

  const KeyPtr here = keystore->open(uri(kX)).value().key;
  const auto other = make_key("X25519");
  const auto peer = std::make_shared<LocalKey>(PublicHalf::of(other.get()).value(), nullptr);
  const auto derivation = here->begin({OperationKind::kDerive}).value();
  ASSERT_TRUE(derivation->set_peer(*peer).ok());
  std::array<std::uint8_t, 32> ours{};
  std::array<std::uint8_t, 32> theirs{};
  ASSERT_TRUE(derivation->run({}, ours).ok());
  const ossl::PKeyCtx ctx(EVP_PKEY_CTX_new_from_pkey(nullptr, other.get(), nullptr));
  std::size_t theirs_size = theirs.size();
  ASSERT_EQ(EVP_PKEY_derive_init(ctx.get()), 1);
  ASSERT_EQ(EVP_PKEY_derive_set_peer(ctx.get(), keys_[kX].get()), 1);
  ASSERT_EQ(EVP_PKEY_derive(ctx.get(), theirs.data(), &theirs_size), 1);
  EXPECT_EQ(ours, theirs);
}

TEST_F(RemoteKeystoreTest, AStandInOfAnotherKeyIsRefused) {
  start();
  const auto keystore = remote();
  const auto right = keystore->open_stand_in(uri(kP256), kEc, public_key(kP256));
  ASSERT_TRUE(right.ok()) << describe(right.error());
  EXPECT_FALSE(signing(right.value()).has_value());
  EXPECT_EQ(keystore->open_stand_in(uri(kP256), kEc, public_key(kSlow)).error().code,
            Errc::kBadFormat);
}

TEST_F(RemoteKeystoreTest, AKeyThatWasReplacedDoesNotSignForItsPredecessor) {
  start();
  const auto keystore = remote();
  const KeyPtr key = keystore->open(uri(kP256)).value().key;
  ASSERT_FALSE(signing(key).has_value());
  std::swap(keys_[kP256], keys_[kSlow]);
  start();
  EXPECT_EQ(signing(key), Errc::kBadFormat);
  std::swap(keys_[kP256], keys_[kSlow]);
}

TEST_F(RemoteKeystoreTest, AChildSignsOnAConnectionOfItsOwn) {
  start();
  const auto keystore = remote();
  const KeyPtr key = keystore->open(uri(kP256)).value().key;
  ASSERT_FALSE(signing(key).has_value());
  ASSERT_EQ(daemon_->server().connections(), 1U);
  const pid_t child = ::fork();
  if (child == 0) {
    const bool signs = !signing(key).has_value();
    std::this_thread::sleep_for(milliseconds(300));
    ::_exit(signs && !signing(key).has_value() ? 0 : 1);
  }
  EXPECT_TRUE(eventually(seconds(2), [&] { return daemon_->server().connections() == 2; }));
  for (int i = 0; i < 50; ++i) EXPECT_FALSE(signing(key).has_value());
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_FALSE(signing(key).has_value());
  EXPECT_TRUE(eventually(seconds(2), [&] { return daemon_->server().connections() == 1; }));
}

TEST_F(RemoteKeystoreTest, ClientsSeeNothingOfTakeovers) {
  start();
  std::atomic<bool> over{false};
  std::atomic<int> signatures{0};
  std::atomic<int> failures{0};
  std::vector<std::thread> clients;
  const auto keystore = remote();
  for (int i = 0; i < 4; ++i) {
    clients.emplace_back([&] {
      while (!over) {
        const auto fresh = remote();  // and one that has idle connections
        for (Keystore* const asked : {keystore.get(), fresh.get()}) {
          const auto opened = asked->open(uri(kP256));
          const bool failed = !opened.ok() || signing(opened.value().key).has_value();
          ++(failed ? failures : signatures);
        }
      }
    });
  }
  for (int i = 0; i < 10; ++i) {
    std::this_thread::sleep_for(milliseconds(50));
    auto predecessor = Predecessor::connect(path_).value();
    EXPECT_TRUE(predecessor.key_names().ok());
    auto next = std::make_unique<Daemon>(predecessor.take_over().value(), source(), Limits{});
    EXPECT_TRUE(eventually(seconds(5), [&] { return daemon_->ended(); })) << i;
    daemon_ = std::move(next);
  }
  over = true;
  for (auto& thread : clients) thread.join();
  EXPECT_EQ(failures, 0);
  EXPECT_GT(signatures, 10);
}

TEST_F(RemoteKeystoreTest, AHandleOutlivesItsServer) {
  start();
  const auto keystore = remote();
  const KeyPtr key = keystore->open(uri(kP256)).value().key;
  for (int i = 0; i < 3; ++i) {
    ASSERT_FALSE(signing(key).has_value()) << i;
    start();
  }
  daemon_.reset();
  std::thread late([this] {
    std::this_thread::sleep_for(milliseconds(500));
    start();
  });
  EXPECT_FALSE(signing(key).has_value()) << "a restart is waited for";
  late.join();
}

TEST_F(RemoteKeystoreTest, ManyThreadsOutliveTheirServer) {
  start();
  const auto keystore = remote();
  const KeyPtr key = keystore->open(uri(kP256)).value().key;
  std::atomic<bool> over{false};
  std::atomic<int> failures{0};
  std::atomic<Errc> last{};
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      while (!over) {
        const auto refusal = signing(key);
        if (!refusal.has_value()) continue;
        ++failures;
        last = *refusal;
      }
    });
  }
  for (int i = 0; i < 15; ++i) {
    std::this_thread::sleep_for(milliseconds(50));
    start();
  }
  over = true;
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(failures, 0) << "the last: " << reason(last);
}

TEST_F(RemoteKeystoreTest, WhereNobodyServesTheFirstWaitsAndTheNextDoNot) {
  const auto keystore = remote();
  const auto start = Clock::now();
  EXPECT_EQ(keystore->open(uri(kP256)).error().code, Errc::kNoDaemon);
  const auto first = Clock::now();
  EXPECT_GE(first - start, Channel::kPatience);
  EXPECT_LT(first - start, Channel::kPatience + seconds(1));
  EXPECT_EQ(keystore->open(uri(kP256)).error().code, Errc::kNoDaemon);
  EXPECT_LT(Clock::now() - first, milliseconds(100));
}

TEST_F(RemoteKeystoreTest, AConfinedProcessStillFindsTheSocket) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can confine itself";
  start();
  grant_to_stranger(kP256);
  const auto keystore = remote();
  const KeyPtr key = keystore->open(uri(kP256)).value().key;
  const test::TempDir empty;
  EXPECT_EQ(in_child([&] {
              const bool confined = ::chroot(empty.file("").c_str()) == 0 && ::chdir("/") == 0;
              if (!confined || ::chmod("/", 0755) != 0 || !become(kStranger)) return kSkipped;
              if (signing(key).has_value()) return 1;
              return ::access("socket", F_OK) != 0 ? 0 : 2;  // its folder is still the empty one
            }),
            0);
}

}  // namespace
}  // namespace vhsm::keystore
