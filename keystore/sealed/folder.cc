// SPDX-License-Identifier: Apache-2.0
#include "keystore/sealed/folder.h"

#include <algorithm>
#include <unordered_set>
#include <utility>

#include "base/haste.h"
#include "keystore/sealed/layout.h"

namespace vhsm::keystore::sealed {
namespace {

constexpr std::size_t kMaxHeadBytes = 4096;
constexpr std::size_t kMaxRootBytes = std::size_t{64} << 10;
constexpr std::chrono::seconds kGiveBackPatience{1};  // a program that ends is not to hang

Error stale(const std::string& file) {
  return fail(Errc::kTampered, "this is not the current state of the file: it was put back", file);
}

Error gone(const Error& missing) {
  return fail(Errc::kTampered, "a file that the keystore needs is gone", missing.subject);
}

/// Of a folder in which nobody has made a keystore.
Error never_made(const Error& missing) {
  return fail(Errc::kIo, "no keystore was ever made here: vhsm keystore init", missing.subject);
}

Result<Bytes> read_head(Files& files) {
  auto head = files.read(kHeadName, kMaxHeadBytes);
  if (head.ok() || head.error().code != Errc::kMissing) return head;
  return never_made(head.error());
}

/// With the key's name in front: that of a file says nothing to anybody.
Error damage(const Error& error, const std::string& name) {
  Error told = error.code == Errc::kMissing ? gone(error) : error;
  const std::string place(told.subject.text());
  told.subject = uri_of(name) + (place.empty() ? "" : ", file " + place);
  return told.cured_by("restore the folder from a backup, or delete the key");
}

Status check_digest(ByteView bytes, const Digest& expected, const std::string& file) {
  const Digest digest = VHSM_TRY(digest_of(bytes));
  return digest == expected ? Status() : Status(stale(file));
}

}  // namespace

/// The folder at one generation.
struct Folder::Snapshot {
  Bytes head_bytes;
  Head head;
  Bytes root_file;
  Index index;
};

// ----- the root key ------------------------------------------------------------------------------

Result<RootPtr> Folder::root() const {
  return memory::run_protected([&]() -> Result<RootPtr> {
    const std::lock_guard lock(mutex_);
    return root_;
  });
}

Result<SecretBytes> Folder::open_by(const Slot& slot, TimePoint deadline) const {
  const auto key = VHSM_TRY(keys_->key_for(slot.terms, deadline));
  return open_slot(slot, key);
}

/// And the slot that it was in, if the platform derives its key.
struct Folder::OpenedRoot {
  SecretBytes key;
  Bytes own_slot;
};

/// The first slot that opens; the KBS's come last, as it may be away and take all the time there
/// is. Why the others do not is told when none does.
Result<Folder::OpenedRoot> Folder::root_in(std::vector<Slot> slots, TimePoint deadline) const {
  std::string reasons;
  // Not std::ranges': clang 14 cannot compile what g++ 12's library answers.
  std::stable_partition(slots.begin(), slots.end(),
                        [](const Slot& slot) { return slot.terms.kind != SlotKind::kKbs; });
  for (const Slot& slot : slots) {
    auto opened = open_by(slot, deadline);
    if (opened.ok()) {
      const bool is_own = slot.terms.kind == SlotKind::kPlatform;
      return OpenedRoot{std::move(opened).value(), is_own ? slot.box : Bytes()};
    }
    reasons.append(reasons.empty() ? "" : "; ")
        .append(name_of(slot.terms.kind))
        .append(": ")
        .append(opened.error().what.c_str());
  }
  return fail(Errc::kSealed, "no slot of the keystore opens here", reasons);
}

/// Not authenticated.
Result<Bytes> Folder::root_file() const {
  for (bool again = false;; again = true) {
    const Bytes head_bytes = VHSM_TRY(read_head(*files_));
    const Box box = VHSM_TRY(parse_box(head_bytes, BoxKind::kHead));
    const Head head = VHSM_TRY(parse_head(box));
    auto file = files_->read(root_name(head), kMaxRootBytes);
    if (file.ok() || file.error().code != Errc::kMissing) return file;
    if (again) return gone(file.error());  // else the slots have changed meanwhile
  }
}

bool Folder::is_unlocked() const {
  const auto here = root();
  return here.ok() && here.value() != nullptr;
}

bool Folder::is_made() const {
  const auto head = files_->read(kHeadName, kMaxHeadBytes);
  return head.ok() || head.error().code != Errc::kMissing;
}

Status Folder::lock_up() {
  RootPtr root;  // they end when the lock is free again
  SnapshotPtr snapshot;
  return memory::run_protected([&]() -> Status {
    const std::lock_guard lock(mutex_);
    root.swap(root_);
    snapshot.swap(snapshot_);
    return {};
  });
}

Status Folder::unlock(TimePoint deadline) {
  const RootPtr here = VHSM_TRY(root());
  if (here != nullptr) return {};
  const Bytes file = VHSM_TRY(root_file());
  auto slots = VHSM_TRY(parse_slots(file));
  auto opened = VHSM_TRY(root_in(std::move(slots), deadline));
  VHSM_TRY(check_slots(opened.key, file));
  auto kept = std::make_shared<const SecretBytes>(std::move(opened.key));
  auto own_slot = std::make_shared<const Bytes>(std::move(opened.own_slot));
  return memory::run_protected([&]() -> Status {
    const std::lock_guard lock(mutex_);
    if (root_ != nullptr) return {};
    root_ = std::move(kept);
    own_slot_ = std::move(own_slot);
    return {};
  });
}

// ----- reading -----------------------------------------------------------------------------------

Result<Folder::SnapshotPtr> Folder::cached() const {
  return memory::run_protected([&]() -> Result<SnapshotPtr> {
    const std::lock_guard lock(mutex_);
    return snapshot_;
  });
}

/// @errors kMissing when a file is gone: then the head has changed since it was read.
Result<Folder::SnapshotPtr> Folder::load(Bytes head_bytes) const {
  const RootPtr root = VHSM_TRY(this->root());
  const Box box = VHSM_TRY(parse_box(head_bytes, BoxKind::kHead));
  VHSM_TRY(check_box(*root, box));
  const Head head = VHSM_TRY(parse_head(box));
  Bytes root_file = VHSM_TRY(files_->read(root_name(head), kMaxRootBytes));
  VHSM_TRY(check_digest(root_file, head.root, root_name(head)));
  const Bytes index_file = VHSM_TRY(files_->read(index_name(head), kMaxIndexBytes));
  VHSM_TRY(check_digest(index_file, head.index, index_name(head)));
  const Box index_box = VHSM_TRY(parse_box(index_file, BoxKind::kIndex));
  Bytes body(index_box.body.size());
  VHSM_TRY(open_box(*root, index_box, body));
  Index index = VHSM_TRY(Index::parse(std::move(body)));
  return std::make_shared<const Snapshot>(
      Snapshot{std::move(head_bytes), head, std::move(root_file), std::move(index)});
}

/// A file that a head names is there, unless somebody has made the next generation meanwhile: then
/// the head is another. It is read again as long as that is so.
Result<Folder::SnapshotPtr> Folder::current(TimePoint deadline) {
  VHSM_TRY(unlock(deadline));
  SnapshotPtr snapshot = VHSM_TRY(cached());
  Bytes seen;
  for (;;) {
    Bytes head = VHSM_TRY(read_head(*files_));
    if (snapshot != nullptr && head == snapshot->head_bytes) return snapshot;
    const bool again = head == seen;
    seen = head;
    auto loaded = load(std::move(head));
    if (!loaded.ok() && loaded.error().code == Errc::kMissing) {
      if (!again) continue;
      return gone(loaded.error());
    }
    const SnapshotPtr newer = VHSM_TRY(std::move(loaded));
    if (snapshot != nullptr && newer->head.generation < snapshot->head.generation) {
      return stale(kHeadName);
    }
    snapshot = newer;
    break;
  }
  return memory::run_protected([&]() -> Result<SnapshotPtr> {
    const std::lock_guard lock(mutex_);
    snapshot_ = snapshot;
    return snapshot;
  });
}

Result<std::optional<Record>> Folder::find(const std::string& name, TimePoint deadline) {
  const SnapshotPtr snapshot = VHSM_TRY(current(deadline));
  return snapshot->index.find(name);
}

Result<std::vector<Record>> Folder::records(TimePoint deadline) {
  const SnapshotPtr snapshot = VHSM_TRY(current(deadline));
  return snapshot->index.records();
}

Result<OpenedVersion> Folder::read(const std::string& name, const Version& version) const {
  const std::string file = VHSM_TRY(file_of(name, version.number));
  const Bytes bytes = VHSM_TRY(files_->read(file, kMaxKeyFileBytes));
  VHSM_TRY(check_digest(bytes, version.digest, file));
  const Box box = VHSM_TRY(parse_box(bytes, BoxKind::kKey));
  const KeyFile header = VHSM_TRY(parse_key_file(box));
  if (header.version != version.number) return stale(file);
  const RootPtr root = VHSM_TRY(this->root());
  auto content = VHSM_TRY(open_secret_box(*root, box));
  return OpenedVersion{version, std::move(content)};
}

Result<OpenedVersion> Folder::open(const std::string& name, std::optional<std::uint32_t> number,
                                   TimePoint deadline) {
  for (bool again = false;; again = true) {
    const auto record = VHSM_TRY(find(name, deadline));
    if (!record.has_value()) return no_such_key(name);
    const Version version = VHSM_TRY(usable_version(*record, number));
    auto opened = read(name, version);
    if (opened.ok() || opened.error().code != Errc::kMissing) return opened;
    if (!again) continue;  // it was deleted meanwhile
    return fail(Errc::kTampered, "the key's file is gone", uri_of(name));
  }
}

Result<std::vector<Error>> Folder::check(TimePoint deadline) {
  std::vector<Error> found;
  const auto all = VHSM_TRY(records(deadline));
  for (const Record& record : all) {
    for (const Version& version : record.versions) {
      const auto opened = read(record.name, version);
      if (!opened.ok()) found.push_back(damage(opened.error(), record.name));
    }
  }
  return found;
}

// ----- changes -----------------------------------------------------------------------------------

Status Folder::change(const Edit& edit, std::chrono::milliseconds patience) {
  const auto locked = VHSM_TRY(files_->lock(Haste::limit(patience)));
  const SnapshotPtr now = VHSM_TRY(current(Clock::now() + kLockPatience));
  if (!swept_) VHSM_TRY(sweep(*now));
  const RootPtr root = VHSM_TRY(this->root());
  Draft draft{root, now->head, {}};
  draft.slots = VHSM_TRY(parse_slots(now->root_file));
  draft.records = VHSM_TRY(now->index.records());
  ++draft.head.generation;
  draft.obsolete.push_back(index_name(now->head));
  VHSM_TRY(edit(draft));
  swept_ = false;  // if this does not come to its end, the next one finds what it has left
  if (draft.changes_slots) draft.obsolete.push_back(root_name(now->head));
  VHSM_TRY(draft.write(*files_));
  swept_ = true;
  return {};
}

/// A crash between files of a key and the head leaves a file that no index knows. One of a later
/// generation than the next is another matter: the head was put back, and keys are missing.
Status Folder::remove_orphan(const Snapshot& snapshot, const std::string& file) const {
  if (is_key_file(file)) {
    const Bytes bytes = VHSM_TRY(files_->read(file, kMaxKeyFileBytes));
    const auto box = parse_box(bytes, BoxKind::kKey);  // it may be torn
    const auto header = box.ok() ? parse_key_file(box.value()) : box.error();
    if (header.ok() && header.value().generation > snapshot.head.generation + 1) {
      return fail(Errc::kTampered, "this key is newer than the head of the keystore", file);
    }
  }
  return files_->remove(file);
}

Status Folder::sweep(const Snapshot& snapshot) const {
  std::unordered_set<std::string> needed{index_name(snapshot.head), root_name(snapshot.head)};
  const auto records = VHSM_TRY(snapshot.index.records());
  for (const Record& record : records) {
    for (const Version& version : record.versions) {
      std::string file = VHSM_TRY(file_of(record.name, version.number));
      needed.insert(std::move(file));
    }
  }
  const auto there = VHSM_TRY(files_->names());
  for (const std::string& file : there) {
    if (is_ours(file) && !needed.contains(file)) VHSM_TRY(remove_orphan(snapshot, file));
  }
  return {};
}

Result<Version> Folder::add(const std::string& name, const NewVersion& version,
                            const SecretBytes& content) {
  Version made;
  const Edit edit = [&](Draft& draft) -> Status {
    if (draft.find(name) != nullptr) {
      return fail(Errc::kWrongState, "the name is taken", uri_of(name))
          .cured_by("choose another one, or delete that key");
    }
    made = VHSM_TRY(draft.append(draft.add(name, 1), version, content));
    return {};
  };
  VHSM_TRY(change(edit));
  return made;
}

Result<Version> Folder::add_version(const std::string& name, const NewVersion& version,
                                    const SecretBytes& content) {
  Version made;
  const Edit edit = [&](Draft& draft) -> Status {
    Record* const record = draft.find(name);
    if (record == nullptr) return no_such_key(name);
    made = VHSM_TRY(draft.append(*record, version, content));
    return {};
  };
  VHSM_TRY(change(edit));
  return made;
}

Result<Version> Folder::put_copy(const std::string& name, const NewVersion& version,
                                 const SecretBytes& content) {
  Version made;
  const Edit edit = [&](Draft& draft) -> Status {
    const Record* const there = draft.find(name);
    const std::uint32_t next = there == nullptr ? 1 : there->next;
    std::vector<std::string> going;
    for (const Record& record : draft.records) {
      const Version& newest = record.versions.back();
      const bool is_over =
          newest.origin == Origin::kCopy && newest.copy.until <= version.copy.since;
      if (is_over || record.name == name) going.push_back(record.name);
    }
    for (const std::string& each : going) VHSM_TRY(draft.erase(each, std::nullopt));
    made = VHSM_TRY(draft.append(draft.add(name, next), version, content));
    return {};
  };
  VHSM_TRY(change(edit));
  return made;
}

Status Folder::change_copy(const std::string& name,
                           const std::function<Status(CopyTerms&)>& change) {
  return this->change([&](Draft& draft) -> Status {
    Record* const record = draft.find(name);
    return record == nullptr ? no_such_key(name) : change(record->versions.back().copy);
  });
}

Status Folder::set_state(const std::string& name, std::optional<std::uint32_t> number,
                         State state) {
  return change([&](Draft& draft) -> Status {
    const auto selected = VHSM_TRY(draft.select(name, number));
    for (Version* const version : selected) version->state = state;
    return {};
  });
}

Status Folder::set_policy(const std::string& name, std::optional<std::uint32_t> number,
                          const std::function<Result<NewPolicy>(const Version&)>& policy_for) {
  return change([&](Draft& draft) -> Status {
    const auto selected = VHSM_TRY(draft.select(name, number));
    for (Version* const version : selected) {
      NewPolicy policy = VHSM_TRY(policy_for(*version));
      version->policy = std::move(policy.text);
      version->uses_left = policy.uses;
    }
    return {};
  });
}

namespace {

/// Of those that are left; where its owner has lifted the limit, there are enough.
Result<std::uint32_t> block_of(const std::string& name, Uses left, std::uint32_t wanted) {
  constexpr std::uint64_t kParts = 128;
  if (left == 0U) {
    return fail(Errc::kPolicy,
                "the key's policy has let it be used so often, and no more (uses): its owner sets "
                "uses= anew, or rotates the key",
                uri_of(name));
  }
  const std::uint64_t part = std::min<std::uint64_t>(left.value_or(UINT64_MAX) / kParts, wanted);
  return static_cast<std::uint32_t>(std::clamp<std::uint64_t>(part, 1, kMostUsesTaken));
}

}  // namespace

/// Nobody waits for the lock to hear that nothing is left.
Result<std::uint32_t> Folder::take_uses(const std::string& name, const Version& version,
                                        std::uint32_t wanted) {
  const auto record = VHSM_TRY(find(name, Clock::now() + kLockPatience));
  const Version* const here = record.has_value() ? record->version(version.number) : nullptr;
  if (here == nullptr || here->digest != version.digest) return no_such_key(name);
  std::uint32_t taken = VHSM_TRY(block_of(name, here->uses_left, wanted));
  const Edit take = [&](Draft& draft) -> Status {
    const auto selected = VHSM_TRY(draft.select(name, version.number));
    Version& now = *selected.front();
    if (now.digest != version.digest) return no_such_key(name);
    taken = VHSM_TRY(block_of(name, now.uses_left, wanted));
    if (now.uses_left.has_value()) *now.uses_left -= taken;
    return {};
  };
  VHSM_TRY(change(take));
  return taken;
}

/// Where its owner has spoken since, theirs is the last word.
Status Folder::give_back_uses(const std::string& name, const Version& version, std::uint32_t uses,
                              std::uint64_t limit) {
  const Edit give_back = [&](Draft& draft) -> Status {
    const auto selected = VHSM_TRY(draft.select(name, version.number));
    Version& now = *selected.front();
    const bool same = now.digest == version.digest && now.policy == version.policy;
    if (!same || !now.uses_left.has_value()) return no_such_key(name);
    Uses& left = now.uses_left;
    *left += std::min<std::uint64_t>(uses, limit - std::min(limit, *left));
    return {};
  };
  return change(give_back, kGiveBackPatience);
}

Status Folder::remove(const std::string& name, std::optional<std::uint32_t> number) {
  return change([&](Draft& draft) { return draft.erase(name, number); });
}

// ----- slots -------------------------------------------------------------------------------------

Status Folder::check_empty(Files& files) {
  const auto there = files.read(kHeadName, kMaxHeadBytes);
  if (there.ok()) {
    return fail(Errc::kWrongState, "there is a keystore in this folder already")
        .cured_by("use it, or name another folder in vhsm.cnf");
  }
  return there.error().code == Errc::kMissing ? Status() : Status(there.error());
}

Status Folder::create(Files& files, const std::vector<NewSlot>& slots) {
  const auto locked = VHSM_TRY(files.lock(kLockPatience));
  VHSM_TRY(check_empty(files));
  Draft draft = VHSM_TRY(Draft::first(slots));
  return draft.write(files);
}

/// The head goes first: what is left without it is nobody's.
Status Folder::start_anew(const std::vector<NewSlot>& slots) {
  Draft draft = VHSM_TRY(Draft::first(slots));
  const auto locked = VHSM_TRY(files_->lock(kLockPatience));
  VHSM_TRY(files_->remove(kHeadName));
  VHSM_TRY(files_->sync_folder());
  const auto there = VHSM_TRY(files_->names());
  for (const std::string& file : there) {
    if (is_ours(file)) VHSM_TRY(files_->remove(file));
  }
  VHSM_TRY(draft.write(*files_));
  return lock_up();
}

Result<std::vector<SlotState>> Folder::try_slots(TimePoint deadline) const {
  const Bytes file = VHSM_TRY(root_file());
  const auto slots = VHSM_TRY(parse_slots(file));
  std::vector<SlotState> states;
  for (const Slot& slot : slots) {
    const auto opened = open_by(slot, deadline);
    states.push_back({slot.terms, opened.ok() ? std::nullopt : std::optional(opened.error())});
  }
  return states;
}

Result<std::vector<SlotKind>> Folder::slots_of_others(TimePoint deadline) {
  const SnapshotPtr snapshot = VHSM_TRY(current(deadline));
  const auto slots = VHSM_TRY(parse_slots(snapshot->root_file));
  using BytesPtr = std::shared_ptr<const Bytes>;
  const auto own = VHSM_TRY(memory::run_protected([&]() -> Result<BytesPtr> {
    const std::lock_guard lock(mutex_);
    return own_slot_;
  }));
  std::vector<SlotKind> kinds;
  for (const Slot& slot : slots) {
    if (slot.box != *own) kinds.push_back(slot.terms.kind);
  }
  return kinds;
}

Status Folder::add_slot(const NewSlot& slot) {
  return change([&](Draft& draft) { return draft.add_slot(slot); });
}

Status Folder::remove_slot(std::size_t position) {
  return change([&](Draft& draft) { return draft.remove_slot(position); });
}

}  // namespace vhsm::keystore::sealed
