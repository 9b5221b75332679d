// SPDX-License-Identifier: Apache-2.0
#include "keystore/shelf.h"

#include <algorithm>
#include <condition_variable>
#include <utility>

#include "keystore/local_key.h"
#include "keystore/pair_check.h"
#include "keystore/sealed/folder.h"
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

/// For another thread that unseals the same key.
constexpr std::chrono::seconds kDiskPatience{5};

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
  const auto deadline = std::chrono::steady_clock::now() + kDiskPatience;
  const auto place = VHSM_TRY(place_in_folder(uri, deadline));
  if (!place.has_value()) return here({uri.name});
  Entry entry = VHSM_TRY(unseal_at(*place, deadline));
  return std::optional(std::move(entry));
}

Result<std::vector<KeyUri>> Shelf::names() {
  return memory::run_protected([&]() -> Result<std::vector<KeyUri>> {
    const std::lock_guard lock(mutex_);
    std::vector<KeyUri> all;
    for (const auto& [place, entry] : entries_) {
      if (place.version == 0) all.push_back({place.name, type_of(entry), std::nullopt});
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
  put_under_gate(KeyUri{name, std::nullopt, std::nullopt}, false, entry, proven);
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
    removed = entries_.extract({name});
    return {};
  }));
  if (!removed.empty()) return {};
  return fail(Errc::kMissing, "there is no such key here", name.uri());
}

Status Shelf::forget(const KeyName& name) {
  std::vector<Entry> removed;  // end when the lock is free again
  return memory::run_protected([&]() -> Status {
    const std::lock_guard lock(mutex_);
    const auto first = entries_.lower_bound({name, 1});
    auto last = first;
    for (; last != entries_.end() && last->first.name == name; ++last) {
      removed.push_back(last->second);
    }
    entries_.erase(first, last);
    return {};
  });
}

Result<Shelf::Claim> Shelf::claim(const Place& place) {
  return memory::run_protected([&]() -> Result<Claim> {
    const std::lock_guard lock(mutex_);
    if (const auto found = entries_.find(place); found != entries_.end()) {
      return Claim{found->second, nullptr, false};
    }
    auto& flight = flights_[place];
    const bool mine = flight == nullptr || !flight->ours();
    if (mine) flight = std::make_shared<Flight>();
    return Claim{std::nullopt, flight, mine};
  });
}

void Shelf::land(const Place& place, const std::shared_ptr<Flight>& flight,
                 const Result<Entry>& entry) {
  static_cast<void>(memory::run_protected([&]() -> Status {
    const std::lock_guard lock(mutex_);
    if (entry.ok()) entries_.emplace(place, entry.value());
    flights_.erase(place);
    return {};
  }));
  flight->land(entry);
}

Result<Entry> Shelf::open(const KeyUri& uri, Deadline deadline) {
  const auto place = VHSM_TRY(place_in_folder(uri, deadline));
  if (place.has_value()) return unseal_at(*place, deadline);
  if (uri.version) {
    return fail(Errc::kUnsupported, "only keys in a folder (keystore = dir:) have versions",
                uri.name.uri());
  }
  return open_at({uri.name}, deadline, [&] { return fetch(uri, deadline); });
}

Result<Entry> Shelf::open_at(const Place& place, Deadline deadline, const Bring& bring) {
  auto claimed = VHSM_TRY(claim(place));
  if (claimed.entry) return *std::move(claimed.entry);
  if (!claimed.mine) return claimed.flight->wait(place.name, deadline);
  const Result<Entry> entry = fly(bring);
  land(place, claimed.flight, entry);
  return entry;
}

// ----- the folder --------------------------------------------------------------------------------

/// Nothing when the folder has no such key: then the source is asked.
Result<std::optional<Place>> Shelf::place_in_folder(const KeyUri& uri, Deadline deadline) {
  if (folder_ == nullptr) return std::optional<Place>();
  const auto record = VHSM_TRY(folder_->find(uri.name.path(), deadline));
  if (!record.has_value()) return std::optional<Place>();
  const sealed::Version version = VHSM_TRY(sealed::usable_version(*record, uri.version));
  const bool is_secret = version.content == sealed::Content::kSecret;
  if (is_secret == (uri.type == ObjectType::kSecret)) {
    return std::optional(
        Place{uri.name, version.number, std::string(sealed::text(version.policy))});
  }
  return is_secret
             ? fail(Errc::kMissing, "a symmetric key stands there: name it with type=secret",
                    uri.name.uri())
             : fail(Errc::kMissing, "a key pair stands there, not a symmetric key", uri.name.uri());
}

