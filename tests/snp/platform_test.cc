// SPDX-License-Identifier: Apache-2.0
//
// What every platform promises, over each way to one: the library's own emulator, the emulated
// kernel in this process, an Azure VM's vTPM, and what open_platform() finds on this machine. The
// last is skipped where nothing is; CTest runs it once more below vhsm-snp-emulator, where nothing
// may be missing (VHSM_TEST_MACHINE). So it runs on real hardware.
#include "snp/platform.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "snp/annex.h"
#include "snp/emulator.h"
#include "snp/sealing.h"
#include "snp/sev_guest.h"
#include "snp/vtpm.h"
#include "tests/snp/machine.h"
#include "tests/snp/support.h"

namespace vhsm::snp {
namespace {

using std::chrono::seconds;
using Opened = Result<std::unique_ptr<Platform>>;

struct Way {
  const char* name;
  std::function<Opened()> open;
  const char* kind;
  bool derives_keys;
  bool of_machine = false;  ///< what is really here
};

void PrintTo(const Way& way, std::ostream* out) { *out << way.name; }

Machine& machine() {
  static Machine shared([](nlohmann::json& state) { state["vmpl"] = 1; });
  return shared;
}

/// An Azure VM: its tag, its vTPM, and tpm2-tools that reach the emulated machine.
class Azure {
 public:
  Azure() {
    std::ofstream(paths_.chassis_tag) << "7783-7084-3265-9085-8269-3286-77\n";
    std::ofstream(paths_.device) << "";
    for (const char* tool : {"tpm2_nvdefine", "tpm2_nvwrite", "tpm2_nvread"}) {
      std::filesystem::create_symlink(VHSM_TEST_TPM2_TOOLS, folder_.path() + "/" + tool);
    }
  }
  [[nodiscard]] const VtpmPaths& paths() const { return paths_; }

