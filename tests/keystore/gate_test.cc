// SPDX-License-Identifier: Apache-2.0
//
// Keys under a gate, on a clock of the tests' and a source that says what they like.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gmock/gmock.h>

#include <array>
#include <atomic>
#include <functional>
#include <new>
#include <thread>
#include <utility>

#include "keystore/keystore.h"
#include "keystore/lease.h"
#include "keystore/local_key.h"
#include "tests/base/temp_dir.h"
#include "tests/keystore/samples.h"
#include "tests/keystore/test_clock.h"

namespace vhsm::keystore {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;
using ::testing::HasSubstr;
using ::testing::Not;

class FakeSource final : public KeySource {
 public:
  Result<SecretBytes> fetch(const KeyName& name, steady_clock::time_point /*deadline*/) override {
    ++fetches;
    auto secret = answer(name);
    answered = steady_clock::now();
    return secret;
  }
  Result<SecretBytes> renew(const KeyName& name, steady_clock::time_point since,
                            steady_clock::time_point /*deadline*/) override {
    last_since = since;
    if (std::this_thread::get_id() == user) ++renewals_by_user;
    while (hangs) std::this_thread::sleep_for(1ms);
    if (throws.exchange(false)) throw std::bad_alloc();
    auto secret = answer(name);
    answered = steady_clock::now();
    ++renewals;
    return secret;
  }
  Result<steady_clock::time_point> prove(steady_clock::time_point since,
                                         steady_clock::time_point /*deadline*/) override {
    last_since = since;
    ++proofs;
    const auto error = broken.load();
    if (error) return fail(*error, "the test says so");
    return steady_clock::now() - age_of_proof.load();
  }

  std::string resource;
  std::atomic<std::optional<Errc>> broken;
  std::atomic<bool> hangs{false};
  std::atomic<int> fetches{0};
  std::atomic<int> renewals{0};
  std::atomic<int> renewals_by_user{0};
  std::atomic<int> proofs{0};
  std::atomic<std::chrono::milliseconds> age_of_proof{0ms};
  std::atomic<bool> throws{false};  ///< a renewal, once
  std::atomic<steady_clock::time_point> last_since;
  std::atomic<steady_clock::time_point> answered;  ///< when the last release was
  const std::thread::id user = std::this_thread::get_id();

 private:
  Result<SecretBytes> answer(const KeyName& name) const {
    const auto error = broken.load();
    if (error) return fail(*error, "the test says so", name.uri());
    return SecretBytes::copy(
        {reinterpret_cast<const std::uint8_t*>(resource.data()), resource.size()});
  }
};

class GateTest : public KeystoreTest {
 protected:
  void SetUp() override {
    source_->resource = pkcs8_pem(pair_.get());
    make_keystore(lease(1h));
  }
  static Policy lease(std::chrono::milliseconds lease, std::chrono::milliseconds grace = 0ms) {
    return {{Gate::kLease, lease, grace, test_now}, false};
  }
  void make_keystore(const Policy& policy) {
    auto records = std::make_shared<Records>(
        Records{Log(LineFile::open(folder_.file("log")).value(), LogLevel::kInfo),
                AuditLog(LineFile::open(folder_.file("audit")).value())});
    keystore_ = make_memory_keystore(source_, {500ms, 2000ms}, std::make_shared<Metrics>(), policy,
                                     std::move(records));
  }

