// SPDX-License-Identifier: Apache-2.0
//
// A folder of sealed keys (`keystore = dir:PATH`), which any number of processes share: each reads
// without a lock, sees what others have changed, and changes it under a lock between processes.
//
// A change writes its files under new names, and then replaces one small file, the head, that says
// which are the current ones and what their digests are. So after a crash it was made, or it was
// not; and a file that somebody puts back to an older state does not fit any more.
// Source: docs/sealed-folder.md.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/deadline.h"
#include "keystore/sealed/draft.h"
#include "keystore/sealed/files.h"
#include "keystore/sealed/index.h"
#include "keystore/sealed/root.h"
#include "keystore/sealed/slots.h"

namespace vhsm::keystore::sealed {

/// A version, and the bytes that a KBS would store for it.
struct OpenedVersion {
  Version version;
  SecretBytes content;
};

inline constexpr std::uint32_t kMostUsesTaken = 1024;

/// Thread-safe; usable on both sides of a fork. Its lock is held inside scopes only. Not in a
/// scope. All calls have these errors: kMissing for a folder that was never made; kSealed when no
/// slot opens here; kTampered; kUnsupported for what a later vhsm has written; kMemoryLimit.
class Folder {
 public:
  Folder(std::unique_ptr<Files> files, std::shared_ptr<SlotKeys> keys) noexcept
      : files_(std::move(files)), keys_(std::move(keys)) {}

  /// @errors kWrongState when there is a keystore.
  static Status check_empty(Files& files);
  /// Makes an empty keystore, with a new root key.
  /// @errors as check_empty(); kInvalidArgument without a slot.
  static Status create(Files& files, const std::vector<NewSlot>& slots);
  /// Makes an empty keystore in the place of one that never opens here again, and opens it.
  /// @param lost  look(), before it was found out that it does not open. Where it is another by now
  ///              somebody else has made a keystore, which is opened as it is.
  Status start_anew(const HeadSeen& lost, const std::vector<NewSlot>& slots, TimePoint deadline);

  /// Gets the root key, if it is not here yet. From then on it is.
  Status unlock(TimePoint deadline);
  /// Gets the root key of the keystore that is there now, which may be another than it was.
  /// @errors those of records(); then all is as it was.
  Status reopen(TimePoint deadline);
  /// Whether there is a keystore: then only other errors than its absence are to be had.
  [[nodiscard]] bool is_made() const;
  [[nodiscard]] HeadSeen look() const;
  /// Then nothing but disks is waited for.
  [[nodiscard]] bool is_unlocked() const;

  /// What is known of a key. Reads one small file, unless something has changed.
  Result<std::optional<Record>> find(const std::string& name, TimePoint deadline);
  Result<std::vector<Record>> records(TimePoint deadline);
  /// @errors as usable_version().
  Result<OpenedVersion> open(const std::string& name, std::optional<std::uint32_t> number,
                             TimePoint deadline);

  /// Also of a version that is disabled. With the root key here (find() has got it).
  /// @errors kMissing, kTampered, kSealed without the root key.
  Result<OpenedVersion> read(const std::string& name, const Version& version) const;

  // ----- changes: they are on the disk when they have succeeded.
  // @errors kInUse when another process goes on changing it for 10 s, or a moment (base/haste.h).

