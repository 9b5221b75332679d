// SPDX-License-Identifier: Apache-2.0
//
// A KBS receives keys that a vhsm has wrapped for the key that evidence shows, and no others.
#include "kbs/receiver.h"

#include <sys/stat.h>

#include <cstdlib>
#include <optional>

#include "evidence/key_claims.h"
#include "evidence/key_evidence.h"
#include "evidence/key_verdict.h"
#include "tests/kbs/support.h"

namespace vhsm::kbs {
namespace {

using keystore::KeyClaims;
using keystore::KeyUri;
using testing::HasSubstr;

constexpr const char* kMayLeave = "operations=sign backup=attested";
const std::vector<std::uint8_t> kNonce(16, 7);

class ReceiverTest : public testing::Test {
 protected:
  ReceiverTest() {
    EXPECT_TRUE(Receiver::create(path_).ok());
    receiver_.emplace(Receiver::open(path_).value());
    platform_ = snp::open_platform("emulator:" VHSM_TEST_EMULATOR, {}).value();
  }

  evidence::KeyEvidence evidence_of(const Receiver& receiver) const {
    return evidence::KeyEvidence::from(receiver.attest(*platform_, kNonce).value()).value();
  }
  KeyClaims claims_of(const Receiver& receiver) const {
    return evidence::parse_claims(evidence_of(receiver).claims).value();
  }
  std::string backup_for(const KeyClaims& claims, std::string_view policy = kMayLeave) const {
    const KeyUri key = KeyUri::parse("vhsm:default/app/signer?version=3", {}).value();
    return keystore::write_backup(secret("a private key"), key, policy, claims).value();
  }
  std::string backup() const { return backup_for(claims_of(*receiver_)); }
  evidence::KeyVerdict judge(std::vector<std::string> allowed) const {
    evidence::Expectations expected;
    expected.machine.report.any_measurement = true;
    expected.machine.report.any_report_data = true;
    expected.machine.report.any_vmpl = true;
    expected.nonce = kNonce;
    expected.allowed = std::move(allowed);
    const auto roots = snp::read_roots("", emulator_root()).value();
    return judge_key({.evidence = evidence_of(*receiver_)}, roots, expected);
  }