  static KeyUri uri(const char* text = "vhsm:default/tls/www") {
    return KeyUri::parse(text, "default/key").value();
  }
  KeyPtr opened() {
    const auto entry = keystore_->open(uri());
    EXPECT_TRUE(entry.ok()) << describe(entry.error());
    return entry.value().key;
  }
  KeyPtr generated() {
    source_->broken = Errc::kMissing;
    std::string group = "P-256";
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string("group", group.data(), group.size()),
        OSSL_PARAM_construct_end()};
    const auto key = keystore_->generate(uri().name, kEc, params);
    EXPECT_TRUE(key.ok()) << describe(key.error());
    source_->broken = std::nullopt;
    return key.value();
  }
  /// The error of a signature; nothing when it is made.
  static std::optional<Errc> signing(const KeyPtr& key) {
    const auto operation = key->begin({OperationKind::kSign, "SHA256"});
    if (!operation.ok()) return operation.error().code;
    return running(*operation.value());
  }
  static std::optional<Errc> running(Operation& operation) {
    const std::array<std::uint8_t, 32> digest{};
    std::array<std::uint8_t, 128> signature{};
    const auto size = operation.run(digest, signature);
    return size.ok() ? std::nullopt : std::optional(size.error().code);
  }
  static bool happens(const std::function<bool()>& what) {
    const auto deadline = steady_clock::now() + 8s;
    while (!what()) {
      if (steady_clock::now() > deadline) return false;
      std::this_thread::sleep_for(5ms);
    }
    return true;
  }
  bool is_renewed(int times) {
    return happens([&] { return source_->renewals >= times; });
  }
  static bool is_wiped(const KeyPtr& key) {
    return static_cast<const LocalKey&>(*key).private_half()->sealed().empty();
  }

  test::TempDir folder_;
  ossl::PKey pair_ = make_key("P-256");
  std::shared_ptr<FakeSource> source_ = std::make_shared<FakeSource>();
  std::shared_ptr<HoldingKeystore> keystore_;
};

TEST_F(GateTest, WithoutAGateAKeyIsNeverAskedForAgain) {
  make_keystore({});
  const KeyPtr key = opened();
  source_->broken = Errc::kDenied;
  pass(24h * 3650);
  EXPECT_EQ(signing(key), std::nullopt);
  EXPECT_EQ(source_->renewals, 0);
}

TEST_F(GateTest, ALeaseIsRenewedByAThreadBeforeItEndsAndNoOperationWaits) {
  const KeyPtr key = opened();
  EXPECT_EQ(signing(key), std::nullopt);
  EXPECT_EQ(source_->renewals, 0);
  source_->hangs = true;
  pass(50min);
  EXPECT_EQ(signing(key), std::nullopt) << "while the source does not answer";
  EXPECT_EQ(source_->renewals, 0);
  source_->hangs = false;
  EXPECT_TRUE(is_renewed(1));
  EXPECT_TRUE(happens([&] { return signing(key) == std::nullopt; }));
  EXPECT_EQ(source_->renewals_by_user, 0);
  pass(25min);  // beyond the first lease
  EXPECT_EQ(signing(key), std::nullopt);
}

TEST_F(GateTest, AnIdleKeysLeaseIsRenewedToo) {
  make_keystore({{Gate::kLease, 400ms, 0ms, boot_now}, false});
  const KeyPtr key = opened();
  EXPECT_EQ(signing(key), std::nullopt);  // from now on this process renews it
  EXPECT_TRUE(is_renewed(3));
  EXPECT_EQ(source_->renewals_by_user, 0);
  EXPECT_EQ(source_->fetches, 1);
}

// The proof that a release was judged on is over when the release comes: that one does not do
// again.
TEST_F(GateTest, ARenewalAsksForAProofThatIsBegunAfterTheLastRelease) {
  const KeyPtr key = opened();
  for (int renewal = 1; renewal <= 2; ++renewal) {
    const auto released = source_->answered.load();
    ASSERT_TRUE(happens([&] {
      pass(1min);
      return signing(key) == std::nullopt && source_->renewals >= renewal;
    }));
    EXPECT_GE(source_->last_since.load(), released) << renewal;
  }
}

TEST_F(GateTest, AfterItsLeaseAKeyIsRefusedUntilItIsRenewed) {
  const KeyPtr key = opened();
  source_->broken = Errc::kUnreachable;
  pass(1h);
  EXPECT_EQ(signing(key), Errc::kUnreachable);
  const auto refused = key->begin({OperationKind::kSign, "SHA256"});
  EXPECT_EQ(refused.error().subject.text(), "vhsm:default/tls/www");
  EXPECT_EQ(key->begin({OperationKind::kVerify, "SHA256"}).ok(), true)
      << "that needs no private key";
  EXPECT_FALSE(is_wiped(key));
  source_->broken = std::nullopt;
  EXPECT_TRUE(happens([&] { return signing(key) == std::nullopt; }));
}

