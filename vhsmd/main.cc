// SPDX-License-Identifier: Apache-2.0
//
// vhsmd: the keystore in a process of its own. Everything that needs privileges is opened first,
// then they are given up, then clients are served.
// Source: docs/man/vhsmd.8.
#include <grp.h>
#include <netdb.h>
#include <pwd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <openssl/crypto.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "keystore/daemon/listener.h"
#include "keystore/daemon/server.h"
#include "memory/protected_memory.h"
#include "module/assembly.h"
#include "vhsmd/sandbox.h"
#include "vhsmd/systemd.h"

namespace vhsm::vhsmd {
namespace {

using keystore::Predecessor;
using keystore::Server;
using keystore::Service;

struct Arguments {
  std::string config;
  std::string user;
  bool take_over = false;
};

std::vector<Override> overrides_of(const Arguments& arguments) {
  if (arguments.config.empty()) return {};
  return {{"config", arguments.config}};
}

/// What the process is, of which the server knows nothing.
class Description {
 public:
  explicit Description(const Parts& parts)
      : held_(parts.held), metrics_(parts.metrics), platform_(parts.platform) {}

  [[nodiscard]] keystore::DaemonStatus now() const {
    const auto names = held_->names();
    keystore::DaemonStatus status{};
    status.version =
        std::string("vhsmd " VHSM_VERSION ", inner ") + OpenSSL_version(OPENSSL_VERSION);
    status.memory = memory::name_of(memory::kind());
    if (platform_ != nullptr) status.platform = platform_->info().kind;
    status.process = static_cast<std::uint64_t>(::getpid());
    status.uptime_seconds = static_cast<std::uint64_t>(
        std::chrono::floor<std::chrono::seconds>(Clock::now() - start_).count());
    status.keys = names.ok() ? names.value().size() : 0;
    status.fetches = metrics_->fetches;
    status.reports = metrics_->reports;
    status.operations = metrics_->operations;
    status.memory_in_use_bytes = memory::in_use_bytes();
    status.memory_capacity_bytes = memory::capacity_bytes();
    return status;
  }

