// SPDX-License-Identifier: Apache-2.0
//
// Debian's nginx and HAProxy as they come, with a key of ours, on a loopback port.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "tests/world/world.h"

namespace vhsm::tests {

/// A port of 127.0.0.1 that nobody has.
int free_port();

/// Tries until `condition` holds, for 20 s at most.
bool eventually(const std::function<bool()>& condition);

/// The children of a process.
std::vector<pid_t> children_of(pid_t process);
/// Resident memory, in KiB.
long resident_kib(pid_t process);
std::string user_of(pid_t process);

/// A key in the KBS under `default/tls/KIND`, its certificate, and a stand-in with that certificate
/// in one file, as servers take it.
/// @return the file.
std::filesystem::path make_identity(World& world, const std::string& kind);
/// The same with the key itself in the file: what ours is compared with.
std::filesystem::path file_identity(World& world, const std::string& kind);

/// A server with a master and workers, in a folder of its own. Ends its processes by their ids.
class Server {
 public:
  /// @param identity  PEM file with certificate and key.
  Server(World& world, std::filesystem::path identity);
  virtual ~Server() = default;
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  /// @return what it printed when it failed; empty when it runs.
  virtual std::string start() = 0;
  virtual void reload() = 0;
  /// From now on it runs where /dev/sev-guest answers.
  void move_to_machine() { on_machine_ = true; }

  [[nodiscard]] int port() const noexcept { return port_; }
  [[nodiscard]] pid_t master() const;
  [[nodiscard]] virtual std::vector<pid_t> workers() const;
  [[nodiscard]] std::string log() const { return read_file(folder_ / "error.log"); }

 protected:
  void stop();
  /// @param variables  in its environment, beside those that find module and configuration.
  [[nodiscard]] Outcome run_limited(std::vector<std::string> argv,
                                    const std::vector<std::string>& variables) const;

  World& world_;
  std::filesystem::path folder_;
  std::filesystem::path identity_;
  int port_;
  bool on_machine_ = false;
};

/// Four workers unless told otherwise, daemon on, workers as www-data.
class Nginx final : public Server {
 public:
  /// @param key  what `ssl_certificate_key` says; empty: the file `identity`.
  Nginx(World& world, const std::filesystem::path& identity, std::string key = "");
  ~Nginx() override { stop(); }
  void set_workers(std::size_t count) { worker_count_ = count; }
  /// In place of the one that our drop-in names.
  void use_openssl_conf(const std::string& path) { environment_ = {"OPENSSL_CONF=" + path}; }
  /// For the main context.
  void add_directive(const std::string& directive) { directives_ += directive + ";\n"; }
  /// As in 1.22.
  static std::pair<int, int> version();
  std::string start() override;
  void reload() override;
  /// SIGUSR2, then the old master ends: nginx's binary upgrade.
  bool upgrade();
  /// From its start on, workers that crash leave their core.
  /// @return the folder for that.
  std::filesystem::path dump_cores();

 private:
  /// Its workers are there and have given up root.
  [[nodiscard]] bool ready() const;
  [[nodiscard]] Outcome run_nginx(std::vector<std::string> more) const;

  std::string key_;
  std::vector<std::string> environment_;
  std::size_t worker_count_ = 4;
  std::string directives_;
};

/// Master-worker mode, threads as they come, user haproxy, Debian's chroot.
class Haproxy final : public Server {
 public:
  using Server::Server;
  ~Haproxy() override { stop(); }
  std::string start() override;
  void reload() override;

 private:
  [[nodiscard]] bool ready() const;
};

}  // namespace vhsm::tests