TEST_F(GateTest, AnOperationThatWasBegunInTimeIsRefusedAfterIt) {
  const KeyPtr key = opened();
  const auto operation = key->begin({OperationKind::kSign, "SHA256"});
  EXPECT_EQ(running(*operation.value()), std::nullopt);
  source_->broken = Errc::kUnreachable;
  pass(1h);
  EXPECT_EQ(running(*operation.value()), Errc::kUnreachable);
}

TEST_F(GateTest, InAnOutageAKeyServesForTheGraceAndTheLogSaysSo) {
  make_keystore(lease(1h, 1h));
  const KeyPtr key = opened();
  source_->broken = Errc::kUnreachable;
  pass(110min);
  EXPECT_TRUE(happens([&] { return signing(key) == std::nullopt; }));
  EXPECT_THAT(folder_.read("log"), HasSubstr("vhsm:default/tls/www goes on serving in an outage"));
  pass(10min);
  EXPECT_EQ(signing(key), Errc::kUnreachable);
  source_->broken = std::nullopt;
  EXPECT_TRUE(happens([&] { return signing(key) == std::nullopt; }));
}

TEST_F(GateTest, AVerdictIsNoOutage) {
  make_keystore(lease(1h, 1h));
  const KeyPtr key = opened();
  for (const Errc verdict : {Errc::kNotAttested, Errc::kPlatform, Errc::kInUse}) {
    source_->broken = verdict;
    pass(1h);
    EXPECT_TRUE(happens([&] { return signing(key) == verdict; }));
    EXPECT_FALSE(is_wiped(key)) << "this VM may be attested again";
    source_->broken = std::nullopt;
    EXPECT_TRUE(happens([&] { return signing(key) == std::nullopt; }));
  }
  EXPECT_THAT(folder_.read("log"), Not(HasSubstr("outage")));
}

TEST_F(GateTest, ARenewalForWhichThereIsNoMemoryIsTriedAgain) {
  const KeyPtr key = opened();
  EXPECT_EQ(signing(key), std::nullopt);
  source_->throws = true;
  pass(1h);
  EXPECT_EQ(signing(key), Errc::kOutOfMemory);
  EXPECT_TRUE(happens([&] { return signing(key) == std::nullopt; }));
}

class TakenBack : public GateTest, public ::testing::WithParamInterface<Errc> {};

