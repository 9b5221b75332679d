// SPDX-License-Identifier: Apache-2.0
#include "snp/emulator.h"

#include <sys/stat.h>
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "snp/evidence_json.h"
#include "tests/snp/support.h"

namespace vhsm::snp {
namespace {

constexpr const char* kFolder = VHSM_TEST_EMULATOR;

Roots emulator_roots() { return read_roots("", std::string(kFolder) + "/ark.pem").value(); }

std::unique_ptr<Platform> open(std::optional<unsigned> vmpl = {}) {
  return open_platform(std::string("emulator:") + kFolder, vmpl).value();
}

TEST(EmulatorTest, ItsReportsVerifyUnderItsRootAndCarryTheCallersData) {
  const ReportData data{1, 2, 3};
  const auto evidence = open()->attest(data, kNoDeadline);
  ASSERT_EQ(outcome(evidence), "ok");
  const auto report = verify(evidence.value(), emulator_roots(), {});
  ASSERT_EQ(outcome(report), "ok");
  EXPECT_TRUE(report.value().development());
  ReportPolicy policy;
  policy.report_data = data;
  policy.vmpl = 0;
  policy.any_measurement = true;
  EXPECT_EQ(outcome(judge(report.value(), policy)), "ok");
}

TEST(EmulatorTest, ItsReportsDoNotVerifyByDefault) {
  const auto evidence = open()->attest({}, kNoDeadline);
  EXPECT_EQ(verify(evidence.value(), Roots{}, {}).error().code, Errc::kUntrusted);
}

TEST(EmulatorTest, ItsEvidenceVerifiesAfterATripThroughJson) {
  const auto evidence = open()->attest({}, kNoDeadline);
  const auto back = evidence_from_json(to_json(evidence.value()));
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(outcome(verify(back.value(), emulator_roots(), {})), "ok");
}

TEST(EmulatorTest, SaysThatItIsForDevelopment) {
  const PlatformInfo info = open()->info();
  EXPECT_EQ(info.kind, "emulator");
  EXPECT_TRUE(info.development);
  EXPECT_EQ(info.vmpl, 0U);
}

TEST(EmulatorTest, TheReportCarriesTheVmplAskedFor) {
  const auto evidence = open(2)->attest({}, kNoDeadline);
  ASSERT_TRUE(evidence.ok());
  EXPECT_EQ(UnverifiedReport(evidence.value().report).number<field::kVmpl>(), 2U);
}

TEST(EmulatorTest, SignsFromManyThreads) {
  const auto platform = open();
  std::vector<std::thread> threads;
  std::atomic<int> genuine{0};
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      const auto evidence = platform->attest({}, kNoDeadline);
      if (evidence.ok() && verify(evidence.value(), emulator_roots(), {}).ok()) ++genuine;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(genuine, 4);
}

TEST(EmulatorTest, WorksAfterItsFolderIsGone) {
  const TemporaryFolder folder;
  const auto platform = open_emulator(folder.copy_of(kFolder), {}).value();
  std::filesystem::remove_all(folder.path() + "/copy");
  EXPECT_TRUE(platform->attest({}, kNoDeadline).ok());
}

TEST(EmulatorTest, ALevelBelowTheGuestsIsRefused) {
  const TemporaryFolder folder;
  const std::string copy = folder.copy_of(kFolder);
  change_emulator(copy, [](nlohmann::json& state) { state["vmpl"] = 2; });
  EXPECT_EQ(outcome(open_emulator(copy, 1).value()->attest({}, kNoDeadline)),
            "platform failure: the firmware refuses the request: its VMPL is not between the "
            "guest's and 3, or its versions are above the guest's");
  EXPECT_TRUE(open_emulator(copy, 3).value()->attest({}, kNoDeadline).ok());
  EXPECT_EQ(open_emulator(copy, {}).value()->info().vmpl, 2U);
}

TEST(EmulatorTest, KeepsNoKeyButTheReportKeysAndThatForItsOwnerAlone) {
  struct stat status {};
  ASSERT_EQ(::stat((std::string(kFolder) + "/vcek.key").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(kFolder)) {
    names.push_back(entry.path().filename());
  }
  std::ranges::sort(names);
  EXPECT_EQ(names, (std::vector<std::string>{"ark.pem", "ask.pem", "emulator.json", "vcek.key",
                                             "vcek.pem"}));
}

TEST(EmulatorTest, AnExistingEmulatorIsLeftAlone) {
  EXPECT_EQ(outcome(init_emulator(kFolder, {})),
            "wrong state: this folder holds an emulator already");
}

TEST(EmulatorTest, BrokenFoldersAreRefused) {
  EXPECT_EQ(open_emulator("/nonexistent", {}).error().code, Errc::kIo);
  for (const char* file : {"/emulator.json", "/vcek.key", "/vcek.pem", "/ask.pem", "/ark.pem"}) {
    const TemporaryFolder folder;
    const std::string copy = folder.copy_of(kFolder);
    std::ofstream(copy + file) << "{}";
    EXPECT_EQ(open_emulator(copy, {}).error().code, Errc::kBadFormat) << file;
    std::filesystem::remove(copy + file);
    EXPECT_EQ(open_emulator(copy, {}).error().code, Errc::kIo) << file;
  }
}

TEST(EmulatorTest, AMachineThatAnotherVersionMadeIsToBeMadeAnew) {
  const TemporaryFolder folder;
  const std::string copy = folder.copy_of(kFolder);
  change_emulator(copy, [](nlohmann::json& state) { state["format"] = 2; });
  EXPECT_EQ(outcome(open_emulator(copy, {})),
            "malformed data: another version made this machine: make it anew (init)");
}

TEST(EmulatorTest, EachProductAndVersionVerifies) {
  for (const Product product : {Product::kMilan, Product::kGenoa, Product::kTurin}) {
    for (std::uint32_t version = kOldestVersion; version <= kNewestVersion; ++version) {
      EmulatorOptions options;
      options.product = product;
      options.report_version = version;
      Draft draft;
      draft.state = make_state(options).value();
      draft.extensions = vcek_extensions(product, draft.state.tcb, draft.state.chip_id);
      const auto report = verify(forge(draft), test_roots(), {});
      ASSERT_EQ(outcome(report), "ok") << product_name(product) << version;
      EXPECT_EQ(report.value().product(), product);
    }
  }
}

TEST(EmulatorTest, EachMachineHasAChipOfItsOwnAndTheSameImageUnlessToldOtherwise) {
  const EmulatorState first = make_state({}).value();
  const EmulatorState second = make_state({}).value();
  EXPECT_NE(first.chip_id, second.chip_id);
  EXPECT_EQ(first.measurement, second.measurement);
  EXPECT_NE(first.report_id, second.report_id);
}

TEST(EmulatorTest, ImpossibleMachinesAreRefused) {
  EmulatorOptions options;
  options.report_version = 6;
  EXPECT_EQ(make_state(options).error().code, Errc::kInvalidArgument);
  options = {};
  options.vmpl = 4;
  EXPECT_EQ(make_state(options).error().code, Errc::kInvalidArgument);
  options = {};
  options.policy = 0;
  EXPECT_EQ(make_state(options).error().code, Errc::kInvalidArgument);
  options = {};
  options.committed_tcb = Tcb{0, 0xFF, 0, 0, 0};
  EXPECT_EQ(make_state(options).error().code, Errc::kInvalidArgument);
  options = {};
  options.product = Product::kTurin;
  options.chip_id = ChipId{};
  options.chip_id->value.back() = 1;
  EXPECT_EQ(make_state(options).error().code, Errc::kInvalidArgument);
}

TEST(EmulatorTest, TheMachineIsWhatItsOptionsSay) {
  EmulatorOptions options;
  options.report_version = 5;
  options.mitigations = 0x1F;
  options.guest_svn = 7;
  options.family_id = FamilyId{{1, 2}};
  options.image_id = ImageId{{3, 4}};
  options.tcb = Tcb{0, 4, 1, 9, 0x20};
  options.committed_tcb = Tcb{0, 4, 1, 8, 0x20};
  const EmulatorState made_now = make_state(options).value();
  const EmulatorState read_again = state_from_json(to_json(made_now)).value();
  const UnverifiedReport report(unsigned_report(read_again, {}, 0));
  EXPECT_EQ(report.number<field::kLaunchMitigations>(), 0x1FU);
  EXPECT_EQ(report.number<field::kCurrentMitigations>(), 0x1FU);
  EXPECT_EQ(report.number<field::kGuestSvn>(), 7U);
  EXPECT_EQ(report.bytes<field::kFamilyId>()[1], 2);
  EXPECT_EQ(report.bytes<field::kImageId>()[0], 3);
  EXPECT_EQ(report.bytes<field::kCurrentTcb>()[6], 9);
  EXPECT_EQ(report.bytes<field::kCommittedTcb>()[6], 8);
}

GuestIdentity some_identity() {
  return {Measurement{{1, 2}}, FamilyId{{3}}, ImageId{{4}}, 7,
          policy_bit::kSmtAllowed | policy_bit::kAlwaysOne};
}

EmulatorOptions launched_by(EVP_PKEY* id_key, EVP_PKEY* author_key) {
  const SignedBlock block = sign_block(some_identity(), id_key, author_key);
  EmulatorOptions options;
  options.id_block = check_id_block(block.block, block.authentication).value();
  return options;
}

TEST(EmulatorTest, AGuestWithAnIdBlockIsWhatItsOwnerSigned) {
  const ossl::PKey owner = p384_key();
  const ossl::PKey author = p384_key();
  Draft draft;
  draft.state =
      state_from_json(to_json(make_state(launched_by(owner.get(), author.get())).value())).value();
  draft.extensions = vcek_extensions(draft.state.product, draft.state.tcb, draft.state.chip_id);
  const auto report = verify(forge(draft), test_roots(), {});
  ASSERT_EQ(outcome(report), "ok");
  EXPECT_EQ(report.value().measurement(), some_identity().measurement);
  EXPECT_EQ(report.value().number<field::kKeyInfo>() & key_bit::kAuthorKey, key_bit::kAuthorKey);
  ReportPolicy policy;
  policy.any_report_data = true;
  policy.vmpl = 0;
  policy.require_id_block = true;
  policy.require_author_key = true;
  policy.family_ids = {FamilyId{{3}}};
  policy.image_ids = {ImageId{{4}}};
  policy.minimum_guest_svn = 7;
  policy.id_key_digests = {IdKeyDigest{key_digest(owner.get()).value()}};
  EXPECT_EQ(outcome(judge(report.value(), policy)), "ok");
  policy.id_key_digests = {IdKeyDigest{key_digest(author.get()).value()}};
  EXPECT_FALSE(judge(report.value(), policy).ok());
  policy.author_key_digests = {AuthorKeyDigest{key_digest(author.get()).value()}};
  EXPECT_EQ(outcome(judge(report.value(), policy)), "ok");
}

TEST(EmulatorTest, WithoutAnAuthorKeyInfoDoesNotSpeakOfOne) {
  const ossl::PKey owner = p384_key();
  const UnverifiedReport report(
      unsigned_report(make_state(launched_by(owner.get(), nullptr)).value(), {}, 0));
  EXPECT_EQ(report.number<field::kKeyInfo>() & key_bit::kAuthorKey, 0U);
  EXPECT_EQ((report.octets<IdKeyDigest, field::kIdKeyDigest>().value),
            key_digest(owner.get()).value());
}

TEST(EmulatorTest, AnIdBlockOfAnotherGuestLaunchesNothing) {
  const ossl::PKey owner = p384_key();
  EmulatorOptions options = launched_by(owner.get(), nullptr);
  options.measurement = Measurement{{9}};
  EXPECT_EQ(outcome(make_state(options)),
            "invalid argument: the ID block is for another measurement");
  options.measurement = some_identity().measurement;
  EXPECT_EQ(outcome(make_state(options)), "ok");
  options.policy = policy_bit::kAlwaysOne;
  EXPECT_EQ(outcome(make_state(options)), "invalid argument: the ID block is for another policy");
}

TEST(EmulatorTest, ReportsBelowVersionFiveHaveNoMitigations) {
  EmulatorOptions options;
  options.mitigations = 1;
  const UnverifiedReport report(unsigned_report(make_state(options).value(), {}, 0));
  EXPECT_EQ(report.number<field::kLaunchMitigations>(), 0U);
}

TEST(EmulatorTest, AVlekNamesTheCloudAndNoChip) {
  Draft draft;
  draft.state.signer = EmulatedSigner::kVlek;
  draft.extensions = vlek_extensions(draft.state.product, draft.state.tcb, kTestCloud);
  draft.leaf_name = "SEV-VLEK";
  Evidence evidence = forge(draft);
  evidence.certificates[0].kind = CertificateKind::kVlek;
  const UnverifiedReport report(evidence.report);
  EXPECT_TRUE(std::ranges::all_of(report.bytes<field::kChipId>(), [](auto b) { return b == 0; }));
  EXPECT_EQ(report.number<field::kKeyInfo>(), key_bit::kSignedByVlek);
  VerifyOptions options;
  options.allow_vlek = true;
  EXPECT_EQ(outcome(verify(evidence, test_roots(), options)), "ok");
}

TEST(EmulatorTest, AMaskedKeySignsNothing) {
  const TemporaryFolder folder;
  const std::string copy = folder.copy_of(kFolder);
  change_emulator(copy, [](nlohmann::json& state) { state["signer"] = "masked"; });
  const auto evidence = open_emulator(copy, {}).value()->attest({}, kNoDeadline);
  ASSERT_EQ(outcome(evidence), "ok");
  const UnverifiedReport report(evidence.value().report);
  EXPECT_TRUE(
      std::ranges::all_of(report.bytes<field::kSignatureR>(), [](auto b) { return b == 0; }));
  EXPECT_EQ(outcome(verify(evidence.value(), emulator_roots(), {})).substr(0, 2) == "ok", false);
}

int run_tool(const std::string& arguments) {
  const std::string command =
      std::string(VHSM_TEST_EMULATOR_TOOL) + " " + arguments + " >/dev/null 2>&1";
  const int status = std::system(command.c_str());
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(EmulatorToolTest, ExitsWithTwoOnUsageErrors) {
  EXPECT_EQ(run_tool(""), 2);
  EXPECT_EQ(run_tool("init"), 2);
  EXPECT_EQ(run_tool("init /nonexistent/x --product Rome"), 2);
  EXPECT_EQ(run_tool("init /nonexistent/x --measurement 00"), 2);
  EXPECT_EQ(run_tool("init /nonexistent/x --policy 3g"), 2);
  EXPECT_EQ(run_tool("init /nonexistent/x --vmpl 9"), 2);
  EXPECT_EQ(run_tool("init /nonexistent/x --tcb 00"), 2);
  EXPECT_EQ(run_tool("init /nonexistent/x --tcb 0000010000000000"), 2);
  EXPECT_EQ(run_tool("init /nonexistent/x --committed-tcb ff000000000000ff"), 2);
  EXPECT_EQ(run_tool("init /nonexistent/x --signer amd"), 2);
  EXPECT_EQ(run_tool("--help"), 0);
}

TEST(EmulatorToolTest, ExitsWithOneWhenTheFolderCannotBeMade) {
  EXPECT_EQ(run_tool("init /nonexistent/x"), 1);
  EXPECT_EQ(run_tool("/tmp -- true"), 1);
  EXPECT_EQ(run_tool(std::string("init ") + kFolder), 1);
}

}  // namespace
}  // namespace vhsm::snp
