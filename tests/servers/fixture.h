// SPDX-License-Identifier: Apache-2.0
//
// A world with a log, and servers in it.
#pragma once

#include <unistd.h>

#include <gtest/gtest.h>

#include <iostream>
#include <memory>
#include <string>

#include "tests/servers/server.h"

namespace vhsm::tests {

struct Case {
  const char* server;
  const char* kind;
};

inline void PrintTo(const Case& param, std::ostream* out) { *out << param.server << param.kind; }

inline auto each_server() {
  return ::testing::Values(Case{"nginx", "rsa"}, Case{"nginx", "ec"}, Case{"haproxy", "rsa"},
                           Case{"haproxy", "ec"});
}
inline std::string case_name(const ::testing::TestParamInfo<Case>& value) {
  return std::string(value.param.server) + "_" + value.param.kind;
}

class ServersTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(world.ready());
    world.configure("log = " + world.file("vhsm.log").string() + "\n");
    if (::geteuid() != 0) GTEST_SKIP() << "only root can start servers that drop privileges";
  }

  std::unique_ptr<Server> make(const std::string& server, const std::string& kind) {
    return make_with(server, make_identity(world, kind));
  }
  std::unique_ptr<Server> make_with(const std::string& server,
                                    const std::filesystem::path& identity) {
    if (World::has_daemon()) world.start_daemon();  // it has seen the key when that was made
    if (server == "nginx") return std::make_unique<Nginx>(world, identity);
    return std::make_unique<Haproxy>(world, identity);
  }
  long attestations() {
    const std::string lines =
        world.kbs({"--config", world.file("kbs/vhsm-kbs.cnf"), "audit", "list"}).out;
    long count = 0;
    for (auto at = lines.find(" attest granted"); at != std::string::npos;
         at = lines.find(" attest granted", at + 1)) {
      ++count;
    }
    return count;
  }

  void TearDown() override {
    if (HasFailure()) std::cout << "vhsm's log:\n" << read_file(world.file("vhsm.log"));
  }

  World world;
};

}  // namespace vhsm::tests
