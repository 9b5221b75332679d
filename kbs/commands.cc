// SPDX-License-Identifier: Apache-2.0
//
// What `vhsm-kbs COMMAND` does.
#include "kbs/commands.h"

#include <signal.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <filesystem>
#include <thread>

#include "jose/jcs.h"
#include "jose/secret_jwk.h"
#include "kbs/kbs.h"
#include "kbs/secret_file.h"
#include "kbs/server.h"

namespace vhsm::kbs {
namespace {

using jose::Json;

constexpr timespec kSignalPoll{0, 100'000'000};

void print_line(const std::string& line) {
  std::fwrite(line.data(), 1, line.size(), stdout);
  std::fputc('\n', stdout);
  std::fflush(stdout);
}

Json to_json(const ResourceInfo& info) {
  return Json{{"path", info.path},
              {"version", info.version},
              {"disabled", info.disabled},
              {"changed", info.changed}};
}

void print_info(const ResourceInfo& info, bool json) {
  if (json) return print_line(jose::canonical(to_json(info)));
  print_line(info.path + " version " + std::to_string(info.version) + " changed " + info.changed +
             (info.disabled ? " disabled" : ""));
}

void print_audit(const AuditRow& row, bool json) {
  if (json) {
    return print_line(jose::canonical(Json{{"time", row.time},
                                           {"session", row.session},
                                           {"peer", row.peer},
                                           {"event", row.event},
                                           {"resource", row.resource},
                                           {"outcome", row.outcome},
                                           {"reason", row.reason},
                                           {"measurement", row.measurement},
                                           {"chip_id", row.chip_id}}));
  }
  std::string line = row.time + " " + row.event + " " + row.outcome + " " + row.peer;
  if (!row.resource.empty()) line += " " + row.resource;
  if (!row.reason.empty()) line += " (" + row.reason + ")";
  // A path or version comes from the peer: no escape sequence of theirs reaches the terminal.
  for (char& c : line) {
    if (c < ' ' || c > '~') c = '?';
  }
  print_line(line);
}

Result<Store> open_store(const std::string& config_path) {
  const Config config = VHSM_TRY(read_config(config_path));
  return Store::open(config.database);
}

sigset_t stop_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  return signals;
}

/// Turns SIGTERM and SIGINT into stop() as long as it lives. Make it before any other thread.
class StopOnSignal {
 public:
  StopOnSignal() {
    const sigset_t signals = stop_signals();
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    ::signal(SIGPIPE, SIG_IGN);
  }
  StopOnSignal(const StopOnSignal&) = delete;
  StopOnSignal& operator=(const StopOnSignal&) = delete;
  ~StopOnSignal() {
    done_ = true;
    if (waiter_.joinable()) waiter_.join();
  }

  void watch(HttpServer& server) {
    waiter_ = std::thread([this, &server] {
      const sigset_t signals = stop_signals();
      while (!done_) {
        if (sigtimedwait(&signals, nullptr, &kSignalPoll) > 0) return server.stop();
      }
    });
  }

 private:
  std::atomic<bool> done_{false};
  std::thread waiter_;
};

Status put(Store& store, const ResourceCommand& command) {
  SecretBytes content = VHSM_TRY(read_secret(command.file, kMaxResourceBytes));
  if (command.releasable) content = VHSM_TRY(jose::releasable(content));
  VHSM_TRY(store.put(command.path, content));
  const ResourceInfo info = VHSM_TRY(store.info(command.path));
  print_info(info, command.json);
  return {};
}

Status get_info(Store& store, const ResourceCommand& command) {
  const ResourceInfo info = VHSM_TRY(store.info(command.path));
  print_info(info, command.json);
  return {};
}

Status list(Store& store, bool json) {
  const auto all = VHSM_TRY(store.list());
  for (const ResourceInfo& info : all) print_info(info, json);
  return {};
}

}  // namespace

Status run_init(const InitOptions& options) {
  VHSM_TRY(init(options));
  const std::string ca = std::filesystem::path(options.config).replace_filename("ca.pem");
  print_line("wrote " + options.config + "; clients trust it by " + ca);
  if (options.measurements.empty()) {
    print_line("set `measurement` in it before `vhsm-kbs serve`");
  }
  return {};
}

Status run_serve(const std::string& config_path, const std::string& listen) {
  StopOnSignal stop;
  Config config = VHSM_TRY(read_config(config_path));
  if (!listen.empty()) config.listen = VHSM_TRY(parse_listen(listen));
  const auto kbs =
      VHSM_TRY(Kbs::open(std::move(config), [] { return std::chrono::system_clock::now(); }));
  HttpServer server = VHSM_TRY(HttpServer::open(*kbs));
  stop.watch(server);
  print_line("vhsm-kbs listens on " + server.url());
  server.run();
  return {};
}

Status run_resource(const std::string& config, const ResourceCommand& command) {
  Store store = VHSM_TRY(open_store(config));
  switch (command.verb) {
    case ResourceVerb::kPut: return put(store, command);
    case ResourceVerb::kGetInfo: return get_info(store, command);
    case ResourceVerb::kList: return list(store, command.json);
    case ResourceVerb::kDisable: return store.set_disabled(command.path, true);
    case ResourceVerb::kEnable: return store.set_disabled(command.path, false);
    case ResourceVerb::kDelete: return store.erase(command.path);
  }
  return fail(Errc::kInternal, "no such command");
}

Status run_audit_list(const std::string& config, std::int64_t limit, bool json) {
  Store store = VHSM_TRY(open_store(config));
  const auto rows = VHSM_TRY(store.audit(limit));
  for (const AuditRow& row : rows) print_audit(row, json);
  return {};
}

}  // namespace vhsm::kbs
