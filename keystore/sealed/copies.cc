// SPDX-License-Identifier: Apache-2.0
#include "keystore/sealed/copies.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <utility>

#include "keystore/lease.h"

namespace vhsm::keystore::sealed {
namespace {

constexpr std::chrono::seconds kPatience{5};  // of the firmware, and of who changes the folder

TimePoint soon() { return Clock::now() + kPatience; }

int digit(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/// Within the boot that wrote the terms the clock that begins with it counts; then the wall clock,
/// which is only known to be wrong where it is earlier than it was.
/// @return how many seconds are left.
Result<std::uint64_t> time_left(const CopyTerms& terms, const CopyTime& now, bool same_boot,
                                const std::string& name) {
  const std::uint64_t before = same_boot ? terms.uptime : terms.since;
  const std::uint64_t later = same_boot ? now.uptime : now.wall;
  if (later < before) {
    return fail(Errc::kPolicy, "the copy of this key was made later than the clock says it is",
                "vhsm:" + name);
  }
  const std::uint64_t lasts = terms.until - std::min(terms.since, terms.until);
  if (later - before < lasts) return lasts - (later - before);
  return fail(Errc::kPolicy, "the time of this key's copy is over (offline_grace)", "vhsm:" + name);
}

Error too_many_boots(const std::string& name) {
  return fail(Errc::kPolicy, "this key's copy has lived through its last boot (offline_boots)",
              "vhsm:" + name);
}

}  // namespace

CopyTime copy_time_now() noexcept {
  using std::chrono::duration_cast;
  using std::chrono::seconds;
  const auto wall = duration_cast<seconds>(std::chrono::system_clock::now().time_since_epoch());
  return {static_cast<std::uint64_t>(wall.count()),
          static_cast<std::uint64_t>(duration_cast<seconds>(boot_now()).count())};
}

Result<BootId> read_boot_id(const std::string& path) {
  const std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(path.c_str(), "re"), &std::fclose);
  if (file == nullptr) return fail(Errc::kIo, "the kernel does not say which boot this is", path);
  std::array<char, 64> text{};
  std::size_t size = std::fread(text.data(), 1, text.size(), file.get());
  BootId id{};
  std::size_t digits = 0;
  for (const char c : std::span(text).first(size)) {
    if (c == '-' || c == '\n') continue;
    if (digit(c) < 0 || digits == 2 * id.size()) return fail(Errc::kBadFormat, "no boot id", path);
    auto& byte = id[digits++ / 2];
    byte = static_cast<std::uint8_t>(byte << 4 | digit(c));
  }
  if (digits == 2 * id.size()) return id;
  return fail(Errc::kBadFormat, "no boot id", path);
}

// ----- what the source releases ------------------------------------------------------------------

Result<Version> Copies::put(const std::string& name, const NewVersion& version,
                            const SecretBytes& stored) {
  VHSM_TRY(folder_.unlock(soon()));
  return folder_.put_copy(name, version, stored);
}

/// Nothing that is there will ever open here. An outage of the platform is no such thing: then
/// there is no key for a new folder either.
bool Copies::is_lost(const Error& error) const {
  return error.code == Errc::kSealed || error.code == Errc::kTampered || !folder_.is_made();
}

/// Others, here or in another process, may have started anew meanwhile, and may do so until it has
/// been looked at a last time.
Status Copies::recover() {
  const HeadSeen lost = folder_.look();
  const Status reopened = folder_.reopen(soon());
  if (reopened.ok() || !is_lost(reopened.error())) return reopened;
  auto slot = VHSM_TRY(keys_->platform_slot(soon()));
  std::vector<NewSlot> slots;
  slots.push_back(std::move(slot));
  return folder_.start_anew(lost, slots, soon());
}

Status Copies::keep(const std::string& name, NewVersion version, const SecretBytes& stored) {
  const CopyTime now = now_();
  version.origin = Origin::kCopy;
  version.copy = {.since = now.wall,
                  .until = now.wall + static_cast<std::uint64_t>(limits_.life.count()),
                  .uptime = now.uptime,
                  .boot = boot_,
                  .boots = limits_.boots};
  auto kept = put(name, version, stored);
  if (!kept.ok() && is_lost(kept.error())) {
    VHSM_TRY(recover());
    kept = put(name, version, stored);
  }
  return kept.ok() ? Status() : Status(kept.error());
}

// ----- what is lent ------------------------------------------------------------------------------

/// A copy that could not be counted is not lent.
Status Copies::count_boot(const std::string& name, CopyTerms& counted) {
  return folder_.change_copy(name, [&](CopyTerms& terms) -> Status {
    const CopyTime now = now_();
    if (terms.boot != boot_) {  // else another process has counted it meanwhile
      [[maybe_unused]] const auto left = VHSM_TRY(time_left(terms, now, false, name));
      const std::uint8_t boots = std::min(terms.boots, limits_.boots);
      if (boots == 0) return too_many_boots(name);
      terms = {.since = now.wall,
               .until = terms.until,
               .uptime = now.uptime,
               .boot = boot_,
               .boots = static_cast<std::uint8_t>(boots - 1)};
    }
    counted = terms;
    return {};
  });
}

Result<std::optional<Lent>> Copies::lend(const std::string& name) {
  if (!folder_.is_made()) return std::optional<Lent>();
  const auto record = VHSM_TRY(folder_.find(name, soon()));
  if (!record.has_value()) return std::optional<Lent>();
  CopyTerms terms = record->versions.back().copy;
  if (terms.boot != boot_) VHSM_TRY(count_boot(name, terms));
  const std::uint64_t left = VHSM_TRY(time_left(terms, now_(), true, name));
  auto opened = VHSM_TRY(folder_.open(name, std::nullopt, soon()));
  const std::chrono::seconds seconds(static_cast<std::int64_t>(left));
  return std::optional(Lent{std::move(opened.content), std::min(seconds, limits_.life)});
}

// ----- what is here ------------------------------------------------------------------------------

Result<bool> Copies::has(const std::string& name) {
  if (!folder_.is_made()) return false;
  const auto record = VHSM_TRY(folder_.find(name, soon()));
  return record.has_value();
}

Result<bool> Copies::drop(const std::string& name) {
  const bool there = VHSM_TRY(has(name));
  if (!there) return false;
  const Status removed = folder_.remove(name);
  if (removed.ok() || removed.error().code == Errc::kMissing) return true;
  return removed.error();
}

Result<std::vector<Record>> Copies::records() {
  if (!folder_.is_made()) return std::vector<Record>();
  return folder_.records(soon());
}

}  // namespace vhsm::keystore::sealed
