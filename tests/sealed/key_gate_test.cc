// SPDX-License-Identifier: Apache-2.0
//
// The rules gate=, lease= and grace=: a key in the folder that this VM has to be proved for.
#include <gmock/gmock.h>

#include <atomic>
#include <functional>
#include <thread>

#include "keystore/key_policy.h"
#include "tests/sealed/one_key.h"

namespace vhsm::keystore {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr auto kSign = OperationKind::kSign;

std::atomic<BootTime::rep> g_now{BootTime(1h).count()};
BootTime test_now() noexcept { return BootTime(g_now.load()); }
void pass(BootTime time) { g_now += time.count(); }

/// Has no key, and proves this VM unless it is told otherwise.
class Prover final : public KeySource {
 public:
  Result<SecretBytes> fetch(const KeyName& name, steady_clock::time_point /*deadline*/) override {
    return fail(Errc::kMissing, "the test says so", name.uri());
  }
  Result<steady_clock::time_point> prove(steady_clock::time_point since,
                                         steady_clock::time_point /*deadline*/) override {
    const auto begun = steady_clock::now();
    last_since = since;
    std::this_thread::sleep_for(slow);
    ++proofs;
    const auto error = broken.load();
    if (error) return fail(*error, "the test says so");
    return begun;
  }
  std::atomic<std::optional<Errc>> broken;
  std::atomic<int> proofs{0};
  std::atomic<steady_clock::time_point> last_since;
  std::chrono::milliseconds slow = 20ms;
};

class KeyGateTest : public OneKeyTest {
 protected:
  static Policy ungated() { return {{Gate::kNone, 0ms, 0ms, test_now}, false}; }
  void make_gated(std::string_view policy) {
    keystore_ = another(source_, ungated());
    make_key("EC:P-256", policy);
    key_ = keystore_->open(uri()).value().key;
  }
  [[nodiscard]] std::optional<Errc> signing() const {
    const Status done = do_with(*key_, {kSign});
    return done.ok() ? std::nullopt : std::optional(done.error().code);
  }
  static bool happens(const std::function<bool()>& what) {
    const auto deadline = steady_clock::now() + 8s;
    while (!what()) {
      if (steady_clock::now() > deadline) return false;
      std::this_thread::sleep_for(5ms);
    }
    return true;
  }

  std::shared_ptr<Prover> source_ = std::make_shared<Prover>();
  KeyPtr key_;
};

TEST_F(KeyGateTest, WithoutTheRuleNobodyIsAsked) {
  make_gated("operations=sign");
  EXPECT_EQ(signing(), std::nullopt);
  EXPECT_EQ(source_->proofs, 0);
}

TEST_F(KeyGateTest, WhoeverOpensItWaitsForTheProofAndItsUserDoesNot) {
  source_->slow = 400ms;  // more than an operation waits
  make_gated("gate=lease lease=3600");
  EXPECT_EQ(source_->proofs, 1);
  EXPECT_EQ(signing(), std::nullopt);
}

TEST_F(KeyGateTest, ThisVmIsProvedOnce) {
  source_->broken = Errc::kNotAttested;
  make_gated("gate=first-use");
  EXPECT_TRUE(happens([&] { return signing() == Errc::kNotAttested && source_->proofs > 0; }));
  source_->broken = std::nullopt;
  EXPECT_TRUE(happens([&] { return signing() == std::nullopt; }));
  const int proofs = source_->proofs;
  source_->broken = Errc::kNotAttested;
  pass(24h * 365);
  EXPECT_EQ(signing(), std::nullopt);
  EXPECT_EQ(source_->proofs, proofs);
  const auto other = another(source_, ungated());
  EXPECT_EQ(do_it(*other, {kSign}).error().code, Errc::kNotAttested) << "each process anew";
}

TEST_F(KeyGateTest, ALeaseHasToBeRenewed) {
  make_gated("gate=lease lease=3600");
  EXPECT_EQ(signing(), std::nullopt);
  source_->broken = Errc::kUnreachable;
  pass(1h);
  EXPECT_EQ(signing(), Errc::kUnreachable);
  source_->broken = std::nullopt;
  EXPECT_TRUE(happens([&] { return signing() == std::nullopt; }));
}

TEST_F(KeyGateTest, AProofThatOthersHadBeforeLeavesMostOfTheLease) {
  const auto before = steady_clock::now();
  make_gated("gate=lease lease=3600");
  EXPECT_EQ(signing(), std::nullopt);
  EXPECT_GE(source_->last_since.load(), before - 15min);
}

TEST_F(KeyGateTest, InAnOutageItServesForItsGraceMore) {
  make_gated("gate=lease lease=3600 grace=1800");
  EXPECT_EQ(signing(), std::nullopt);
  source_->broken = Errc::kUnreachable;
  pass(80min);
  EXPECT_TRUE(happens([&] { return signing() == std::nullopt; }));
  pass(10min);
  EXPECT_EQ(signing(), Errc::kUnreachable);
}

TEST_F(KeyGateTest, ThreadsThatUseItAtOnceShareOneProof) {
  make_gated("gate=lease lease=3600");
  ASSERT_EQ(source_->proofs, 1);
  pass(1h);
  std::vector<std::thread> threads;
  std::atomic<int> done{0};
  for (int i = 0; i < 6; ++i) threads.emplace_back([&] { done += signing() == std::nullopt; });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(done, 6);
  EXPECT_EQ(source_->proofs, 2);
}

TEST_F(KeyGateTest, WhereThereIsNoKbsToAskItIsRefusedAndTheSettingIsNamed) {
  source_ = nullptr;
  make_gated("gate=first-use");
  const Status refused = do_with(*key_, {kSign});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Errc::kBadConfig);
  EXPECT_THAT(describe(refused.error()),
              AllOf(HasSubstr("vhsm:default/app/key"), HasSubstr("gate"), HasSubstr("set kbs")));
  EXPECT_TRUE(key_->begin({OperationKind::kVerify, "SHA256"}).ok());
  ASSERT_TRUE(keystore_->set_policy(uri(), "").ok());
  EXPECT_TRUE(do_it({kSign}).ok());
}