  TemporaryFolder folder_;
  std::string path_ = folder_ / "receiver.key";
  std::optional<Receiver> receiver_;
  std::unique_ptr<snp::Platform> platform_;
};

TEST_F(ReceiverTest, TheKeyIsMadeOnceAndReadableForItsOwnerOnly) {
  const std::string key = read_text(path_);
  const Status again = Receiver::create(path_);
  ASSERT_FALSE(again.ok());
  EXPECT_THAT(describe(again.error()), HasSubstr("keep it"));
  EXPECT_EQ(read_text(path_), key);
  struct stat status {};
  ASSERT_EQ(::stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
}

TEST_F(ReceiverTest, AMissingOrUnreadableKeyIsRefusedWithTheCure) {
  write_text(folder_ / "text", "no key");
  for (const char* name : {"none", "text"}) {
    const auto opened = Receiver::open(folder_ / name);
    ASSERT_FALSE(opened.ok());
    EXPECT_THAT(describe(opened.error()), HasSubstr(name));
    EXPECT_THAT(describe(opened.error()), HasSubstr("vhsm-kbs receiver init"));
  }
}

TEST_F(ReceiverTest, ItsEvidenceIsGenuineAndRefusedUnlessAKbsIsAllowed) {
  const auto refused =
      judge({"imported", "fetched", "restored", "kbs", "recovery", "snp", "backup"});
  EXPECT_TRUE(refused.report.has_value()) << "it is genuine";
  ASSERT_FALSE(refused.accepted.ok());
  EXPECT_EQ(refused.accepted.error().code, Errc::kPolicyRefused);
  EXPECT_THAT(describe(refused.accepted.error()), HasSubstr("--allow kbs-receiver"));
  const auto accepted = judge({"kbs-receiver"});
  EXPECT_TRUE(accepted.accepted.ok()) << describe(accepted.accepted.error());
  EXPECT_EQ(accepted.claims->origin, keystore::KeyOrigin::kKbsReceiver);
  EXPECT_EQ(accepted.claims->policy, "") << "nothing holds it to operations=restore";
}

TEST_F(ReceiverTest, ANonceOfAnotherLengthIsRefused) {
  for (const std::size_t size : {0U, 7U, 65U}) {
    const std::vector<std::uint8_t> nonce(size, 1);
    EXPECT_EQ(receiver_->attest(*platform_, nonce).error().code, Errc::kInvalidArgument) << size;
  }
}

TEST_F(ReceiverTest, ABackupForItIsOpened) {
  const auto key = receiver_->receive(backup());
  ASSERT_TRUE(key.ok()) << describe(key.error());
  EXPECT_EQ(text(key.value().content), "a private key");
  EXPECT_EQ(key.value().claims.key.name.path(), "default/app/signer");
  EXPECT_EQ(key.value().claims.policy, kMayLeave);
}

TEST_F(ReceiverTest, ABackupForAnotherReceiverIsRefusedWithTheCure) {
  ASSERT_TRUE(Receiver::create(folder_ / "other.key").ok());
  const Receiver other = Receiver::open(folder_ / "other.key").value();
  const auto refused = receiver_->receive(backup_for(claims_of(other)));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Errc::kMissing);
  EXPECT_THAT(describe(refused.error()), HasSubstr("vhsm-kbs receiver attest"));
}

TEST_F(ReceiverTest, AKeyThatWasNeverToLeaveIsRefused) {
  for (const char* policy : {"", "operations=sign"}) {
    const auto refused = receiver_->receive(backup_for(claims_of(*receiver_), policy));
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code, Errc::kPolicy);
  }
}

TEST_F(ReceiverTest, AChangedBackupIsRefused) {
  const std::string whole = backup();
  ASSERT_TRUE(receiver_->receive(whole).ok());
  const Json json = Json::parse(whole);
  for (const auto& [member, value] : json.items()) {
    Json changed = json;
    std::string bytes = value.get<std::string>();
    bytes[bytes.size() / 2] = bytes[bytes.size() / 2] == 'A' ? 'B' : 'A';
    changed[member] = bytes;
    EXPECT_FALSE(receiver_->receive(changed.dump()).ok()) << member;
  }
  Json forged = json;
  forged["tag"] = std::string(22, 'A');
  const auto refused = receiver_->receive(forged.dump());
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Errc::kBadSignature);
  EXPECT_THAT(describe(refused.error()), HasSubstr("vhsm key backup"));
}

TEST_F(ReceiverTest, WhatIsNoBackupIsRefused) {
  const std::string whole = backup();
  const std::string long_one = whole + std::string(keystore::kMaxBackupBytes, ' ');
  for (const std::string& text : {std::string(), std::string("{}"), whole.substr(1), long_one}) {
    const auto refused = receiver_->receive(text);
    ASSERT_FALSE(refused.ok()) << text.substr(0, 64);
    EXPECT_EQ(refused.error().code, Errc::kBadFormat) << describe(refused.error());
  }
}

/// The command, with a backup of its own receiver's key.
class RestoreTest : public ReceiverTest {
 protected:
  RestoreTest() {
    const Status made = init({config_, {}, "127.0.0.1:0", "", {"any"}});
    EXPECT_TRUE(made.ok()) << describe(made.error());
    write_text(folder_ / "backup", backup());
  }
  /// @return exit status; what it says goes to `said_`.
  int kbs(const std::string& arguments) {
    const std::string out = folder_ / "said";
    const int status = std::system(
        (VHSM_TEST_KBS " " + arguments + " --config " + config_ + " > " + out + " 2>&1").c_str());
    said_ = read_text(out);
    return WEXITSTATUS(status);
  }
  int restore(const std::string& more = "") {
    return kbs("resource restore " + (folder_ / "backup") + " " + more);
  }
  std::string content(const std::string& path) const {
    const auto found = Store::open(folder_ / "kbs.db").value().content(path);
    return found.ok() ? text(found.value()) : reason(found.error().code);
  }
  AuditRow last_row() const { return Store::open(folder_ / "kbs.db").value().audit(1).value()[0]; }

  std::string config_ = folder_ / "vhsm-kbs.cnf";
  std::string said_;
};

