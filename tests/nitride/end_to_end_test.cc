// SPDX-License-Identifier: Apache-2.0
//
// Nitride against the reference KBS: TLS, a signed report, a verified chain, a real token.
#include <array>
#include <filesystem>

#include "snp/emulator.h"
#include "tests/nitride/support.h"
#include "tests/world/world.h"

namespace vhsm::nitride {
namespace {

class EndToEndTest : public NitrideTest {
 protected:
  void SetUp() override {
    ASSERT_TRUE(world_.ready());
    world_.put("default/tls/www", "the key of www");
    world_.put("default/tls/mail", "the key of mail");
    connect("");
  }

  /// A client by the world's configuration and `more`.
  void connect(const std::string& more) {
    world_.configure(more);
    const std::array overrides{Override{"config", world_.file("vhsm.cnf")}};
    auto loaded = load_settings(overrides);
    ASSERT_TRUE(loaded.ok()) << describe(loaded.error());
    kbs_ = loaded.value().kbs.front();
    auto opened = snp::open_platform(loaded.value().platform, loaded.value().vmpl);
    ASSERT_TRUE(opened.ok()) << describe(opened.error());
    auto made = Client::create(loaded.value(), std::move(opened.value()), metrics,
                               std::make_shared<Records>());
    ASSERT_TRUE(made.ok()) << describe(made.error());
    client_ = made.value();
  }

  std::string outcome_of(const char* name) {
    const auto secret = client_->fetch(name_of(name), Clock::now() + 10s);
    return secret.ok() ? text_of(secret.value()) : reason(secret.error().code);
  }

  tests::World world_;
  std::string kbs_;
  std::shared_ptr<Client> client_;
};

TEST_F(EndToEndTest, OneAttestationBringsKeysAndTellsWhatIsMissing) {
  EXPECT_EQ(outcome_of("default/tls/www"), "the key of www");
  EXPECT_EQ(outcome_of("default/tls/mail"), "the key of mail");
  EXPECT_EQ(outcome_of("default/tls/none"), "missing");
  EXPECT_EQ(metrics->reports, 1U);
  const auto probes = client_->probe();
  ASSERT_EQ(probes.size(), 1U);
  EXPECT_FALSE(probes.front().failure.has_value()) << describe(*probes.front().failure);
  EXPECT_EQ(probes.front().tls, "TLSv1.3");
  world_.stop_kbs();
  EXPECT_EQ(outcome_of("default/tls/www"), "unreachable");
}

TEST_F(EndToEndTest, EachKindOfTeeKeyBringsTheKey) {
  for (const char* kind : {"P-256", "P-521", "RSA"}) {
    connect(std::string("tee_key = ") + kind + "\n");
    EXPECT_EQ(outcome_of("default/tls/www"), "the key of www") << kind;
  }
}

/// One program plays both here; nothing but the token goes from one part to the other.
TEST_F(EndToEndTest, ATokenOfAnAttestationServiceIsTaken) {
  connect("attestation_service = " + kbs_ + "\n");
  EXPECT_EQ(outcome_of("default/tls/www"), "the key of www");
  EXPECT_EQ(outcome_of("default/tls/mail"), "the key of mail");
  EXPECT_EQ(metrics->reports, 1U);
  EXPECT_TRUE(client_->prove(Clock::now(), Clock::now() + 10s).ok());
  EXPECT_EQ(metrics->reports, 2U);
}

// ----- machines that must have no key
// ----------------------------------------------------------

/// One platform first, another one later.
class Switched final : public snp::Platform {
 public:
  explicit Switched(std::unique_ptr<snp::Platform> first) : now_(std::move(first)) {}
  void become(std::unique_ptr<snp::Platform> next) { now_ = std::move(next); }
  [[nodiscard]] snp::PlatformInfo info() const override { return now_->info(); }
  Result<snp::Evidence> attest(const snp::ReportData& data, TimePoint deadline) override {
    return now_->attest(data, deadline);
  }

 private:
  std::unique_ptr<snp::Platform> now_;
};

/// Answers each request with one and the same report.
class Replaying final : public snp::Platform {
 public:
  explicit Replaying(snp::Platform& genuine)
      : recorded_(genuine.attest(snp::ReportData{1}, snp::kNoDeadline).value()) {}
  [[nodiscard]] snp::PlatformInfo info() const override { return {"replay", true, 0}; }
  Result<snp::Evidence> attest(const snp::ReportData& /*data*/, TimePoint /*deadline*/) override {
    return recorded_;
  }

