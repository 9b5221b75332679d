// SPDX-License-Identifier: Apache-2.0
#include "keystore/shelf.h"

#include <condition_variable>
#include <utility>

#include "keystore/local_key.h"
#include "keystore/pair_check.h"
#include "keystore/secret_material.h"

namespace vhsm::keystore {

/// One fetch under way, and those who wait for it.
class Flight {
 public:
  /// A flight of an ancestor's thread will never land in this process.
  [[nodiscard]] bool ours() const noexcept { return generation_ == memory::generation(); }

  void land(const Result<Entry>& entry) {
    const std::lock_guard lock(mutex_);
    entry_.emplace(entry);
    landed_.notify_all();
  }

  Result<Entry> wait(const KeyName& name, Shelf::Deadline deadline) {
    std::unique_lock lock(mutex_);
    if (landed_.wait_until(lock, deadline, [this] { return entry_.has_value(); })) return *entry_;
    return fail(Errc::kUnreachable, "the key is still being fetched", name.uri());
  }

 private:
  std::uint64_t generation_ = memory::generation();
  std::mutex mutex_;
  std::condition_variable landed_;
  std::optional<Result<Entry>> entry_;
};

namespace {

Error taken(const KeyName& name) {
  return fail(Errc::kInvalidArgument, "the name is taken: choose another one, or delete that key",
              name.uri());
}

/// The KBS itself was not to be had; what else failed is a verdict, or trouble of this VM.
bool is_outage(Errc code) noexcept {
  return code == Errc::kUnreachable || code == Errc::kForged || code == Errc::kVersion;
}

/// The source's last word.
bool takes_back(Errc code) noexcept { return code == Errc::kDenied || code == Errc::kMissing; }

bool same_key(const Entry& a, const Entry& b) {
  if (a.symmetric != nullptr && b.symmetric != nullptr) {
    return a.symmetric->fingerprint() == b.symmetric->fingerprint();
  }
  return a.key != nullptr && b.key != nullptr && a.public_key_info == b.public_key_info;
}

/// What a URI must ask for to get `entry` again.
std::optional<ObjectType> type_of(const Entry& entry) {
  if (entry.symmetric == nullptr) return std::nullopt;
  return ObjectType::kSecret;
}

}  // namespace

struct Shelf::Claim {
  std::optional<Entry> entry;      ///< it was here
  std::shared_ptr<Flight> flight;  ///< it is on its way
  bool mine = false;               ///< the caller has to fly
};

Result<std::optional<Entry>> Shelf::find(const KeyName& name) {
  return memory::run_protected([&]() -> Result<std::optional<Entry>> {
    const std::lock_guard lock(mutex_);
    const auto found = entries_.find(name);
    return found == entries_.end() ? std::nullopt : std::optional(found->second);
  });
}

Result<std::vector<KeyUri>> Shelf::names() {
  return memory::run_protected([&]() -> Result<std::vector<KeyUri>> {
    const std::lock_guard lock(mutex_);
    std::vector<KeyUri> all;
    for (const auto& [name, entry] : entries_) all.push_back({name, type_of(entry), std::nullopt});
    return all;
  });
}

Status Shelf::check_free(const KeyUri& uri, Deadline deadline) {
  const auto there = open(uri, deadline);
  if (there.ok()) return taken(uri.name);
  return there.error().code == Errc::kMissing ? Status() : Status(there.error());
}

Status Shelf::add(const KeyName& name, Entry entry, std::optional<Moment> proven) {
  put_under_gate(KeyUri{name, std::nullopt, std::nullopt}, false, entry, proven);
  const bool added = VHSM_TRY(memory::run_protected([&]() -> Result<bool> {
    const std::lock_guard lock(mutex_);
    return entries_.emplace(name, entry).second;
  }));
  return added ? Status() : Status(taken(name));
}

Status Shelf::remove(const KeyName& name) {
  std::map<KeyName, Entry>::node_type removed;  // ends when the lock is free again
  VHSM_TRY(memory::run_protected([&]() -> Status {
    const std::lock_guard lock(mutex_);
    removed = entries_.extract(name);
    return {};
  }));
  if (!removed.empty()) return {};
  return fail(Errc::kMissing, "there is no such key here", name.uri());
}

Result<Shelf::Claim> Shelf::claim(const KeyName& name) {
  return memory::run_protected([&]() -> Result<Claim> {
    const std::lock_guard lock(mutex_);
    if (const auto found = entries_.find(name); found != entries_.end()) {
      return Claim{found->second, nullptr, false};
    }
    auto& flight = flights_[name];
    const bool mine = flight == nullptr || !flight->ours();
    if (mine) flight = std::make_shared<Flight>();
    return Claim{std::nullopt, flight, mine};
  });
}

void Shelf::land(const KeyName& name, const std::shared_ptr<Flight>& flight,
                 const Result<Entry>& entry) {
  static_cast<void>(memory::run_protected([&]() -> Status {
    const std::lock_guard lock(mutex_);
    if (entry.ok()) entries_.emplace(name, entry.value());
    flights_.erase(name);
    return {};
  }));
  flight->land(entry);
}

Result<Entry> Shelf::open(const KeyUri& uri, Deadline deadline) {
  if (uri.version) {
    return fail(Errc::kUnsupported, "this keystore has no versions", uri.name.uri());
  }
  auto claimed = VHSM_TRY(claim(uri.name));
  if (claimed.entry) return *std::move(claimed.entry);
  if (!claimed.mine) return claimed.flight->wait(uri.name, deadline);
  const Result<Entry> entry = fly(uri, deadline);
  land(uri.name, claimed.flight, entry);
  return entry;
}

/// Whatever happens, the flight lands: others wait for it.
Result<Entry> Shelf::fly(const KeyUri& uri, Deadline deadline) noexcept {
  try {
    return fetch(uri, deadline);
  } catch (...) {
    return fail(Errc::kOutOfMemory, "no memory to fetch the key");
  }
}

Result<Entry> Shelf::fetch(const KeyUri& uri, Deadline deadline) {
  if (source_ == nullptr) {
    return fail(Errc::kMissing, "the key is not here and no KBS is configured", uri.name.uri());
  }
  const Moment begun{gate_.now(), std::chrono::steady_clock::now()};
  const auto secret = source_->fetch(uri.name, deadline);
  if (!secret.ok()) return secret.error().about(uri.name.uri());
  auto entry = read(uri, secret.value());
  if (entry.ok()) {
    Entry kept = std::move(entry).value();
    put_under_gate(uri, true, kept, begun);
    return kept;
  }
  memory::wipe_stacks();
  return entry.error().about(uri.name.uri());
}

Result<Entry> Shelf::read(const KeyUri& uri, const SecretBytes& secret) const {
  if (uri.type == ObjectType::kSecret) return shelve_symmetric(uri, secret);
  auto material = VHSM_TRY(parse_material(secret));
  return shelve(uri, std::move(material));
}

Result<Entry> Shelf::shelve(const KeyUri& uri, Material material) const {
  Entry entry{.key = nullptr, .certificates = std::move(material.certificates)};
  if (material.pair == nullptr) return entry;
  auto half = VHSM_TRY(PublicHalf::of(material.pair.get()));
  VHSM_TRY(check_pair(half, material.pair.get()));
  entry.public_key_info = VHSM_TRY(half.key_info());
  entry.key = VHSM_TRY(LocalKey::hold(std::move(half), std::move(material.pair),
                                      KeyUri{uri.name, std::nullopt, std::nullopt}, metrics_));
  return entry;
}

Result<Entry> Shelf::shelve_symmetric(const KeyUri& uri, const SecretBytes& secret) const {
  const auto material = VHSM_TRY(parse_secret(secret));
  Entry entry{.key = nullptr, .certificates = {}};
  entry.symmetric =
      VHSM_TRY(SymmetricKey::hold(material, KeyUri{uri.name, uri.type, std::nullopt}, metrics_));
  return entry;
}

// ----- gates -------------------------------------------------------------------------------------

/// Before anybody else has the key.
void Shelf::put_under_gate(const KeyUri& uri, bool at_source, Entry& entry,
                           std::optional<Moment> proven) const {
  const bool has_key = entry.key != nullptr || entry.symmetric != nullptr;
  if (gate_.gate == Gate::kNone || !has_key) return;
  entry.permit = std::make_shared<Permit>(uri, at_source, gate_, renewer_);
  if (proven) entry.permit->grant(proven->boot, proven->steady);
  entry.permit->belong_to(entry.key, entry.symmetric);
  // All keys of a shelf are this process's.
  if (entry.key != nullptr) static_cast<const LocalKey&>(*entry.key).bind(entry.permit);
  if (entry.symmetric != nullptr) entry.symmetric->bind(entry.permit);
}

Result<Moment> Shelf::prove(Deadline since, Deadline deadline) {
  const Moment begun{gate_.now(), std::chrono::steady_clock::now()};
  if (source_ == nullptr)
    return fail(Errc::kNoPlatform, "no KBS is configured to prove this VM to");
  VHSM_TRY(source_->prove(since, deadline));
  return begun;
}

Status Shelf::renew(Permit& permit, Deadline deadline) {
  const Moment begun{gate_.now(), std::chrono::steady_clock::now()};
  const Status renewed = [&]() -> Status {
    if (permit.at_source()) return renew_at_source(permit, deadline);
    [[maybe_unused]] const Moment proven = VHSM_TRY(prove(permit.proven(), deadline));
    return {};
  }();
  if (renewed.ok()) {
    permit.grant(begun.boot, begun.steady);
  } else {
    note_failure(permit, renewed.error());
  }
  return renewed;
}

Status Shelf::renew_at_source(Permit& permit, Deadline deadline) {
  const KeyName& name = permit.uri().name;
  const auto secret = source_->renew(name, permit.proven(), deadline);
  if (secret.ok()) return compare(permit, secret.value());
  const Errc why = secret.error().code;
  if (takes_back(why)) withdraw(permit, why, nullptr);
  return secret.error().about(name.uri());
}

/// A key that was replaced is gone; its successor takes its place here.
Status Shelf::compare(Permit& permit, const SecretBytes& secret) {
  const KeyName& name = permit.uri().name;
  const auto here = VHSM_TRY(find(name));
  if (!here.has_value() || here->permit.get() != &permit) return {};  // deleted: nobody decides
  auto read = this->read(permit.uri(), secret);
  if (!read.ok()) memory::wipe_stacks();
  Entry fresh = VHSM_TRY(std::move(read));
  if (same_key(*here, fresh)) return {};
  put_under_gate(permit.uri(), true, fresh, Moment{gate_.now(), std::chrono::steady_clock::now()});
  withdraw(permit, Errc::kMissing, &fresh);
  return fail(Errc::kMissing, "the KBS holds another key under this name now", name.uri());
}

/// Wipes the key, and puts `successor` in its place, or nothing.
void Shelf::withdraw(Permit& permit, Errc why, const Entry* successor) {
  const KeyName& name = permit.uri().name;
  std::map<KeyName, Entry>::node_type removed;  // ends when the lock is free again
  static_cast<void>(memory::run_protected([&]() -> Status {
    const std::lock_guard lock(mutex_);
    const auto found = entries_.find(name);
    if (found == entries_.end() || found->second.permit.get() != &permit) return {};
    removed = entries_.extract(found);
    if (successor != nullptr) entries_.emplace(name, *successor);
    return {};
  }));
  permit.revoke(why);
  if (records_ == nullptr) return;
  records_->audit.write({.event = "wipe", .outcome = reason(why), .key = name.path()});
  records_->log.write(LogLevel::kWarning,
                      name.uri() + " is wiped: the KBS has taken it back (" + reason(why) + ")");
}

void Shelf::note_failure(Permit& permit, const Error& error) {
  if (permit.revoked()) return;
  permit.failed(error.code);
  if (!is_outage(error.code) || !permit.lease().stretch() || records_ == nullptr) return;
  const auto grace = std::chrono::duration_cast<std::chrono::seconds>(gate_.grace);
  records_->log.write(LogLevel::kWarning,
                      permit.uri().name.uri() + " goes on serving in an outage of the KBS, for " +
                          std::to_string(grace.count()) +
                          " s beyond its lease (offline_grace): " + describe(error));
}

}  // namespace vhsm::keystore
