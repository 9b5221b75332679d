// SPDX-License-Identifier: Apache-2.0
//
// vhsm measure against a second implementation, launch_reference.py.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <string>
#include <vector>

#include "tests/base/temp_dir.h"
#include "tests/world/world.h"

namespace vhsm::tests {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using Words = std::vector<std::string>;

Words operator+(Words first, const Words& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

class MeasureTest : public testing::Test {
 protected:
  static Outcome measure(const Words& options) {
    return run(Words{std::string(VHSM_BIN_DIR) + "/vhsm", "measure"} + options);
  }
  static Outcome reference(const Words& options) {
    return run(Words{"python3", VHSM_LAUNCH_REFERENCE} + options);
  }
  std::string image(const Words& options = {}) const {
    const std::string path = folder_.file("ovmf.fd");
    EXPECT_EQ(reference(Words{"image", path} + options).status, 0);
    return path;
  }
  /// Both compute the same over `ovmf`.
  static void agree(const std::string& ovmf, const Words& ours, const Words& theirs) {
    const Outcome mine = measure(Words{"--ovmf", ovmf} + ours);
    const Outcome other = reference(Words{"digest", ovmf} + theirs);
    ASSERT_EQ(mine.status, 0) << mine.err;
    ASSERT_EQ(other.status, 0) << other.err;
    EXPECT_EQ(mine.out.size(), 97U);
    EXPECT_EQ(mine.out, other.out) << testing::PrintToString(ours);
  }

  const test::TempDir folder_;
};

TEST_F(MeasureTest, AgreesOnEveryCpuModelAndCount) {
  const std::string ovmf = image();
  const std::vector<std::pair<const char*, const char*>> models{
      {"EPYC", "0x800f12"},       {"EPYC-v4", "0x800f12"},    {"EPYC-Rome", "0x830f10"},
      {"EPYC-Milan", "0xa00f11"}, {"EPYC-Genoa", "0xa10f10"}, {"EPYC-Turin", "0xb00f00"}};
  for (const auto& [model, signature] : models) {
    for (const char* count : {"1", "5"}) {
      agree(ovmf, {"--vcpus", count, "--vcpu-type", model},
            {"--vcpus", count, "--signature", signature});
    }
  }
}

TEST_F(MeasureTest, AgreesOnEveryHypervisor) {
  const std::string ovmf = image();
  for (const char* vmm : {"qemu", "ec2", "ec2-before-2026"}) {
    agree(ovmf, {"--vcpus", "3", "--vcpu-type", "EPYC-Milan", "--vmm", vmm},
          {"--vcpus", "3", "--signature", "0xa00f11", "--vmm", vmm});
  }
}

TEST_F(MeasureTest, AgreesOnKernelInitrdAndCommandLine) {
  const std::string ovmf = image();
  const std::string kernel = folder_.write("kernel", std::string(200000, 'k'));
  const std::string initrd = folder_.write("initrd", "initrd");
  const Words ours{"--vcpus", "2", "--vcpu-type", "EPYC-Genoa", "--guest-features", "0x21"};
  const Words theirs{"--vcpus", "2", "--signature", "0xa10f10", "--features", "0x21"};
  for (const Words& loaded :
       std::vector<Words>{{"--kernel", kernel},
                          {"--kernel", kernel, "--append", "console=ttyS0 root=/dev/vda"},
                          {"--kernel", kernel, "--initrd", initrd, "--append", "quiet"}}) {
    agree(ovmf, ours + loaded, theirs + loaded);
  }
}

TEST_F(MeasureTest, AgreesOnImagesOfOtherShapes) {
  const Words ours{"--vcpus", "1", "--vcpu-type", "EPYC-Milan"};
  const Words theirs{"--vcpus", "1", "--signature", "0xa00f11"};
  agree(image({"--pages", "1"}), ours, theirs);
  agree(image({"--pages", "300"}), ours, theirs);
  agree(image({"--without", "hashes", "--without", "reset"}), ours, theirs);
  const std::string kernel = folder_.write("kernel", "k");
  agree(image({"--hash-gpa", "0x810000"}), ours + Words{"--kernel", kernel},
        theirs + Words{"--kernel", kernel});
}

/// Another's tool, where scripts/test.sh or somebody else has installed it; empty: nowhere.
std::string measure_tool() {
  if (std::filesystem::exists(VHSM_MEASURE_TOOL)) return VHSM_MEASURE_TOOL;
  return run({"sh", "-c", "command -v sev-snp-measure"}).status == 0 ? "sev-snp-measure" : "";
}

TEST_F(MeasureTest, AgreesWithSevSnpMeasure) {
  const std::string tool = measure_tool();
  if (tool.empty()) GTEST_SKIP() << "no sev-snp-measure (PyPI) here";
  const std::string ovmf = image();
  const std::string kernel = folder_.write("kernel", std::string(200000, 'k'));
  const std::string initrd = folder_.write("initrd", "initrd");
  const auto agree_on = [&](const Words& both, const Words& ours = {}, const Words& theirs = {}) {
    const Words launch = Words{"--ovmf", ovmf, "--vcpus", "3"} + both;
    const Outcome other = run(Words{tool, "--mode", "snp"} + launch + theirs);
    EXPECT_EQ(other.status, 0) << other.err;
    EXPECT_EQ(measure(launch + ours).out, other.out) << testing::PrintToString(both);
  };
  agree_on({"--vcpu-type", "EPYC-v4"});
  agree_on({"--vcpu-type", "EPYC-Rome"});
  agree_on({"--vcpu-type", "EPYC-Milan", "--guest-features", "0x21"});
  agree_on({"--vcpu-type", "EPYC-Milan"}, {"--vmm", "ec2"}, {"--vmm-type", "ec2"});
  agree_on({"--vcpu-type", "EPYC-Genoa", "--kernel", kernel, "--append", "quiet"});
  agree_on({"--vcpu-type", "EPYC-Turin", "--kernel", kernel, "--initrd", initrd});
}

TEST_F(MeasureTest, AgreesOnDebiansFirmware) {
  const std::string ovmf = "/usr/share/OVMF/OVMF_CODE.fd";
  const std::string newer = "/usr/share/ovmf/OVMF.amdsev.fd";
  const std::string path = std::filesystem::exists(ovmf) ? ovmf : newer;
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "no Debian package ovmf here";
  agree(path, {"--vcpus", "4", "--vcpu-type", "EPYC-Milan"},
        {"--vcpus", "4", "--signature", "0xa00f11"});
}

TEST_F(MeasureTest, SaysWhatAFirmwareCannotDo) {
  const std::string kernel = folder_.write("kernel", "k");
  const Words one{"--vcpus", "1", "--vcpu-type", "EPYC-Milan"};
  const Outcome bare =
      measure(Words{"--ovmf", image({"--without", "hashes"}), "--kernel", kernel} + one);
  EXPECT_EQ(bare.status, 2);
  EXPECT_THAT(bare.err, HasSubstr("no place for the hashes of a kernel"));
  const Outcome legacy = measure(Words{"--ovmf", image({"--without", "metadata"})} + one);
  EXPECT_EQ(legacy.status, 1);
  EXPECT_THAT(legacy.err, HasSubstr("ovmf.fd: the firmware has no SEV metadata"));
}

TEST_F(MeasureTest, EndsWithTwoForWrongUsage) {
  const std::string ovmf = image();
  for (const Words& options : std::vector<Words>{
           {},
           {"--ovmf", ovmf},
           {"--ovmf", ovmf, "--vcpus", "1"},
           {"--ovmf", ovmf, "--vcpus", "0", "--vcpu-type", "EPYC"},
           {"--ovmf", ovmf, "--vcpus", "1", "--vcpu-type", "Pentium"},
           {"--ovmf", ovmf, "--vcpus", "1", "--vcpu-type", "EPYC", "--vmm", "xen"},
           {"--ovmf", ovmf, "--vcpus", "1", "--vcpu-type", "EPYC", "--initrd", ovmf},
           {"--ovmf", ovmf, "--vcpus", "1", "--vcpu-type", "EPYC", "--id-block", "/dev/null"}}) {
    EXPECT_EQ(measure(options).status, 2) << testing::PrintToString(options);
  }
}

/// A P-384 key of the openssl command.
std::string make_key(const test::TempDir& folder, const std::string& name,
                     const char* curve = "P-384") {
  const std::string path = folder.file(name);
  EXPECT_EQ(run({"openssl", "genpkey", "-quiet", "-algorithm", "EC", "-pkeyopt",
                 std::string("ec_paramgen_curve:") + curve, "-out", path})
                .status,
            0);
  return path;
}

TEST_F(MeasureTest, MakesAnIdBlockThatTheReferenceVerifies) {
  const Words keys{"--id-block",  folder_.file("block"),
                   "--id-auth",   folder_.file("auth"),
                   "--id-key",    make_key(folder_, "id.pem"),
                   "--family-id", "000102030405060708090a0b0c0d0e0f",
                   "--image-id",  "101112131415161718191a1b1c1d1e1f",
                   "--guest-svn", "7",
                   "--policy",    "0x20000",
                   "--json"};
  const Words launch{"--ovmf", image(), "--vcpus", "1", "--vcpu-type", "EPYC-Milan"};
  for (const Words& author :
       std::vector<Words>{{}, {"--author-key", make_key(folder_, "author.pem")}}) {
    const Outcome made = measure(launch + keys + author);
    ASSERT_EQ(made.status, 0) << made.err;
    const json answer = json::parse(made.out);
    const Outcome checked = reference(
        {"check-id", folder_.file("block"), folder_.file("auth"), answer.value("measurement", "")});
    ASSERT_EQ(checked.status, 0) << checked.err;
    EXPECT_THAT(checked.out, HasSubstr("id_key_digest " + answer.value("id_key_digest", "-")));
    EXPECT_THAT(checked.out,
                HasSubstr("family 000102030405060708090a0b0c0d0e0f image "
                          "101112131415161718191a1b1c1d1e1f version 1 svn 7 policy 0x20000"));
    EXPECT_EQ(answer.contains("author_key_digest"), !author.empty());
    if (!author.empty()) {
      EXPECT_THAT(checked.out,
                  HasSubstr("author_key_digest " + answer.value("author_key_digest", "-")));
    }
  }
}

TEST_F(MeasureTest, AGuestLaunchedWithTheBlockIsAcceptedForItsOwnersKeyAlone) {
  const std::string block = folder_.file("block");
  const std::string auth = folder_.file("auth");
  const std::string key = make_key(folder_, "id.pem");
  ASSERT_EQ(measure({"--ovmf", image(), "--vcpus", "1", "--vcpu-type", "EPYC-Milan", "--id-block",
                     block, "--id-auth", auth, "--id-key", key, "--guest-svn", "7"})
                .status,
            0);
  const auto tool = [](const char* name, const Words& words) {
    return run(Words{std::string(VHSM_BIN_DIR) + "/" + name} + words);
  };
  const std::string machine = folder_.file("machine");
  const Outcome made =
      tool("vhsm-snp-emulator", {"init", machine, "--id-block", block, "--id-auth", auth});
  ASSERT_EQ(made.status, 0) << made.err;
  const std::string report = folder_.file("report");
  const std::string settings =
      folder_.write("vhsm.cnf", "[vhsm]\nplatform = emulator:" + machine + "\n");
  ASSERT_EQ(tool("vhsm", {"--config", settings, "attest", "--nonce", "00", "--out", report}).status,
            0);
  const auto verdict = [&](const std::string& owner) {
    EXPECT_EQ(run({"openssl", "pkey", "-in", owner, "-pubout", "-out", owner + ".pub"}).status, 0);
    const std::string policy = folder_.write(
        "policy.cnf",
        "[snp_policy]\nreport_data = any\nvmpl = 0\nminimum_tcb = any\nminimum_guest_svn = 7\n"
        "id_key = " +
            owner + ".pub\n");
    return tool("vhsm", {"report", "verify", report, "--certs", machine, "--trust-test-root",
                         machine + "/ark.pem", "--policy", policy});
  };
  const Outcome accepted = verdict(key);
  EXPECT_EQ(accepted.status, 0) << accepted.out << accepted.err;
  const Outcome refused = verdict(make_key(folder_, "other.pem"));
  EXPECT_EQ(refused.status, 1);
  EXPECT_THAT(refused.err, HasSubstr("ID_KEY_DIGEST"));

  const Words launch{"init", folder_.file("elsewhere"), "--id-block", block, "--id-auth", auth};
  EXPECT_EQ(tool("vhsm-snp-emulator", launch + Words{"--policy", "20000"}).status, 2);
  EXPECT_EQ(tool("vhsm-snp-emulator", launch + Words{"--guest-svn", "8"}).status, 2);
  EXPECT_EQ(
      tool("vhsm-snp-emulator", {"init", folder_.file("elsewhere"), "--id-block", block}).status,
      2);
  std::string changed = read_file(block);
  changed[0] = static_cast<char>(changed[0] ^ 1);
  write_file(block, changed);
  const Outcome forged = tool("vhsm-snp-emulator", launch);
  EXPECT_EQ(forged.status, 1);
  EXPECT_THAT(forged.err, HasSubstr("the ID block was not signed by the ID key"));
}

TEST_F(MeasureTest, RefusesIdKeysOnOtherCurves) {
  const Outcome made =
      measure({"--ovmf", image(), "--vcpus", "1", "--vcpu-type", "EPYC", "--id-block",
               folder_.file("block"), "--id-auth", folder_.file("auth"), "--id-key",
               make_key(folder_, "id.pem", "P-256")});
  EXPECT_EQ(made.status, 2);
  EXPECT_THAT(made.err, HasSubstr("on P-384"));
  EXPECT_FALSE(std::filesystem::exists(folder_.file("block")));
}

}  // namespace
}  // namespace vhsm::tests
