// SPDX-License-Identifier: Apache-2.0
//
// vhsm.cnf: every key, where it may stand, who wins, and what an error says.
#include "base/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/err.h>

#include <cstdlib>

#include "tests/base/temp_dir.h"

namespace vhsm {
namespace {

using std::chrono::milliseconds;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

class SettingsTest : public testing::Test {
 protected:
  SettingsTest() { unsetenv("VHSM_CONF"); }
  ~SettingsTest() override { unsetenv("VHSM_CONF"); }

  Result<Settings> load_text(const std::string& text, std::vector<Override> overrides = {}) {
    overrides.push_back({"config", folder_.write("vhsm.cnf", text)});
    return load_settings(overrides);
  }
  Result<Settings> load_line(const std::string& line) {
    return load_text("[vhsm]\n" + line + "\n");
  }
  std::string subject_of_line(const std::string& line) {
    const auto settings = load_line(line);
    return settings.ok() ? "accepted" : std::string(settings.error().subject.text());
  }

  test::TempDir folder_;
};

TEST_F(SettingsTest, ReadsEveryKey) {
  const std::string pin(64, 'A');
  const auto loaded = load_text(
      "[vhsm]\nkeystore = memory:\nplatform = emulator:/srv/snp\nvmpl = 2\n"
      "kbs = https://a:8080, https://b\nkbs_ca = /ca.pem\nkbs_pin = " +
      pin +
      "\n"
      "kbs_cert = /c.pem\nkbs_key = /k.pem\nkbs_insecure = yes\nkbs_path = site/key\ngate = none\n"
      "import_private = yes\npkcs1_v15_decrypt = yes\nload_wait = 0\nconnect_timeout = "
      "500ms\nfetch_timeout = 7\n"
      "memory_limit = 512K\nlog = /l\nlog_level = debug\naudit = /a\n");
  ASSERT_TRUE(loaded.ok()) << describe(loaded.error());
  const Settings& settings = loaded.value();
  EXPECT_EQ(settings.source, folder_.file("vhsm.cnf"));
  EXPECT_EQ(settings.platform, "emulator:/srv/snp");
  EXPECT_EQ(settings.vmpl, 2U);
  EXPECT_THAT(settings.kbs, ElementsAre("https://a:8080", "https://b:443"));
  EXPECT_EQ(settings.kbs_ca, "/ca.pem");
  EXPECT_THAT(settings.kbs_pin, ElementsAre(std::string(64, 'a')));
  EXPECT_EQ(settings.kbs_cert, "/c.pem");
  EXPECT_EQ(settings.kbs_key, "/k.pem");
  EXPECT_TRUE(settings.kbs_insecure);
  EXPECT_EQ(settings.kbs_path, "site/key");
  EXPECT_TRUE(settings.import_private);
  EXPECT_TRUE(settings.pkcs1_v15_decrypt);
  EXPECT_EQ(settings.load_wait, milliseconds(0));
  EXPECT_EQ(settings.connect_timeout, milliseconds(500));
  EXPECT_EQ(settings.fetch_timeout, milliseconds(7000));
  EXPECT_EQ(settings.memory_limit, std::size_t{512} << 10);
  EXPECT_EQ(settings.log, "/l");
  EXPECT_EQ(settings.log_level, "debug");
  EXPECT_EQ(settings.audit, "/a");
}

TEST_F(SettingsTest, WithoutAFileHasDefaults) {
  if (std::filesystem::exists(kDefaultSettingsPath)) GTEST_SKIP() << "this machine has a vhsm.cnf";
  const auto loaded = load_settings({});
  ASSERT_TRUE(loaded.ok()) << describe(loaded.error());
  EXPECT_EQ(loaded.value().source, "");
  EXPECT_EQ(loaded.value().platform, "auto");
  EXPECT_EQ(loaded.value().fetch_timeout, milliseconds(10000));
  EXPECT_THAT(loaded.value().kbs, IsEmpty());
}

TEST_F(SettingsTest, TakesTheFileThatTheEnvironmentNames) {
  setenv("VHSM_CONF", folder_.write("env.cnf", "[vhsm]\nkbs_path = from/env\n").c_str(), 1);
  EXPECT_EQ(load_settings({}).value().kbs_path, "from/env");
  EXPECT_EQ(load_text("[vhsm]\nkbs_path = from/host\n").value().kbs_path, "from/host");
}

TEST_F(SettingsTest, LetsTheHostsProviderSectionWin) {
  const auto loaded =
      load_text("[vhsm]\nkbs_path = from/file\nlog = /file\n", {{"kbs_path", "from/host"}});
  EXPECT_EQ(loaded.value().kbs_path, "from/host");
  EXPECT_EQ(loaded.value().log, "/file");
}

TEST_F(SettingsTest, RefusesANamedFileThatIsNotThere) {
  const std::vector<Override> absent{{"config", folder_.file("absent.cnf")}};
  EXPECT_EQ(load_settings(absent).error().code, Errc::kIo);
  const std::vector<Override> a_folder{{"config", folder_.file("")}};
  EXPECT_EQ(load_settings(a_folder).error().code, Errc::kIo);
}

TEST_F(SettingsTest, RefusesAFileWithoutItsSection) {
  EXPECT_EQ(load_text("kbs = https://a\n").error().code, Errc::kBadConfig);
  EXPECT_TRUE(load_text("[vhsm]\n# nothing\n").ok());
}

TEST_F(SettingsTest, NamesTheLineThatDoesNotParse) {
  const auto loaded = load_text("[vhsm]\n\nkbs https://a\n");
  EXPECT_EQ(loaded.error().code, Errc::kBadConfig);
  EXPECT_THAT(std::string(loaded.error().subject.text()), testing::EndsWith("vhsm.cnf:3"));
}

TEST_F(SettingsTest, NamesFileLineAndAllowedValues) {
  const auto loaded = load_text("[other]\ngate = x\n[ vhsm ]\n# gate = y\ngate = sometimes\n");
  ASSERT_FALSE(loaded.ok());
  EXPECT_THAT(std::string(loaded.error().subject.text()),
              HasSubstr("vhsm.cnf:5: gate = sometimes; allowed: none, first-use, lease"));
}

TEST_F(SettingsTest, NamesTheProviderSectionOfTheHost) {
  const auto loaded = load_text("[vhsm]\n", {{"vmpl", "9"}});
  EXPECT_EQ(loaded.error().subject.text(), "provider section: vmpl = 9; allowed: 0, 1, 2, 3");
}

TEST_F(SettingsTest, GuessesTheKeyThatWasMeant) {
  EXPECT_THAT(subject_of_line("kbs_cax = /ca.pem"), HasSubstr("closest key: kbs_ca"));
  EXPECT_EQ(load_line("kbs_cax = /ca.pem").error().code, Errc::kBadConfig);
}

TEST_F(SettingsTest, KeepsTheAllowedValuesWhateverTheLength) {
  const auto loaded = load_line("log_level = " + std::string(500, 'x'));
  EXPECT_THAT(std::string(loaded.error().subject.text()),
              testing::EndsWith("allowed: error, warning, info, debug"));
}

TEST_F(SettingsTest, RefusesValuesOutsideTheAllowedOnes) {
  for (const char* line : {"keystore = memory",
                           "keystore =",
                           "platform = sev",
                           "platform = emulator:",
                           "vmpl = 4",
                           "vmpl = 01",
                           "kbs = kbs:8080",
                           "kbs_pin = abc",
                           "kbs_insecure = true",
                           "kbs_path = a",
                           "kbs_path = a/b/c",
                           "kbs_path = a/../b",
                           "load_wait = -1",
                           "load_wait = 3601s",
                           "load_wait = 99999999999999999999",
                           "connect_timeout = 0",
                           "fetch_timeout = 1m",
                           "fetch_timeout = 18446744073709551s",
                           "memory_limit = 1G",
                           "memory_limit = 1025M",
                           "memory_limit = 18446744073709551615K",
                           "memory_limit = x",
                           "log_level = trace"}) {
    const auto loaded = load_line(line);
    ASSERT_FALSE(loaded.ok()) << line;
    EXPECT_EQ(loaded.error().code, Errc::kBadConfig) << line;
    EXPECT_THAT(subject_of_line(line), HasSubstr("vhsm.cnf:2: ")) << line;
    EXPECT_THAT(subject_of_line(line), HasSubstr("; allowed: ")) << line;
  }
}

TEST_F(SettingsTest, SaysThatAKeyComesLaterInsteadOfIgnoringIt) {
  for (const char* line : {"keystore = https://h:1", "snp_policy = x", "trust_test_root = x"}) {
    const auto loaded = load_line(line);
    ASSERT_FALSE(loaded.ok()) << line;
    EXPECT_EQ(loaded.error().code, Errc::kUnsupported) << line;
    const std::string key(line, std::string_view(line).find(' '));
    EXPECT_THAT(std::string(loaded.error().subject.text()), HasSubstr(": " + key + " = "));
  }
}

// ----- init-data
// -------------------------------------------------------------------------------

TEST_F(SettingsTest, InitDataHasAPlaceAndIsNotRequiredUnlessAsked) {
  EXPECT_EQ(load_text("[vhsm]\n").value().init_data, "");
  EXPECT_EQ(load_line("require_init_data = no").value().init_data, "");
  EXPECT_EQ(load_line("require_init_data = yes").value().init_data, "/etc/vhsm/init-data.toml");
  EXPECT_EQ(load_line("require_init_data = /run/init-data").value().init_data, "/run/init-data");
  EXPECT_EQ(load_line("require_init_data = init-data").error().code, Errc::kBadConfig);
}

TEST_F(SettingsTest, WithInitDataNothingElseSaysWhomToTrust) {
  for (const char* line :
       {"kbs = https://a", "kbs_ca = /ca.pem", "kbs_insecure = yes", "kbs_insecure = no",
        "attestation_service = https://a", "release_key = /k", "require_signed_keys = yes",
        "gate = none", "lease = 60", "offline_grace = 60", "offline_boots = 1",
        "attest_before_generate = no", "secret_paths = default/secret"}) {
    const std::string text = std::string("[vhsm]\nrequire_init_data = yes\n") + line + "\n";
    const auto loaded = load_text(text);
    ASSERT_FALSE(loaded.ok()) << line;
    EXPECT_EQ(loaded.error().code, Errc::kBadConfig);
    EXPECT_THAT(std::string(loaded.error().subject.text()),
                HasSubstr(std::string("vhsm.cnf:3: ") + line));
  }
  EXPECT_FALSE(load_text("[vhsm]\nkbs = https://a\n", {{"require_init_data", "yes"}}).ok())
      << "wherever it is required";
  EXPECT_FALSE(
      load_text("[vhsm]\nrequire_init_data = yes\n", {{"kbs_pin", std::string(64, 'a')}}).ok());
}

TEST_F(SettingsTest, WithInitDataWhatCanBeMadeUpOrFilledBeforeStandsBesideIt) {
  const std::vector<Override> required{{"require_init_data", "yes"}};
  for (const char* line :
       {"platform = emulator:/x", "platform = sample", "platform = vtpm:/x", "platform = none",
        "platform = agent", "keystore = unix:/x", "keystore = dir:/x", "vhsmd_keystore = dir:/x",
        "keystore_kbs_key = default/keystore/root"}) {
    const std::string text = std::string("[vhsm]\n") + line + "\n";
    const auto loaded = load_text(text, required);
    ASSERT_FALSE(loaded.ok()) << line;
    EXPECT_THAT(std::string(loaded.error().subject.text()), HasSubstr(line));
    EXPECT_TRUE(load_text(text + "require_init_data = yes\n").ok()) << line;
  }
  EXPECT_TRUE(load_text("[vhsm]\nkeystore = memory:\nvhsmd_keystore = memory:\n", required).ok());
  for (const char* platform : {"auto", "sev-guest", "tsm", "svsm"}) {
    EXPECT_TRUE(load_text(std::string("[vhsm]\nplatform = ") + platform + "\n", required).ok());
  }
}

class MeasuredTest : public SettingsTest {
 protected:
  Status apply(const std::string& text, Documents documents = {{"ca", "PEM"}}) {
    settings_.init_data = "/init-data";
    documents.emplace("vhsm.cnf", text);
    return apply_measured(settings_, std::move(documents));
  }
  Settings settings_;
};

TEST_F(MeasuredTest, SettingsSayWhomToTrust) {
  ASSERT_TRUE(apply("[vhsm]\nkbs = https://a\nkbs_ca = ca\ngate = lease\n").ok());
  EXPECT_THAT(settings_.kbs, ElementsAre("https://a:443"));
  EXPECT_EQ(settings_.lease, std::chrono::minutes(10));
  EXPECT_EQ(named_text(settings_, settings_.kbs_ca).value(), "PEM");
}

TEST_F(MeasuredTest, SettingsThatAreRefusedChangeNothing) {
  EXPECT_FALSE(apply("[vhsm]\nkbs = https://a\n").ok());
  EXPECT_THAT(settings_.kbs, IsEmpty());
  EXPECT_TRUE(settings_.documents.empty());
}

TEST_F(MeasuredTest, SettingsOfOtherThingsAreRefused) {
  for (const char* line : {"platform = emulator:/x", "keystore = unix:/x", "memory_limit = 1M",
                           "require_init_data = no", "log = /x", "import_private = yes"}) {
    const Status applied = apply(std::string("[vhsm]\n") + line + "\n");
    ASSERT_FALSE(applied.ok()) << line;
    EXPECT_THAT(std::string(applied.error().subject.text()),
                HasSubstr(std::string("/init-data, vhsm.cnf:2: ") + line));
  }
}

TEST_F(MeasuredTest, SettingsSayForHowLongCopiesServe) {
  settings_.offline_copies = "dir:/c";
  const std::string kbs = "[vhsm]\nkbs = https://a\nkbs_ca = ca\n";
  EXPECT_EQ(apply(kbs).error().code, Errc::kBadConfig);
  EXPECT_TRUE(apply(kbs + "gate = lease\noffline_grace = 1h\noffline_boots = 1\n").ok());
  EXPECT_EQ(settings_.offline_boots, 1);
}

TEST_F(MeasuredTest, SettingsTrustNothingThatIsOnADisk) {
  EXPECT_FALSE(apply("[vhsm]\nkbs = https://a\n").ok()) << "the system's trust store";
  EXPECT_FALSE(apply("[vhsm]\nattestation_service = https://a\n").ok());
  EXPECT_TRUE(apply("[vhsm]\nkbs = https://a\nkbs_pin = " + std::string(64, 'a') + "\n").ok());
  const std::string file = folder_.write("ca.pem", "PEM");
  EXPECT_FALSE(apply("[vhsm]\nkbs = https://a\nkbs_ca = " + file + "\n").ok());
  EXPECT_FALSE(apply("[vhsm]\nrequire_signed_keys = yes\nrelease_key = " + file + "\n").ok());
  const std::string more = folder_.write("more.cnf", "kbs = https://evil\n");
  EXPECT_FALSE(apply("[vhsm]\n .include " + more + "\n").ok());
}

TEST_F(MeasuredTest, DocumentsNeedTheOneWithTheSettings) {
  EXPECT_EQ(apply_measured(settings_, {{"aa.toml", ""}}).error().code, Errc::kBadConfig);
}

TEST_F(SettingsTest, ANamedTextIsAFileWhereThereIsNoInitData) {
  const std::string file = folder_.write("ca.pem", "PEM");
  EXPECT_EQ(named_text(Settings(), file).value(), "PEM");
  EXPECT_EQ(named_text(Settings(), folder_.file("none")).error().code, Errc::kIo);
  EXPECT_EQ(named_text(Settings(), folder_.file("")).error().code, Errc::kIo);
}

TEST_F(SettingsTest, CopiesNeedAGraceAndAFolderOfTheirOwn) {
  const std::string graced = "[vhsm]\ngate = lease\noffline_grace = 1h\n";
  const auto copies = load_text(graced + "offline_copies = dir:/c\noffline_boots = 0\n").value();
  EXPECT_EQ(copies.copy_folder(), "/c");
  EXPECT_EQ(copies.offline_boots, 0);
  EXPECT_EQ(load_text(graced).value().copy_folder(), "");
  EXPECT_EQ(load_text(graced).value().offline_boots, 3);
  EXPECT_EQ(load_text(graced + "offline_copies = none\n").value().copy_folder(), "");
  for (const char* line :
       {"offline_copies = /c", "offline_copies = dir:c", "offline_boots = 101",
        "offline_boots = -1", "offline_boots = 1x", "keystore = dir:/c\noffline_copies = dir:/c"}) {
    EXPECT_EQ(load_text(graced + line + "\n").error().code, Errc::kBadConfig) << line;
  }
  EXPECT_EQ(load_text("[vhsm]\ngate = lease\noffline_copies = dir:/c\n").error().code,
            Errc::kBadConfig);
  EXPECT_TRUE(load_text("[vhsm]\nrequire_init_data = yes\noffline_copies = dir:/c\n").ok())
      << "init-data may say a grace";
}

// ----- what goes together
// ----------------------------------------------------------------------

TEST_F(SettingsTest, AGateHasALeaseWhichHasAUsualLength) {
  const auto read = [this](const char* text) { return load_text(text); };
  EXPECT_EQ(read("[vhsm]\ngate = first-use\n").value().gate, "first-use");
  EXPECT_EQ(read("[vhsm]\ngate = lease\n").value().lease, std::chrono::minutes(10));
  const auto leased = read("[vhsm]\ngate = lease\nlease = 2h\noffline_grace = 3d\n").value();
  EXPECT_EQ(leased.lease, std::chrono::hours(2));
  EXPECT_EQ(leased.offline_grace, std::chrono::days(3));
  for (const char* alone : {"lease = 60", "offline_grace = 1d", "gate = first-use\nlease = 60",
                            "gate = first-use\noffline_grace = 60", "release_key = /k.pem",
                            "require_signed_keys = yes"}) {
    const auto loaded = read((std::string("[vhsm]\n") + alone + "\n").c_str());
    ASSERT_FALSE(loaded.ok()) << alone;
    EXPECT_EQ(loaded.error().code, Errc::kBadConfig) << alone;
  }
}

TEST_F(SettingsTest, SpansHaveUnitsAndBounds) {
  for (const char* bad :
       {"0", "1w", "ms", "500ms", "31d", "721h", "-1", "1h30m", "99999999999999"}) {
    EXPECT_FALSE(
        load_text((std::string("[vhsm]\ngate = lease\nlease = ") + bad + "\n").c_str()).ok())
        << bad;
  }
}

TEST_F(SettingsTest, TheAttestationServiceIsHttpsToo) {
  EXPECT_EQ(load_text("[vhsm]\nattestation_service = https://as\n").value().attestation_service,
            "https://as:443");
  EXPECT_FALSE(load_text("[vhsm]\nattestation_service = http://as\n").ok());
}

TEST_F(SettingsTest, FipsIsYesNoOrTheModulesConfiguration) {
  const auto read = [this](const char* line) { return load_line(line).value(); };
  EXPECT_FALSE(read("fips = no").fips);
  EXPECT_TRUE(read("fips = yes").fips);
  EXPECT_EQ(read("fips = yes").fips_config, "");
  EXPECT_TRUE(read("fips = /etc/ssl/fipsmodule.cnf").fips);
  EXPECT_EQ(read("fips = /etc/ssl/fipsmodule.cnf").fips_config, "/etc/ssl/fipsmodule.cnf");
  EXPECT_FALSE(read("fips = /f\nfips = no").fips);
  EXPECT_TRUE(read("assume_fips = yes").assume_fips);
  for (const char* line : {"fips = fipsmodule.cnf", "fips = 1", "assume_fips = /f"}) {
    const auto loaded = load_line(line);
    ASSERT_FALSE(loaded.ok()) << line;
    EXPECT_EQ(loaded.error().code, Errc::kBadConfig) << line;
  }
}

TEST_F(SettingsTest, SendsPlainHttpOnlyToThisMachine) {
  EXPECT_TRUE(load_line("kbs = http://127.0.0.1:8080").ok());
  EXPECT_TRUE(load_line("kbs = http://[::1]:8080").ok());
  const auto loaded = load_line("kbs = https://a http://b");
  ASSERT_FALSE(loaded.ok());
  EXPECT_EQ(loaded.error().code, Errc::kBadConfig);
  EXPECT_THAT(std::string(loaded.error().subject.text()), HasSubstr("vhsm.cnf:2: kbs = http://b"));
  EXPECT_TRUE(load_line("kbs = http://b\nkbs_insecure = yes").ok());
}

TEST_F(SettingsTest, FollowsOpensslSyntax) {
  const auto loaded =
      load_text("[defs]\nbase = from\n[vhsm]\nkbs_path = ${defs::base}/\\\nkey # comment\n");
  ASSERT_TRUE(loaded.ok()) << describe(loaded.error());
  EXPECT_EQ(loaded.value().kbs_path, "from/key");
}

TEST_F(SettingsTest, FindsTheLineOfAKeySetFromAnotherSection) {
  const auto loaded = load_text("[vhsm]\n[other]\nvhsm::vmpl = 7\n");
  EXPECT_THAT(std::string(loaded.error().subject.text()), HasSubstr("vhsm.cnf:3: vmpl = 7"));
}

TEST_F(SettingsTest, LeavesNothingInTheErrorQueue) {
  (void)load_text("[vhsm]\nkbs https://a\n");
  (void)load_text("x = 1\n");
  EXPECT_EQ(ERR_peek_error(), 0UL);
}

TEST_F(SettingsTest, TakesTheSocketOfVhsmdByItsFullPath) {
  const auto loaded = load_text("[vhsm]\nkeystore = unix:/run/vhsm/vhsmd.sock\n");
  ASSERT_TRUE(loaded.ok());
  EXPECT_EQ(loaded.value().daemon_socket(), "/run/vhsm/vhsmd.sock");
  for (const std::string& path : {std::string(), std::string("vhsmd.sock"), std::string("@vhsmd"),
                                  "/" + std::string(100, 'x')}) {
    EXPECT_FALSE(load_text("[vhsm]\nkeystore = unix:" + path + "\n").ok()) << path;
  }
  EXPECT_EQ(load_text("[vhsm]\nkeystore = memory:\n").value().daemon_socket(), "");
}

TEST_F(SettingsTest, ListsItsNamesForTheProvider) {
  EXPECT_THAT(setting_names(), Contains("config"));
  EXPECT_THAT(setting_names(), Contains("kbs_ca"));
  EXPECT_THAT(setting_names(), Contains("fips"));
  EXPECT_THAT(setting_names(), Contains("keystore_kbs_key"));
}

}  // namespace
}  // namespace vhsm
