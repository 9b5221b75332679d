// SPDX-License-Identifier: Apache-2.0
//
// Reboots during an outage of the KBS, from end to end: stock openssl, the vhsm command and an
// emulated machine; in the process itself, and in vhsmd. A boot is another id of the kernel's, in a
// mount namespace of the test's.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "tests/world/world.h"

namespace vhsm::tests {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kName = "default/app/signer";
constexpr const char* kUri = "vhsm:default/app/signer";

class RebootTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(world_.ready());
    write_file(world_.file("message"), "the message");
    const std::string pem = world_.file("plain.pem");
    ASSERT_EQ(
        world_.openssl({"genpkey", "-algorithm", "EC", "-pkeyopt", "group:P-256", "-out", pem})
            .status,
        0);
    expected_ = world_.openssl({"pkey", "-in", pem, "-pubout"}).out;
    world_.put(kName, read_file(pem));
    configure();
  }

  void configure(const std::string& more = "", const std::string& platform = "") {
    world_.configure("log = " + world_.file("vhsm.log").string() +
                         "\naudit = " + world_.file("audit").string() +
                         "\ngate = lease\noffline_grace = 1h\nconnect_timeout = 500ms\n"
                         "load_wait = 1s\nfetch_timeout = 3s\noffline_copies = dir:" +
                         world_.file("copies").string() + "\n" + more,
                     platform);
  }
  /// @return whether boots can be had here.
  [[nodiscard]] bool outage_and_reboot() {
    world_.stop_kbs();
    return world_.reboot();
  }

  [[nodiscard]] Outcome vhsm(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), std::string(VHSM_BIN_DIR) + "/vhsm");
    return run(arguments, world_.environment());
  }
  [[nodiscard]] Outcome sign() const {
    return world_.openssl({"pkeyutl", "-provider", "vhsm", "-provider", "default", "-sign",
                           "-inkey", kUri, "-rawin", "-in", world_.file("message"), "-out",
                           world_.file("signature")});
  }
  void expect_signature() const {
    const auto signature = sign();
    ASSERT_EQ(signature.status, 0) << signature.err << log();
    write_file(world_.file("public.pem"), expected_);
    EXPECT_EQ(
        world_
            .openssl({"pkeyutl", "-verify", "-pubin", "-inkey", world_.file("public.pem"), "-rawin",
                      "-in", world_.file("message"), "-sigfile", world_.file("signature")})
            .status,
        0);
  }
  [[nodiscard]] std::string log() const { return read_file(world_.file("vhsm.log")); }

  World world_;
  std::string expected_;
};

TEST_F(RebootTest, OpensslSignsWithTheSameKeyWhileTheKbsIsAwayAndTheRecordsSaySo) {
  expect_signature();
  if (!outage_and_reboot()) GTEST_SKIP() << "no mount namespace here";
  expect_signature();
  EXPECT_THAT(log(), HasSubstr("vhsm:default/app/signer is served from its sealed copy"));
  EXPECT_THAT(read_file(world_.file("audit")),
              HasSubstr(R"("event":"copy","outcome":"used","key":"default/app/signer")"));
}

TEST_F(RebootTest, AKeyThatNeverCameHereIsNotThere) {
  if (!outage_and_reboot()) GTEST_SKIP() << "no mount namespace here";
  const auto refused = sign();
  EXPECT_NE(refused.status, 0);
  EXPECT_THAT(refused.err, HasSubstr("unreachable"));
}

TEST_F(RebootTest, ItLivesThroughAsManyBootsAsItMayAndNoMore) {
  configure("offline_boots = 1\n");
  expect_signature();
  if (!outage_and_reboot()) GTEST_SKIP() << "no mount namespace here";
  expect_signature();
  ASSERT_TRUE(world_.reboot());
  const auto refused = sign();
  EXPECT_NE(refused.status, 0);
  EXPECT_THAT(refused.err, HasSubstr("unreachable"));
  EXPECT_THAT(log(), HasSubstr("offline_boots"));
}

TEST_F(RebootTest, WhatTheKbsHasTakenBackIsGoneInTheNextOutageToo) {
  expect_signature();
  ASSERT_EQ(
      world_.kbs({"--config", world_.file("kbs/vhsm-kbs.cnf"), "resource", "delete", kName}).status,
      0);
  if (!world_.reboot()) GTEST_SKIP() << "no mount namespace here";
  EXPECT_NE(sign().status, 0);
  EXPECT_THAT(log(), HasSubstr("the sealed copy of vhsm:default/app/signer is removed"));
  world_.stop_kbs();
  EXPECT_NE(sign().status, 0);
}

TEST_F(RebootTest, TheListTellsACopyFromOwnKeysAndItIsNotRotated) {
  expect_signature();
  EXPECT_THAT(vhsm({"key", "list"}).out, AllOf(HasSubstr(kUri), HasSubstr("EC:P-256"),
                                               HasSubstr("copy"), HasSubstr("not-after=")));
  EXPECT_THAT(vhsm({"key", "list", "--json"}).out,
              AllOf(HasSubstr(R"("origin": "copy")"), Not(HasSubstr("version"))));
  const auto rotated = vhsm({"key", "rotate", kUri});
  EXPECT_EQ(rotated.status, 1);
  EXPECT_THAT(rotated.err, HasSubstr("this is a copy of the KBS's key"));
  EXPECT_EQ(vhsm({"key", "delete", kUri}).status, 0);
  EXPECT_THAT(vhsm({"key", "list"}).out, Not(HasSubstr("copy")));
}

TEST_F(RebootTest, CopiesThatCannotBeKeptAreNoReasonNotToServe) {
  expect_signature();
  std::filesystem::permissions(world_.file("copies"), std::filesystem::perms(0755));
  configure();
  expect_signature();
  EXPECT_THAT(log(), HasSubstr(world_.file("copies").string()));
}

TEST_F(RebootTest, AnotherMachineCannotOpenIt) {
  expect_signature();
  const std::string other = world_.file("other").string();
  ASSERT_EQ(run({std::string(VHSM_BIN_DIR) + "/vhsm-snp-emulator", "init", other}).status, 0);
  world_.stop_kbs();
  configure("", "emulator:" + other);
  EXPECT_NE(sign().status, 0);
  EXPECT_THAT(log(), HasSubstr("no slot of the keystore opens here"));
}

TEST_F(RebootTest, NothingOfTheKeyNorItsNameIsOnTheDiskInTheClear) {
  expect_signature();
  const std::string pem = read_file(world_.file("plain.pem"));
  const std::string line = pem.substr(pem.find('\n') + 1, 32);
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(world_.file("copies"))) {
    const std::string bytes = read_file(entry.path());
    EXPECT_EQ(bytes.find(line), std::string::npos);
    EXPECT_EQ(bytes.find("signer"), std::string::npos) << entry.path();
    ++files;
  }
  EXPECT_EQ(files, 5) << "head, root, index, lock and the copy";
}

}  // namespace
}  // namespace vhsm::tests
