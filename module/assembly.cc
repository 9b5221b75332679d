// SPDX-License-Identifier: Apache-2.0
#include "module/assembly.h"

#include <fmt/format.h>

#include <utility>

#include "keystore/fips.h"
#include "keystore/sealed/copies.h"
#include "keystore/warm_up.h"
#include "memory/protected_memory.h"
#include "module/measured_settings.h"
#include "module/platform_witness.h"
#include "module/slot_keys.h"

namespace vhsm {

namespace sealed = keystore::sealed;

namespace {

/// `auto` on a machine without SNP leaves the platform out: keys that are here can still be used.
Result<std::shared_ptr<snp::Platform>> find_platform(const Settings& settings) {
  if (settings.platform == "sample") return std::shared_ptr<snp::Platform>();
  auto platform = snp::open_platform(settings.platform, settings.vmpl);
  if (platform.ok()) return std::shared_ptr<snp::Platform>(std::move(platform).value());
  const bool optional = settings.platform == "auto" || settings.platform == "none";
  if (optional && platform.error().code == Errc::kNoPlatform) {
    return std::shared_ptr<snp::Platform>();
  }
  return platform.error();
}

void log_memory(const Log& log) {
  const memory::Usage usage = memory::usage();
  log.write(LogLevel::kInfo,
            fmt::format("protected memory: {}{}, {} KiB for keys at most",
                        memory::name_of(memory::kind()),
                        usage.has_protection_key ? ", closed by a protection key" : "",
                        usage.capacity_bytes >> 10));
}

Result<std::shared_ptr<const Records>> open_records(const Settings& settings) {
  auto log = VHSM_TRY(open_log(settings));
  auto audit_file = VHSM_TRY(LineFile::open(settings.audit));
  return std::make_shared<const Records>(Records{std::move(log), AuditLog(std::move(audit_file))});
}

/// Keys that must be proved for need somebody to prove them to.
Status check_prover(const Settings& settings) {
  const bool needed = settings.gate != "none" || settings.attest_before_generate;
  if (!needed || !settings.kbs.empty()) return {};
  return fail(Errc::kBadConfig, "gate and attest_before_generate need a KBS: set kbs",
              settings.source);
}

Status make_nitride(Parts& parts, std::shared_ptr<const Records> records) {
  VHSM_TRY(check_prover(parts.settings));
  if (parts.settings.platform == "sample") {
    records->log.write(LogLevel::kWarning, "platform = sample proves nothing: for development");
  }
  if (parts.settings.kbs.empty()) return {};
  parts.nitride = VHSM_TRY(
      nitride::Client::create(parts.settings, parts.platform, parts.metrics, std::move(records)));
  return {};
}

Result<Parts> prepare(std::span<const Override> overrides, Process process) {
  VHSM_TRY(memory::adopt_allocator());  // before the settings: reading them uses libcrypto
  Parts parts;
  parts.settings = VHSM_TRY(load_settings(overrides));
  VHSM_TRY(keystore::choose_providers(parts.settings));
  VHSM_TRY(memory::initialise(
      {.limit_bytes = parts.settings.memory_limit, .protection_key = process == Process::kHost}));
  const memory::Access access;
  VHSM_TRY(keystore::warm_up());
  parts.metrics = std::make_shared<Metrics>();
  return parts;
}

keystore::Deadlines deadlines_of(const Settings& settings) {
  return {settings.load_wait, settings.fetch_timeout};
}

/// `error` of one of the words of a setting.
Error in_setting(Error error, const Settings& settings, const char* name, const std::string& word) {
  error.subject = settings.source + ": " + name + " = " + word;
  return error;
}

/// @errors kBadUri.
Result<std::vector<keystore::KeyFolder>> secret_paths_of(const Settings& settings) {
  std::vector<keystore::KeyFolder> folders;
  for (const std::string& path : settings.secret_paths) {
    // Without a segment it would be all that the KBS has.
    auto folder = keystore::KeyFolder::parse(
        path.starts_with('/') ? path : std::string(keystore::kScheme) + path + "/");
    if (!folder.ok()) return in_setting(folder.error(), settings, "secret_paths", path);
    folders.push_back(std::move(folder).value());
  }
  return folders;
}

Result<keystore::Policy> policy_of(const Settings& settings) {
  keystore::Policy policy;
  if (settings.gate == "first-use") policy.gate.gate = keystore::Gate::kFirstUse;
  if (settings.gate == "lease") policy.gate.gate = keystore::Gate::kLease;
  policy.gate.lease = settings.lease;
  policy.gate.grace = settings.offline_grace;
  policy.attest_before_generate = settings.attest_before_generate;
  policy.secret_paths = VHSM_TRY(secret_paths_of(settings));
  return policy;
}

Result<keystore::KeyUri> prefetched(const std::string& text, const Settings& settings) {
  auto uri = keystore::KeyUri::parse(text, settings.kbs_path);
  return uri.ok() ? uri : in_setting(uri.error(), settings, "prefetch", text);
}

/// Brings keys in before traffic, within load_wait together. What does not come in time, or at all,
/// is fetched when it is used: the log says why.
/// @errors kBadUri.
Status prefetch(const Parts& parts, const Log& log) {
  const auto deadline = Clock::now() + parts.settings.load_wait;
  for (const std::string& text : parts.settings.prefetch) {
    const auto uri = VHSM_TRY(prefetched(text, parts.settings));
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
    if (left.count() <= 0) continue;
    const auto entry = parts.held->fetch(uri, left);
    if (!entry.ok()) log.error(entry.error());
  }
  return {};
}

/// Platform, KBS, and where they are told of.
Result<std::shared_ptr<const Records>> connect(Parts& parts) {
  parts.platform = VHSM_TRY(find_platform(parts.settings));
  auto records = VHSM_TRY(open_records(parts.settings));
  log_memory(records->log);
  VHSM_TRY(take_init_data(parts.settings, parts.platform.get()));
  VHSM_TRY(make_nitride(parts, records));
  return records;
}

/// A folder whose slots do not open now may open later: a KBS may be away. One that was changed by
/// somebody else never will.
Status unlock(sealed::Folder& folder, const Settings& settings, const Log& log) {
  const Status unlocked = folder.unlock(Clock::now() + settings.load_wait);
  if (unlocked.ok() || unlocked.error().code != Errc::kSealed) return unlocked;
  log.error(unlocked.error());
  return {};
}

/// Null: keys are in memory alone. The root key is got now, while the device can be opened.
Result<std::shared_ptr<sealed::Folder>> open_folder(const Parts& parts, const Log& log) {
  if (parts.settings.key_folder().empty()) return std::shared_ptr<sealed::Folder>();
  auto keys = std::make_shared<PlatformSlotKeys>(parts.platform, parts.nitride,
                                                 parts.settings.keystore_kbs_key);
  auto folder = VHSM_TRY(find_folder(parts.settings, std::move(keys)));
  VHSM_TRY(unlock(*folder, parts.settings, log));
  return folder;
}

sealed::CopyLimits copy_limits_of(const Settings& settings) {
  return {.life = std::chrono::floor<std::chrono::seconds>(settings.lease + settings.offline_grace),
          .boots = settings.offline_boots};
}

/// Null: nothing that a KBS releases is written to disk.
Result<std::shared_ptr<sealed::Copies>> open_copies(const Parts& parts) {
  const std::string path = parts.settings.copy_folder();
  if (path.empty()) return std::shared_ptr<sealed::Copies>();
  if (parts.platform == nullptr) {
    return fail(Errc::kNoPlatform, "offline_copies are sealed by the SNP platform", path);
  }
  VHSM_TRY(sealed::make_folder(path));
  auto files = VHSM_TRY(sealed::open_files(path));
  const auto boot = VHSM_TRY(sealed::read_boot_id());
  auto keys = std::make_shared<PlatformSlotKeys>(parts.platform, nullptr, "");
  return std::make_shared<sealed::Copies>(std::move(files), std::move(keys),
                                          copy_limits_of(parts.settings), boot);
}

/// Copies are for outages: that they cannot be read or made now is no reason not to start. The next
/// release makes a folder anew that does not open here.
std::shared_ptr<sealed::Copies> copies_if_usable(const Parts& parts, const Log& log) {
  auto copies = open_copies(parts);
  if (!copies.ok()) {
    log.error(copies.error());
    return nullptr;
  }
  if (copies.value() == nullptr) return nullptr;
  const auto there = copies.value()->records();
  if (!there.ok()) log.error(there.error().about(parts.settings.copy_folder()));
  return std::move(copies).value();
}

Status hold_keys(Parts& parts) {
  const auto records = VHSM_TRY(connect(parts));
  const auto policy = VHSM_TRY(policy_of(parts.settings));
  auto folder = VHSM_TRY(open_folder(parts, records->log));
  auto copies = copies_if_usable(parts, records->log);
  parts.held = keystore::make_memory_keystore(
      parts.nitride, deadlines_of(parts.settings), parts.metrics, policy, records,
      std::move(folder), std::move(copies), make_platform_witness(parts.platform));
  parts.keystore = parts.held;
  return prefetch(parts, records->log);
}

}  // namespace

Result<Parts> assemble_keyless(std::span<const Override> overrides) {
  auto parts = VHSM_TRY(prepare(overrides, Process::kOurs));
  [[maybe_unused]] const auto records = VHSM_TRY(connect(parts));
  return parts;
}

Result<std::shared_ptr<sealed::Folder>> find_folder(const Settings& settings,
                                                    std::shared_ptr<sealed::SlotKeys> keys) {
  auto files = VHSM_TRY(sealed::open_files(settings.key_folder()));
  return std::make_shared<sealed::Folder>(std::move(files), std::move(keys));
}

Result<Log> open_log(const Settings& settings) {
  const LogLevel level = VHSM_TRY(parse_log_level(settings.log_level));
  auto file = VHSM_TRY(LineFile::open(settings.log));
  return Log(std::move(file), level);
}

Result<Parts> assemble(std::span<const Override> overrides, Process process) {
  auto parts = VHSM_TRY(prepare(overrides, process));
  const memory::Access access;
  const std::string socket = parts.settings.daemon_socket();
  if (socket.empty()) {
    VHSM_TRY(hold_keys(parts));
    return parts;
  }
  parts.daemon =
      keystore::make_remote_keystore(socket, deadlines_of(parts.settings), parts.metrics);
  parts.keystore = parts.daemon;
  return parts;
}

Result<Parts> assemble_held(std::span<const Override> overrides) {
  auto parts = VHSM_TRY(prepare(overrides, Process::kOurs));
  VHSM_TRY(hold_keys(parts));
  return parts;
}

}  // namespace vhsm