Result<Entry> Shelf::unseal_at(const Place& place, Deadline deadline) {
  return open_at(place, deadline, [&] { return unseal(place, deadline); });
}

Result<Entry> Shelf::unseal(const Place& place, Deadline deadline) {
  const auto opened = VHSM_TRY(folder_->open(place.name.path(), place.version, deadline));
  KeyUri uri{place.name, std::nullopt, place.version};
  if (opened.version.content == sealed::Content::kSecret) uri.type = ObjectType::kSecret;
  auto read = this->read(uri, opened.content);
  if (!read.ok()) return read.error().about(place.name.uri());
  Entry entry = std::move(read).value();
  VHSM_TRY(put_under_policy(opened.version, entry));
  put_under_gate(uri, false, entry, std::nullopt);
  return entry;
}

/// A symmetric key has its terms in itself (a JWK).
Status Shelf::put_under_policy(const sealed::Version& version, const Entry& entry) {
  if (version.policy.empty() || entry.key == nullptr) return {};
  auto policy = VHSM_TRY(KeyPolicy::parse(sealed::text(version.policy)));
  static_cast<const LocalKey&>(*entry.key)
      .bind(std::make_shared<const KeyPolicy>(std::move(policy)));
  return {};
}

// ----- the source --------------------------------------------------------------------------------

Result<Entry> Shelf::fetch(const KeyUri& uri, Deadline deadline) {
  if (source_ == nullptr) {
    return fail(Errc::kMissing, "the key is not here and no KBS is configured", uri.name.uri());
  }
  const Moment begun{gate_.now(), std::chrono::steady_clock::now()};
  const auto secret = source_->fetch(uri.name, deadline);
  if (!secret.ok()) return secret.error().about(uri.name.uri());
  auto read = read_from_source(uri, secret.value());
  if (!read.ok()) return read.error().about(uri.name.uri());
  Entry entry = std::move(read).value();
  put_under_gate(uri, true, entry, begun);
  return entry;
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
  if (material.pair == nullptr) return entry;
  auto half = VHSM_TRY(PublicHalf::of(material.pair.get()));
  VHSM_TRY(check_pair(half, material.pair.get()));
  entry.public_key_info = VHSM_TRY(half.key_info());
  entry.key = VHSM_TRY(LocalKey::hold(std::move(half), std::move(material.pair),
                                      KeyUri{uri.name, std::nullopt, uri.version}, metrics_));
  return entry;
}

Result<Entry> Shelf::shelve_symmetric(const KeyUri& uri, const SecretMaterial& material) const {
  Entry entry{.key = nullptr, .certificates = {}};
  entry.symmetric =
      VHSM_TRY(SymmetricKey::hold(material, KeyUri{uri.name, uri.type, uri.version}, metrics_));
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
  const auto here = VHSM_TRY(this->here({name}));
  if (!here.has_value() || here->permit.get() != &permit) return {};  // deleted: nobody decides
  Entry fresh = VHSM_TRY(read_from_source(permit.uri(), secret));
  if (same_key(*here, fresh)) return {};
  put_under_gate(permit.uri(), true, fresh, Moment{gate_.now(), std::chrono::steady_clock::now()});
  withdraw(permit, Errc::kMissing, &fresh);
  return fail(Errc::kMissing, "the KBS holds another key under this name now", name.uri());
}

/// Wipes the key, and puts `successor` in its place, or nothing.
void Shelf::withdraw(Permit& permit, Errc why, const Entry* successor) {
  const KeyName& name = permit.uri().name;
  std::map<Place, Entry>::node_type removed;  // ends when the lock is free again
  static_cast<void>(memory::run_protected([&]() -> Status {
    const std::lock_guard lock(mutex_);
    const auto found = entries_.find({name});
    if (found == entries_.end() || found->second.permit.get() != &permit) return {};
    removed = entries_.extract(found);
    if (successor != nullptr) entries_.emplace(Place{name}, *successor);
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
