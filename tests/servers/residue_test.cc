// SPDX-License-Identifier: Apache-2.0
//
// No private component of a server's key lies in memory that anyone but the server can read, while
// it serves: by /proc/PID/mem of master and workers, and in the core dump of a worker.
#include <signal.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/pem.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>

#include "base/handle.h"
#include "tests/residue/key_needles.h"
#include "tests/residue/needles.h"
#include "tests/servers/fixture.h"
#include "tests/servers/load.h"

namespace vhsm::tests {

namespace {

using ::testing::Contains;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;
using ::testing::Not;

/// What to look for of a key that make_identity() or file_identity() has made.
Windows windows_of(const World& world, const std::string& kind) {
  const ossl::Bio file(BIO_new_file(world.file(kind + ".key").c_str(), "r"));
  const ossl::PKey key(PEM_read_bio_PrivateKey(file.get(), nullptr, nullptr, nullptr));
  write_file(world.file("needles"), needle_lines(key.get()));
  return Windows(read_needles(world.file("needles")));
}

class ServerResidueTest : public ServersTest, public ::testing::WithParamInterface<Case> {
 protected:
  std::unique_ptr<Server> make(const std::filesystem::path& identity) {
    return make_with(GetParam().server, identity);
  }
  Windows windows() { return windows_of(world, GetParam().kind); }
  /// HAProxy's master executes itself anew and loads no keys.
  static bool holds_key(const Server& server, pid_t process) {
    return GetParam().server == std::string("nginx") || process != server.master();
  }
  static std::vector<pid_t> processes(const Server& server) {
    auto all = server.workers();
    all.push_back(server.master());
    return all;
  }
};

TEST_P(ServerResidueTest, NothingIsFoundInMasterAndWorkersUnderLoad) {
  const auto server = make(make_identity(world, GetParam().kind));
  const Windows wanted = windows();
  ASSERT_EQ(server->start(), "");
  const Load load(server->port(), 2);
  ASSERT_TRUE(eventually([&] { return load.visits() > 100; }));
  for (const pid_t process : processes(*server)) {
    const Search search = search_process(process, wanted);
    EXPECT_GT(search.bytes, 1U << 20);
    EXPECT_THAT(search.findings, IsEmpty());
    EXPECT_THAT(search.left_out, IsEmpty()) << "memfd_secret is out of everyone's reach";
    if (holds_key(*server, process)) {
      EXPECT_THAT(search.unreadable, Contains(HasSubstr("secretmem")));
    }
    EXPECT_THAT(search.unreadable, Each(MatchesRegex(".*(secretmem|---p|\\[v).*")));
  }
}

TEST_P(ServerResidueTest, AKeyInAFileIsFoundByTheSameSearch) {
  const auto server = make(file_identity(world, GetParam().kind));
  const Windows wanted = windows();
  ASSERT_EQ(server->start(), "");
  const Load load(server->port(), 2);
  ASSERT_TRUE(eventually([&] { return load.visits() > 100; }));
  for (const pid_t process : processes(*server)) {
    if (!holds_key(*server, process)) continue;
    EXPECT_THAT(search_process(process, wanted).findings, Not(IsEmpty()));
  }
}

INSTANTIATE_TEST_SUITE_P(Debian, ServerResidueTest, each_server(), case_name);

/// Both kinds of protected memory; a file as its own control.
class CoreDumpTest : public ServersTest, public ::testing::WithParamInterface<const char*> {
 protected:
  void SetUp() override {
    ServersTest::SetUp();
    if (read_file("/proc/sys/kernel/core_pattern").starts_with("|")) {
      GTEST_SKIP() << "core dumps go to a program here: /proc/sys/kernel/core_pattern";
    }
    if (form() != "file") ::setenv("VHSM_MEMORY", GetParam(), 1);
  }
  void TearDown() override {
    ::unsetenv("VHSM_MEMORY");
    ServersTest::TearDown();
  }
  static std::string form() { return GetParam(); }
};

TEST_P(CoreDumpTest, OfAWorkerUnderLoadHoldsNothingOfTheKey) {
  const auto identity =
      form() == "file" ? file_identity(world, "rsa") : make_identity(world, "rsa");
  const Windows wanted = windows_of(world, "rsa");
  Nginx nginx(world, identity);
  const auto cores = nginx.dump_cores();
  ASSERT_EQ(nginx.start(), "");
  const Load load(nginx.port(), 2);
  ASSERT_TRUE(eventually([&] { return load.visits() > 100; }));
  const pid_t worker = nginx.workers()[0];
  ::kill(worker, SIGABRT);
  ASSERT_TRUE(eventually([&] { return std::ranges::count(nginx.workers(), worker) == 0; }))
      << nginx.log();
  std::size_t searched = 0;
  for (const auto& core : std::filesystem::directory_iterator(cores)) {
    const Search search = search_file(core.path(), wanted);
    searched += search.bytes;
    EXPECT_EQ(search.findings.empty(), form() != "file")
        << ::testing::PrintToString(search.findings);
  }
  EXPECT_GT(searched, 1U << 20) << "no core in " << cores << ": " << nginx.log();
}

INSTANTIATE_TEST_SUITE_P(Debian, CoreDumpTest, ::testing::Values("secret", "locked", "file"),
                         [](const auto& value) { return std::string(value.param); });

}  // namespace
}  // namespace vhsm::tests
