// SPDX-License-Identifier: Apache-2.0
//
// What `vhsm-kbs COMMAND` does.
#include "kbs/commands.h"

#include <signal.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <thread>

#include "jose/jcs.h"
#include "jose/secret_jwk.h"
#include "kbs/journal.h"
#include "kbs/kbs.h"
#include "kbs/receiver.h"
#include "kbs/reply.h"
#include "kbs/secret_file.h"
#include "kbs/server.h"
#include "snp/files.h"
#include "snp/hex.h"

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

Status write_text(const std::string& path, const std::string& text) {
  const Status written = snp::write_new_file(
      path, {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}, 0644);
  if (written.ok()) return {};
  return written.error().cured_by("name a new file with --out");
}

Result<std::unique_ptr<snp::Platform>> open_platform(const AttestCommand& command) {
  auto platform = snp::open_platform(command.platform, command.vmpl);
  if (platform.ok()) return platform;
  return platform.error().cured_by("run it in an SEV-SNP VM, or name its platform: --platform");
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

Status get_info(Store& store, const ResourceCommand& command) {
  const ResourceInfo info = VHSM_TRY(store.info(command.path));
  print_info(info, command.json);
  return {};
}

Status put(Store& store, const ResourceCommand& command) {
  SecretBytes content = VHSM_TRY(read_secret(command.file, kMaxResourceBytes));
  if (command.releasable) content = VHSM_TRY(jose::releasable(content));
  VHSM_TRY(store.put(command.path, content));
  return get_info(store, command);
}

/// What restore() has decided.
AuditRow row_of(const Status& restored, const std::string& path) {
  AuditRow row;
  row.peer = "local";
  row.event = "restore";
  row.resource = path;
  row.outcome = restored.ok() ? "granted" : "refused";
  if (!restored.ok()) row.reason = reason_of(restored.error());
  return row;
}

Result<ReceivedKey> receive(const Config& config, const std::string& file) {
  const Receiver receiver = VHSM_TRY(Receiver::open(config.receiver_key));
  const auto bytes = VHSM_TRY(snp::read_file(file, keystore::kMaxBackupBytes));
  auto key = receiver.receive({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  if (!key.ok()) return key.error().about(file);
  return key;
}

Status keep(Store& store, const ResourceCommand& command, const SecretBytes& content) {
  return command.replace ? store.put(command.path, content) : store.add(command.path, content);
}

Status print_restored(Store& store, const ResourceCommand& command, const std::string& policy) {
  VHSM_TRY(get_info(store, command));
  if (!command.json) print_line("a KBS keeps no policy; the key had: " + policy);
  return {};
}

Status restore(const Config& config, Store& store, ResourceCommand command) {
  const Journal journal = VHSM_TRY(Journal::open(config, store));
  const auto key = receive(config, command.file);
  if (key.ok() && command.path.empty()) command.path = key.value().claims.key.name.path();
  const Status stored = key.ok() ? keep(store, command, key.value().content) : key.error();
  VHSM_TRY(journal.decided(row_of(stored, command.path)));
  VHSM_TRY(stored);
  return print_restored(store, command, key.value().claims.policy);
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

Status run_receiver_init(const std::string& config_path) {
  const Config config = VHSM_TRY(read_config(config_path));
  VHSM_TRY(Receiver::create(config.receiver_key));
  print_line("wrote " + config.receiver_key);
  return {};
}

Status run_receiver_attest(const std::string& config_path, const AttestCommand& command) {
  const Config config = VHSM_TRY(read_config(config_path));
  std::vector<std::uint8_t> nonce(command.nonce.size() / 2);
  const Status parsed = snp::from_hex(command.nonce, nonce);
  if (!parsed.ok()) return parsed.error().about("--nonce");
  const Receiver receiver = VHSM_TRY(Receiver::open(config.receiver_key));
  const auto platform = VHSM_TRY(open_platform(command));
  const auto evidence = VHSM_TRY(receiver.attest(*platform, nonce));
  const std::string text = evidence::to_json(evidence).dump(2);
  if (!command.out.empty()) return write_text(command.out, text + "\n");
  print_line(text);
  return {};
}

Status run_resource(const std::string& config_path, const ResourceCommand& command) {
  const Config config = VHSM_TRY(read_config(config_path));
  Store store = VHSM_TRY(Store::open(config.database));
  switch (command.verb) {
    case ResourceVerb::kPut: return put(store, command);
    case ResourceVerb::kRestore: return restore(config, store, command);
    case ResourceVerb::kGetInfo: return get_info(store, command);
    case ResourceVerb::kList: return list(store, command.json);
    case ResourceVerb::kDisable: return store.set_disabled(command.path, true);
    case ResourceVerb::kEnable: return store.set_disabled(command.path, false);
    case ResourceVerb::kDelete: return store.erase(command.path);
  }
  return fail(Errc::kInternal, "no such command");
}

Status run_audit_list(const std::string& config_path, std::int64_t limit, bool json) {
  const Config config = VHSM_TRY(read_config(config_path));
  Store store = VHSM_TRY(Store::open(config.database));
  const auto rows = VHSM_TRY(store.audit(limit));
  for (const AuditRow& row : rows) print_audit(row, json);
  return {};
}

}  // namespace vhsm::kbs
