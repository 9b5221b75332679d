// SPDX-License-Identifier: Apache-2.0
#include "keystore/shelf.h"

#include <algorithm>
#include <condition_variable>
#include <utility>

#include "keystore/algorithm_text.h"
#include "keystore/local_key.h"
#include "keystore/pair_check.h"
#include "keystore/sealed/copies.h"
#include "keystore/sealed/folder.h"
#include "keystore/secret_material.h"

namespace vhsm::keystore {

/// One fetch under way, and those who wait for it.
class Flight {
 public:
  /// A flight of an ancestor's thread will never land in this process.
  [[nodiscard]] bool ours() const noexcept { return generation_ == memory::generation(); }

  void land(const Result<Entry>& entry) noexcept {
    const std::lock_guard lock(mutex_);
    try {
      entry_.emplace(entry);
    } catch (...) {
      entry_.emplace(fail(Errc::kOutOfMemory, "no memory to fetch the key"));
    }
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

using std::chrono::steady_clock;

/// For another thread that unseals the same key.
constexpr std::chrono::seconds kDiskPatience{5};

Error taken(const KeyName& name) {
  return fail(Errc::kWrongState, "the name is taken", name.uri())
      .cured_by("choose another one, or delete that key");
}

/// Whatever happens, the flight lands: others wait for it.
Result<Entry> fly(const std::function<Result<Entry>()>& bring) noexcept {
  try {
    return bring();
  } catch (...) {
    return fail(Errc::kOutOfMemory, "no memory to fetch the key");
  }
}

/// What is left of a key that could not be read goes from the stacks.
template <class Read>
Result<Entry> or_wiped(Read&& read) {
  auto entry = read();
  if (!entry.ok()) memory::wipe_stacks();
  return entry;
}

/// Whether `record` has it like that still.
bool stands(const Place& place, const sealed::Record& record) {
  const sealed::Version* const version = record.version(place.version);
  return version != nullptr && version->state == sealed::State::kEnabled &&
         version->digest == place.digest && sealed::text(version->policy) == place.policy;
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

Result<std::optional<Entry>> Shelf::here(const Place& place) {
  return memory::run_protected([&]() -> Result<std::optional<Entry>> {
    const std::lock_guard lock(mutex_);
    const auto found = entries_.find(place);
    return found == entries_.end() ? std::nullopt : std::optional(found->second);
  });
}

Result<std::optional<Entry>> Shelf::find(const KeyUri& uri) {
  if (folder_ == nullptr || !folder_->is_unlocked()) return here({uri.name});
  const auto deadline = steady_clock::now() + kDiskPatience;
  const auto place = VHSM_TRY(place_in_folder(uri, deadline));
  if (!place.has_value()) return here({uri.name});
  Entry entry = VHSM_TRY(unseal_at(*place, deadline));
  return std::optional(std::move(entry));
}

Result<std::vector<std::pair<KeyUri, Entry>>> Shelf::held() {
  return memory::run_protected([&]() -> Result<std::vector<std::pair<KeyUri, Entry>>> {
    const std::lock_guard lock(mutex_);
    std::vector<std::pair<KeyUri, Entry>> all;
    for (const auto& [place, entry] : entries_) {
      if (place.version != 0) continue;
      all.emplace_back(KeyUri{place.name, type_of(entry), std::nullopt}, entry);
    }
    return all;
  });
}

Status Shelf::check_free(const KeyUri& uri, Deadline deadline) {
  if (folder_ != nullptr) {
    const auto record = VHSM_TRY(folder_->find(uri.name.path(), deadline));
    if (record.has_value()) return taken(uri.name);
  }
  const auto there = open(uri, deadline);
  if (there.ok()) return taken(uri.name);
  return there.error().code == Errc::kMissing ? Status() : Status(there.error());
}

Status Shelf::add(const KeyName& name, Entry entry, std::optional<Moment> proven) {
  put_under_gate(gate_, KeyUri{name, std::nullopt, std::nullopt}, false, entry, proven);
  if (entry.permit != nullptr && !proven) entry.permit->came_to_be(steady_clock::now());
  const bool added = VHSM_TRY(memory::run_protected([&]() -> Result<bool> {
    const std::lock_guard lock(mutex_);
    return entries_.emplace(Place{name}, entry).second;
  }));
  return added ? Status() : Status(taken(name));
}

Status Shelf::remove(const KeyName& name) {
  std::map<Place, Entry>::node_type removed;  // ends when the lock is free again
  VHSM_TRY(memory::run_protected([&]() -> Status {
    const std::lock_guard lock(mutex_);
    removed = entries_.extract(Place{name});
    return {};
  }));
  if (!removed.empty()) return {};
  return fail(Errc::kMissing, "there is no such key here", name.uri());
}

Status Shelf::forget(const KeyName& name) { return keep_what_stands(name, nullptr); }

Result<Shelf::Claim> Shelf::claim(const Errand& errand) {
  return memory::run_protected([&]() -> Result<Claim> {
    const std::lock_guard lock(mutex_);
    if (const auto found = entries_.find(errand.place); found != entries_.end()) {
      return Claim{found->second, nullptr, false};
    }
    auto& flight = flights_[errand];
    const bool mine = flight == nullptr || !flight->ours();
    if (mine) flight = std::make_shared<Flight>();
    return Claim{std::nullopt, flight, mine};
  });
}

void Shelf::land(const Errand& errand, const std::shared_ptr<Flight>& flight,
                 const Result<Entry>& entry) {
  static_cast<void>(memory::run_protected([&]() -> Status {
    const std::lock_guard lock(mutex_);
    flights_.erase(errand);
    if (entry.ok()) entries_.emplace(errand.place, entry.value());
    return {};
  }));
  flight->land(entry);
}

Result<Entry> Shelf::open(const KeyUri& uri, Deadline deadline) {
  const auto place = VHSM_TRY(place_in_folder(uri, deadline));
  if (place.has_value()) return open_in_folder(*place, deadline);
  if (uri.version) {
    return fail(Errc::kUnsupported, "only keys in a folder (keystore = dir:) have versions",
                uri.name.uri());
  }
  return open_at({{uri.name}, uri.wants_secret()}, deadline, [&] { return fetch(uri, deadline); });
}

Result<Entry> Shelf::open_at(const Errand& errand, Deadline deadline, const Bring& bring) {
  auto claimed = VHSM_TRY(claim(errand));
  if (claimed.entry) return *std::move(claimed.entry);
  if (!claimed.mine) return claimed.flight->wait(errand.place.name, deadline);
  const Result<Entry> entry = fly(bring);
  land(errand, claimed.flight, entry);
  return entry;
}

// ----- the folder --------------------------------------------------------------------------------

/// Lets go of what nobody gets from the folder any more: another process may have deleted it, or
/// set other terms. Who has it open goes on.
/// @param record  null: the folder has no such key.
Status Shelf::keep_what_stands(const KeyName& name, const sealed::Record* record) {
  std::map<Place, Entry> removed;  // ends when the lock is free again
  return memory::run_protected([&]() -> Status {
    const std::lock_guard lock(mutex_);
    auto next = entries_.lower_bound({name, 1});
    while (next != entries_.end() && next->first.name == name) {
      const auto here = next++;
      if (record == nullptr || !stands(here->first, *record)) {
        removed.insert(entries_.extract(here));
      }
    }
    return {};
  });
}

/// Nothing when the folder has no such key: then the source is asked.
Result<std::optional<Place>> Shelf::place_in_folder(const KeyUri& uri, Deadline deadline) {
  if (folder_ == nullptr) return std::optional<Place>();
  const auto record = VHSM_TRY(folder_->find(uri.name.path(), deadline));
  VHSM_TRY(keep_what_stands(uri.name, record.has_value() ? &*record : nullptr));
  if (!record.has_value()) return std::optional<Place>();
  const sealed::Version version = VHSM_TRY(sealed::usable_version(*record, uri.version));
  const bool is_secret = version.content == sealed::Content::kSecret;
  if (is_secret == (uri.type == ObjectType::kSecret)) {
    return std::optional(
        Place{uri.name, version.number, version.digest, std::string(sealed::text(version.policy))});
  }
  return is_secret
             ? fail(Errc::kMissing, "a symmetric key stands there: name it with type=secret",
                    uri.name.uri())
             : fail(Errc::kMissing, "a key pair stands there, not a symmetric key", uri.name.uri());
}

/// Its first user need not wait for a proof of this VM: whoever opens it does, as for a fetch.
Result<Entry> Shelf::open_in_folder(const Place& place, Deadline deadline) {
  Entry entry = VHSM_TRY(unseal_at(place, deadline));
  const auto left = deadline - steady_clock::now();
  if (entry.permit != nullptr) {
    entry.permit->prepare(std::chrono::duration_cast<std::chrono::milliseconds>(left));
  }
  return entry;
}

Result<Entry> Shelf::unseal_at(const Place& place, Deadline deadline) {
  return open_at({place}, deadline, [&] { return unseal(place, deadline); });
}

Result<Entry> Shelf::unseal(const Place& place, Deadline deadline) {
  const auto opened = VHSM_TRY(folder_->open(place.name.path(), place.version, deadline));
  KeyUri uri{place.name, std::nullopt, place.version};
  if (opened.version.content == sealed::Content::kSecret) uri.type = ObjectType::kSecret;
  auto read = this->read(uri, opened.content);
  if (!read.ok()) return read.error().about(place.name.uri());
  Entry entry = std::move(read).value();
  const GateTerms gate = VHSM_TRY(put_under_policy(place.name, opened.version, entry));
  put_under_gate(gate, uri, false, entry, std::nullopt);
  return entry;
}

UseCount::Store Shelf::uses_in_folder(const KeyName& name, const sealed::Version& version,
                                      std::uint64_t limit) const {
  return {.take = [folder = folder_, path = name.path(), version](
                      std::uint32_t wanted) { return folder->take_uses(path, version, wanted); },
          .give_back =
              [folder = folder_, path = name.path(), version, limit](std::uint32_t uses) {
                return folder->give_back_uses(path, version, uses, limit);
              }};
}

Result<GateTerms> Shelf::put_under_policy(const KeyName& name, const sealed::Version& version,
                                          const Entry& entry) const {
  if (version.policy.empty()) return gate_;
  auto policy = VHSM_TRY(KeyPolicy::parse(sealed::text(version.policy)));
  const GateTerms gate = policy.gate_under(gate_);
  const auto bind = [&](const auto& key) {
    if (policy.uses().has_value()) {
      key.bind(std::make_shared<UseCount>(uses_in_folder(name, version, *policy.uses())));
    }
    key.bind(std::move(policy));
  };
  if (entry.key != nullptr) bind(static_cast<const LocalKey&>(*entry.key));
  if (entry.symmetric != nullptr) bind(*entry.symmetric);
  return gate;
}

// ----- the source --------------------------------------------------------------------------------

Result<Entry> Shelf::fetch(const KeyUri& uri, Deadline deadline) {
  if (source_ == nullptr) {
    return fail(Errc::kMissing, "the key is not here and no KBS is configured", uri.name.uri());
  }
  const BootTime asked = gate_.now();
  const auto secret = source_->fetch(uri.name, deadline);
  const Moment released{asked, steady_clock::now()};
  if (!secret.ok()) {
    const Error error = secret.error().about(uri.name.uri());
    drop_copy(uri.name, error.code);
    return error.code == Errc::kUnreachable ? lend(uri, error) : error;
  }
  auto read = read_from_source(uri, secret.value());
  if (!read.ok()) return read.error().about(uri.name.uri());
  Entry entry = std::move(read).value();
  put_under_gate(gate_, uri, true, entry, released);
  keep_copy(uri, entry, secret.value());
  return entry;
}

// ----- copies of what the source has released ----------------------------------------------------

/// What comes of a copy is the source's key, on a lease that ends with the copy's time.
Result<Entry> Shelf::lend(const KeyUri& uri, const Error& outage) {
  if (copies_ == nullptr) return outage;
  const auto lent = copies_->lend(uri.name.path());
  if (!lent.ok() && records_ != nullptr) records_->log.error(lent.error());
  if (!lent.ok() || !lent.value().has_value()) return outage;
  auto read = read_from_source(uri, lent.value()->stored);
  if (!read.ok()) return read.error().about(uri.name.uri());
  Entry entry = std::move(read).value();
  const auto permit = bind_permit(gate_, uri, true, entry);
  if (permit == nullptr) return outage;  // its time could not end
  permit->lend(lent.value()->left);
  if (records_ == nullptr) return entry;
  records_->audit.write({.event = "copy", .outcome = "used", .key = uri.name.path()});
  records_->log.write(LogLevel::kWarning,
                      uri.name.uri() +
                          " is served from its sealed copy in an outage of the KBS, for " +
                          std::to_string(lent.value()->left.count()) +
                          " s at most (offline_copies): " + describe(outage));
  return entry;
}

/// A copy that cannot be kept is no reason to refuse the key.
void Shelf::keep_copy(const KeyUri& uri, const Entry& entry, const SecretBytes& stored) const {
  const bool has_key = entry.key != nullptr || entry.symmetric != nullptr;
  if (copies_ == nullptr || !has_key) return;
  const bool is_secret = entry.symmetric != nullptr;
  const Status kept = copies_->keep(
      uri.name.path(),
      {.content = is_secret ? sealed::Content::kSecret : sealed::Content::kPair,
       .type = is_secret ? AlgorithmText::of(*entry.symmetric) : AlgorithmText::of(*entry.key)},
      stored);
  if (kept.ok() || records_ == nullptr) return;
  records_->log.write(LogLevel::kError, "no sealed copy of " + uri.name.uri() +
                                            " is kept: " + describe(kept.error()));
}

/// After the source's last word; after any other error it stays.
void Shelf::drop_copy(const KeyName& name, Errc why) const {
  if (copies_ == nullptr || !takes_back(why)) return;
  const auto dropped = copies_->drop(name.path());
  if (records_ == nullptr) return;
  if (!dropped.ok()) return records_->log.error(dropped.error().about(name.uri()));
  if (!dropped.value()) return;
  records_->audit.write({.event = "copy", .outcome = "removed", .key = name.path()});
  records_->log.write(LogLevel::kWarning, "the sealed copy of " + name.uri() +
                                              " is removed: the KBS has taken the key back (" +
                                              reason(why) + ")");
}

bool Shelf::is_secret_path(const KeyName& name) const noexcept {
  return std::ranges::any_of(secret_paths_,
                             [&](const KeyFolder& folder) { return folder.holds(name); });
}

/// A KBS says nothing of what its bytes are, so the settings do, for whole folders of it: there
/// they are secrets, and never keys. What was sealed here says it itself.
Result<Entry> Shelf::read_from_source(const KeyUri& uri, const SecretBytes& stored) const {
  if (!is_secret_path(uri.name)) return read(uri, stored);
  if (uri.type != ObjectType::kSecret) {
    return fail(Errc::kPolicy, "the settings (secret_paths) have secrets there, and no keys");
  }
  return or_wiped([&]() -> Result<Entry> {
    const auto material = VHSM_TRY(parse_named_secret(stored));
    return shelve_symmetric(uri, material);
  });
}

Result<Entry> Shelf::read(const KeyUri& uri, const SecretBytes& stored) const {
  return or_wiped([&]() -> Result<Entry> {
    if (uri.type == ObjectType::kSecret) {
      const auto material = VHSM_TRY(parse_secret(stored));
      return shelve_symmetric(uri, material);
    }
    auto material = VHSM_TRY(parse_material(stored));
    return shelve(uri, std::move(material));
  });
}

Result<Entry> Shelf::shelve(const KeyUri& uri, Material material) const {
  Entry entry{.key = nullptr, .certificates = std::move(material.certificates)};
  entry.policy = std::move(material.policy);
  if (material.pair == nullptr) return entry;
  auto half = VHSM_TRY(PublicHalf::of(material.pair.get()));
  VHSM_TRY(check_pair(half, material.pair.get()));
  entry.public_key_info = VHSM_TRY(half.key_info());
  const auto key = VHSM_TRY(LocalKey::hold(std::move(half), std::move(material.pair),
                                           KeyUri{uri.name, std::nullopt, uri.version}, metrics_));
  if (!entry.policy.empty()) {
    auto policy = VHSM_TRY(KeyPolicy::parse(entry.policy));
    key->bind(std::move(policy));
  }
  entry.key = key;
  return entry;
}

Result<Entry> Shelf::shelve_symmetric(const KeyUri& uri, const SecretMaterial& material) const {
  Entry entry{.key = nullptr, .certificates = {}};
  entry.policy = policy_of(material.uses);
  entry.symmetric =
      VHSM_TRY(SymmetricKey::hold(material, KeyUri{uri.name, uri.type, uri.version}, metrics_));
  return entry;
}

}  // namespace vhsm::keystore
