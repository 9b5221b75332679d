// SPDX-License-Identifier: Apache-2.0
//
// platform = sev-guest in unmodified programs, with the kernel's interface emulated below them.
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/keystore/samples.h"
#include "tests/world/world.h"

namespace vhsm::tests {
namespace {

using ::testing::HasSubstr;
using Arguments = std::vector<std::string>;

class DeviceTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    world_ = std::make_unique<World>();
    ASSERT_TRUE(world_->ready());
    world_->configure("", "sev-guest");
    world_->put("default/tls/www", keystore::pkcs8_pem(keystore::make_key("P-256").get()));
    write_file(world_->file("message"), "what is signed\n");
  }
  static void TearDownTestSuite() { world_.reset(); }
  void SetUp() override {
    ASSERT_TRUE(world_->ready());
    if (::access("/dev/sev-guest", F_OK) == 0) GTEST_SKIP() << "this machine has /dev/sev-guest";
    if (world_->emulated({"true"}).err.find("this kernel, or its sandbox") != std::string::npos) {
      GTEST_SKIP() << "no seccomp notifications here";
    }
  }

  static std::string path(const std::string& name) { return world_->file(name); }
  static Arguments sign() {
    return {"openssl",
            "pkeyutl",
            "-provider",
            "vhsm",
            "-sign",
            "-inkey",
            "vhsm:default/tls/www",
            "-rawin",
            "-in",
            path("message"),
            "-out",
            path("signature")};
  }

  static std::unique_ptr<World> world_;
};
std::unique_ptr<World> DeviceTest::world_;

TEST_F(DeviceTest, StockOpensslSignsWithAKeyAttestedThroughTheDevice) {
  const Outcome outcome = world_->emulated(sign());
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const Outcome pub = world_->emulated({"openssl", "pkey", "-provider", "vhsm", "-in",
                                        "vhsm:default/tls/www", "-pubout", "-out", path("pub")});
  ASSERT_EQ(pub.status, 0) << pub.err;
  EXPECT_EQ(world_
                ->openssl({"pkeyutl", "-verify", "-pubin", "-inkey", path("pub"), "-rawin", "-in",
                           path("message"), "-sigfile", path("signature")})
                .status,
            0);
}

TEST_F(DeviceTest, OutsideThereIsNoDevice) {
  EXPECT_NE(run(sign(), world_->environment()).status, 0);
}

TEST_F(DeviceTest, DoctorAndAttestTakeItForTheRealThing) {
  const Outcome doctor = world_->emulated({std::string(VHSM_BIN_DIR) + "/vhsm", "doctor"});
  EXPECT_EQ(doctor.status, 0) << doctor.out;
  EXPECT_THAT(doctor.out, HasSubstr("sev-guest"));
}

/// `command` with the same configuration, but for the platform.
Arguments with_platform(const Arguments& command, const World& world, const std::string& platform) {
  std::string text = read_file(world.file("vhsm.cnf"));
  const std::string before = "platform = sev-guest";
  text.replace(text.find(before), before.size(), "platform = " + platform);
  const std::string path = world.file("vhsm-" + platform + ".cnf");
  write_file(path, text);
  Arguments all{"env", "VHSM_CONF=" + path};
  all.insert(all.end(), command.begin(), command.end());
  return all;
}

TEST_F(DeviceTest, StockOpensslSignsWithAKeyAttestedThroughConfigfs) {
  const Outcome outcome = world_->emulated(with_platform(sign(), *world_, "tsm"));
  EXPECT_EQ(outcome.status, 0) << outcome.err;
}

TEST_F(DeviceTest, AutoTakesTheDeviceAndDoctorSaysWhy) {
  const Outcome doctor = world_->emulated(
      with_platform({std::string(VHSM_BIN_DIR) + "/vhsm", "doctor"}, *world_, "auto"));
  EXPECT_THAT(doctor.out, HasSubstr("sev-guest, VMPL 0 (auto: /dev/sev-guest is here)"));
}

