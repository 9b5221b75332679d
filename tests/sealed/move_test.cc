// SPDX-License-Identifier: Apache-2.0
//
// A key moves from one emulated machine to another, by the vhsm command and stock openssl. One of
// the two has its keys in vhsmd where the tests run with one; keys move in both directions.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <string>
#include <vector>

#include "tests/world/world.h"

namespace vhsm::tests {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

using Arguments = std::vector<std::string>;

constexpr const char* kUri = "vhsm:default/app/signer";
constexpr const char* kReceiver = "vhsm:default/backup/in";
constexpr const char* kNonce = "00112233445566778899aabbccddeeff";

/// A machine with a folder of keys.
struct Machine {
  std::string folder;  ///< of the emulator
  std::vector<std::string> environment;

  Outcome vhsm(Arguments arguments) const {
    arguments.insert(arguments.begin(), std::string(VHSM_BIN_DIR) + "/vhsm");
    return run(arguments, environment);
  }
  void must(Arguments arguments) const {
    const auto outcome = vhsm(std::move(arguments));
    ASSERT_EQ(outcome.status, 0) << outcome.err;
  }
  Outcome openssl(Arguments arguments) const {
    arguments.insert(arguments.begin(), "openssl");
    return run(arguments, environment);
  }
  [[nodiscard]] std::string public_key() const {
    return openssl({"pkey", "-provider", "vhsm", "-provider", "default", "-in", kUri, "-pubout"})
        .out;
  }
  Outcome sign(const std::string& message, const std::string& signature,
               const char* uri = kUri) const {
    return openssl({"dgst", "-provider", "vhsm", "-provider", "default", "-sha256", "-sign", uri,
                    "-out", signature, message});
  }
};

class MoveTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(world_.ready());
    make_machine("snp", "vhsm.cnf", "keys");
    ASSERT_EQ(run({std::string(VHSM_BIN_DIR) + "/vhsm-snp-emulator", "init", path("snp2")}).status,
              0);
    make_machine("snp2", "vhsm2.cnf", "keys2");
    world_.configure(std::string(World::has_daemon() ? "vhsmd_keystore" : "keystore") +
                     " = dir:" + path("keys") + "\n");
    there_.environment[0] = "VHSM_CONF=" + path("vhsm2.cnf");
    write_file(path("message"), "the message");
  }

  [[nodiscard]] std::string path(const std::string& name) const {
    return world_.file(name).string();
  }
  void make_machine(const std::string& platform, const std::string& config,
                    const std::string& keys) const {
    write_file(path(config), "[vhsm]\nplatform = emulator:" + path(platform) + "\nkeystore = dir:" +
                                 path(keys) + "\naudit = " + path(config + ".audit") + "\n");
    const auto made = run({std::string(VHSM_BIN_DIR) + "/vhsm", "--config", path(config),
                           "keystore", "init", "--new-recovery-key", path(keys + ".hex")});
    ASSERT_EQ(made.status, 0) << made.err;
  }
  void write_policy(const Machine& machine) const {
    const std::string measurement =
        json::parse(read_file(machine.folder + "/emulator.json"))["measurement"];
    write_file(path("policy.cnf"),
               "[snp_policy]\nreport_data = any\nminimum_tcb = any\nvmpl = 0\n"
               "measurement = " +
                   measurement + "\n");
  }
  /// Evidence of the key of `to` that receives, and what its machine must be.
  void prepare(const Machine& to) const {
    to.must({"key", "generate", kReceiver, "--algorithm", "EC:P-256", "--policy",
             "operations=restore"});
    to.must({"key", "attest", kReceiver, "--nonce", kNonce, "--out", path("evidence")});
    write_policy(to);
  }
  Outcome back_up(const Machine& from, const Machine& to,
                  Arguments more = {"--allow", "recovery"}) const {
    Arguments arguments{"key",
                        "backup",
                        kUri,
                        "--for",
                        path("evidence"),
                        "--nonce",
                        kNonce,
                        "--policy",
                        path("policy.cnf"),
                        "--trust-test-root",
                        to.folder + "/ark.pem",
                        "--out",
                        path("backup")};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return from.vhsm(arguments);
  }
  void expect_move(const Machine& from, const Machine& to) const {
    from.must({"key", "generate", kUri, "--algorithm", "EC:P-256", "--policy", "operations=sign",
               "--policy", "backup=attested"});
    prepare(to);
    const auto backup = back_up(from, to);
    ASSERT_EQ(backup.status, 0) << backup.err;
    const auto restored = to.vhsm({"key", "restore", path("backup")});
    ASSERT_EQ(restored.status, 0) << restored.err;
    EXPECT_EQ(restored.out, "restored vhsm:default/app/signer (operations=sign backup=attested)\n");
    expect_signature_for(from.public_key(), to);
  }
  /// Stock openssl, without vhsm, finds that `by` signs for this key.
  void expect_signature_for(const std::string& public_key, const Machine& by) const {
    ASSERT_THAT(public_key, HasSubstr("BEGIN PUBLIC KEY"));
    write_file(path("public.pem"), public_key);
    const auto made = by.sign(path("message"), path("signature"));
    ASSERT_EQ(made.status, 0) << made.err;
    EXPECT_EQ(run({"openssl", "dgst", "-sha256", "-verify", path("public.pem"), "-signature",
                   path("signature"), path("message")})
                  .status,
              0);
  }

  /// The KBS runs on the machine `here_`, and `here_` has its keys from it.
  Outcome kbs(Arguments arguments) const {
    arguments.insert(arguments.end(), {"--config", path("kbs/vhsm-kbs.cnf")});
    return world_.kbs(arguments);
  }
  void prepare_kbs() const {
    ASSERT_EQ(kbs({"receiver", "init"}).status, 0);
    const auto made = kbs({"receiver", "attest", "--nonce", kNonce, "--platform",
                           "emulator:" + here_.folder, "--out", path("evidence")});
    ASSERT_EQ(made.status, 0) << made.err;
    write_policy(here_);
  }

  World world_;
  Machine here_{path("snp"), world_.environment()};
  Machine there_{path("snp2"), world_.environment()};
};

