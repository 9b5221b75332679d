// SPDX-License-Identifier: Apache-2.0
//
// The command vhsm-kbs as its users see it: output, exit codes, signals.
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>

#include "tests/kbs/support.h"

namespace vhsm::kbs {
namespace {

struct Outcome {
  int status = -1;
  std::string output;  ///< standard output and error
};

class Program : public testing::Test {
 protected:
  Outcome run(const std::string& arguments) {
    const std::string command = VHSM_TEST_KBS " " + arguments + " --config " + config_ + " 2>&1";
    Outcome outcome;
    FILE* pipe = popen(command.c_str(), "r");
    std::array<char, 4096> part{};
    while (const std::size_t size = fread(part.data(), 1, part.size(), pipe)) {
      outcome.output.append(part.data(), size);
    }
    outcome.status = WEXITSTATUS(pclose(pipe));
    return outcome;
  }

  /// `vhsm-kbs serve` as a child; its standard output comes through `output`.
  pid_t serve(int& output) {
    std::array<int, 2> ends{};
    EXPECT_EQ(pipe2(ends.data(), O_CLOEXEC), 0);
    const pid_t child = fork();
    if (child == 0) {
      dup2(ends[1], STDOUT_FILENO);
      execl(VHSM_TEST_KBS, "vhsm-kbs", "serve", "--config", config_.c_str(), "--listen",
            "127.0.0.1:0", nullptr);
      _exit(127);
    }
    close(ends[1]);
    output = ends[0];
    return child;
  }

  TemporaryFolder folder_;
  std::string config_ = folder_ / "vhsm-kbs.cnf";
};

TEST_F(Program, ManagesResourcesWithoutShowingThem) {
  ASSERT_EQ(run("init --measurement any").status, 0);
  write_text(folder_ / "secret", "very-secret");
  const Outcome put = run("resource put a/b/c " + (folder_ / "secret"));
  EXPECT_EQ(put.status, 0);
  EXPECT_THAT(put.output, testing::StartsWith("a/b/c version 1 changed 20"));
  EXPECT_EQ(run("resource disable a/b/c").status, 0);
  const Outcome list = run("resource list --json");
  EXPECT_EQ(list.status, 0);
  const Json row = Json::parse(list.output, nullptr, false);
  EXPECT_EQ(row["disabled"], true);
  EXPECT_EQ(row["version"], 1);
  EXPECT_THAT(run("resource get-info a/b/c").output, testing::HasSubstr("disabled"));
  EXPECT_EQ(run("resource enable a/b/c").status, 0);
  EXPECT_EQ(run("resource delete a/b/c").status, 0);
  const Outcome missing = run("resource get-info a/b/c");
  EXPECT_EQ(missing.status, 1);
  EXPECT_THAT(missing.output, testing::HasSubstr("a/b/c: no such resource"));
  EXPECT_THAT(put.output + list.output, testing::Not(testing::HasSubstr("very-secret")));
}

TEST_F(Program, TakesAResourceFromStandardInput) {
  ASSERT_EQ(run("init --measurement any").status, 0);
  EXPECT_EQ(run("resource put a/b/c < /dev/null").status, 0);
  EXPECT_EQ(run("resource put a/b/d - < /dev/null").status, 0);
  EXPECT_EQ(run("resource put a/b/e " + (folder_ / "none")).status, 1);
}

TEST_F(Program, RefusesWrongUsageWith2) {
  for (const char* arguments :
       {"", "bogus", "resource", "resource put", "serve extra", "init --bogus", "audit"}) {
    EXPECT_EQ(run(arguments).status, 2) << arguments;
  }
  EXPECT_EQ(run("--help").status, 0);
  EXPECT_EQ(run("--version").status, 0);
}

TEST_F(Program, AMalformedArgumentIsWrongUsageAndWhatIsThereAlreadyIsNot) {
  EXPECT_EQ(run("init --measurement 00").status, 2);
  EXPECT_EQ(run("init --host a/b").status, 2);
  ASSERT_EQ(run("init --measurement any").status, 0);
  const Outcome malformed = run("resource put a/b < /dev/null");
  EXPECT_EQ(malformed.status, 2);
  EXPECT_THAT(malformed.output, testing::HasSubstr("a/b: a resource is not"));
  const Outcome again = run("init --measurement any");
  EXPECT_EQ(again.status, 1);
  EXPECT_THAT(again.output, testing::HasSubstr("--config"));
}

TEST_F(Program, RefusesToStartWithoutWhatItNeeds) {
  EXPECT_EQ(run("serve").status, 1);
  ASSERT_EQ(run("init").status, 0);
  const Outcome unmeasured = run("serve");
  EXPECT_EQ(unmeasured.status, 1);
  EXPECT_THAT(unmeasured.output, testing::HasSubstr("measurement"));
  EXPECT_EQ(run("init").status, 1);
}

TEST_F(Program, PrintsItsAddressAndEndsCleanlyOnASignal) {
  ASSERT_EQ(run("init --measurement any").status, 0);
  for (const int signal_number : {SIGTERM, SIGINT}) {
    int output = -1;
    const pid_t child = serve(output);
    std::array<char, 256> line{};
    ASSERT_GT(read(output, line.data(), line.size() - 1), 0);
    const std::string text = line.data();
    EXPECT_THAT(text, testing::MatchesRegex("vhsm-kbs listens on https://127.0.0.1:[0-9]+\n"));
    httplib::SSLClient http("127.0.0.1", std::stoi(text.substr(text.rfind(':') + 1)));
    http.set_ca_cert_path((folder_ / "ca.pem").c_str());
    EXPECT_EQ(http.Get("/kbs/v0/resource/a/b/c")->status, 401);
    ASSERT_EQ(kill(child, signal_number), 0);
    int status = -1;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
    close(output);
  }
  const Outcome audit = run("audit list --json");
  EXPECT_EQ(audit.status, 0);
  const Json row = Json::parse(audit.output.substr(0, audit.output.find('\n')), nullptr, false);
  EXPECT_EQ(row["event"], "resource");
  EXPECT_EQ(row["outcome"], "refused");
  EXPECT_EQ(row["reason"], "no such session");
}

}  // namespace
}  // namespace vhsm::kbs
