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
  return fail(Errc::kWrongState, "the name is taken", name.uri())
      .cured_by("choose another one, or delete that key");
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
  if (place.has_value()) return open_in_folder(*place, deadline);
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
  const auto left = deadline - std::chrono::steady_clock::now();
  if (entry.permit != nullptr) {
    entry.permit->prepare(std::chrono::duration_cast<std::chrono::milliseconds>(left));
  }
  return entry;
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
  const Moment begun{gate_.now(), std::chrono::steady_clock::now()};
  const auto secret = source_->fetch(uri.name, deadline);
  if (!secret.ok()) {
    const Error error = secret.error().about(uri.name.uri());
    drop_copy(uri.name, error.code);
    return error.code == Errc::kUnreachable ? lend(uri, error) : error;
  }
  auto read = read_from_source(uri, secret.value());
  if (!read.ok()) return read.error().about(uri.name.uri());
  Entry entry = std::move(read).value();
  put_under_gate(gate_, uri, true, entry, begun);
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

// ----- gates -------------------------------------------------------------------------------------

/// Null: it is under no gate. All keys of a shelf are this process's.
PermitPtr Shelf::bind_permit(const GateTerms& terms, const KeyUri& uri, bool at_source,
                             Entry& entry) const {
  const bool has_key = entry.key != nullptr || entry.symmetric != nullptr;
  if (terms.gate == Gate::kNone || !has_key) return nullptr;
  entry.permit = std::make_shared<Permit>(uri, at_source, terms, renewer_);
  entry.permit->belong_to(entry.key, entry.symmetric);
  if (entry.key != nullptr) static_cast<const LocalKey&>(*entry.key).bind(entry.permit);
  if (entry.symmetric != nullptr) entry.symmetric->bind(entry.permit);
  return entry.permit;
}

/// Before anybody else has the key.
void Shelf::put_under_gate(const GateTerms& terms, const KeyUri& uri, bool at_source, Entry& entry,
                           std::optional<Moment> proven) const {
  const auto permit = bind_permit(terms, uri, at_source, entry);
  if (permit != nullptr && proven) permit->grant(proven->boot, proven->steady);
}

Result<Moment> Shelf::prove(Deadline since, Deadline deadline) {
  const Moment begun{gate_.now(), std::chrono::steady_clock::now()};
  if (source_ == nullptr) {
    return fail(Errc::kBadConfig, "no KBS is configured to prove this VM to: set kbs");
  }
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
  drop_copy(name, why);
  return secret.error().about(name.uri());
}

/// A key that was replaced is gone; its successor takes its place here.
Status Shelf::compare(Permit& permit, const SecretBytes& secret) {
  const KeyName& name = permit.uri().name;
  const auto here = VHSM_TRY(this->here({name}));
  if (!here.has_value() || here->permit.get() != &permit) return {};  // deleted: nobody decides
  Entry fresh = VHSM_TRY(read_from_source(permit.uri(), secret));
  keep_copy(permit.uri(), fresh, secret);
  if (same_key(*here, fresh)) return {};
  put_under_gate(gate_, permit.uri(), true, fresh,
                 Moment{gate_.now(), std::chrono::steady_clock::now()});
  withdraw(permit, Errc::kMissing, &fresh);
  return fail(Errc::kMissing, "the KBS holds another key under this name now", name.uri());
}

/// Wipes the key, and puts `successor` in its place, or nothing.
void Shelf::withdraw(Permit& permit, Errc why, const Entry* successor) {
  const KeyName& name = permit.uri().name;
  std::map<Place, Entry>::node_type removed;  // ends when the lock is free again
  static_cast<void>(memory::run_protected([&]() -> Status {
    const std::lock_guard lock(mutex_);
    const auto found = entries_.find(Place{name});
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
  const auto grace = std::chrono::duration_cast<std::chrono::seconds>(permit.lease().terms().grace);
  records_->log.write(LogLevel::kWarning,
                      permit.uri().name.uri() + " goes on serving in an outage of the KBS, for " +
                          std::to_string(grace.count()) +
                          " s beyond its lease (offline_grace): " + describe(error));
}

}  // namespace vhsm::keystore
