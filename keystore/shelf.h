// SPDX-License-Identifier: Apache-2.0
//
// The named keys of this process, and the single flight that brings a missing one.
#pragma once

#include <array>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "keystore/keystore.h"
#include "keystore/material.h"
#include "keystore/use_count.h"

namespace vhsm::keystore {

namespace sealed {
class Copies;
struct Record;
struct Version;
}  // namespace sealed

class Flight;
class Renewer;

/// Where a key stands.
struct Place {
  KeyName name;
  std::uint32_t version = 0;  ///< in the folder; 0: it came from the source, or was made here
  std::array<std::uint8_t, 32> digest{};  ///< of its file: the name may be another key's by now
  std::string policy{};                   ///< under another one it stands elsewhere

  friend bool operator<(const Place& a, const Place& b) noexcept {
    return std::tie(a.name, a.version, a.digest, a.policy) <
           std::tie(b.name, b.version, b.digest, b.policy);
  }
};

/// What one flight brings. What it fails at is no answer to who asks for the other kind of key.
struct Errand {
  Place place;
  bool secret =
      false;  ///< a symmetric key is asked for at the source; in the folder one kind stands

  friend bool operator<(const Errand& a, const Errand& b) noexcept {
    return std::tie(a.place, a.secret) < std::tie(b.place, b.secret);
  }
};

/// A proof of this VM that was accepted, on two clocks: what a lease counts by, and what proofs are
/// dated by.
struct Moment {
  BootTime boot;                                 ///< it was not begun earlier
  std::chrono::steady_clock::time_point steady;  ///< it was not accepted later
};

/// Thread-safe; usable on both sides of a fork. Its lock is held inside scopes only, which a fork
/// waits for, so a child never finds it taken by a thread that it does not have.
class Shelf {
 public:
  using Deadline = std::chrono::steady_clock::time_point;

  /// @param folder, copies  null: there is none.
  Shelf(std::shared_ptr<KeySource> source, std::shared_ptr<Metrics> metrics, const Policy& policy,
        std::shared_ptr<const Records> records, std::shared_ptr<sealed::Folder> folder,
        std::shared_ptr<sealed::Copies> copies) noexcept
      : source_(std::move(source)),
        metrics_(std::move(metrics)),
        gate_(policy.gate),
        secret_paths_(policy.secret_paths),
        records_(std::move(records)),
        folder_(std::move(folder)),
        copies_(std::move(copies)) {}

  /// Who renews the leases of keys that come from now on.
  void set_renewer(std::weak_ptr<Renewer> renewer) noexcept { renewer_ = std::move(renewer); }

  /// What is here, or in a folder that is open. Waits for nothing but the disk.
  /// @errors kForked; those of the folder.
  Result<std::optional<Entry>> find(const KeyUri& uri);

  /// All that is here and was not in the folder; symmetric keys with their type.
  /// @errors kForked.
  Result<std::vector<std::pair<KeyUri, Entry>>> held();

  /// Whether a new key may have this name: it is neither here nor at the source.
  /// @errors kWrongState when it is taken; those of the source when it cannot tell.
  Status check_free(const KeyUri& uri, Deadline deadline);

  /// A key that was made here.
  /// @param proven  the proof of this VM that it was made on, if there was one.
  /// @errors kWrongState when the name is taken, kForked.
  Status add(const KeyName& name, Entry entry, std::optional<Moment> proven);

  /// A proof of this VM that was begun at `since` or later.
  /// @errors as KeySource::prove().
  Result<Moment> prove(Deadline since, Deadline deadline);

  /// Of what is not in the folder.  @errors kMissing, kForked.
  Status remove(const KeyName& name);
  /// Lets go of what was read from the folder under this name.
  Status forget(const KeyName& name);

  /// What `stored` is, without putting it anywhere.
  /// @errors kBadFormat, kUnsupported, kMemoryLimit.
  Result<Entry> read(const KeyUri& uri, const SecretBytes& stored) const;

  /// Asks anew whether a key may be used. One that the source denies, has no more, or has replaced
  /// is wiped, and gone from here.
  /// @errors as KeySource::renew().
  Status renew(Permit& permit, Deadline deadline);

  /// What is here, else what the source brings.
  /// @errors as Keystore::open().
  Result<Entry> open(const KeyUri& uri, Deadline deadline);

 private:
  struct Claim;

  using Bring = std::function<Result<Entry>()>;

  Result<std::optional<Entry>> here(const Place& place);
  Status keep_what_stands(const KeyName& name, const sealed::Record* record);
  Result<std::optional<Place>> place_in_folder(const KeyUri& uri, Deadline deadline);
  Result<Entry> open_at(const Errand& errand, Deadline deadline, const Bring& bring);
  Result<Claim> claim(const Errand& errand);
  Result<Entry> fetch(const KeyUri& uri, Deadline deadline);
  Result<Entry> open_in_folder(const Place& place, Deadline deadline);
  Result<Entry> lend(const KeyUri& uri, const Error& outage);
  void keep_copy(const KeyUri& uri, const Entry& entry, const SecretBytes& stored) const;
  void drop_copy(const KeyName& name, Errc why) const;
  Result<Entry> read_from_source(const KeyUri& uri, const SecretBytes& stored) const;
  [[nodiscard]] bool is_secret_path(const KeyName& name) const noexcept;
  Result<Entry> unseal(const Place& place, Deadline deadline);
  [[nodiscard]] UseCount::Store uses_in_folder(const KeyName& name, const sealed::Version& version,
                                               std::uint64_t limit) const;
  /// @return the gate that the key stands under.
  Result<GateTerms> put_under_policy(const KeyName& name, const sealed::Version& version,
                                     const Entry& entry) const;
  Result<Entry> unseal_at(const Place& place, Deadline deadline);
  Result<Entry> shelve(const KeyUri& uri, Material material) const;
  Result<Entry> shelve_symmetric(const KeyUri& uri, const SecretMaterial& material) const;
  PermitPtr bind_permit(const GateTerms& terms, const KeyUri& uri, bool at_source,
                        Entry& entry) const;
  void put_under_gate(const GateTerms& terms, const KeyUri& uri, bool at_source, Entry& entry,
                      std::optional<Moment> proven) const;
  Result<Moment> renew_at_source(Permit& permit, Deadline deadline);
  Status compare(Permit& permit, const SecretBytes& secret, const Moment& released);
  void withdraw(Permit& permit, Errc why, const Entry* successor);
  void note_failure(Permit& permit, const Error& error);
  void land(const Errand& errand, const std::shared_ptr<Flight>& flight,
            const Result<Entry>& entry);

  std::shared_ptr<KeySource> source_;
  std::shared_ptr<Metrics> metrics_;
  GateTerms gate_;
  std::vector<KeyFolder> secret_paths_;
  std::shared_ptr<const Records> records_;
  std::shared_ptr<sealed::Folder> folder_;
  std::shared_ptr<sealed::Copies> copies_;
  std::weak_ptr<Renewer> renewer_;
  std::mutex mutex_;
  std::map<Place, Entry> entries_;
  std::map<Errand, std::shared_ptr<Flight>> flights_;
};

}  // namespace vhsm::keystore
