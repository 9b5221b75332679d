// SPDX-License-Identifier: Apache-2.0
#include "kbs/config.h"

#include "tests/kbs/support.h"

namespace vhsm::kbs {
namespace {

constexpr std::string_view kBase =
    "[vhsm_kbs]\n"
    "database = kbs.db\n"
    "certificate = server.pem\n"
    "private_key = /abs/server.key\n"
    "token_key = token.key\n"
    "token_certificate = token.pem\n";

class ConfigFile : public testing::Test {
 protected:
  Result<Config> read(std::string_view text) {
    write_text(path_, text);
    return read_config(path_);
  }
  Result<Config> with(const std::string& line) {
    return read(std::string(kBase) + "measurement = any\n" + line + "\n");
  }
  std::string error(const Result<Config>& config) {
    return config.ok() ? "ok" : describe(config.error());
  }

  TemporaryFolder folder_;
  std::string path_ = folder_ / "vhsm-kbs.cnf";
};

TEST_F(ConfigFile, ReadsEveryKey) {
  const std::string measurement(96, 'a');
  const auto config =
      read(std::string(kBase) + "measurement = " + measurement + " " + std::string(96, 'b') +
           "\nlisten = [::1]:0\ninsecure_http = yes\ntoken_trust = other.pem\n"
           "token_lifetime = 60\nsession_lifetime = 61\nmax_sessions = 5\n"
           "threads = 3\ntrustee_compat = yes\nresource_policy = nobody\n"
           "log = kbs.log\nlog_level = debug\ncertificates = vceks\n"
           "trust_test_root = ark.pem\nallow_vlek = yes\n"
           "allow_masked_chip_id = yes\nvmpl = 2\nallow_debug = yes\n"
           "allow_migration = yes\nallow_cxl = yes\nallow_smt = no\n"
           "minimum_guest_svn = 7\n"
           "minimum_tcb = Milan:bootloader=3:snp=8 Turin:fmc=1:microcode=115\n"
           "products = Milan, Turin\nchip_ids = " +
           std::string(128, '0') + "\nhost_data = " + std::string(64, 'a') + "\n");
  ASSERT_TRUE(config.ok()) << error(config);
  const Config& value = config.value();
  EXPECT_EQ(value.listen.host, "::1");
  EXPECT_EQ(value.listen.port, 0);
  EXPECT_EQ(value.database, folder_ / "kbs.db");
  EXPECT_EQ(value.private_key, "/abs/server.key");
  EXPECT_EQ(value.certificates, folder_ / "vceks");
  EXPECT_EQ(value.token_lifetime.count(), 60);
  EXPECT_EQ(value.session_lifetime.count(), 61);
  EXPECT_EQ(value.max_sessions, 5U);
  EXPECT_EQ(value.threads, 3U);
  EXPECT_TRUE(value.trustee_compat);
  EXPECT_FALSE(value.release);
  EXPECT_EQ(value.log_level, LogLevel::kDebug);
  EXPECT_TRUE(value.verify.allow_vlek && value.verify.allow_masked_chip_id);
  const snp::ReportPolicy& policy = value.policy;
  EXPECT_EQ(policy.measurements.size(), 2U);
  EXPECT_FALSE(policy.any_measurement);
  EXPECT_EQ(policy.vmpl, 2U);
  EXPECT_TRUE(policy.allow_debug && policy.allow_migration && policy.allow_cxl);
  EXPECT_FALSE(policy.allow_smt);
  EXPECT_EQ(policy.minimum_guest_svn, 7U);
  ASSERT_EQ(policy.minimum_tcb.size(), 2U);
  EXPECT_EQ(policy.minimum_tcb[0].tcb.bootloader, 3);
  EXPECT_EQ(policy.minimum_tcb[1].tcb.fmc, 1);
  EXPECT_EQ(policy.products.size(), 2U);
  EXPECT_EQ(policy.chip_ids.size(), 1U);
  EXPECT_EQ(policy.host_data.size(), 1U);
  EXPECT_FALSE(policy.report_data.has_value());
}

TEST_F(ConfigFile, IsStrictByDefault) {
  const auto config = with("");
  ASSERT_TRUE(config.ok()) << error(config);
  EXPECT_FALSE(config.value().policy.allow_debug);
  EXPECT_FALSE(config.value().policy.allow_migration);
  EXPECT_FALSE(config.value().verify.allow_vlek);
  EXPECT_EQ(config.value().policy.vmpl, 0U);
  EXPECT_EQ(config.value().trust_test_root, "");
  EXPECT_FALSE(config.value().insecure_http);
  EXPECT_EQ(config.value().listen.host, "127.0.0.1");
}

TEST_F(ConfigFile, NamesFileLineAndKeyOfAnUnknownKey) {
  const auto config = with("allow_everything = yes");
  ASSERT_FALSE(config.ok());
  EXPECT_EQ(config.error().code, Errc::kBadConfig);
  EXPECT_EQ(config.error().subject.text(), path_ + ":8: allow_everything");
}

TEST_F(ConfigFile, NamesTheAllowedValues) {
  const auto config = with("allow_debug = maybe");
  EXPECT_EQ(config.error().subject.text(), path_ + ":8: allow_debug = maybe; allowed: yes, no");
}

class BadLine : public ConfigFile, public testing::WithParamInterface<const char*> {};
TEST_P(BadLine, IsRefused) {
  const auto config = with(GetParam());
  ASSERT_FALSE(config.ok()) << GetParam();
  EXPECT_EQ(config.error().code, Errc::kBadConfig) << error(config);
}
INSTANTIATE_TEST_SUITE_P(Values, BadLine,
                         testing::Values("measurement = abc", "vmpl = 4", "vmpl = -1", "vmpl = 1x",
                                         "threads = 0", "threads = 257", "listen = 8080",
                                         "listen = a:b", "listen = a:65536", "listen = :80",
                                         "token_lifetime = 0", "token_lifetime = 99999999999",
                                         "minimum_tcb = Rome:snp=1", "minimum_tcb = Milan:snp=256",
                                         "minimum_tcb = Milan:smp=1", "minimum_tcb = Milan:snp",
                                         "minimum_tcb = :", "products = Rome", "chip_ids = 00",
                                         "host_data = 00", "resource_policy = everybody",
                                         "log_level = loud", "insecure_http = true", "[unclosed"));

TEST_F(ConfigFile, TheReceiversKeyLiesBesideItUnlessSaidOtherwise) {
  const std::string folder = path_.substr(0, path_.rfind('/'));
  EXPECT_EQ(with("").value().receiver_key, folder + "/receiver.key");
  EXPECT_EQ(with("receiver_key = in.pem").value().receiver_key, folder + "/in.pem");
}

TEST_F(ConfigFile, NeedsItsKeys) {
  for (const char* key :
       {"database", "certificate", "private_key", "token_key", "token_certificate"}) {
    std::string text = std::string(kBase) + "measurement = any\n";
    text.replace(text.find(std::string("\n") + key) + 1, 0, "# ");
    const auto config = read(text);
    ASSERT_FALSE(config.ok()) << key;
    EXPECT_THAT(error(config), testing::HasSubstr(key));
  }
  EXPECT_THAT(error(read(kBase)), testing::HasSubstr("measurement"));
}

TEST_F(ConfigFile, RefusesAListBesideAny) {
  EXPECT_FALSE(read(std::string(kBase) + "measurement = any " + std::string(96, 'a') + "\n").ok());
}

TEST_F(ConfigFile, RefusesAnAbsentFileAndAnAbsentSection) {
  EXPECT_EQ(read_config(folder_ / "none").error().code, Errc::kIo);
  EXPECT_EQ(read("[vhsm]\n").error().code, Errc::kBadConfig);
}

}  // namespace
}  // namespace vhsm::kbs
