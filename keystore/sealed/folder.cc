// SPDX-License-Identifier: Apache-2.0
#include "keystore/sealed/folder.h"

#include <algorithm>
#include <unordered_set>
#include <utility>

#include "base/haste.h"
#include "keystore/sealed/layout.h"

namespace vhsm::keystore::sealed {
namespace {

constexpr std::chrono::seconds kGiveBackPatience{1};  // a program that ends is not to hang

Error stale(const std::string& file) {
  return fail(Errc::kTampered, "this is not the current state of the file: it was put back", file);
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

/// The folder at one generation, and what has authenticated it.
struct Folder::Snapshot {
  RootPtr root;
  Bytes head_bytes;
  Head head;
  Bytes root_file;
  Index index;
};

// ----- the root key ------------------------------------------------------------------------------

/// The one way to the root key: there is none that is null.
Result<Folder::Opened> Folder::opened() const {
  return memory::run_protected([&]() -> Result<Opened> {
    const std::lock_guard lock(mutex_);
    if (opened_.root.key != nullptr) return opened_;
    return fail(Errc::kSealed, "the keystore has not been unlocked in this process")
        .cured_by("unlock it first");
  });
}

bool Folder::is_unlocked() const { return opened().ok(); }

bool Folder::is_made() const { return look() != HeadSeen(Errc::kMissing); }

HeadSeen Folder::look() const { return look_at_head(*files_); }

Status Folder::unlock(TimePoint deadline) {
  if (is_unlocked()) return {};
  OpenedRoot root = VHSM_TRY(open_root(*files_, *keys_, deadline));
  return memory::run_protected([&]() -> Status {
    const std::lock_guard lock(mutex_);
    if (opened_.root.key == nullptr) std::swap(opened_.root, root);
    return {};
  });
}

/// Whoever works with the former root key goes on with it; it ends when the lock is free again.
Status Folder::reopen(TimePoint deadline) {
  Opened anew;
  anew.root = VHSM_TRY(open_root(*files_, *keys_, deadline));
  anew.snapshot = VHSM_TRY(load_current(anew));
  return memory::run_protected([&]() -> Status {
    const std::lock_guard lock(mutex_);
    std::swap(opened_, anew);
    return {};
  });
}

// ----- reading -----------------------------------------------------------------------------------

/// @errors kMissing when a file is gone: then the head has changed since it was read.
Result<Folder::SnapshotPtr> Folder::load(const RootPtr& root, Bytes head_bytes) const {
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
      Snapshot{root, std::move(head_bytes), head, std::move(root_file), std::move(index)});
}

/// A file that a head names is there, unless somebody has made the next generation meanwhile: then
/// the head is another. It is read again as long as that is so.
Result<Folder::SnapshotPtr> Folder::load_current(const Opened& here) const {
  const SnapshotPtr& known = here.snapshot;
  Bytes seen;
  for (;;) {
    Bytes head = VHSM_TRY(read_head(*files_));
    if (known != nullptr && head == known->head_bytes) return known;
    const bool again = head == seen;
    seen = head;
    auto loaded = load(here.root.key, std::move(head));
    if (!loaded.ok() && loaded.error().code == Errc::kMissing) {
      if (!again) continue;
      return gone(loaded.error());
    }
    SnapshotPtr newer = VHSM_TRY(std::move(loaded));
    const bool is_older = known != nullptr && newer->head.generation < known->head.generation;
    return is_older ? Result<SnapshotPtr>(stale(kHeadName)) : Result<SnapshotPtr>(std::move(newer));
  }
}

/// What another keystore's root key has opened is not kept beside this one's.
Result<Folder::SnapshotPtr> Folder::newest() {
  const Opened here = VHSM_TRY(opened());
  SnapshotPtr snapshot = VHSM_TRY(load_current(here));
  return memory::run_protected([&]() -> Result<SnapshotPtr> {
    const std::lock_guard lock(mutex_);
    if (opened_.root.key == snapshot->root) opened_.snapshot = snapshot;
    return snapshot;
  });
}

Result<Folder::SnapshotPtr> Folder::current(TimePoint deadline) {
  VHSM_TRY(unlock(deadline));
  return newest();
}

Result<std::optional<Record>> Folder::find(const std::string& name, TimePoint deadline) {
  const SnapshotPtr snapshot = VHSM_TRY(current(deadline));
  return snapshot->index.find(name);
}

Result<std::vector<Record>> Folder::records(TimePoint deadline) {
  const SnapshotPtr snapshot = VHSM_TRY(current(deadline));
  return snapshot->index.records();
}

Result<OpenedVersion> Folder::read_with(const SecretBytes& root, const std::string& name,
                                        const Version& version) const {
  const std::string file = VHSM_TRY(file_of(name, version.number));
  const Bytes bytes = VHSM_TRY(files_->read(file, kMaxKeyFileBytes));
  VHSM_TRY(check_digest(bytes, version.digest, file));
  const Box box = VHSM_TRY(parse_box(bytes, BoxKind::kKey));
  const KeyFile header = VHSM_TRY(parse_key_file(box));
  if (header.version != version.number) return stale(file);
  auto content = VHSM_TRY(open_secret_box(root, box));
  return OpenedVersion{version, std::move(content)};
}

Result<OpenedVersion> Folder::read(const std::string& name, const Version& version) const {
  const Opened here = VHSM_TRY(opened());
  return read_with(*here.root.key, name, version);
}

Result<OpenedVersion> Folder::open(const std::string& name, std::optional<std::uint32_t> number,
                                   TimePoint deadline) {
  for (bool again = false;; again = true) {
    const SnapshotPtr now = VHSM_TRY(current(deadline));
    const auto record = VHSM_TRY(now->index.find(name));
    if (!record.has_value()) return no_such_key(name);
    const Version version = VHSM_TRY(usable_version(*record, number));
    auto opened = read_with(*now->root, name, version);
    if (opened.ok() || opened.error().code != Errc::kMissing) return opened;
    if (!again) continue;  // it was deleted meanwhile
    return fail(Errc::kTampered, "the key's file is gone", uri_of(name));
  }
}

Result<std::vector<Error>> Folder::check(TimePoint deadline) {
  std::vector<Error> found;
  const SnapshotPtr now = VHSM_TRY(current(deadline));
  const auto all = VHSM_TRY(now->index.records());
  for (const Record& record : all) {
    for (const Version& version : record.versions) {
      const auto opened = read_with(*now->root, record.name, version);
      if (!opened.ok()) found.push_back(damage(opened.error(), record.name));
    }
  }
  return found;
}

// ----- changes -----------------------------------------------------------------------------------

/// What the root key waits for (firmware, a KBS that is away) nobody else waits for: the lock comes
/// after it.
Status Folder::change(const Edit& edit, std::chrono::milliseconds patience) {
  VHSM_TRY(unlock(Clock::now() + patience));
  const auto locked = VHSM_TRY(files_->lock(Haste::limit(patience)));
  const SnapshotPtr now = VHSM_TRY(newest());
  if (!swept_) VHSM_TRY(sweep(*now));
  Draft draft{now->root, now->head, {}};
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

namespace {

/// Whether an owner has spoken meanwhile. Whoever uses the key has not.
bool is_as_read(const Record& now, Record then) {
  if (now.versions.size() != then.versions.size()) return false;
  for (std::size_t i = 0; i < now.versions.size(); ++i) {
    then.versions[i].uses_left = now.versions[i].uses_left;
  }
  return now == then;
}

Error changed_meanwhile(const std::string& name) {
  return fail(Errc::kInUse, "the key was changed meanwhile: its new version is not made",
              uri_of(name))
      .cured_by("look at it with vhsm key show, and try again");
}

}  // namespace

/// A version that was made under other terms would bring back what its owner has taken away.
Result<Version> Folder::add_version(const Record& read, const NewVersion& version,
                                    const SecretBytes& content) {
  Version made;
  const Edit edit = [&](Draft& draft) -> Status {
    Record* const record = draft.find(read.name);
    if (record == nullptr) return no_such_key(read.name);
    if (!is_as_read(*record, read)) return changed_meanwhile(read.name);
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
Status Folder::replace(const HeadSeen& lost, const std::vector<NewSlot>& slots) {
  Draft draft = VHSM_TRY(Draft::first(slots));
  const auto locked = VHSM_TRY(files_->lock(kLockPatience));
  if (look() != lost) return {};
  VHSM_TRY(files_->remove(kHeadName));
  VHSM_TRY(files_->sync_folder());
  const auto there = VHSM_TRY(files_->names());
  for (const std::string& file : there) {
    if (is_ours(file)) VHSM_TRY(files_->remove(file));
  }
  return draft.write(*files_);
}

Status Folder::start_anew(const HeadSeen& lost, const std::vector<NewSlot>& slots,
                          TimePoint deadline) {
  VHSM_TRY(replace(lost, slots));
  return reopen(deadline);
}

Result<std::vector<SlotState>> Folder::try_slots(TimePoint deadline) const {
  return sealed::try_slots(*files_, *keys_, deadline);
}

Result<std::vector<SlotKind>> Folder::slots_of_others(TimePoint deadline) {
  const SnapshotPtr snapshot = VHSM_TRY(current(deadline));
  const auto slots = VHSM_TRY(parse_slots(snapshot->root_file));
  const Opened here = VHSM_TRY(opened());
  std::vector<SlotKind> kinds;
  for (const Slot& slot : slots) {
    if (slot.box != *here.root.own_slot) kinds.push_back(slot.terms.kind);
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