 private:
  TemporaryFolder folder_;
  VtpmPaths paths_{folder_.path() + "/tpmrm0", folder_.path() + "/tag", folder_.path()};
};

const Azure& azure() {
  static const Azure kShared;
  return kShared;
}

/// $VHSM_TEST_MACHINE: the VMPL that the machine's guest runs at; unset: there may be none.
std::optional<unsigned> machine_vmpl() {
  const char* const text = std::getenv("VHSM_TEST_MACHINE");
  if (text == nullptr) return std::nullopt;
  return static_cast<unsigned>(std::atoi(text));
}

Opened here(const char* name) { return open_platform(name, machine_vmpl()); }

const std::vector<Way>& ways() {
  static const std::vector<Way> all{
      {"Library", [] { return open_emulator(VHSM_TEST_EMULATOR, {}); }, "emulator", true},
      {"Device", [] { return Opened(std::make_unique<SevGuest>(machine().device(), 1U, kNoPace)); },
       "sev-guest", true},
      {"Tsm", [] { return make_tsm(machine().tsm_folder(), TsmService::kNone, {}, kNoPace); },
       "tsm", false},
      {"Svsm", [] { return make_tsm(machine().tsm_folder(), TsmService::kSvsm, {}, kNoPace); },
       "svsm", false},
      {"Vtpm", [] { return open_vtpm(azure().paths()); }, "vtpm", false},
      {"AutoHere", [] { return here("auto"); }, "sev-guest", true, true},
      {"DeviceHere", [] { return here("sev-guest"); }, "sev-guest", true, true},
      {"TsmHere", [] { return here("tsm"); }, "tsm", false, true},
      {"SvsmHere", [] { return here("svsm"); }, "svsm", false, true},
      {"VtpmHere", [] { return here("vtpm"); }, "vtpm", false, true},
  };
  return all;
}

class PlatformTest : public ::testing::TestWithParam<Way> {
 protected:
  static void SetUpTestSuite() { ASSERT_EQ(outcome(memory::initialise({})), "ok"); }
  void SetUp() override {
    Opened opened = GetParam().open();
    const bool absent = !opened.ok() && opened.error().code == Errc::kNoPlatform;
    if (GetParam().of_machine && absent && !machine_vmpl()) {
      GTEST_SKIP() << "no " << GetParam().kind << " on this machine";
    }
    if (GetParam().of_machine && machine_vmpl()) {
      const std::string kind = GetParam().kind;
      if (kind == "svsm" && machine_vmpl() == 0U) GTEST_SKIP() << "no SVSM above VMPL 0";
      if (kind == "vtpm") GTEST_SKIP() << "the emulated machine is not Azure's";
    }
    ASSERT_EQ(outcome(opened), "ok");
    platform_ = std::move(opened).value();
  }
  Result<Evidence> attest(const ReportData& data) {
    return platform_->attest(data, Clock::now() + seconds(40));
  }
  std::unique_ptr<Platform> platform_;
};

TEST_P(PlatformTest, TheReportBindsWhatWasAskedForAndHasItsForm) {
  const ReportData data{9, 8, 7};
  const auto evidence = attest(data);
  ASSERT_EQ(outcome(evidence), "ok");
  EXPECT_EQ(outcome(check_binding(evidence.value(), data, "test")), "ok");
  EXPECT_EQ(outcome(check_form(UnverifiedReport(evidence.value().report))), "ok");
}

TEST_P(PlatformTest, SaysWhatItIsAndAtWhichLevel) {
  const PlatformInfo info = platform_->info();
  EXPECT_EQ(info.kind, GetParam().kind);
  const auto evidence = attest({});
  ASSERT_EQ(outcome(evidence), "ok");
  EXPECT_EQ(UnverifiedReport(evidence.value().report).number<field::kVmpl>(), info.vmpl);
  EXPECT_EQ(info.reason.empty(), std::string(GetParam().name) != "AutoHere");
}

TEST_P(PlatformTest, CallersAtOnceEachGetTheirOwn) {
  const auto own = [&](std::uint8_t number) {
    const ReportData data{number};
    const auto evidence = attest(data);
    EXPECT_EQ(outcome(evidence), "ok");
    EXPECT_TRUE(evidence.ok() && check_binding(evidence.value(), data, "test").ok());
  };
  std::thread other(own, 1);
  own(2);
  other.join();
}

TEST_P(PlatformTest, AForkedChildAsksForItself) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(attest(ReportData{3}).ok() ? 0 : 1);
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST_P(PlatformTest, DerivesTheSameKeyForTheSameRequestOrNone) {
  const auto derive = [&](std::uint64_t fields) {
    return platform_->derive_key({.field_selection = fields}, Clock::now() + seconds(40));
  };
  const auto key = derive(derived_key_field::kMeasurement);
  if (!GetParam().derives_keys) {
    EXPECT_EQ(key.error().code, Errc::kUnsupported);
    return;
  }
  ASSERT_EQ(outcome(key), "ok");
  EXPECT_EQ(key.value().size(), kDerivedKeyBytes);
  EXPECT_TRUE(key.value().equals(derive(derived_key_field::kMeasurement).value()));
  EXPECT_FALSE(key.value().equals(derive(derived_key_field::kPolicy).value()));
}

TEST_P(PlatformTest, SealsWhereItDerivesKeysOrSaysThatItCannot) {
  auto keys = SealingKeys::open(std::shared_ptr(std::move(platform_)), kNoDeadline);
  ASSERT_EQ(outcome(keys), "ok");
  const auto binding = keys.value().binding(SealTo::kMeasurement).value();
  const auto once = keys.value().sealing_key(binding, "test", kNoDeadline);
  if (!GetParam().derives_keys) {
    EXPECT_EQ(once.error().code, Errc::kUnsupported);
    return;
  }
  ASSERT_EQ(outcome(once), "ok");
  EXPECT_TRUE(once.value().equals(keys.value().sealing_key(binding, "test", kNoDeadline).value()));
}

INSTANTIATE_TEST_SUITE_P(Every, PlatformTest, ::testing::ValuesIn(ways()),
                         [](const auto& way) { return std::string(way.param.name); });

}  // namespace
}  // namespace vhsm::snp