struct GateCase {
  const char* name;
  GateTerms ours;
  const char* policy;
  GateTerms expected;
};

class StricterGateTest : public ::testing::TestWithParam<GateCase> {};

TEST_P(StricterGateTest, OfTheConfigurationsAndTheKeysGateTheStricterHolds) {
  const GateCase& one = GetParam();
  const GateTerms terms = KeyPolicy::parse(one.policy).value().gate_under(one.ours);
  EXPECT_EQ(terms.gate, one.expected.gate);
  EXPECT_EQ(terms.lease, one.expected.lease);
  EXPECT_EQ(terms.grace, one.expected.grace);
}

INSTANTIATE_TEST_SUITE_P(
    Gates, StricterGateTest,
    ::testing::Values(
        GateCase{"None", {}, "uses=1", {}}, GateCase{"NoneIsSaid", {}, "gate=none", {}},
        GateCase{"OnlyTheKey", {}, "gate=first-use", {Gate::kFirstUse}},
        GateCase{"OnlyTheConfiguration", {Gate::kLease, 9s, 5s}, "", {Gate::kLease, 9s, 5s}},
        GateCase{"NoneLoosensNothing", {Gate::kFirstUse}, "gate=none", {Gate::kFirstUse}},
        GateCase{"FirstUseLoosensNoLease",
                 {Gate::kLease, 9s, 5s},
                 "gate=first-use",
                 {Gate::kLease, 9s, 5s}},
        GateCase{"OnlyTheKeysLease",
                 {Gate::kFirstUse},
                 "gate=lease lease=7 grace=3",
                 {Gate::kLease, 7s, 3s}},
        GateCase{"NoGraceIsSaid", {}, "gate=lease lease=7", {Gate::kLease, 7s, 0s}},
        GateCase{"TheKeysLeaseIsShorter",
                 {Gate::kLease, 9s, 5s},
                 "gate=lease lease=7 grace=6",
                 {Gate::kLease, 7s, 5s}},
        GateCase{"TheConfigurationsLeaseIsShorter",
                 {Gate::kLease, 9s, 5s},
                 "gate=lease lease=10 grace=1",
                 {Gate::kLease, 9s, 1s}}),
    [](const auto& tested) { return std::string(tested.param.name); });

}  // namespace
}  // namespace vhsm::keystore
