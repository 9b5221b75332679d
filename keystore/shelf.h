// SPDX-License-Identifier: Apache-2.0
//
// The named keys of this process, and the single flight that brings a missing one.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "keystore/keystore.h"
#include "keystore/material.h"

namespace vhsm::keystore {

class Flight;

/// Thread-safe; usable on both sides of a fork. Its lock is held inside scopes only, which a fork
/// waits for, so a child never finds it taken by a thread that it does not have.
class Shelf {
 public:
  using Deadline = std::chrono::steady_clock::time_point;

  Shelf(std::shared_ptr<KeySource> source, std::shared_ptr<Metrics> metrics) noexcept
      : source_(std::move(source)), metrics_(std::move(metrics)) {}

  /// What is here. Takes no time.
  /// @errors kForked.
  Result<std::optional<Entry>> find(const KeyName& name);

  /// The names of all that is here; of symmetric keys with their type.
  /// @errors kForked.
  Result<std::vector<KeyUri>> names();

  /// Whether a new key may have this name: it is neither here nor at the source.
  /// @errors kInvalidArgument when it is taken; those of the source when it cannot tell.
  Status check_free(const KeyUri& uri, Deadline deadline);

  /// @errors kInvalidArgument when the name is taken, kForked.
  Status add(const KeyName& name, const Entry& entry);

  /// @errors kMissing, kForked.
  Status remove(const KeyName& name);

  /// What is here, else what the source brings.
  /// @errors as Keystore::open().
  Result<Entry> open(const KeyUri& uri, Deadline deadline);

 private:
  struct Claim;

  Result<Claim> claim(const KeyName& name);
  Result<Entry> fetch(const KeyUri& uri, Deadline deadline);
  Result<Entry> fly(const KeyUri& uri, Deadline deadline) noexcept;
  Result<Entry> read(const KeyUri& uri, const SecretBytes& secret) const;
  Result<Entry> shelve(const KeyUri& uri, Material material) const;
  Result<Entry> shelve_symmetric(const KeyUri& uri, const SecretBytes& secret) const;
  void land(const KeyName& name, const std::shared_ptr<Flight>& flight, const Result<Entry>& entry);

  std::shared_ptr<KeySource> source_;
  std::shared_ptr<Metrics> metrics_;
  std::mutex mutex_;
  std::map<KeyName, Entry> entries_;
  std::map<KeyName, std::shared_ptr<Flight>> flights_;
};

}  // namespace vhsm::keystore