TEST_F(DeviceTest, AttestWorksOverEachInterface) {
  for (const char* platform : {"auto", "sev-guest", "tsm"}) {
    const std::string out = path(std::string("report-") + platform);
    const Outcome outcome = world_->emulated(with_platform(
        {std::string(VHSM_BIN_DIR) + "/vhsm", "attest", "--nonce", "01", "--out", out}, *world_,
        platform));
    ASSERT_EQ(outcome.status, 0) << platform << outcome.err;
    EXPECT_EQ(read_file(out).size(), 1184U);
    EXPECT_FALSE(read_file(out + ".vcek.der").empty());
  }
}

TEST_F(DeviceTest, AttestGetsSvsmsReportAndTheManifestThatItBinds) {
  const std::string machine = path("snp-below-svsm");
  std::filesystem::copy(path("snp"), machine);
  std::string state = read_file(machine + "/emulator.json");
  const std::string before = "\"vmpl\": 0";
  write_file(machine + "/emulator.json",
             state.replace(state.find(before), before.size(), "\"vmpl\": 2"));
  const auto vhsm_below = [&](const std::string& platform, Arguments words) {
    words.insert(words.begin(), std::string(VHSM_BIN_DIR) + "/vhsm");
    Arguments command{std::string(VHSM_BIN_DIR) + "/vhsm-snp-emulator", machine, "--"};
    for (std::string& word : with_platform(words, *world_, platform)) command.push_back(word);
    return run(command, world_->environment());
  };
  const auto shown = [](const std::string& report) {
    return run({std::string(VHSM_BIN_DIR) + "/vhsm", "report", "show", report, "--json"}).out;
  };
  const std::string own = path("own-report");
  ASSERT_EQ(vhsm_below("tsm", {"attest", "--nonce", "01", "--out", own}).status, 0);
  EXPECT_THAT(shown(own), HasSubstr("\"vmpl\": 2"));
  const std::string svsm = path("svsm-report");
  const Outcome outcome = vhsm_below("svsm", {"attest", "--nonce", "01", "--out", svsm});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(shown(svsm), HasSubstr("\"vmpl\": 0"));
  // SHA-512 over what was asked for, the nonce's digest, and the manifest.
  const Outcome bound =
      run({"sh", "-c",
           "(printf '\\001' | openssl dgst -sha512 -binary; cat " + svsm +
               ".manifest.bin) | openssl dgst -sha512 -r | cut -c-128 | tr -d '\\n'"});
  EXPECT_EQ(bound.out.size(), 128U);
  EXPECT_THAT(shown(svsm), HasSubstr("\"report_data\": \"" + bound.out + "\""));
  const Outcome verified = run({std::string(VHSM_BIN_DIR) + "/vhsm", "report", "verify", svsm,
                                "--certs", machine, "--trust-test-root", machine + "/ark.pem"});
  EXPECT_EQ(verified.status, 0) << verified.out;
  const Outcome without = world_->emulated(with_platform(
      {std::string(VHSM_BIN_DIR) + "/vhsm", "attest", "--out", path("none")}, *world_, "svsm"));
  EXPECT_EQ(without.status, 1);
  EXPECT_THAT(without.err, HasSubstr("there is no SVSM above this guest"));
}

TEST_F(DeviceTest, CatReadsConfigfsAndAShellWritesIt) {
  const std::string script =
      "cd / && d=/sys/kernel/config/tsm/report/test && mkdir $d && cat $d/provider $d/generation "
      "&& "
      "head -c 64 /dev/zero > $d/inblob && cat $d/generation && cat $d/outblob | wc -c && "
      "rmdir $d && ! cat $d/provider 2>/dev/null";
  const Outcome outcome = world_->emulated({"sh", "-c", script});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "sev_guest\n0\n1\n1184\n");
}

