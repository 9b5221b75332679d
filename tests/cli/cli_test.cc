// SPDX-License-Identifier: Apache-2.0
//
// The vhsm command as a user meets it: what it prints, what it writes, and how it ends.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "snp/evidence_json.h"
#include "snp/report.h"
#include "tests/base/temp_dir.h"
#include "tests/world/world.h"

namespace vhsm::tests {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

constexpr const char* kName = "default/tls/www";
constexpr const char* kUri = "vhsm:default/tls/www";

Outcome vhsm(std::vector<std::string> arguments, const std::vector<std::string>& environment = {}) {
  arguments.insert(arguments.begin(), std::string(VHSM_BIN_DIR) + "/vhsm");
  return run(arguments, environment);
}

std::vector<std::uint8_t> as_bytes(const std::string& text) { return {text.begin(), text.end()}; }

json parse(const Outcome& outcome) { return json::parse(outcome.out, nullptr, false); }

/// Without platform and KBS.
class BareTest : public testing::Test {
 protected:
  const test::TempDir folder_;
  const std::vector<std::string> empty_{"VHSM_CONF=" + folder_.write("vhsm.cnf", "[vhsm]\n")};
};

TEST_F(BareTest, EndsWithTwoForWrongUsage) {
  for (const std::vector<std::string>& arguments : std::vector<std::vector<std::string>>{
           {},
           {"frobnicate"},
           {"key"},
           {"key", "show"},
           {"doctor", "--fast"},
           {"key", "show", "a/../b"},
           {"attest", "--nonce", "0g", "--out", "/dev/null"},
           {"report", "verify", "r.bin"},
           {"report", "verify", "r.bin", "--certs", ".", "--signature-only", "--policy", "p.cnf"},
           {"report", "fetch", "r.bin"},
           {"report", "fetch", "r.bin", "--certs", ".", "--kds", "amd"},
           {"attest", "--nonce", "00", "--report-data", "00"}}) {
    const Outcome outcome = vhsm(arguments, empty_);
    EXPECT_EQ(outcome.status, 2) << testing::PrintToString(arguments) << outcome.err;
    EXPECT_THAT(outcome.out, IsEmpty());
  }
}

TEST_F(BareTest, AVariableThatAScriptHasLostIsWrongUsage) {
  const std::vector<std::string> verify{"report", "verify", "r.bin", "--certs", "."};
  const std::vector<std::string> measure{"measure", "--ovmf", "f", "--vcpus", "1"};
  for (const auto& [command, option] :
       std::vector<std::pair<std::vector<std::string>, const char*>>{{{"attest"}, "--nonce"},
                                                                     {{"attest"}, "--report-data"},
                                                                     {verify, "--policy"},
                                                                     {verify, "--product"},
                                                                     {verify, "--trust-test-root"},
                                                                     {measure, "--kernel"},
                                                                     {{"report", "show"}, ""}}) {
    std::vector<std::string> arguments = command;
    if (*option != 0) arguments.emplace_back(option);
    arguments.emplace_back();
    const Outcome outcome = vhsm(arguments, empty_);
    EXPECT_EQ(outcome.status, 2) << testing::PrintToString(arguments);
    EXPECT_THAT(outcome.err, HasSubstr("a value is missing"));
  }
}

TEST_F(BareTest, OffersOnlyWhatItHas) {
  const Outcome outcome = vhsm({"--help"});
  EXPECT_EQ(outcome.status, 0);
  for (const char* command :
       {"doctor", "key", "fetch", "resource", "attest", "report", "measure"}) {
    EXPECT_THAT(outcome.out, HasSubstr(command));
  }
}

TEST_F(BareTest, NamesTheConfigurationThatIsNotThere) {
  const Outcome outcome = vhsm({"--config", "/nonexistent.cnf", "key", "show", "www"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.err, StartsWith("vhsm: /nonexistent.cnf: "));
}

TEST_F(BareTest, DoctorGoesOnAfterABadConfiguration) {
  const Outcome outcome = vhsm({"--config", "/nonexistent.cnf", "doctor"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.out, StartsWith("fail  configuration"));
  EXPECT_THAT(outcome.out, HasSubstr("OpenSSL"));
  EXPECT_THAT(outcome.out, HasSubstr("-> "));
}

TEST_F(BareTest, DoctorSaysWhatLockedMemoryLacks) {
  const Outcome outcome = vhsm({"doctor"}, {empty_[0], "VHSM_MEMORY=locked"});
  EXPECT_THAT(outcome.out, HasSubstr("warn  protected memory  mlock"));
  EXPECT_THAT(outcome.out, HasSubstr("secretmem.enable=1"));
}

TEST_F(BareTest, DoctorSaysWhatFipsLacks) {
  const std::string file = folder_.write("fips.cnf", "[vhsm]\nfips = /nowhere/fipsmodule.cnf\n");
  const Outcome outcome = vhsm({"--config", file, "doctor"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.out, HasSubstr("fail  FIPS"));
  EXPECT_THAT(outcome.out, HasSubstr("fips = yes"));
}

TEST_F(BareTest, DoctorSaysThatFipsIsOn) {
  if (!std::filesystem::exists(VHSM_FIPS_CONFIG)) {
    GTEST_SKIP() << "no FIPS provider of OpenSSL 3.5 or newer here";
  }
  const std::string file = folder_.write("fips.cnf", "[vhsm]\nfips = " VHSM_FIPS_CONFIG "\n");
  const Outcome outcome = vhsm({"--config", file, "doctor"});
  EXPECT_THAT(outcome.out, HasSubstr("ok    FIPS"));
  EXPECT_THAT(outcome.out, HasSubstr("FIPS Provider 3."));
}

TEST_F(BareTest, DoctorFailsWithoutAKbs) {
  const Outcome outcome = vhsm({"doctor"}, empty_);
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.out, HasSubstr("fail  KBS"));
  EXPECT_THAT(outcome.out, HasSubstr("set kbs and kbs_ca in vhsm.cnf"));
}

/// The folder of a real report, or skips the test.
std::string real_folder(const char* name) {
  const char* const named = std::getenv("VHSM_VECTORS");
  return std::string(named != nullptr ? named : VHSM_TEST_VECTORS) + "/snp/" + name;
}

#define VHSM_NEED_FOLDER(folder) \
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "no vectors at " << (folder)

TEST_F(BareTest, ShowsARealReport) {
  const std::string folder = real_folder("11-genoa-v3-vcek-ccf");
  VHSM_NEED_FOLDER(folder);
  const std::string report = folder + "/report.bin";
  const Outcome shown = vhsm({"report", "show", report, "--json"});
  ASSERT_EQ(shown.status, 0) << shown.err;
  EXPECT_EQ(parse(shown).value("product", ""), "Genoa");
  const Outcome verified = vhsm({"report", "verify", report, "--certs", folder, "--json"});
  EXPECT_EQ(verified.status, 0) << verified.err;
  EXPECT_TRUE(parse(verified).value("genuine", false));
  EXPECT_FALSE(parse(verified).value("development", true));
}

TEST_F(BareTest, RefusesAGuestThatCanBeDebuggedUnlessOnlyTheSignatureIsAskedFor) {
  const std::string folder = real_folder("01-milan-v2-vcek-gosevguest-debugpolicy");
  VHSM_NEED_FOLDER(folder);
  const std::vector<std::string> command{"report",  "verify", folder + "/report.bin",
                                         "--certs", folder,   "--product",
                                         "Milan",   "--at",   "2023-06-01T02:00:00.5+02:00"};
  const Outcome refused = vhsm(command);
  EXPECT_EQ(refused.status, 1);
  EXPECT_THAT(refused.out, StartsWith("genuine, but refused: made by an AMD Milan processor"));
  EXPECT_THAT(refused.err, HasSubstr("may be debugged by its host"));
  std::vector<std::string> signature_only = command;
  signature_only.emplace_back("--signature-only");
  EXPECT_EQ(vhsm(signature_only).status, 0);
  std::vector<std::string> too_early = command;
  too_early[8] = "2012-06-01T00:00:00Z";
  const Outcome early = vhsm(too_early);
  EXPECT_EQ(early.status, 1);
  EXPECT_THAT(early.out, StartsWith("not genuine\n"));
  for (const char* time :
       {"", "2023", "2023-06-01", "2023-13-01T00:00:00Z", "2023-06-01T24:00:00Z",
        "2023-06-01T00:00:00", "2023-06-01T00:00:00.Z", "2023-06-01T00:00:00+1"}) {
    too_early[8] = time;
    EXPECT_EQ(vhsm(too_early).status, 2) << time;
  }
}

TEST_F(BareTest, TakesEvidenceInTrusteesForm) {
  const std::string folder = real_folder("11-genoa-v3-vcek-ccf");
  VHSM_NEED_FOLDER(folder);
  snp::Evidence evidence;
  evidence.report =
      snp::UnverifiedReport::parse(as_bytes(read_file(folder + "/report.bin"))).value().raw();
  const std::string leaf = read_file(folder + "/vcek.der");
  evidence.certificates = {{snp::CertificateKind::kVcek, {}, as_bytes(leaf)}};
  const std::string file = folder_.write("evidence.json", " " + snp::to_json(evidence).dump());
  std::filesystem::create_directory(folder_.file("empty"));
  const Outcome verified = vhsm({"report", "verify", file, "--certs", folder_.file("empty")});
  EXPECT_EQ(verified.status, 0) << verified.err;
  EXPECT_EQ(vhsm({"report", "show", file}).status, 0);
  const Outcome broken =
      vhsm({"report", "show", folder_.write("broken.json", "{\"attestation_report\": {}}")});
  EXPECT_EQ(broken.status, 1);
  EXPECT_THAT(broken.err, HasSubstr("broken.json"));
}

TEST_F(BareTest, AttestsFromABlobOfAnAzureVtpmForTheDataThatItBinds) {
  const std::string folder = real_folder("05-milan-v3-vcek-azure");
  VHSM_NEED_FOLDER(folder);
  const std::string settings =
      folder_.write("vtpm.cnf", "[vhsm]\nplatform = vtpm:" + folder + "/hcl.bin\n");
  const auto attest = [&](const std::string& data, const std::vector<std::string>& more) {
    std::vector<std::string> command{"--config", settings, "attest", "--report-data", data};
    command.insert(command.end(), more.begin(), more.end());
    return vhsm(command);
  };
  const std::string zeros(128, '0');
  const Outcome written = attest(zeros, {"--out", folder_.file("r")});
  ASSERT_EQ(written.status, 0) << written.err;
  EXPECT_EQ(read_file(folder_.file("r")), read_file(folder + "/report.bin"));
  EXPECT_THAT(read_file(folder_.file("r.claims.json")), HasSubstr("\"user-data\""));
  const json printed = parse(attest(zeros, {"--json"}));
  EXPECT_EQ(printed.value("platform", ""), "vtpm");
  EXPECT_TRUE(printed["annex"].contains("claims.json"));
  const Outcome other = attest(std::string(128, '1'), {"--out", folder_.file("other")});
  EXPECT_EQ(other.status, 1);
  EXPECT_THAT(other.err, HasSubstr("binds other user-data"));
  EXPECT_FALSE(std::filesystem::exists(folder_.file("other")));
}

class WorldTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    world_ = std::make_unique<World>();
    if (!world_->ready()) return;
    write_file(world_->file("req.cnf"), "[req]\ndistinguished_name = name\n[name]\n");
    const Outcome made = world_->openssl({"req", "-x509", "-config", path("req.cnf"), "-nodes",
                                          "-newkey", "rsa:2048", "-subj", "/CN=www.example",
                                          "-keyout", path("www.key"), "-out", path("www.crt")});
    ASSERT_EQ(made.status, 0) << made.err;
    world_->put(kName, read_file(world_->file("www.key")) + read_file(world_->file("www.crt")));
  }
  static void TearDownTestSuite() { world_.reset(); }

  void SetUp() override { ASSERT_TRUE(world_->ready()); }

  static std::string path(const std::string& name) { return world_->file(name); }

  static Outcome in_world(std::vector<std::string> arguments) {
    return vhsm(std::move(arguments), world_->environment());
  }

  static std::unique_ptr<World> world_;
};
std::unique_ptr<World> WorldTest::world_;

TEST_F(WorldTest, DoctorFindsEverythingInOrderAndSaysDevelopment) {
  const Outcome outcome = in_world({"doctor", "--json"});
  EXPECT_EQ(outcome.status, 0) << outcome.out << outcome.err;
  const json answer = parse(outcome);
  EXPECT_TRUE(answer.value("good", false));
  const Outcome text = in_world({"doctor"});
  EXPECT_THAT(text.out, HasSubstr("for development, no hardware behind it"));
  EXPECT_THAT(text.out, HasSubstr("TLSv1."));
  EXPECT_THAT(text.out, HasSubstr("inside the provider: OpenSSL "));
}

TEST_F(WorldTest, DoctorFailsWhenTheKbsIsAway) {
  world_->stop_kbs();
  const Outcome outcome = in_world({"doctor"});
  world_->start_kbs();
  world_->configure();
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.out, HasSubstr("fail  KBS"));
}