TEST_P(TakenBack, AKeyIsWipedAtOnceInAllHandsAndGoneFromTheShelf) {
  const KeyPtr key = opened();
  const auto operation = key->begin({OperationKind::kSign, "SHA256"});
  source_->broken = GetParam();
  source_->hangs = true;
  pass(50min);
  EXPECT_EQ(signing(key), std::nullopt) << "due, not over: the source's word has not come";
  source_->hangs = false;
  EXPECT_TRUE(happens([&] { return signing(key) == GetParam(); }));
  EXPECT_EQ(running(*operation.value()), GetParam());
  EXPECT_TRUE(happens([&] { return is_wiped(key); }));
  EXPECT_TRUE(key->revoked());
  EXPECT_TRUE(keystore_->names().value().empty());
  EXPECT_EQ(keystore_->open(uri()).error().code, GetParam());
  EXPECT_THAT(folder_.read("audit"), HasSubstr(R"("event":"wipe","outcome":")"));
  EXPECT_THAT(folder_.read("log"), HasSubstr("is wiped"));
  source_->broken = std::nullopt;
  EXPECT_EQ(signing(opened()), std::nullopt) << "released again, it is another handle's";
  EXPECT_EQ(signing(key), GetParam());
}
INSTANTIATE_TEST_SUITE_P(Verdicts, TakenBack, ::testing::Values(Errc::kDenied, Errc::kMissing));

TEST_F(GateTest, AKeyThatWasReplacedGivesWayToItsSuccessor) {
  const KeyPtr key = opened();
  const auto successor = make_key("P-256");
  source_->resource = pkcs8_pem(successor.get());
  pass(50min);
  EXPECT_TRUE(happens([&] { return signing(key) == Errc::kMissing; }));
  EXPECT_TRUE(happens([&] { return is_wiped(key); }));
  const KeyPtr next = opened();
  EXPECT_EQ(signing(next), std::nullopt);
  EXPECT_EQ(source_->fetches, 1) << "the renewal brought it";
  pass(50min);
  EXPECT_TRUE(happens([&] { return signing(next) == std::nullopt && source_->renewals >= 2; }));
}

TEST_F(GateTest, AStandInWorksAgainWhenItsKeyIsReleasedAgain) {
  const auto info = PublicHalf::of(pair_.get()).value().key_info().value();
  const KeyPtr key = keystore_->open_stand_in(uri(), kEc, info).value();
  EXPECT_EQ(signing(key), std::nullopt);
  source_->broken = Errc::kDenied;
  pass(50min);
  EXPECT_TRUE(happens([&] { return signing(key) == Errc::kDenied; }));
  source_->broken = std::nullopt;
  EXPECT_TRUE(happens([&] { return signing(key) == std::nullopt; }));
}

TEST_F(GateTest, ASymmetricKeysRunningContextIsRefusedOnceItIsTakenBack) {
  source_->resource = std::string(32, 'k');
  const KeyUri secret = uri("vhsm:default/tls/mac?type=secret");
  const auto key = keystore_->open(secret).value().symmetric;
  const auto* const algorithm = find_symmetric_algorithm("HMAC");
  const auto mac = keystore_->make_operation(*algorithm).value();
  std::string digest = "SHA256";
  const OSSL_PARAM params[] = {
      OSSL_PARAM_construct_utf8_string("digest", digest.data(), digest.size()),
      OSSL_PARAM_construct_end()};
  ASSERT_TRUE(mac->set_params(params).ok());
  ASSERT_TRUE(mac->start({.key = key}).ok());
  const std::array<std::uint8_t, 4> data{};
  EXPECT_TRUE(mac->update(data, {}).ok());
  source_->broken = Errc::kDenied;
  pass(50min);
  EXPECT_TRUE(happens([&] { return !mac->update(data, {}).ok(); }));
  std::array<std::uint8_t, 64> out{};
  EXPECT_EQ(mac->finish(out).error().code, Errc::kDenied);
  const auto bytes = memory::run_protected([&] { return key->open(); });
  EXPECT_FALSE(bytes.ok()) << "its bytes are gone";
}

TEST_F(GateTest, AKeyThatNobodyHasAnyMoreIsNotRenewed) {
  make_keystore({{Gate::kLease, 400ms, 0ms, boot_now}, false});
  EXPECT_EQ(signing(opened()), std::nullopt);
  ASSERT_TRUE(keystore_->remove(uri()).ok());
  ASSERT_TRUE(is_renewed(0));
  const int before = source_->renewals;
  std::this_thread::sleep_for(700ms);
  EXPECT_LE(source_->renewals, before + 1);
}

TEST_F(GateTest, WhereTheKeystoreIsGoneALeaseRunsOut) {
  const KeyPtr key = opened();
  keystore_.reset();
  EXPECT_EQ(signing(key), std::nullopt);
  pass(1h);
  EXPECT_NE(signing(key), std::nullopt);
}

TEST_F(GateTest, ManyKeysAreRenewedByOneThread) {
  make_keystore({{Gate::kLease, 4000ms, 0ms, boot_now}, false});
  std::vector<KeyPtr> keys;
  constexpr int kKeys = 50;
  for (int i = 0; i < kKeys; ++i) {
    const auto entry = keystore_->open(uri(("vhsm:default/many/k" + std::to_string(i)).c_str()));
    ASSERT_TRUE(entry.ok());
    keys.push_back(entry.value().key);
    EXPECT_EQ(signing(keys.back()), std::nullopt);
  }
  EXPECT_TRUE(is_renewed(kKeys));
  for (const KeyPtr& key : keys) EXPECT_EQ(signing(key), std::nullopt);
  EXPECT_EQ(source_->renewals_by_user, 0);
}

// ----- keys that were made here
// -------------------------------------------------------------------

TEST_F(GateTest, AGeneratedKeyIsProvedForAtItsFirstUse) {
  make_keystore({{Gate::kFirstUse, 0ms, 0ms, test_now}, false});
  source_->broken = Errc::kMissing;
  const KeyPtr key = keystore_->generate(uri().name, kEd25519, nullptr).value();
  EXPECT_EQ(source_->proofs, 0);
  const auto sign = [&] {
    const auto operation = key->begin({OperationKind::kSignMessage});
    return operation.ok() ? running(*operation.value()) : std::optional(operation.error().code);
  };
  source_->broken = Errc::kNotAttested;
  EXPECT_TRUE(happens([&] { return sign() == Errc::kNotAttested && source_->proofs > 0; }));
  source_->broken = std::nullopt;
  EXPECT_TRUE(happens([&] { return sign() == std::nullopt; }));
  const int proofs = source_->proofs;
  pass(24h * 365);
  source_->broken = Errc::kNotAttested;
  EXPECT_EQ(sign(), std::nullopt) << "one proof is enough";
  EXPECT_EQ(source_->proofs, proofs);
}

TEST_F(GateTest, NoProofThatWasBegunBeforeAKeyWasGeneratedDoes) {
  make_keystore({{Gate::kFirstUse, 0ms, 0ms, test_now}, false});
  const auto before = steady_clock::now();
  const KeyPtr key = generated();
  EXPECT_TRUE(happens([&] { return signing(key) == std::nullopt; }));
  EXPECT_GE(source_->last_since.load(), before);
}

TEST_F(GateTest, ALeaseCountsFromTheBeginOfAProofThatOthersHadBefore) {
  const KeyPtr key = generated();
  source_->age_of_proof = 10min;
  EXPECT_TRUE(happens([&] { return signing(key) == std::nullopt; }));
  source_->broken = Errc::kUnreachable;
  pass(49min);
  EXPECT_EQ(signing(key), std::nullopt);
  pass(2min);
  EXPECT_EQ(signing(key), Errc::kUnreachable);
}

TEST_F(GateTest, AKeyFromTheSourceNeedsNoOtherProofAtItsFirstUse) {
  make_keystore({{Gate::kFirstUse, 0ms, 0ms, test_now}, false});
  const KeyPtr key = opened();
  source_->broken = Errc::kNotAttested;
  EXPECT_EQ(signing(key), std::nullopt);
  EXPECT_EQ(source_->proofs + source_->renewals, 0);
}

TEST_F(GateTest, BeforeAKeyIsGeneratedThisVmIsProvedAnew) {
  make_keystore({{Gate::kLease, 1h, 0ms, test_now}, true});
  source_->broken = Errc::kMissing;
  const auto before = steady_clock::now();
  EXPECT_EQ(keystore_->generate(uri().name, kEd25519, nullptr).error().code, Errc::kMissing)
      << "what the proof says";
  EXPECT_EQ(source_->proofs, 1);
  EXPECT_GE(source_->last_since.load(), before);
  EXPECT_TRUE(keystore_->names().value().empty());
}

TEST_F(GateTest, WithoutASourceNothingIsGeneratedThatNeedsAProof) {
  const auto alone =
      make_memory_keystore(nullptr, {}, std::make_shared<Metrics>(), {{Gate::kNone}, true});
  EXPECT_EQ(alone->generate(uri().name, kEd25519, nullptr).error().code, Errc::kBadConfig);
}

// ----- processes and threads
// ----------------------------------------------------------------------

bool ended_well(pid_t child) {
  int status = -1;
  return ::waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

TEST_F(GateTest, AChildRenewsForItself) {
  const KeyPtr key = opened();
  EXPECT_EQ(signing(key), std::nullopt);  // the parent has its thread
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(20);
    pass(50min);
    bool good = signing(key) == std::nullopt && is_renewed(1);
    source_->broken = Errc::kDenied;
    pass(1h);
    good = good && happens([&] { return signing(key) == Errc::kDenied; });
    ::_exit(good && happens([&] { return is_wiped(key); }) ? 0 : 1);
  }
  EXPECT_TRUE(ended_well(child));
  EXPECT_EQ(source_->renewals, 0);
  EXPECT_EQ(signing(key), std::nullopt) << "the parent's is another copy";
}

TEST_F(GateTest, WhereNoThreadCanBeHadTheCallerRenews) {
  const KeyPtr key = opened();
  const pid_t child = ::fork();
  if (child == 0) {  // the limit does not bind root
    ::alarm(20);
    const rlimit none{0, 0};
    const bool bound = ::setrlimit(RLIMIT_NPROC, &none) == 0 && ::setuid(65534) == 0;
    pass(50min);
    const bool renewed = signing(key) == std::nullopt && source_->renewals == 1;
    source_->broken = Errc::kUnreachable;
    pass(2h);
    const bool refused = signing(key) == Errc::kUnreachable;
    source_->broken = std::nullopt;
    const bool back = happens([&] { return signing(key) == std::nullopt; });
    ::_exit(!bound ? 77 : renewed && refused && back ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 77) GTEST_SKIP() << "only root can become nobody";
  EXPECT_EQ(status, 0);
}

/// Called in the midst of Permit::ask(), once it has seen that the lease is open.
std::function<void()> g_meanwhile;
BootTime interrupted_now() noexcept {
  if (const auto meanwhile = std::exchange(g_meanwhile, nullptr)) meanwhile();
  return test_now();
}

TEST_F(GateTest, AKeyThatIsTakenBackBetweenTheQuestionAndItsUseIsRefusedForThat) {
  make_keystore({{Gate::kLease, 1h, 0ms, interrupted_now}, false});
  const Entry entry = keystore_->open(uri()).value();
  EXPECT_EQ(signing(entry.key), std::nullopt);
  g_meanwhile = [&] { entry.permit->revoke(Errc::kDenied); };
  const auto refused = entry.key->begin({OperationKind::kSign, "SHA256"});
  EXPECT_EQ(g_meanwhile, nullptr);
  EXPECT_EQ(refused.error().code, Errc::kDenied);
  EXPECT_THAT(describe(refused.error()), HasSubstr("vhsm:default/tls/www"));
}

TEST_F(GateTest, ASymmetricKeyThatIsTakenBackBetweenTheQuestionAndItsUseIsRefusedForThat) {
  make_keystore({{Gate::kLease, 1h, 0ms, interrupted_now}, false});
  source_->resource = std::string(32, 'k');
  const Entry entry = keystore_->open(uri("vhsm:default/tls/mac?type=secret")).value();
  ASSERT_TRUE(entry.symmetric->ask().ok());
  g_meanwhile = [&] { entry.permit->revoke(Errc::kDenied); };
  EXPECT_TRUE(entry.symmetric->ask().ok());
  EXPECT_EQ(g_meanwhile, nullptr);
  const auto bytes = memory::run_protected([&] { return entry.symmetric->open(); });
  EXPECT_EQ(bytes.error().code, Errc::kDenied);
}

TEST_F(GateTest, ThreadsThatSignWhileAKeyIsTakenBackAreRefusedAndNothingElse) {
  const KeyPtr key = opened();
  std::atomic<int> odd{0};
  std::atomic<int> refused{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      while (refused == 0 || signing(key) == std::nullopt) {
        const auto error = signing(key);
        refused += error == Errc::kDenied ? 1 : 0;
        odd += error && error != Errc::kDenied ? 1 : 0;
        if (error && error != Errc::kDenied) return;
      }
    });
  }
  source_->broken = Errc::kDenied;
  pass(50min);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(odd, 0);
  EXPECT_GT(refused, 0);
}

}  // namespace
}  // namespace vhsm::keystore
