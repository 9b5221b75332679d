// SPDX-License-Identifier: Apache-2.0
//
// Keys that are kept: the folder in which they are sealed, and the shelf on which they stand when
// they are open.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "keystore/keystore.h"
#include "keystore/sealed/folder.h"
#include "keystore/shelf.h"

namespace vhsm::keystore {

/// A policy as it stands in the folder: what its owner says, within what the key's stored form says
/// of itself, so that what is told of a key is what holds.
struct SealedPolicy {
  sealed::Bytes text{};
  sealed::Uses uses{};

  /// @param type  of a key pair; null: it is a symmetric key.
  /// @param terms  Entry::policy; empty: there are none.
  /// @errors as KeyPolicy::parse(), check_fits() and within().
  static Result<SealedPolicy> make(std::string_view text, const KeyType* type,
                                   std::string_view terms = {});
};

/// A key on its way into the folder.
[[nodiscard]] sealed::NewVersion pair_version(const Key& key, SealedPolicy policy);
[[nodiscard]] sealed::NewVersion secret_version(std::string type, SealedPolicy policy);
/// @param entry  with a key.  @errors as SealedPolicy::make().
[[nodiscard]] Result<sealed::NewVersion> new_version(const Entry& entry, std::string_view policy);

[[nodiscard]] KeyLine line_of(const KeyName& name, const sealed::Version& version);

struct Cabinet {
  std::shared_ptr<sealed::Folder> folder;  ///< null: keys are in memory alone
  std::shared_ptr<Shelf> shelf;
  std::chrono::milliseconds patience{};

  [[nodiscard]] TimePoint deadline() const { return Clock::now() + patience; }

  /// What is stored, after it has been found to be a key.
  /// @errors as Shelf::read(), kNoPrivateKey.
  Result<Entry> read_key(const KeyUri& uri, const SecretBytes& stored) const;
  /// With a folder.
  /// @param predecessor  what was read of the key of this name; none: the name has to be free.
  /// @errors as Folder::add_version(); as Folder::add() and Shelf::check_free().
  Result<KeyLine> seal(const KeyName& name, const sealed::NewVersion& version,
                       const SecretBytes& content,
                       const std::optional<sealed::Record>& predecessor) const;
};

[[nodiscard]] Error has_no_folder(const KeyName& name);

}  // namespace vhsm::keystore