TEST_F(MoveTest, AKeyThatCameInABackupSignsForTheSamePublicKey) { expect_move(there_, here_); }

TEST_F(MoveTest, AKeyThatLeftByABackupSignsThereForTheSamePublicKey) { expect_move(here_, there_); }

TEST_F(MoveTest, EvidenceOfARestoredKeyIsRefusedUnlessThatIsAllowed) {
  expect_move(here_, there_);
  there_.must({"key", "attest", kUri, "--nonce", kNonce, "--out", path("evidence")});
  const auto check = [&](const std::string& allowed) {
    return here_.vhsm({"key", "verify-attestation", path("evidence"), "--nonce", kNonce, "--policy",
                       path("policy.cnf"), "--trust-test-root", there_.folder + "/ark.pem",
                       "--allow", allowed});
  };
  EXPECT_THAT(check("recovery,backup").err, HasSubstr("restored"));
  EXPECT_THAT(check("recovery,restored").err, HasSubstr("may be backed up"));
  EXPECT_EQ(check("recovery,restored,backup").status, 0);
  EXPECT_THAT(there_.vhsm({"key", "list"}).out, HasSubstr("restored"));
}

TEST_F(MoveTest, AKeyLeavesForNobodyWhoIsNotTheMachineThatIsAskedFor) {
  here_.must({"key", "generate", kUri, "--algorithm", "EC:P-256", "--policy", "backup=attested"});
  prepare(there_);
  ASSERT_EQ(back_up(here_, there_).status, 0);
  EXPECT_THAT(back_up(here_, there_, {}).err, HasSubstr("others than this VM"));
  EXPECT_NE(back_up(here_, here_).status, 0) << "another root";
  there_.must(
      {"key", "attest", kReceiver, "--nonce", "ffffffffffffffff", "--out", path("evidence")});
  EXPECT_THAT(back_up(here_, there_).err, HasSubstr("another nonce"));
  there_.must({"key", "attest", kReceiver, "--nonce", kNonce, "--out", path("evidence")});
  write_file(path("policy.cnf"),
             "[snp_policy]\nreport_data = any\nminimum_tcb = any\nvmpl = 0\n"
             "measurement = " +
                 std::string(96, 'b') + "\n");
  const auto refused = back_up(here_, there_);
  EXPECT_EQ(refused.status, 1);
  EXPECT_THAT(refused.err, HasSubstr("MEASUREMENT"));
}

TEST_F(MoveTest, AKeyLeavesForNoKeyThatDoesMoreThanOpenBackups) {
  here_.must({"key", "generate", kUri, "--algorithm", "EC:P-256", "--policy", "backup=attested"});
  prepare(there_);
  there_.must({"key", "generate", "vhsm:default/app/free", "--algorithm", "EC:P-256"});
  there_.must(
      {"key", "attest", "vhsm:default/app/free", "--nonce", kNonce, "--out", path("evidence")});
  const auto refused = back_up(here_, there_);
  EXPECT_EQ(refused.status, 1);
  EXPECT_THAT(refused.err, HasSubstr("operations=restore"));
}

