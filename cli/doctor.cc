// SPDX-License-Identifier: Apache-2.0
//
// vhsm doctor: what protects keys on this machine, a line each, with the cure where something is
// missing. A check that cannot run says why and does not stop the others.
#include <sys/resource.h>
#include <unistd.h>

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/metrics.h"
#include "cli/console.h"
#include "cli/host_openssl.h"
#include "keystore/daemon/remote_keystore.h"
#include "keystore/fips.h"
#include "memory/protected_memory.h"
#include "module/assembly.h"
#include "module/measured_settings.h"
#include "module/slot_keys.h"
#include "nitride/client.h"
#include "snp/platform.h"
#include "snp/report.h"

namespace vhsm::cli {
namespace {

enum class Mark : std::uint8_t { kOk, kWarning, kFailure };
constexpr const char* kMarkNames[] = {"ok", "warn", "fail"};

struct Check {
  Mark mark;
  std::string name;
  std::string finding;
  std::string cure;  ///< empty when nothing is missing
};
using Checks = std::vector<Check>;

Check failed(std::string name, const Error& error) {
  std::string finding(error.subject.text());
  if (!finding.empty()) finding += ": ";
  return {Mark::kFailure, std::move(name), finding + error.what.c_str(), cure(error)};
}

Check check_settings(const Result<Settings>& settings) {
  if (!settings.ok()) return failed("configuration", settings.error());
  const std::string& source = settings.value().source;
  if (!source.empty()) return {Mark::kOk, "configuration", source, ""};
  return {Mark::kWarning, "configuration", "no file, defaults are in force",
          fmt::format("write {} or set VHSM_CONF, see vhsm.cnf(5)", kDefaultSettingsPath)};
}

Check check_openssl() {
  const OpensslVersion inner = inner_openssl();
  const auto host = host_openssl();
  const std::string inside = "inside the provider: " + inner.text;
  if (!host.has_value()) {
    return {Mark::kWarning, "OpenSSL", inside + "; this machine has no libcrypto.so.3 or .4",
            "install OpenSSL 3 for programs to use keys with"};
  }
  const std::string both = inside + "; on this machine: " + host->version.text;
  if (!inner.is_behind(host->version)) return {Mark::kOk, "OpenSSL", both, ""};
  return {Mark::kWarning, "OpenSSL", both,
          "the machine's has newer fixes: rebuild vhsm against it"};
}

/// Whether programs here find vhsm.so.
Check check_module() {
  const auto host = host_openssl();
  const char* const named = std::getenv("OPENSSL_MODULES");  // NOLINT(concurrency-mt-unsafe)
  const std::string folder = named != nullptr ? named : (host ? host->modules : "");
  const std::string file = folder + "/vhsm.so";
  if (!folder.empty() && access(file.c_str(), R_OK) == 0) return {Mark::kOk, "module", file, ""};
  return {Mark::kWarning, "module", file + " is not there",
          "run cmake --install, or set OPENSSL_MODULES to the folder with vhsm.so"};
}

Check check_memory_kind() {
  switch (memory::kind()) {
    case memory::Kind::kSecretMemory:
      return {Mark::kOk, "protected memory",
              "memfd_secret: hidden from the kernel's own map, ptrace, core dumps and swap", ""};
    case memory::Kind::kLocked:
      return {Mark::kWarning, "protected memory",
              "mlock: kept from swap and core dumps, but root and ptrace can read it",
              "use Linux 6.5 or newer, or boot with secretmem.enable=1 (VHSM_MEMORY unset)"};
    case memory::Kind::kNone: break;
  }
  return {Mark::kFailure, "protected memory", "there is none", cure(Errc::kMemoryLimit)};
}

std::string in_kib(rlim_t bytes) {
  return bytes == RLIM_INFINITY ? "unlimited" : fmt::format("{} KiB", bytes >> 10);
}

Check check_memory_limit(const Settings& settings) {
  const std::size_t wanted =
      settings.memory_limit != 0 ? settings.memory_limit : memory::kDefaultLimitBytes;
  rlimit limit{};
  static_cast<void>(getrlimit(RLIMIT_MEMLOCK, &limit));
  const memory::Usage usage = memory::usage();
  const std::string finding = fmt::format(
      "RLIMIT_MEMLOCK {}, wanted {} KiB; up to {} KiB for keys, {} of them mapped, {} in use",
      in_kib(limit.rlim_cur), wanted >> 10, usage.capacity_bytes >> 10, usage.backed_bytes >> 10,
      in_kib(usage.in_use_bytes));
  if (limit.rlim_cur >= wanted) return {Mark::kOk, "memory limit", finding, ""};
  return {Mark::kWarning, "memory limit", finding, cure(Errc::kMemoryLimit)};
}

Check check_protection_key() {
  if (memory::usage().has_protection_key) {
    return {Mark::kOk, "protection key", "protected memory is closed outside work on keys", ""};
  }
  return {Mark::kOk, "protection key", "this CPU or kernel has none: an over-read could reach keys",
          ""};
}

/// Before protected memory is there, as in the provider.
void check_fips(const Settings& settings, Checks& checks) {
  const Status chosen = keystore::choose_providers(settings);
  if (!chosen.ok()) return checks.push_back(failed("FIPS", chosen.error()));
  if (settings.fips) checks.push_back({Mark::kOk, "FIPS", keystore::describe_openssl(), ""});
}

void check_memory(const Settings& settings, Checks& checks) {
  const Status mapped = memory::initialise({.limit_bytes = settings.memory_limit});
  if (!mapped.ok()) {
    checks.push_back(failed("protected memory", mapped.error()));
    return;
  }
  checks.push_back(check_memory_kind());
  checks.push_back(check_memory_limit(settings));
  checks.push_back(check_protection_key());
}

Check describe_platform(const snp::PlatformInfo& info) {
  const std::string why = info.reason.empty() ? "" : fmt::format(" (auto: {})", info.reason);
  const std::string finding = fmt::format("{}, VMPL {}{}", info.kind, info.vmpl, why);
  if (!info.development) return {Mark::kOk, "platform", finding, ""};
  return {Mark::kWarning, "platform", finding + ": for development, no hardware behind it",
          "run in an SEV-SNP VM and set platform = auto"};
}

/// Asks for a report that is bound to nothing: it is looked at and thrown away.
Check check_report(snp::Platform& platform, TimePoint deadline) {
  const auto evidence = platform.attest(snp::ReportData{}, deadline);
  if (!evidence.ok()) return failed("report", evidence.error());
  const snp::UnverifiedReport report(evidence.value().report);
  return {Mark::kOk, "report",
          fmt::format("version {}, {} certificates from the host",
                      report.number<snp::field::kVersion>(), evidence.value().certificates.size()),
          ""};
}

std::shared_ptr<snp::Platform> check_platform(const Settings& settings, Checks& checks) {
  if (settings.platform == "sample") {
    checks.push_back({Mark::kWarning, "platform", "sample: for development, it proves nothing",
                      "run in an SEV-SNP VM and set platform = auto"});
    return nullptr;
  }
  auto opened = snp::open_platform(settings.platform, settings.vmpl);
  if (!opened.ok()) {
    checks.push_back(failed("platform", opened.error()));
    return nullptr;
  }
  std::shared_ptr<snp::Platform> platform(std::move(opened).value());
  checks.push_back(describe_platform(platform->info()));
  checks.push_back(check_report(*platform, Clock::now() + settings.fetch_timeout));
  return platform;
}

/// @return whether it is known whom to trust.
bool check_init_data(Settings& settings, snp::Platform* platform, Checks& checks) {
  if (settings.init_data.empty()) return true;
  const Status taken = take_init_data(settings, platform);
  checks.push_back(taken.ok() ? Check{Mark::kOk, "init-data",
                                      settings.init_data + " is what this VM was launched with", ""}
                              : failed("init-data", taken.error()));
  return taken.ok();
}

Check describe_probe(const nitride::Probe& probe, bool another_answers) {
  if (probe.failure.has_value()) {
    Check check = failed("KBS", *probe.failure);
    if (another_answers) check.mark = Mark::kWarning;
    return check;
  }
  if (probe.tls == "none") {
    return {Mark::kWarning, "KBS",
            fmt::format("{} answers in {} ms without TLS", probe.endpoint, probe.took.count()),
            "use https:// and kbs_ca"};
  }
  return {Mark::kOk, "KBS",
          fmt::format("{} answers in {} ms, {}", probe.endpoint, probe.took.count(), probe.tls),
          ""};
}

/// @return null when there is none.
std::shared_ptr<nitride::Client> check_kbs(const Settings& settings,
                                           std::shared_ptr<snp::Platform> platform,
                                           Checks& checks) {
  if (settings.kbs.empty() && !settings.key_folder().empty()) return nullptr;
  if (settings.kbs.empty()) {
    checks.push_back({Mark::kFailure, "KBS", "none is set: no key can be fetched",
                      "set kbs and kbs_ca in vhsm.cnf, see vhsm.cnf(5)"});
    return nullptr;
  }
  auto client = nitride::Client::create(settings, std::move(platform), std::make_shared<Metrics>(),
                                        std::make_shared<Records>());
  if (!client.ok()) {
    checks.push_back(failed("KBS", client.error()));
    return nullptr;
  }
  const auto probes = client.value()->probe();
  const bool any_answers =
      std::ranges::any_of(probes, [](const auto& probe) { return !probe.failure.has_value(); });
  for (const auto& probe : probes) checks.push_back(describe_probe(probe, any_answers));
  return std::move(client).value();
}

/// What is known of a folder of keys: what opens it, and how many keys there are.
struct FolderState {
  std::vector<keystore::sealed::SlotState> slots;
  Result<std::size_t> keys;
};

Result<FolderState> look_into_folder(const Settings& settings,
                                     std::shared_ptr<snp::Platform> platform,
                                     std::shared_ptr<nitride::Client> kbs) {
  const auto deadline = Clock::now() + settings.fetch_timeout;
  const auto folder = VHSM_TRY(
      find_folder(settings, std::make_shared<PlatformSlotKeys>(std::move(platform), std::move(kbs),
                                                               settings.keystore_kbs_key)));
  auto slots = VHSM_TRY(folder->try_slots(deadline));
  const auto records = folder->records(deadline);
  return FolderState{std::move(slots),
                     records.ok() ? Result<std::size_t>(records.value().size()) : records.error()};
}

std::string describe_slots(const std::vector<keystore::sealed::SlotState>& slots) {
  std::string text;
  for (const auto& [terms, why_not] : slots) {
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", keystore::sealed::name_of(terms.kind),
                        why_not.has_value() ? fmt::format("({})", why_not->what.c_str()) : "opens");
  }
  return text;
}

Check check_folder(const Settings& settings, std::shared_ptr<snp::Platform> platform,
                   std::shared_ptr<nitride::Client> kbs) {
  const auto looked = look_into_folder(settings, std::move(platform), std::move(kbs));
  if (!looked.ok()) return failed("folder of keys", looked.error());
  const auto& [slots, keys] = looked.value();
  const std::string finding =
      fmt::format("{}, slots: {}", settings.key_folder(), describe_slots(slots));
  if (!keys.ok()) {
    return {Mark::kFailure, "folder of keys", finding, cure(keys.error())};
  }
  const std::string counted = fmt::format("{} keys in {}", keys.value(), finding);
  if (slots.size() >= keystore::sealed::kSlotsForKeys) {
    return {Mark::kOk, "folder of keys", counted, ""};
  }
  return {Mark::kWarning, "folder of keys", counted, cure(Errc::kTooFewSlots)};
}

/// What vhsmd says of itself: it has the memory, the platform and the KBS that count.
Check check_daemon(const Settings& settings) {
  const auto daemon =
      keystore::make_remote_keystore(settings.daemon_socket(), {}, std::make_shared<Metrics>());
  const auto status = daemon->status();
  if (!status.ok()) return failed("vhsmd", status.error());
  const keystore::DaemonStatus& is = status.value();
  const std::string finding = fmt::format(
      "{}, process {}, up {} s: {} keys in {}, {} KiB of {} in use; {} operations, {} fetches, {} "
      "connections; platform {}",
      is.version, is.process, is.uptime_seconds, is.keys, is.memory, is.memory_in_use_bytes >> 10,
      is.memory_capacity_bytes >> 10, is.operations, is.fetches, is.connections,
      is.platform.empty() ? "none" : is.platform);
  if (is.memory == "memfd_secret") return {Mark::kOk, "vhsmd", finding, ""};
  return {Mark::kWarning, "vhsmd", finding,
          "its memory is locked, not secret: use Linux 6.5 or newer"};
}

Check check_log_file(const char* name, const std::string& path) {
  const auto file = LineFile::open(path);
  return file.ok() ? Check{Mark::kOk, name, path, ""} : failed(name, file.error());
}

Checks examine(const Console& console) {
  Checks checks;
  const auto loaded = load_settings(console.overrides());
  checks.push_back(check_settings(loaded));
  Settings settings = loaded.ok() ? loaded.value() : Settings{};
  check_fips(settings, checks);
  check_memory(settings, checks);
  const memory::Access access;  // all of this process is ours
  if (!settings.daemon_socket().empty()) {
    if (memory::kind() != memory::Kind::kNone) checks.push_back(check_daemon(settings));
  } else {
    auto platform = check_platform(settings, checks);
    const bool measured = check_init_data(settings, platform.get(), checks);
    if (loaded.ok() && measured && memory::kind() != memory::Kind::kNone) {
      auto kbs = check_kbs(settings, platform, checks);
      if (!settings.key_folder().empty()) {
        checks.push_back(check_folder(settings, std::move(platform), std::move(kbs)));
      }
    }
  }
  checks.push_back(check_openssl());
  checks.push_back(check_module());
  if (!settings.daemon_socket().empty()) return checks;  // its files are not this user's to make
  if (!settings.log.empty()) checks.push_back(check_log_file("log", settings.log));
  if (!settings.audit.empty()) checks.push_back(check_log_file("audit", settings.audit));
  return checks;
}

const char* name_of(Mark mark) noexcept { return kMarkNames[static_cast<std::size_t>(mark)]; }

Status print_text(const Checks& checks) {
  std::string text;
  for (const Check& check : checks) {
    text += fmt::format("{:<4}  {:<16}  {}\n", name_of(check.mark), check.name, check.finding);
    if (!check.cure.empty()) text += fmt::format("{:<24}-> {}\n", "", check.cure);
  }
  return print(text);
}

Status print_checks(const Checks& checks, bool good) {
  Json list = Json::array();
  for (const Check& check : checks) {
    list.push_back({{"name", check.name},
                    {"mark", name_of(check.mark)},
                    {"finding", check.finding},
                    {"cure", check.cure}});
  }
  return print_json(Json{{"good", good}, {"checks", std::move(list)}});
}

Result<Exit> run(const Console& console) {
  const Checks checks = examine(console);
  const bool good = std::ranges::find(checks, Mark::kFailure, &Check::mark) == checks.end();
  VHSM_TRY(console.json ? print_checks(checks, good) : print_text(checks));
  return good ? Exit::kDone : Exit::kRefused;
}

}  // namespace

void add_doctor(CLI::App& app, Console& console) {
  CLI::App* const doctor = app.add_subcommand("doctor", "Say what protects keys on this machine");
  add_json(*doctor, console);
  doctor->callback([&console] { console.action = [&console] { return run(console); }; });
}

}  // namespace vhsm::cli