TEST_F(RestoreTest, AKeyIsStoredUnderItsNameOrAnotherAndAudited) {
  ASSERT_EQ(restore(), 0) << said_;
  EXPECT_THAT(said_, HasSubstr("default/app/signer version 1 changed 20"));
  EXPECT_THAT(said_, HasSubstr(kMayLeave));
  EXPECT_THAT(said_, testing::Not(HasSubstr("a private key")));
  EXPECT_EQ(content("default/app/signer"), "a private key");
  EXPECT_EQ(last_row().event, "restore");
  EXPECT_EQ(last_row().outcome, "granted");
  EXPECT_EQ(last_row().resource, "default/app/signer");
  ASSERT_EQ(restore("tls/www/key --json"), 0) << said_;
  EXPECT_EQ(content("tls/www/key"), "a private key");
  EXPECT_EQ(last_row().resource, "tls/www/key");
}

TEST_F(RestoreTest, APathThatIsTakenIsReplacedOnlyIfSaid) {
  ASSERT_TRUE(Store::open(folder_ / "kbs.db").value().put("default/app/signer", secret("x")).ok());
  EXPECT_EQ(restore(), 1);
  EXPECT_THAT(said_, HasSubstr("default/app/signer: there is a resource"));
  EXPECT_EQ(content("default/app/signer"), "x");
  EXPECT_EQ(last_row().event, "restore");
  EXPECT_EQ(last_row().outcome, "refused");
  EXPECT_THAT(last_row().reason, HasSubstr("there is a resource"));
  EXPECT_EQ(restore("--replace"), 0) << said_;
  EXPECT_THAT(said_, HasSubstr("version 2"));
  EXPECT_EQ(content("default/app/signer"), "a private key");
}

TEST_F(RestoreTest, ARefusedBackupStoresNothingAndIsAudited) {
  write_text(folder_ / "backup", "{}");
  EXPECT_EQ(restore("a/b/c"), 1);
  EXPECT_THAT(said_, HasSubstr(folder_ / "backup"));
  EXPECT_EQ(content("a/b/c"), "missing");
  EXPECT_EQ(last_row().outcome, "refused");
  EXPECT_EQ(last_row().resource, "a/b/c");
  write_text(folder_ / "backup", backup());
  EXPECT_EQ(restore("../b/c"), 2);
  EXPECT_EQ(last_row().outcome, "refused");
  std::remove(path_.c_str());
  EXPECT_EQ(restore("a/b/c"), 1);
  EXPECT_THAT(said_, HasSubstr("vhsm-kbs receiver init"));
  EXPECT_EQ(content("a/b/c"), "missing");
}

TEST_F(RestoreTest, ItsCommandsRefuseWrongUsageWith2) {
  for (const char* arguments :
       {"receiver", "receiver attest", "receiver bogus", "resource restore"}) {
    EXPECT_EQ(kbs(arguments), 2) << arguments;
  }
  const std::string platform = " --platform emulator:" VHSM_TEST_EMULATOR;
  for (const char* nonce : {"00", "xx", "001122334455667"}) {
    EXPECT_EQ(kbs("receiver attest --nonce " + std::string(nonce) + platform), 2) << nonce;
    EXPECT_THAT(said_, HasSubstr("--nonce"));
  }
  EXPECT_EQ(kbs("receiver init"), 1) << "it is there";
}

TEST_F(RestoreTest, EvidenceNeedsAPlatformAndANewFile) {
  const std::string taken = read_text(folder_ / "backup");
  const std::string attest = "receiver attest --nonce 0011223344556677 --platform ";
  EXPECT_EQ(kbs(attest + "none"), 1);
  EXPECT_THAT(said_, HasSubstr("--platform"));
  EXPECT_EQ(kbs(attest + "emulator:" VHSM_TEST_EMULATOR " --out " + (folder_ / "backup")), 1);
  EXPECT_THAT(said_, HasSubstr("--out"));
  EXPECT_EQ(read_text(folder_ / "backup"), taken);
  EXPECT_EQ(kbs(attest + "emulator:" VHSM_TEST_EMULATOR " --out " + (folder_ / "evidence")), 0);
  EXPECT_TRUE(evidence::collection_from_json(read_text(folder_ / "evidence")).ok());
}

}  // namespace
}  // namespace vhsm::kbs