TEST_F(MoveTest, AKeyThatWasNotMadeToLeaveStaysAndCannotBeToldToLater) {
  here_.must({"key", "generate", kUri, "--algorithm", "EC:P-256"});
  prepare(there_);
  const auto refused = back_up(here_, there_);
  EXPECT_EQ(refused.status, 1);
  EXPECT_THAT(refused.err, HasSubstr("backup=attested"));
  const auto told = here_.vhsm({"key", "policy", kUri, "backup=attested"});
  EXPECT_EQ(told.status, 1);
  EXPECT_THAT(told.err, HasSubstr("make another key"));
}

TEST_F(MoveTest, AKeyThatWentToAKbsSignsForTheSamePublicKeyWhereItIsFetched) {
  there_.must({"key", "generate", kUri, "--algorithm", "EC:P-256", "--policy", "backup=attested"});
  prepare_kbs();
  const auto backup = back_up(there_, here_, {"--allow", "kbs-receiver"});
  ASSERT_EQ(backup.status, 0) << backup.err;
  EXPECT_THAT(read_file(path("backup")), Not(HasSubstr("PRIVATE")));
  const auto restored = kbs({"resource", "restore", path("backup")});
  ASSERT_EQ(restored.status, 0) << restored.err;
  EXPECT_THAT(restored.out, HasSubstr("default/app/signer version 1"));
  expect_signature_for(there_.public_key(), here_);
  EXPECT_EQ(here_.vhsm({"key", "restore", path("backup")}).status, 1) << "it is the KBS's to open";
}

TEST_F(MoveTest, NoKeyLeavesForAKbsUnlessItsOwnerSaysSoTwice) {
  there_.must({"key", "generate", kUri, "--algorithm", "EC:P-256"});
  prepare_kbs();
  const auto not_allowed = back_up(there_, here_, {"--allow", "kbs,recovery,snp"});
  EXPECT_EQ(not_allowed.status, 1);
  EXPECT_THAT(not_allowed.err, HasSubstr("--allow kbs-receiver"));
  const auto not_to_leave = back_up(there_, here_, {"--allow", "kbs-receiver"});
  EXPECT_EQ(not_to_leave.status, 1);
  EXPECT_THAT(not_to_leave.err, HasSubstr("backup=attested"));
}

TEST_F(MoveTest, EvidenceOfAKbsSaysThatItsFilesHaveTheKey) {
  prepare_kbs();
  Arguments arguments{"key",
                      "verify-attestation",
                      path("evidence"),
                      "--nonce",
                      kNonce,
                      "--policy",
                      path("policy.cnf"),
                      "--trust-test-root",
                      here_.folder + "/ark.pem"};
  EXPECT_EQ(there_.vhsm(arguments).status, 1);
  arguments.insert(arguments.end(), {"--allow", "kbs-receiver"});
  const auto accepted = there_.vhsm(arguments);
  EXPECT_EQ(accepted.status, 0) << accepted.err;
  EXPECT_THAT(accepted.out, HasSubstr("origin   kbs-receiver\n"));
  EXPECT_THAT(accepted.out, HasSubstr("others   whoever has the KBS's files\n"));
}

TEST_F(MoveTest, AProgramCannotUseTheKeyThatOpensBackups) {
  prepare(here_);
  const auto refused = here_.sign(path("message"), path("signature"), kReceiver);
  EXPECT_NE(refused.status, 0);
  EXPECT_THAT(refused.err, HasSubstr("(operations)"));
}

TEST_F(MoveTest, ABackupIsOpenedByItsReceiverAloneAndHasNothingInTheClear) {
  expect_move(here_, there_);
  const auto own = here_.vhsm({"key", "restore", path("backup"), "--as", "vhsm:default/app/again"});
  EXPECT_EQ(own.status, 1);
  const auto again = there_.vhsm({"key", "restore", path("backup")});
  EXPECT_EQ(again.status, 1) << "the name is taken: " << again.err;
  EXPECT_EQ(
      there_.vhsm({"key", "restore", path("backup"), "--as", "vhsm:default/app/again"}).status, 0);
  EXPECT_THAT(read_file(path("backup")), Not(HasSubstr("PRIVATE")));
  EXPECT_EQ(there_.vhsm({"key", "restore", path("message")}).status, 1);
}

TEST_F(MoveTest, WithoutEvidenceNonceOrPolicyItIsWrongUsage) {
  EXPECT_EQ(here_.vhsm({"key", "backup", kUri}).status, 2);
  EXPECT_EQ(back_up(here_, there_, {"--allow", "imported"}).status, 2);
  EXPECT_EQ(here_.vhsm({"key", "restore"}).status, 2);
}

}  // namespace
}  // namespace vhsm::tests