TEST_F(WorldTest, KeyShowFetchesAndPrintsWhatIsPublic) {
  for (const char* name : {kUri, kName, "tls/www"}) {
    const Outcome outcome = in_world({"key", "show", name, "--json"});
    ASSERT_EQ(outcome.status, 0) << outcome.err;
    const json key = parse(outcome);
    EXPECT_EQ(key.value("uri", ""), kUri);
    EXPECT_EQ(key.value("type", ""), "RSA");
    EXPECT_EQ(key.value("bits", 0), 2048);
    EXPECT_EQ(key.value("source", ""), "fetched from the KBS");
    ASSERT_EQ(key["certificates"].size(), 1U);
    EXPECT_EQ(key["certificates"][0].value("subject", ""), "CN=www.example");
  }
}

TEST_F(WorldTest, KeyShowSaysMissingForAKeyThatIsNot) {
  const Outcome outcome = in_world({"key", "show", "default/tls/nobody"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.err, StartsWith("vhsm: vhsm:default/tls/nobody"));
  EXPECT_THAT(outcome.out, IsEmpty());
}

TEST_F(WorldTest, FetchTellsOfEachKeyAndFailsIfOneIsNotToBeHad) {
  const Outcome all = in_world({"fetch", kUri, "tls/www"});
  EXPECT_EQ(all.status, 0) << all.err;
  EXPECT_THAT(all.out, testing::MatchesRegex("(here vhsm:default/tls/www, [0-9]+ ms\n){2}"));
  const Outcome some = in_world({"fetch", kUri, "default/tls/nobody"});
  EXPECT_EQ(some.status, 1);
  EXPECT_THAT(some.out, HasSubstr("here vhsm:default/tls/www"));
  EXPECT_THAT(some.out, HasSubstr("fail vhsm:default/tls/nobody"));
  EXPECT_EQ(in_world({"fetch", "a/../b"}).status, 2);
}

TEST_F(WorldTest, PrefetchBringsKeysInAtTheStartAndLogsWhatDoesNotCome) {
  world_->configure("prefetch = vhsm:default/tls/www, vhsm:default/tls/nobody\nlog = " +
                    path("prefetch.log") + "\n");
  const Outcome shown = in_world({"key", "show", kName});
  const Outcome malformed = [&] {
    write_file(world_->file("vhsm.cnf"),
               read_file(world_->file("vhsm.cnf")) + "prefetch = a/../b\n");
    return in_world({"key", "show", kName});
  }();
  world_->configure();
  EXPECT_EQ(shown.status, 0) << shown.err;
  const std::string log = read_file(world_->file("prefetch.log"));
  EXPECT_THAT(log, HasSubstr("vhsm:default/tls/www released by"));
  EXPECT_THAT(log, HasSubstr("vhsm:default/tls/nobody"));
  if (!World::has_daemon()) {
    EXPECT_EQ(malformed.status, 2) << malformed.err;
  }
}

TEST_F(WorldTest, OnlyResourcesThatTheOwnerSignedForTheirNameAreTaken) {
  for (const std::vector<std::string>& made :
       {std::vector<std::string>{"genpkey", "-algorithm", "ed25519", "-out", path("release.key")},
        {"pkey", "-in", path("release.key"), "-pubout", "-out", path("release.pem")}}) {
    ASSERT_EQ(world_->openssl(made).status, 0);
  }
  const auto sign = [&](const char* name) {
    std::filesystem::remove(path("signed"));
    return vhsm({"resource", "sign", name, path("www.key"), "--key", path("release.key"), "--out",
                 path("signed")});
  };
  const auto show = [&](const char* name) {
    world_->put(name, read_file(world_->file("signed")));
    return in_world({"fetch", name});
  };
  world_->configure("release_key = " + path("release.pem") + "\nrequire_signed_keys = yes\n");
  ASSERT_EQ(sign("default/signed/www").status, 0);
  const auto mode = std::filesystem::status(path("signed")).permissions();
  EXPECT_EQ(mode, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  const Outcome good = show("default/signed/www");
  const Outcome moved = show("default/signed/mail");
  const Outcome unsigned_one = in_world({"fetch", kUri});
  world_->configure();
  EXPECT_EQ(good.status, 0) << good.out << good.err;
  EXPECT_EQ(moved.status, 1);
  EXPECT_THAT(moved.out, HasSubstr("not signed by release_key for this name"));
  EXPECT_EQ(unsigned_one.status, 1);
  const Outcome again = vhsm({"resource", "sign", "a/b/c", path("www.key"), "--key",
                              path("release.key"), "--out", path("signed")});
  EXPECT_EQ(again.status, 1) << "a file that is there is left alone";
  EXPECT_EQ(vhsm({"resource", "sign", "a/b/c", path("www.key"), "--key", path("www.key"), "--out",
                  path("other")})
                .status,
            1)
      << "RSA is no release key";
}

TEST_F(WorldTest, KeyPemWritesAStandInThatOpensslSignsWith) {
  const std::string file = path("stand-in.pem");
  ASSERT_EQ(in_world({"key", "pem", kName, "--out", file}).status, 0);
  EXPECT_THAT(read_file(file), StartsWith("-----BEGIN VHSM KEY URI-----\n"));
  EXPECT_THAT(read_file(file), Not(HasSubstr("PRIVATE")));
  write_file(world_->file("message"), "a message");
  const Outcome signed_by =
      world_->openssl({"dgst", "-sha256", "-provider", "vhsm", "-provider", "default", "-sign",
                       file, "-out", path("signature"), path("message")});
  EXPECT_EQ(signed_by.status, 0) << signed_by.err;
}

TEST_F(WorldTest, AttestedReportIsGenuineOnlyUnderItsTestRoot) {
  const std::string folder = path("evidence");
  std::filesystem::create_directory(folder);
  const std::string file = folder + "/report.bin";
  ASSERT_EQ(in_world({"attest", "--nonce", "00ff", "--out", file}).status, 0);
  EXPECT_EQ(read_file(file).size(), 1184U);
  const Outcome shown = in_world({"report", "show", file, "--json"});
  // SHA-512 of the bytes 00 ff.
  EXPECT_EQ(parse(shown).value("report_data", ""),
            "fb9c0429487655082fe197f64eb8f045a706a4a5de8817478ee3ab47e208c27f"
            "d87502458026613794e69b0d1b3fc6916456754bd08088422144503682db5986");
  EXPECT_EQ(in_world({"report", "verify", file, "--certs", folder, "--trust-test-root",
                      path("snp/ark.pem")})
                .status,
            0);
  const Outcome untrusted = in_world({"report", "verify", file, "--certs", folder});
  EXPECT_EQ(untrusted.status, 1);
  EXPECT_THAT(untrusted.err, HasSubstr("report.bin"));
}

/// What the check `name` of a verdict in JSON found.
std::string found_by(const json& verdict, const std::string& name) {
  for (const json& check : verdict["checks"]) {
    if (check.value("check", "") == name) return check.value("outcome", "");
  }
  return "no such check";
}

TEST_F(WorldTest, VerifyJudgesByAPolicyAndSaysWhatEachCheckFound) {
  const std::string folder = path("judged");
  std::filesystem::create_directory(folder);
  const std::string file = folder + "/report.bin";
  const std::string data(128, 'b');
  ASSERT_EQ(in_world({"attest", "--report-data", data, "--out", file}).status, 0);
  const auto verdict_by = [&](const std::string& policy) {
    write_file(world_->file("policy.cnf"), "[snp_policy]\n" + policy);
    return in_world({"report", "verify", file, "--certs", folder, "--trust-test-root",
                     path("snp/ark.pem"), "--policy", path("policy.cnf"), "--json"});
  };
  const std::string rest =
      "vmpl = 0\nminimum_tcb = any\nmeasurement = " + std::string(96, 'a') + "\n";
  const Outcome accepted = verdict_by("report_data = " + data + "\n" + rest);
  EXPECT_EQ(accepted.status, 0) << accepted.err;
  EXPECT_TRUE(parse(accepted).value("accepted", false));
  EXPECT_EQ(found_by(parse(accepted), "signature"), "passed");
  EXPECT_EQ(found_by(parse(accepted), "measurement"), "passed");
  EXPECT_EQ(found_by(parse(accepted), "guest SVN"), "not asked");

  const Outcome refused = verdict_by("report_data = " + std::string(128, 'c') + "\n" + rest);
  EXPECT_EQ(refused.status, 1);
  EXPECT_TRUE(parse(refused).value("genuine", false));
  EXPECT_FALSE(parse(refused).value("accepted", true));
  EXPECT_EQ(found_by(parse(refused), "report data"), "failed");
  EXPECT_EQ(found_by(parse(refused), "measurement"), "passed");

  const Outcome empty = verdict_by("");
  EXPECT_EQ(empty.status, 1);
  EXPECT_THAT(empty.out, IsEmpty());
  EXPECT_THAT(empty.err, HasSubstr("policy.cnf: the report policy does not say"));
}

TEST_F(WorldTest, AttestTakesReportDataAsItIs) {
  const std::string data(128, 'a');
  const std::string file = path("exact.bin");
  ASSERT_EQ(in_world({"attest", "--report-data", data, "--out", file}).status, 0);
  EXPECT_EQ(parse(in_world({"report", "show", file, "--json"})).value("report_data", ""), data);
}

TEST_F(WorldTest, ReportShowRefusesATruncatedReport) {
  write_file(world_->file("short.bin"), std::string(1183, 'x'));
  const Outcome outcome = in_world({"report", "show", path("short.bin")});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.err, HasSubstr("short.bin"));
}

}  // namespace
}  // namespace vhsm::tests