TEST_F(DeviceTest, ConfigfsTellsReadersWhatIsWrong) {
  const std::string script =
      "d=/sys/kernel/config/tsm/report/test; mkdir $d; mkdir $d; cat $d/outblob; cat $d/inblob; "
      "cat $d/service_guid";
  EXPECT_EQ(world_->emulated({"env", "LC_ALL=C", "sh", "-c", script}).err,
            "mkdir: cannot create directory '/sys/kernel/config/tsm/report/test': File exists\n"
            "cat: /sys/kernel/config/tsm/report/test/outblob: Invalid argument\n"
            "cat: /sys/kernel/config/tsm/report/test/inblob: Permission denied\n"
            "cat: /sys/kernel/config/tsm/report/test/service_guid: No such file or directory\n");
}

TEST_F(DeviceTest, AWipedKeySaysSoAndTheProgramGoesOn) {
  const Outcome outcome = world_->emulated(sign(), {"--vmpck-wiped"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.err, HasSubstr("VMPCK"));
}

TEST_F(DeviceTest, WhateverTheHostsCertificatesAreTheReportComes) {
  // The KBS knows no chain without the host's certificates: not attested, but asked.
  for (const char* certificates : {"none", "growing", "too-many"}) {
    const Outcome outcome = world_->emulated(sign(), {"--certificates", certificates});
    EXPECT_EQ(outcome.status, 1);
    EXPECT_THAT(outcome.err, HasSubstr("not attested")) << certificates;
  }
}

struct HostCase {
  Arguments host;
  const char* platform;
  const char* complaint;  ///< null: none
};

TEST_F(DeviceTest, WhateverHostAndFirmwareDoAttestSaysWhatItWas) {
  const HostCase cases[] = {
      {{"--certificates", "grown"}, "sev-guest", nullptr},
      {{"--certificates", "garbled"}, "sev-guest", "certificate table"},
      {{"--certificates", "garbled"}, "tsm", "certificate table"},
      {{"--certificates", "too-many"}, "tsm", "too many for configfs-tsm"},
      {{"--throttle", "1"}, "sev-guest", nullptr},
      {{"--status", "22"}, "sev-guest", "the firmware refuses the request"},
      {{"--status", "22"}, "tsm", "the firmware refuses the request"},
      {{"--status", "1"}, "sev-guest", "answers with an error status"},
      {{"--report-size", "0"}, "sev-guest", "the firmware's report is not 1184 bytes"},
      {{"--report-size", "1183"}, "tsm", "the firmware's report is not 1184 bytes"},
      {{"--report-size", "4294967295"}, "sev-guest", "the firmware's report is not 1184 bytes"},
      {{"--firmware-error", "5"}, "sev-guest", "the firmware failed; reboot the guest"},
      {{"--tampered"}, "sev-guest", "does not authenticate; reboot the guest"},
      {{"--tampered"}, "tsm", "does not authenticate; reboot the guest"},
      {{"--counter-exhausted"}, "sev-guest", "messages are used up; reboot the guest"},
      {{"--vmpck-wiped"}, "tsm", "(VMPCK) is gone after an earlier failure"},
      {{"--vmpck-wiped", "--after", "9"}, "sev-guest", nullptr},
      {{"--tsm-provider", "tdx_guest"}, "tsm", "tdx_guest: configfs-tsm is of another technology"},
      {{"--tsm-provider", ""}, "tsm", "configfs-tsm has no provider: load the module sev-guest"},
      {{"--tsm-other-writes", "2"}, "tsm", nullptr},
      {{"--tsm-other-writes", "1000"}, "tsm", "somebody else writes to each of our requests"},
      {{"--tsm-lost-stores", "1"}, "tsm", nullptr},
  };
  for (const HostCase& one : cases) {
    SCOPED_TRACE(testing::PrintToString(one.host) + one.platform);
    const std::string report = path("fault-report");
    std::filesystem::remove(report);
    const Outcome outcome = world_->emulated(
        with_platform({std::string(VHSM_BIN_DIR) + "/vhsm", "attest", "--out", report}, *world_,
                      one.platform),
        one.host);
    EXPECT_EQ(outcome.status, one.complaint == nullptr ? 0 : 1) << outcome.err;
    EXPECT_EQ(std::filesystem::exists(report), one.complaint == nullptr);
    EXPECT_THAT(outcome.err, HasSubstr(one.complaint == nullptr ? "" : one.complaint));
  }
}

TEST_F(DeviceTest, ABusyHostIsWaitedFor) {
  EXPECT_EQ(world_->emulated(sign(), {"--busy", "2"}).status, 0);
}

TEST_F(DeviceTest, ItIsItsOwnersAlone) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can become another user";
  EXPECT_EQ(world_->emulated({"sh", "-c", ": <>/dev/sev-guest"}).status, 0);
  const Outcome other = world_->emulated(
      {"setpriv", "--reuid=65534", "--clear-groups", "sh", "-c", ": <>/dev/sev-guest"});
  EXPECT_NE(other.status, 0);
  EXPECT_THAT(other.err, HasSubstr("Permission denied"));
}

