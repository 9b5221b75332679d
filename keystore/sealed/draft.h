// SPDX-License-Identifier: Apache-2.0
//
// The next generation of a sealed folder: what is to change, and how it comes to the disk. Made of
// the generation that is there, by who has the folder's lock.
// Source: docs/sealed-folder.md, "Changes".
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "keystore/sealed/files.h"
#include "keystore/sealed/index.h"
#include "keystore/sealed/layout.h"
#include "keystore/sealed/root.h"
#include "keystore/sealed/slots.h"

namespace vhsm::keystore::sealed {

/// What a new version of a key is.
struct NewVersion {
  Content content = Content::kPair;
  Origin origin = Origin::kGenerated;
  std::string type{};
  Bytes policy{};
  Uses uses{};
  CopyTerms copy{};  ///< of Origin::kCopy
};

/// What a version gets in its policy's place.
struct NewPolicy {
  Bytes text{};
  Uses uses{};
};

struct Draft {
  RootPtr root;
  Head head;  ///< digests come when the files are made
  std::vector<Slot> slots;
  bool changes_slots = false;
  std::vector<Record> records{};
  std::vector<std::pair<std::string, Bytes>> key_files{};
  std::vector<std::string> obsolete{};  ///< files that nobody needs when it is written

  /// Of an empty keystore, with a new root key.  @errors kInvalidArgument without a slot.
  static Result<Draft> first(const std::vector<NewSlot>& slots);

  /// Null: there is no such key. Until the next call of add() or erase().
  Record* find(const std::string& name);
  /// @param number  none: all versions.  @errors kMissing.
  Result<std::vector<Version*>> select(const std::string& name,
                                       std::optional<std::uint32_t> number);

  /// A key without a version yet.
  Record& add(const std::string& name, std::uint32_t first_version);
  /// @errors kTooFewSlots, kBadLength.
  Result<Version> append(Record& record, const NewVersion& version, const SecretBytes& content);
  /// All versions of a key go, or one; and with its last one the key.  @errors kMissing.
  Status erase(const std::string& name, std::optional<std::uint32_t> number);
  /// @errors kWrongState for one too many.
  Status add_slot(const NewSlot& slot);
  /// @errors kMissing; kTooFewSlots while there are keys.
  Status remove_slot(std::size_t position);

  /// It is the current generation when this has succeeded; when it fails, either that, or nothing
  /// has changed.
  Status write(Files& files);

 private:
  Status prepare(Files& files);
  Status commit(Files& files) const;
};

}  // namespace vhsm::keystore::sealed
