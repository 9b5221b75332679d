// SPDX-License-Identifier: Apache-2.0
//
// A world with a folder of sealed keys and a KBS; in the process itself, or with vhsmd.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/world/world.h"

namespace vhsm::tests {

class SecretFlowTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(world_.ready());
    write_file(world_.file("vhsm.cnf"),
               "[vhsm]\nplatform = emulator:" + world_.file("snp").string() +
                   "\nkeystore = dir:" + file("keys") + "\n");
    const auto made = vhsm({"keystore", "init", "--new-recovery-key", file("recovery.hex")});
    ASSERT_EQ(made.status, 0) << made.err;
    configure();
  }

  [[nodiscard]] std::string file(const std::string& name) const {
    return world_.file(name).string();
  }
  void configure(const std::string& more = "") {
    const char* const key = World::has_daemon() ? "vhsmd_keystore" : "keystore";
    world_.configure(std::string(key) + " = dir:" + file("keys") + "\n" + more);
  }
  /// For one that has no file of the name yet.
  std::string written(const std::string& name, const std::string& content) const {
    write_file(world_.file(name), content);
    return file(name);
  }

  static std::string program() { return std::string(VHSM_BIN_DIR) + "/vhsm"; }
  Outcome vhsm(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), program());
    return run(arguments, world_.environment());
  }
  /// A shell's line, in which vhsm is vhsm.
  Outcome shell(const std::string& line) const {
    return run({"sh", "-c", "vhsm() { " + program() + " \"$@\"; }; " + line}, world_.environment());
  }
  void must(std::vector<std::string> arguments) const {
    const auto outcome = vhsm(std::move(arguments));
    ASSERT_EQ(outcome.status, 0) << outcome.err;
  }
  void seal(const std::string& name, const std::string& secret, bool releasable = true) const {
    std::vector<std::string> arguments{"secret", "put", name, written("to-seal", secret),
                                       "--wipe-source"};
    if (releasable) arguments.emplace_back("--releasable");
    must(arguments);
  }
  Outcome kbs(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), "resource");
    arguments.insert(arguments.end(), {"--config", file("kbs/vhsm-kbs.cnf")});
    return world_.kbs(arguments);
  }
  /// As its owner puts it into the KBS.
  void store(const std::string& path, const std::string& secret) const {
    const auto stored = kbs({"put", path, written("to-store", secret), "--releasable"});
    ASSERT_EQ(stored.status, 0) << stored.err;
  }

  World world_;
};

}  // namespace vhsm::tests