 private:
  snp::Evidence recorded_;
};

class RefusedVmTest : public EndToEndTest {
 protected:
  void SetUp() override {
    EndToEndTest::SetUp();
    std::filesystem::copy(world_.file("snp"), world_.file("other"));
  }
  std::unique_ptr<snp::Platform> vm(const char* machine = "snp",
                                    std::optional<unsigned> vmpl = std::nullopt) const {
    return snp::open_emulator(world_.file(machine), vmpl).value();
  }
  /// A machine like ours with one member of its state changed.
  std::unique_ptr<snp::Platform> other_vm(const char* member, const nlohmann::json& value) const {
    auto state = nlohmann::json::parse(tests::read_file(world_.file("other/emulator.json")));
    EXPECT_NE(state[member], value);
    state[member] = value;
    tests::write_file(world_.file("other/emulator.json"), state.dump());
    return vm("other");
  }
  std::string audit() const {
    return world_.kbs({"--config", world_.file("kbs/vhsm-kbs.cnf"), "audit", "list"}).out;
  }
  void expect_refused(std::unique_ptr<snp::Platform> bad, const char* why) {
    const auto machine = std::make_shared<Switched>(std::move(bad));
    const std::array overrides{Override{"config", world_.file("vhsm.cnf")}};
    client_ = Client::create(load_settings(overrides).value(), machine, metrics,
                             std::make_shared<Records>())
                  .value();
    EXPECT_EQ(outcome_of("default/tls/www"), "not attested");
    EXPECT_THAT(audit(), ::testing::HasSubstr(why));
    machine->become(vm());
    EXPECT_EQ(outcome_of("default/tls/www"), "the key of www") << "by an attestation of its own";
    EXPECT_EQ(metrics->reports, 2U);
  }
};

TEST_F(RefusedVmTest, OnAnotherChipThanItsCertificateSays) {
  expect_refused(other_vm("chip_id", std::string(128, 'c')), "another chip");
}

TEST_F(RefusedVmTest, AtALowerVmpl) { expect_refused(vm("snp", 2), "another VMPL"); }

TEST_F(RefusedVmTest, ThatCanBeDebugged) {
  expect_refused(other_vm("policy", 0xB0000), "POLICY.DEBUG");
}

TEST_F(RefusedVmTest, OfAnotherMeasurement) {
  expect_refused(other_vm("measurement", std::string(96, 'b')), "MEASUREMENT");
}

TEST_F(RefusedVmTest, OfAnOlderTcbThanItsCertificate) {
  auto state = nlohmann::json::parse(tests::read_file(world_.file("other/emulator.json")));
  state["committed_tcb"] = "03000000000018db";
  tests::write_file(world_.file("other/emulator.json"), state.dump());
  expect_refused(other_vm("tcb", "03000000000018db"), "another TCB");
}

TEST_F(RefusedVmTest, ThatShowsARecordedReport) {
  expect_refused(std::make_unique<Replaying>(*vm()), "REPORT_DATA");
}

class RefusedByPolicyTest
    : public RefusedVmTest,
      public ::testing::WithParamInterface<std::pair<const char*, const char*>> {};

TEST_P(RefusedByPolicyTest, UntilThePolicyIsAnother) {
  const auto [line, why] = GetParam();
  const auto file = world_.file("kbs/vhsm-kbs.cnf");
  const std::string before = tests::read_file(file);
  world_.stop_kbs();
  tests::write_file(file, before + line + "\n");
  world_.start_kbs();
  EXPECT_EQ(outcome_of("default/tls/www"), "not attested");
  EXPECT_THAT(audit(), ::testing::HasSubstr(why));
  world_.stop_kbs();
  tests::write_file(file, before);
  world_.start_kbs();
  EXPECT_EQ(outcome_of("default/tls/www"), "the key of www");
  EXPECT_EQ(metrics->reports, 2U);
}

INSTANTIATE_TEST_SUITE_P(
    Lines, RefusedByPolicyTest,
    ::testing::Values(
        std::pair("minimum_tcb = Milan:snp=25", "REPORTED_TCB is below the minimum"),
        std::pair("host_data = 00000000000000000000000000000000000000000000000000000000000000aa",
                  "HOST_DATA is not on the list"),
        std::pair("chip_ids = "
                  "0000000000000000000000000000000000000000000000000000000000000000000000000000000"
                  "0000000000000000000000000000000000000000000000000",
                  "CHIP_ID is not on the list")));

}  // namespace
}  // namespace vhsm::nitride
