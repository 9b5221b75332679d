// SPDX-License-Identifier: Apache-2.0
//
// No private component of a server's key lies in memory that anyone but the server can read, while
// it serves: by /proc/PID/mem of master and workers, and in the core dump of a worker.
#include <signal.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "tests/residue/note.h"
#include "tests/residue/scan.h"
#include "tests/residue/values.h"
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
std::vector<Value> values_of(const World& world, const std::string& kind) {
  return values_of_key(read_key(world.file(kind + ".key")).get());
}

class ServerResidueTest : public ServersTest, public ::testing::WithParamInterface<Case> {
 protected:
  std::unique_ptr<Server> make(const std::filesystem::path& identity) {
    return make_with(GetParam().server, identity);
  }
  std::vector<Value> values() { return values_of(world, GetParam().kind); }
  /// HAProxy's master executes itself anew and loads no keys.
  static bool holds_key(const Server& server, pid_t process) {
    return GetParam().server == std::string("nginx") || process != server.master();
  }
  static std::string situation() {
    return std::string(GetParam().server) + (World::has_daemon() ? ", keys in vhsmd" : "");
  }
  static std::string algorithm() {
    return GetParam().kind == std::string("rsa") ? "RSA2048" : "P-256";
  }
  static std::vector<pid_t> processes(const Server& server) {
    auto all = server.workers();
    all.push_back(server.master());
    return all;
  }
};

TEST_P(ServerResidueTest, NothingIsFoundInMasterAndWorkersUnderLoad) {
  const auto server = make(make_identity(world, GetParam().kind));
  const auto wanted = values();
  ASSERT_EQ(server->start(), "");
  const Load load(server->port(), 2);
  ASSERT_TRUE(eventually([&] { return load.visits() > 100; }));
  for (const pid_t process : processes(*server)) {
    const Report report = scan({.process = process}, wanted);
    EXPECT_EQ(report.error, "");
    EXPECT_GT(report.bytes, 1U << 20);
    EXPECT_THAT(report.leaks(), IsEmpty());
    EXPECT_THAT(report.protected_memory, IsEmpty()) << "memfd_secret is out of everyone's reach";
    if (holds_key(*server, process)) {
      EXPECT_THAT(report.unreadable, Contains(HasSubstr("secretmem")));
    }
    EXPECT_THAT(report.unreadable, Each(MatchesRegex(".*(secretmem|---p|\\[v).*")));
    note({situation(), algorithm(), "secret"}, report);
  }
}

TEST_P(ServerResidueTest, NothingIsFoundOutsideLockedMemory) {
  ::setenv("VHSM_MEMORY", "locked", 1);
  const auto server = make(make_identity(world, GetParam().kind));
  const std::string error = server->start();
  ::unsetenv("VHSM_MEMORY");
  ASSERT_EQ(error, "");
  const auto wanted = values();
  const Load load(server->port(), 2);
  ASSERT_TRUE(eventually([&] { return load.visits() > 100; }));
  for (const pid_t process : processes(*server)) {
    const Report report = scan({.process = process}, wanted);
    EXPECT_EQ(report.error, "");
    EXPECT_THAT(report.leaks(), IsEmpty());
    // With vhsmd it has protected memory, and nothing to touch it for.
    if (holds_key(*server, process) && !World::has_daemon()) {
      EXPECT_THAT(report.protected_memory, Not(IsEmpty()));
    }
    note({situation(), algorithm(), "locked"}, report);
  }
}

TEST_P(ServerResidueTest, AKeyInAFileIsFoundByTheSameSearch) {
  const auto server = make(file_identity(world, GetParam().kind));
  const auto wanted = values();
  ASSERT_EQ(server->start(), "");
  const Load load(server->port(), 2);
  ASSERT_TRUE(eventually([&] { return load.visits() > 100; }));
  for (const pid_t process : processes(*server)) {
    if (!holds_key(*server, process)) continue;
    const Report report = scan({.process = process}, wanted);
    EXPECT_THAT(report.leaks(), Not(IsEmpty()));
    note({situation(), algorithm(), "file"}, report);
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
  const auto wanted = values_of(world, "rsa");
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
    const Report report = scan({.core = core.path()}, wanted);
    EXPECT_EQ(report.error, "");
    searched += report.core_bytes;
    EXPECT_EQ(report.leaks().empty(), form() != "file") << ::testing::PrintToString(report.leaks());
    note({std::string("core of an nginx worker") + (World::has_daemon() ? ", keys in vhsmd" : ""),
          "RSA2048", form()},
         report);
  }
  EXPECT_GT(searched, 1U << 20) << "no core in " << cores << ": " << nginx.log();
}

INSTANTIATE_TEST_SUITE_P(Debian, CoreDumpTest, ::testing::Values("secret", "locked", "file"),
                         [](const auto& value) { return std::string(value.param); });

}  // namespace
}  // namespace vhsm::tests