  /// A new key.  @return its version.
  /// @errors kWrongState when the name is taken; kTooFewSlots.
  Result<Version> add(const std::string& name, const NewVersion& version,
                      const SecretBytes& content);
  /// A new version of a key that is there, whose terms were made of what `read` says of it.
  /// @errors kInUse when anything but its count of uses has changed since; kMissing; kTooFewSlots.
  Result<Version> add_version(const Record& read, const NewVersion& version,
                              const SecretBytes& content);
  /// A copy in the place of any that was there. One slot is enough for it: its key is elsewhere,
  /// too. Other copies whose time is over go.
  Result<Version> put_copy(const std::string& name, const NewVersion& version,
                           const SecretBytes& content);
  /// @param change  gets the terms as they are, while nobody else changes them; on its error
  ///                nothing is changed, and the error is the answer.
  /// @errors kMissing.
  Status change_copy(const std::string& name, const std::function<Status(CopyTerms&)>& change);
  /// @param number  none: all versions.  @errors kMissing.
  Status set_state(const std::string& name, std::optional<std::uint32_t> number, State state);
  /// @param policy_for  says what each version that it is about gets, while nobody else changes
  ///                    them; on its error nothing is changed, and the error is the answer.
  Status set_policy(const std::string& name, std::optional<std::uint32_t> number,
                    const std::function<Result<NewPolicy>(const Version&)>& policy_for);
  /// Takes uses of `version`, which is of the key called `name`, for this process alone: `wanted`,
  /// but no more than the 128th part of what is left, so that few are lost in a crash.
  /// @return how many: 1 to kMostUsesTaken.
  /// @errors kPolicy when none are left; kMissing when the version is not there any more.
  Result<std::uint32_t> take_uses(const std::string& name, const Version& version,
                                  std::uint32_t wanted);
  /// Gives back what this process has taken and nobody has spent. It is there again when this has
  /// succeeded, and lost when it fails, which it does after a second.
  /// @param limit  what the policy of `version` says: there are never more.
  /// @errors kMissing when the version is not there any more, or its policy has changed.
  Status give_back_uses(const std::string& name, const Version& version, std::uint32_t uses,
                        std::uint64_t limit);
  /// @param number  none: the key as a whole.  @errors kMissing.
  Status remove(const std::string& name, std::optional<std::uint32_t> number = std::nullopt);

  /// All slots, and which of them open here. Without the root key, and so not authenticated.
  Result<std::vector<SlotState>> try_slots(TimePoint deadline) const;
  /// The slots that others may open than this guest on this chip: all but the platform's slot that
  /// has given the root key here. Authenticated.
  Result<std::vector<SlotKind>> slots_of_others(TimePoint deadline);
  /// @errors kWrongState for one too many.
  Status add_slot(const NewSlot& slot);
  /// @errors kMissing; kTooFewSlots while there are keys.
  Status remove_slot(std::size_t position);

  /// Opens each key, and says of each that cannot be opened why.
  Result<std::vector<Error>> check(TimePoint deadline);

 private:
  struct Snapshot;
  using SnapshotPtr = std::shared_ptr<const Snapshot>;
  using Edit = std::function<Status(Draft&)>;

  /// What is here of one keystore: the snapshot's root key is this one.
  struct Opened {
    OpenedRoot root;
    SnapshotPtr snapshot;  ///< null: none was needed yet
  };

  Result<Opened> opened() const;
  Result<SnapshotPtr> current(TimePoint deadline);
  Result<SnapshotPtr> newest();
  Result<SnapshotPtr> load_current(const Opened& here) const;
  Result<SnapshotPtr> load(const RootPtr& root, Bytes head) const;
  Result<OpenedVersion> read_with(const SecretBytes& root, const std::string& name,
                                  const Version& version) const;
  Status replace(const HeadSeen& lost, const std::vector<NewSlot>& slots);
  static constexpr std::chrono::seconds kLockPatience{10};
  Status change(const Edit& edit, std::chrono::milliseconds patience = kLockPatience);
  Status sweep(const Snapshot& snapshot) const;
  Status remove_orphan(const Snapshot& snapshot, const std::string& file) const;

  const std::unique_ptr<Files> files_;
  const std::shared_ptr<SlotKeys> keys_;
  mutable std::mutex mutex_;  ///< of the next one
  Opened opened_;
  std::atomic<bool> swept_ =
      false;  ///< what an earlier crash left is gone; of who has the files' lock
};

}  // namespace vhsm::keystore::sealed
