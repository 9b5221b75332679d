// SPDX-License-Identifier: Apache-2.0
//
// Which keys a sealed folder has: names, versions, states, and the digest of each file, so that no
// file can be put back to an older one. The bytes are a hash table, used where they lie: a name is
// found in O(1), and opening the folder does not look at each key.
// Source: docs/sealed-folder.md.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "keystore/sealed/bytes.h"

namespace vhsm::keystore::sealed {

using Digest = std::array<std::uint8_t, 32>;  ///< SHA-256
Result<Digest> digest_of(ByteView bytes);

enum class State : std::uint8_t { kEnabled = 1, kDisabled = 2 };
enum class Content : std::uint8_t { kPair = 1, kSecret = 2 };
enum class Origin : std::uint8_t {
  kGenerated = 1,
  kImported = 2,
  kCopy = 3,      ///< the KBS's key: its copy serves while the KBS is away
  kRestored = 4,  ///< it came in a backup
};

/// /proc/sys/kernel/random/boot_id: another one after each boot.
using BootId = std::array<std::uint8_t, 16>;

/// For how long a copy serves.
struct CopyTerms {
  std::uint64_t since = 0;   ///< seconds since 1970: when these terms were written
  std::uint64_t until = 0;   ///< seconds since 1970
  std::uint64_t uptime = 0;  ///< seconds since boot, when they were written
  BootId boot{};             ///< in which they were written
  std::uint8_t boots = 0;    ///< how many more it may live through

  friend bool operator==(const CopyTerms&, const CopyTerms&) = default;
};

/// How often a key may be used; none: as often as one likes.
using Uses = std::optional<std::uint64_t>;

/// One version of a key.
struct Version {
  std::uint32_t number = 0;  ///< from 1; never used again
  State state = State::kEnabled;
  Content content = Content::kPair;
  Origin origin = Origin::kGenerated;
  std::uint64_t created = 0;  ///< seconds since 1970
  Digest digest{};            ///< of the key's file
  std::string type{};         ///< KeyType::name; of a secret its length in bits
  Bytes policy{};             ///< as key_policy.h writes it; empty: none
  Uses uses_left{};           ///< that nobody has taken yet
  CopyTerms copy{};           ///< of kCopy

  friend bool operator==(const Version&, const Version&) = default;
};

struct Record {
  std::string name;               ///< KeyName::path()
  std::uint32_t next = 1;         ///< number of the next version: one that was deleted stays gone
  std::vector<Version> versions;  ///< in their order

  /// The one of this number; without a number the newest that is enabled. Null: there is none.
  [[nodiscard]] const Version* version(std::optional<std::uint32_t> number) const noexcept;
  friend bool operator==(const Record&, const Record&) = default;
};

/// The version of this number, without one the newest that is enabled.
/// @errors kMissing; kPolicy for one that is disabled.
Result<Version> usable_version(const Record& record, std::optional<std::uint32_t> number);

/// As errors name a key.
[[nodiscard]] std::string uri_of(const std::string& name);
[[nodiscard]] Error no_such_key(const std::string& name);
[[nodiscard]] Error no_such_version(const std::string& name);

inline constexpr std::size_t kMaxNameBytes = 1024;
inline constexpr std::size_t kMaxVersions = 1000;
inline constexpr std::size_t kMaxPolicyBytes = 4096;
inline constexpr std::size_t kMaxIndexBytes = std::size_t{256} << 20;

/// Immutable.
class Index {
 public:
  /// Takes what build() gave. It is looked at piece by piece, when it is asked for.
  /// @errors kTampered.
  static Result<Index> parse(Bytes bytes);
  /// Of records with different names.
  /// @errors kBadLength for more than an index may have.
  static Result<Bytes> build(const std::vector<Record>& records);

  [[nodiscard]] std::size_t size() const noexcept { return count_; }
  /// @errors kTampered: its bytes break the rules.
  [[nodiscard]] Result<std::optional<Record>> find(std::string_view name) const;
  /// In the order of their names.
  [[nodiscard]] Result<std::vector<Record>> records() const;

 private:
  Index(Bytes bytes, std::size_t buckets, std::size_t count) noexcept
      : bytes_(std::move(bytes)), buckets_(buckets), count_(count) {}

  [[nodiscard]] Result<std::uint32_t> place_in(std::size_t bucket) const;
  [[nodiscard]] Result<Record> record_at(std::uint32_t place) const;
  [[nodiscard]] Result<std::string_view> name_at(std::uint32_t place) const;

  Bytes bytes_;
  std::size_t buckets_;  ///< a power of two
  std::size_t count_;
};

}  // namespace vhsm::keystore::sealed