TEST_F(DeviceTest, IsFoundByRelativePathsAndNotInAChroot) {
  EXPECT_EQ(world_->emulated({"sh", "-c", "cd /dev && : <>sev-guest"}).status, 0);
  EXPECT_EQ(world_->emulated({"sh", "-c", ": <>/dev/../dev/./sev-guest"}).status, 0);
  EXPECT_NE(world_->emulated({"sh", "-c", "cd /tmp && : <sev-guest"}).status, 0);
  if (::geteuid() != 0) GTEST_SKIP() << "only root can go into a chroot";
  EXPECT_EQ(world_->emulated({VHSM_DERIVED_KEY_PROBE, world_->folder()}).err,
            "/dev/sev-guest: No such file or directory\n");
}

TEST_F(DeviceTest, TheCommandEndsAsItWould) {
  EXPECT_EQ(world_->emulated({"sh", "-c", "exit 7"}).status, 7);
  EXPECT_EQ(world_->emulated({"sh", "-c", "kill -9 $$"}).status, -1);
  EXPECT_EQ(world_->emulated({"/no/such/command"}).status, 127);
  EXPECT_EQ(world_->emulated({"sh", "-c", "cat; echo done"}).out, "done\n");
}

TEST_F(DeviceTest, ClosedStandardDescriptorsDoNoHarm) {
  const std::string tool = std::string(VHSM_BIN_DIR) + "/vhsm-snp-emulator";
  const std::string script =
      tool + " " + path("snp") + " -- sh -c ': <>/dev/sev-guest' <&- >&- 2>&-";
  EXPECT_EQ(run({"sh", "-c", script}).status, 0);
}

TEST_F(DeviceTest, ASupervisorInASupervisorIsRefused) {
  const Outcome outcome = world_->emulated(
      {std::string(VHSM_BIN_DIR) + "/vhsm-snp-emulator", path("snp"), "--", "true"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.err, HasSubstr("a supervisor is there already"));
}

TEST_F(DeviceTest, DerivedKeysReachProtectedMemory) {
  const Outcome first = world_->emulated({VHSM_DERIVED_KEY_PROBE});
  ASSERT_EQ(first.status, 0) << first.err;
  EXPECT_THAT(first.out, HasSubstr("memfd_secret"));
  EXPECT_EQ(world_->emulated({VHSM_DERIVED_KEY_PROBE}).out, first.out);
  const Outcome without = world_->emulated({"env", "-u", "LD_PRELOAD", VHSM_DERIVED_KEY_PROBE});
  EXPECT_EQ(without.err, "SNP_GET_DERIVED_KEY: Bad address\n");
}

TEST_F(DeviceTest, WrongUsageIsTwo) {
  const std::string tool = std::string(VHSM_BIN_DIR) + "/vhsm-snp-emulator";
  EXPECT_EQ(run({tool, path("snp"), "--"}).status, 2);
  EXPECT_EQ(run({tool, "--", "true"}).status, 2);
  EXPECT_EQ(run({tool, path("snp"), "--certificates", "some", "--", "true"}).status, 2);
  EXPECT_EQ(run({tool, "/nonexistent", "--", "true"}).status, 1);
}

}  // namespace
}  // namespace vhsm::tests