 private:
  std::shared_ptr<keystore::HoldingKeystore> held_;
  std::shared_ptr<Metrics> metrics_;
  std::shared_ptr<snp::Platform> platform_;
  Clock::time_point start_ = Clock::now();
};

Error cannot_succeed(const std::string& key, const Error& why) {
  return fail(why.code, "so the running vhsmd stays",
              std::string(keystore::kScheme) + key + ": " + why.what.c_str());
}

/// A successor serves at once what its predecessor served, so it has the keys before the socket.
Result<Descriptor> succeed(const std::string& path, const Parts& parts) {
  auto predecessor = VHSM_TRY(Predecessor::connect(path));
  const auto names = VHSM_TRY(predecessor.key_names());
  for (const std::string& text : names) {
    const auto uri = VHSM_TRY(keystore::KeyUri::parse(text, {}, true));
    const auto entry = parts.held->open(uri);
    if (!entry.ok()) return cannot_succeed(text, entry.error());
  }
  return predecessor.take_over();
}

/// From systemd, from a predecessor, or made here.
Result<Descriptor> find_listener(const Supervisor& supervisor, const Arguments& arguments,
                                 const Parts& parts) {
  const std::string path = parts.settings.daemon_socket();
  if (path.empty()) {
    return fail(Errc::kBadConfig, "vhsmd listens where keystore = unix:PATH says, which is not set",
                parts.settings.source);
  }
  const auto given = VHSM_TRY(supervisor.listening_socket());
  if (given.has_value()) return Descriptor(*given);
  if (arguments.take_over) return succeed(path, parts);
  ::mkdir(path.substr(0, path.rfind('/')).c_str(), 0755);  // if it is there so much the better
  return keystore::listen_at(path);
}

/// Loads what libc loads at first use: afterwards nothing executable can be mapped.
void load_name_services() {
  static_cast<void>(::getpwnam("root"));
  static_cast<void>(::getgrnam("root"));
  addrinfo* addresses = nullptr;
  if (::getaddrinfo("localhost", nullptr, nullptr, &addresses) == 0) ::freeaddrinfo(addresses);
}

Status give_up_privileges(const Arguments& arguments) {
  load_name_services();
  if (!arguments.user.empty()) VHSM_TRY(become(arguments.user));
  return hide_memory();
}

/// What clients may take up, with some descriptors left for ourselves.
keystore::Limits limits() {
  constexpr std::size_t kOwn = 64;
  keystore::Limits limits;
  rlimit descriptors{};
  if (::getrlimit(RLIMIT_NOFILE, &descriptors) != 0) return limits;
  const std::size_t all = std::max<std::size_t>(descriptors.rlim_cur, 2 * kOwn) - kOwn;
  limits.connections = std::min(limits.connections, all);
  limits.connections_of_user = std::min(limits.connections_of_user, all / 2);
  return limits;
}

void serve(Server& server, const Supervisor& supervisor, const std::string& path) {
  server.stop_on_signals();
  if (const auto period = supervisor.watchdog_period()) {
    server.beat(std::chrono::floor<std::chrono::milliseconds>(*period),
                [&supervisor] { supervisor.alive(); });
  }
  supervisor.ready("serves " + path);
  static_cast<void>(std::printf("vhsmd serves %s\n", path.c_str()));
  static_cast<void>(std::fflush(stdout));
  server.run(std::max(2U, std::thread::hardware_concurrency()));
  supervisor.stopping();
}

Status run(const Arguments& arguments) {
  const Supervisor supervisor;
  VHSM_TRY(raise_descriptor_limit());
  const auto overrides = overrides_of(arguments);
  const auto parts = VHSM_TRY(assemble_held(overrides));
  if (parts.platform != nullptr) VHSM_TRY(check_platform(parts.platform->info().kind));
  auto log = VHSM_TRY(open_log(parts.settings));
  auto listener = VHSM_TRY(find_listener(supervisor, arguments, parts));
  VHSM_TRY(give_up_privileges(arguments));
  std::shared_ptr<keystore::Grants> grants =
      VHSM_TRY(keystore::Grants::load(parts.settings.grants, ::geteuid()));

  Server* serving = nullptr;
  const auto status = [description = Description(parts), &serving] {
    auto now = description.now();
    if (serving != nullptr) now.connections = serving->connections();
    return now;
  };
  auto service = std::make_shared<Service>(parts.held, std::move(grants), std::move(log), status,
                                           parts.settings.fetch_timeout);
  const auto server = VHSM_TRY(Server::create(std::move(service), std::move(listener), limits()));
  serving = server.get();
  VHSM_TRY(install_syscall_filter());
  serve(*server, supervisor, parts.settings.daemon_socket());
  return {};
}

int start(int argc, char** argv) {
  Arguments arguments;
  CLI::App app("Holds keys for all programs of this VM.", "vhsmd");
  app.set_version_flag("--version", "vhsmd " VHSM_VERSION);
  app.add_option("--config", arguments.config, "Configuration instead of /etc/vhsm/vhsm.cnf");
  app.add_option("--user", arguments.user, "User to become, when started as root");
  app.add_flag("--take-over", arguments.take_over,
               "Take the place of the vhsmd that runs, once its keys are here");
  app.footer("See vhsmd(8) and vhsm.cnf(5).");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  const Status done = run(arguments);
  if (done.ok()) return 0;
  static_cast<void>(std::fprintf(stderr, "vhsmd: %s\n", describe(done.error()).c_str()));
  return 1;
}

}  // namespace
}  // namespace vhsm::vhsmd

int main(int argc, char** argv) {
  try {
    return vhsm::vhsmd::start(argc, argv);
  } catch (const std::exception& error) {
    static_cast<void>(std::fprintf(stderr, "vhsmd: %s\n", error.what()));
    return 1;
  }
}
