// SPDX-License-Identifier: Apache-2.0
//
// require_init_data: a VM asks the KBS that it was launched to ask, whatever its disk says.
#include <signal.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/keystore/samples.h"
#include "tests/world/world.h"

namespace vhsm::tests {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class MeasuredTrustTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    world_ = std::make_unique<World>();
    ASSERT_TRUE(world_->ready());
    world_->put("default/tls/www", keystore::pkcs8_pem(keystore::make_key("P-256").get()));
    write_file(path("message"), "what is signed\n");
    const std::string settings = read_file(path("vhsm.cnf"));
    const auto at = settings.find("kbs = ") + std::string("kbs = ").size();
    endpoint_ = settings.substr(at, settings.find('\n', at) - at);
  }
  static void TearDownTestSuite() { world_.reset(); }
  void SetUp() override {
    ASSERT_TRUE(world_->ready());
    launch_with(init_data(endpoint_));
    configure();
  }

  static std::string path(const std::string& name) { return world_->file(name); }

  /// With `kbs`, and the CA of ours.
  static std::string init_data(const std::string& kbs) {
    return "version = \"0.1.0\"\nalgorithm = \"sha256\"\n\n[data]\n\"vhsm.cnf\" = '''\n[vhsm]\nkbs "
           "= " +
           kbs + "\nkbs_ca = kbs-ca.pem\n'''\n\"kbs-ca.pem\" = '''\n" +
           read_file(path("kbs/ca.pem")) + "'''\n";
  }
  /// HOST_DATA as an operator makes it.
  static void launch_with(const std::string& text) {
    write_file(path("init-data.toml"), text);
    set_host_data(run({"sha256sum", path("init-data.toml")}).out.substr(0, 64));
  }
  static void set_host_data(const std::string& hex) {
    std::string state = read_file(path("snp/emulator.json"));
    const std::string mark = "\"host_data\": \"";
    state.replace(state.find(mark) + mark.size(), 64, hex);
    write_file(path("snp/emulator.json"), state);
  }
  static void configure(const std::string& more = "") {
    write_file(path("vhsm.cnf"), "[vhsm]\nrequire_init_data = " + path("init-data.toml") +
                                     "\nplatform = emulator:" + path("snp") + "\n" + more);
  }
  static Outcome sign() {
    return world_->openssl({"pkeyutl", "-provider", "vhsm", "-sign", "-inkey",
                            "vhsm:default/tls/www", "-rawin", "-in", path("message"), "-out",
                            path("signature")});
  }
  static Outcome doctor() {
    return run({std::string(VHSM_BIN_DIR) + "/vhsm", "doctor"}, world_->environment());
  }
  static void expect_refused(const std::string& why) {
    const Outcome outcome = sign();
    EXPECT_GT(outcome.status, 0) << "a nonzero exit, not a signal";
    EXPECT_THAT(outcome.err, HasSubstr(why));
  }

  static std::unique_ptr<World> world_;
  static std::string endpoint_;
};
std::unique_ptr<World> MeasuredTrustTest::world_;
std::string MeasuredTrustTest::endpoint_;

TEST_F(MeasuredTrustTest, ProgramsAskTheKbsThatTheVmWasLaunchedWith) {
  EXPECT_EQ(sign().status, 0) << sign().err;
  EXPECT_THAT(doctor().out, HasSubstr("is what this VM was launched with"));
}

TEST_F(MeasuredTrustTest, VhsmdAsksItToo) {
  configure("keystore = unix:" + path("run/vhsmd.sock") + "\ngrants =\n");
  world_->start_daemon();
  EXPECT_EQ(sign().status, 0) << sign().err;
  world_->stop_daemon(SIGTERM);
  write_file(path("init-data.toml"), init_data("https://127.0.0.1:1"));
  const Outcome changed =
      run({"timeout", "20", std::string(VHSM_BIN_DIR) + "/vhsmd", "--config", path("vhsm.cnf")});
  EXPECT_EQ(changed.status, 1);
  EXPECT_THAT(changed.err, HasSubstr("was not launched with this init-data"));
}

TEST_F(MeasuredTrustTest, AnotherKbsInTheFileOnTheDiskIsRefused) {
  write_file(path("init-data.toml"), init_data("https://127.0.0.1:1"));
  expect_refused("was not launched with this init-data");
  EXPECT_THAT(doctor().out, AllOf(HasSubstr("fail  init-data"), HasSubstr("HOST_DATA")));
}

TEST_F(MeasuredTrustTest, AnotherKbsBesideItIsRefused) {
  configure("kbs = https://127.0.0.1:1\n");
  expect_refused("for init-data alone to say");
}

TEST_F(MeasuredTrustTest, AnotherCaOnTheDiskIsNotLookedAt) {
  std::string text = init_data(endpoint_);
  text.replace(text.find("kbs-ca.pem"), std::string("kbs-ca.pem").size(), path("kbs/ca.pem"));
  launch_with(text);
  expect_refused("names a document");
}

TEST_F(MeasuredTrustTest, AVmThatWasLaunchedWithoutItIsRefused) {
  set_host_data(std::string(64, '0'));
  expect_refused("was not launched with this init-data");
}

TEST_F(MeasuredTrustTest, WithoutTheFileNothingIsTrusted) {
  std::filesystem::remove(path("init-data.toml"));
  expect_refused("init-data.toml");
}

TEST_F(MeasuredTrustTest, WithoutAReportNothingIsTrusted) {
  write_file(path("vhsm.cnf"),
             "[vhsm]\nrequire_init_data = " + path("init-data.toml") + "\nplatform = sample\n");
  expect_refused("needs a report of this VM");
}

TEST_F(MeasuredTrustTest, AReportThatIsKeptInAFileIsNotBelieved) {
  write_file(path("vhsm.cnf"), "[vhsm]\nrequire_init_data = " + path("init-data.toml") +
                                   "\nplatform = vtpm:" + std::string(VHSM_SOURCE_DIR) +
                                   "/tests/fuzz/corpus/hcl_report/bound" + "\n");
  expect_refused("reports of the guest's own device");
}

}  // namespace
}  // namespace vhsm::tests
