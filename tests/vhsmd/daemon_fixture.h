// SPDX-License-Identifier: Apache-2.0
//
// vhsmd as its users run it: the real program, a real KBS, stock openssl as client.
#pragma once

#include <sys/types.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include "base/handle.h"
#include "tests/keystore/samples.h"
#include "tests/residue/note.h"
#include "tests/residue/scan.h"
#include "tests/residue/values.h"
#include "tests/servers/server.h"

namespace vhsm::tests {

inline const std::string kVhsm = std::string(VHSM_BIN_DIR) + "/vhsm";
inline const std::string kVhsmd = std::string(VHSM_BIN_DIR) + "/vhsmd";

class DaemonTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(World::has_daemon()) << "run with VHSM_TEST_KEYSTORE=unix";
    ASSERT_TRUE(world.ready());
    if (::geteuid() != 0) GTEST_SKIP() << "only root can be several users";
    key = keystore::make_key("RSA2048");
    world.put("default/tls/www", keystore::pkcs8_pem(key.get()));
    world.put("default/tls/other", keystore::pkcs8_pem(keystore::make_key("P-256").get()));
    write_file(world.file("message"), "what is signed\n");
    world.configure("log = " + world.file("vhsm.log").string() + "\n");
  }

  [[nodiscard]] Outcome sign(const std::string& name,
                             const std::vector<std::string>& as = {}) const {
    std::vector<std::string> command(as);
    command.insert(command.end(),
                   {"openssl", "pkeyutl", "-provider", "vhsm", "-sign", "-inkey", "vhsm:" + name,
                    "-rawin", "-in", world.file("message"), "-out", "/dev/null"});
    return run(command, environment());
  }
  [[nodiscard]] Outcome vhsm(std::vector<std::string> arguments,
                             const std::vector<std::string>& as = {}) const {
    arguments.insert(arguments.begin(), public_copy(kVhsm));
    arguments.insert(arguments.begin(), as.begin(), as.end());
    return run(arguments, environment());
  }
  /// A copy where every user comes to: the build may lie in root's home.
  [[nodiscard]] std::string public_copy(const std::filesystem::path& file) const {
    const auto copy = world.file("public") / file.filename();
    std::filesystem::create_directory(world.file("public"));
    std::filesystem::copy_file(file, copy, std::filesystem::copy_options::skip_existing);
    return copy;
  }
  [[nodiscard]] std::vector<std::string> environment() const {
    static_cast<void>(public_copy(std::string(VHSM_LIB_DIR) + "/vhsm.so"));
    auto all = world.environment();
    std::erase_if(all, [](const auto& entry) { return entry.starts_with("OPENSSL_MODULES="); });
    all.push_back("OPENSSL_MODULES=" + world.file("public").string());
    return all;
  }
  static std::vector<std::string> user(int uid, int gid = 65534) {
    return {"setpriv", "--reuid=" + std::to_string(uid), "--regid=" + std::to_string(gid),
            "--clear-groups"};
  }
  [[nodiscard]] long audited(const std::string& what) const {
    const std::string lines =
        world.kbs({"--config", world.file("kbs/vhsm-kbs.cnf"), "audit", "list"}).out;
    long count = 0;
    std::istringstream each(lines);
    for (std::string line; std::getline(each, line);) count += line.find(what) != std::string::npos;
    return count;
  }
  /// The value of `name` in the daemon's /proc/PID/status.
  [[nodiscard]] std::string process_status(const std::string& name) const {
    std::istringstream lines(read_file("/proc/" + std::to_string(world.daemon()) + "/status"));
    for (std::string line; std::getline(lines, line);) {
      if (line.starts_with(name + ":\t")) return line.substr(name.size() + 2);
    }
    return {};
  }

  /// Not a window of it, in all that can be read of vhsmd.
  void expect_nothing_of(EVP_PKEY* secret) const {
    const Report report = scan({.process = world.daemon()}, values_of_key(secret));
    EXPECT_EQ(report.error, "");
    EXPECT_GT(report.bytes, 1U << 20);
    EXPECT_THAT(report.leaks(), ::testing::IsEmpty());
    EXPECT_THAT(report.protected_memory, ::testing::IsEmpty())
        << "memfd_secret is out of everyone's reach";
    EXPECT_THAT(report.unreadable, ::testing::Contains(::testing::HasSubstr("secretmem")));
    note({"vhsmd", EVP_PKEY_is_a(secret, "RSA") == 1 ? "RSA2048" : "P-256", "secret"}, report);
  }

  World world;
  ossl::PKey key;
};

}  // namespace vhsm::tests
