// SPDX-License-Identifier: Apache-2.0
//
// What the KBS keeps: resources, and who got which of them when.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/guarded.h"
#include "base/result.h"
#include "kbs/database.h"
#include "memory/secret_bytes.h"

namespace vhsm::kbs {

inline constexpr std::size_t kMaxResourceBytes = std::size_t{1} << 20;

/// What may be shown of a resource: never its content.
struct ResourceInfo {
  std::string path;
  std::int64_t version = 0;  ///< 1 at first, one more with each put
  bool disabled = false;
  std::string changed;  ///< UTC, 2026-01-31T12:00:00Z
};

/// One decision.
struct AuditRow {
  std::string time;         ///< UTC; filled in when recorded
  std::string session;      ///< first 8 digits of the session's id, empty when there is none
  std::string peer;         ///< ADDRESS:PORT; local: whoever ran vhsm-kbs
  std::string event;        ///< auth, attest, resource, restore
  std::string resource;     ///< repository/type/tag
  std::string outcome;      ///< granted, refused
  std::string reason;       ///< the check that failed; empty when granted
  std::string measurement;  ///< hex, of a genuine report
  std::string chip_id;      ///< hex
};

/// Whether `path` is repository/type/tag.
[[nodiscard]] bool is_resource_path(std::string_view path);

/// Thread-safe; other processes may use the same file.
class Store {
 public:
  /// Makes the tables in a new file of mode 0600.
  /// @errors kIo, also when the file exists.
  static Status create(const std::string& path);

  /// @errors kIo; kBadFormat when the file is not a database of vhsm-kbs.
  static Result<Store> open(const std::string& path);

  /// Stores a new version; a disabled resource stays disabled.
  /// @errors kIo, kInvalidArgument (the path), kBadLength (over kMaxResourceBytes).
  Status put(std::string_view path, const SecretBytes& content);

  /// Stores what is not there yet.
  /// @errors as put(); kWrongState for a path that is taken.
  Status add(std::string_view path, const SecretBytes& content);

  /// @errors kMissing, kDenied when disabled, kIo, kMemoryLimit.
  [[nodiscard]] Result<SecretBytes> content(std::string_view path);

  /// @errors kMissing, kIo.
  [[nodiscard]] Result<ResourceInfo> info(std::string_view path);

  /// @errors kIo.
  [[nodiscard]] Result<std::vector<ResourceInfo>> list();

  /// @errors kMissing, kIo.
  Status set_disabled(std::string_view path, bool disabled);

  /// Removes all that is left of a resource.
  /// @errors kMissing, kIo.
  Status erase(std::string_view path);

  /// @errors kIo.
  Status record(const AuditRow& row);

  /// The last `limit` rows, oldest first.
  /// @errors kIo.
  [[nodiscard]] Result<std::vector<AuditRow>> audit(std::int64_t limit);

 private:
  explicit Store(Database database);
  /// @param on_conflict  SQL for a path that is taken.
  Status insert(std::string_view path, const SecretBytes& content, std::string_view on_conflict);
  std::unique_ptr<Guarded<Database>> database_;
};

}  // namespace vhsm::kbs
