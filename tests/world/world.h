// SPDX-License-Identifier: Apache-2.0
//
// A whole deployment in a temporary folder: an emulated platform, a real vhsm-kbs with TLS on a
// loopback port, and a vhsm.cnf. With VHSM_TEST_KEYSTORE=unix a vhsmd holds the keys, for the same
// tests. Ends its own processes by their ids when it goes.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <vector>

namespace vhsm::tests {

/// What a command printed and how it ended.
struct Outcome {
  int status = -1;  ///< exit status; -1 when a signal ended it
  std::string out;
  std::string err;
};

/// Runs `argv` (argv[0]: a path, or a name for PATH) with the `extra` variables in its environment.
Outcome run(const std::vector<std::string>& argv, const std::vector<std::string>& extra = {});

class World {
 public:
  /// Starts everything; a failure is a test failure (check ready()).
  World();
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  [[nodiscard]] bool ready() const noexcept { return ready_; }
  [[nodiscard]] const std::filesystem::path& folder() const noexcept { return folder_; }
  [[nodiscard]] std::filesystem::path file(const std::string& name) const { return folder_ / name; }

  /// Stores `content` as the KBS resource `name` ("default/tls/www").
  void put(const std::string& name, const std::string& content) const;
  Outcome kbs(std::vector<std::string> arguments) const;

  void start_kbs();
  void stop_kbs();

  /// Whether a vhsmd holds the keys.
  [[nodiscard]] static bool has_daemon();
  /// Starts vhsmd with what configure() wrote, in the place of one that runs.
  void start_daemon(std::vector<std::string> options = {});
  void stop_daemon(int signal);
  [[nodiscard]] pid_t daemon() const noexcept { return daemon_; }
  /// Starts another one, which takes the place of the one that runs.
  /// @return how the predecessor ended.
  int succeed_daemon();

  /// From now on the kernel tells this process, and what it starts, of another boot; a vhsmd starts
  /// anew in it.
  /// @return false where mounts may not be made (for tests to skip).
  bool reboot();

  /// Writes vhsm.cnf: the defaults that reach our KBS, and `more` lines. A vhsmd starts anew.
  /// @param platform  empty: our emulator by its folder.
  void configure(const std::string& more = "", const std::string& platform = "");

  /// VHSM_CONF and OPENSSL_MODULES for a program that is to find us.
  [[nodiscard]] std::vector<std::string> environment() const;

  /// Runs a command on our emulated machine, where /dev/sev-guest answers.
  /// @param host  options for how host and firmware behave.
  [[nodiscard]] std::vector<std::string> on_machine(std::vector<std::string> command,
                                                    std::vector<std::string> host = {}) const;
  [[nodiscard]] Outcome emulated(std::vector<std::string> command,
                                 std::vector<std::string> host = {}) const;

  /// Runs the openssl command in the folder.
  Outcome openssl(std::vector<std::string> arguments) const;

 private:
  void make_platform();
  void make_kbs();
  void make_reachable() const;
  [[nodiscard]] pid_t spawn_daemon(std::vector<std::string> options) const;

  std::filesystem::path folder_;
  pid_t kbs_ = -1;
  pid_t daemon_ = -1;
  bool daemon_on_machine_ = false;
  std::string endpoint_;
  int boots_ = 0;
  bool ready_ = false;
};

std::string read_file(const std::filesystem::path& path);
void write_file(const std::filesystem::path& path, const std::string& content);

}  // namespace vhsm::tests
