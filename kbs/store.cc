// SPDX-License-Identifier: Apache-2.0
//
// What the KBS keeps.
#include "kbs/store.h"

#include <algorithm>

#include "base/segment.h"
#include "snp/files.h"

namespace vhsm::kbs {
namespace {

// "vKBS": tells our files from other SQLite databases.
constexpr std::int64_t kApplicationId = 0x764B4253;
/// Version 1 had no audit rows of the event 'restore'.
constexpr std::int64_t kSchemaVersion = 2;

constexpr const char* kSchema = R"(
PRAGMA journal_mode = WAL;
BEGIN;
CREATE TABLE resource (
  path TEXT PRIMARY KEY,
  content BLOB NOT NULL,
  version INTEGER NOT NULL CHECK (version > 0),
  disabled INTEGER NOT NULL DEFAULT 0 CHECK (disabled IN (0, 1)),
  changed TEXT NOT NULL
) STRICT;
PRAGMA application_id = 0x764B4253;
)";

constexpr const char* kAuditTable = R"(
CREATE TABLE audit (
  id INTEGER PRIMARY KEY,
  time TEXT NOT NULL,
  session TEXT NOT NULL,
  peer TEXT NOT NULL,
  event TEXT NOT NULL CHECK (event IN ('auth', 'attest', 'resource', 'restore')),
  resource TEXT NOT NULL,
  outcome TEXT NOT NULL CHECK (outcome IN ('granted', 'refused')),
  reason TEXT NOT NULL,
  measurement TEXT NOT NULL,
  chip_id TEXT NOT NULL
) STRICT;
PRAGMA user_version = 2;
)";

// Two processes may both do this: the second one changes nothing.
constexpr const char* kSetAuditAside = R"(
BEGIN IMMEDIATE;
ALTER TABLE audit RENAME TO old_audit;
)";
constexpr const char* kTakeAuditOver = R"(
INSERT INTO audit SELECT * FROM old_audit;
DROP TABLE old_audit;
COMMIT;
)";

// Deleted content is overwritten; views and triggers of a foreign file do not run.
constexpr const char* kSettings = R"(
PRAGMA secure_delete = ON;
PRAGMA trusted_schema = OFF;
PRAGMA foreign_keys = ON;
PRAGMA synchronous = FULL;
)";

constexpr std::string_view kNow = "strftime('%Y-%m-%dT%H:%M:%SZ', 'now')";

std::string with_now(std::string_view before, std::string_view after) {
  return std::string(before) + std::string(kNow) + std::string(after);
}

Result<std::int64_t> pragma(Database& database, std::string_view name) {
  Statement statement = VHSM_TRY(database.prepare("PRAGMA " + std::string(name)));
  const bool row = VHSM_TRY(statement.step());
  return row ? statement.number(0) : -1;
}

/// From version 1 of the tables.
Status renew(Database& database) {
  const std::string script = std::string(kSetAuditAside) + kAuditTable + kTakeAuditOver;
  return database.run(script.c_str());
}

/// A database of version 1 becomes one of now.
Status make_current(Database& database, const std::string& path) {
  const auto application = pragma(database, "application_id");
  const auto version = pragma(database, "user_version");
  if (!application.ok() || application.value() != kApplicationId) {
    return fail(Errc::kBadFormat, "not a database of vhsm-kbs", path);
  }
  if (version.ok() && version.value() == 1) return renew(database);
  if (!version.ok() || version.value() != kSchemaVersion) {
    return fail(Errc::kBadFormat, "a database of another version of vhsm-kbs", path);
  }
  return {};
}

Error missing(std::string_view path) { return fail(Errc::kMissing, "no such resource", path); }

/// For statements that change one resource.
Status run_on_one(Database& database, Statement& statement, std::string_view path) {
  VHSM_TRY(statement.run());
  if (database.changes() == 0) return missing(path);
  return {};
}

ResourceInfo info_of(const Statement& row) {
  return {std::string(row.text(0)), row.number(1), row.number(2) != 0, std::string(row.text(3))};
}

AuditRow audit_of(const Statement& row) {
  AuditRow audit;
  int column = 0;
  for (std::string* member :
       {&audit.time, &audit.session, &audit.peer, &audit.event, &audit.resource, &audit.outcome,
        &audit.reason, &audit.measurement, &audit.chip_id}) {
    *member = row.text(column++);
  }
  return audit;
}

}  // namespace

bool is_resource_path(std::string_view path) {
  for (int segment = 0; segment < 3; ++segment) {
    const auto end = segment < 2 ? path.find('/') : path.size();
    if (end == path.npos || !is_segment(path.substr(0, end))) return false;
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return true;
}

Store::Store(Database database)
    : database_(std::make_unique<Guarded<Database>>(std::in_place, std::move(database))) {}

Status Store::create(const std::string& path) {
  VHSM_TRY(snp::write_new_file(path, {}, 0600));
  Database database = VHSM_TRY(Database::open(path));
  const std::string script = std::string(kSchema) + kAuditTable + "COMMIT;";
  return database.run(script.c_str());
}

Result<Store> Store::open(const std::string& path) {
  Database database = VHSM_TRY(Database::open(path));
  VHSM_TRY(make_current(database, path));
  VHSM_TRY(database.run(kSettings));
  return Store(std::move(database));
}

Status Store::put(std::string_view path, const SecretBytes& content) {
  return insert(path, content,
                "DO UPDATE SET content = excluded.content, version = version + 1, "
                "changed = excluded.changed");
}

Status Store::add(std::string_view path, const SecretBytes& content) {
  return insert(path, content, "DO NOTHING");
}

Status Store::insert(std::string_view path, const SecretBytes& content,
                     std::string_view on_conflict) {
  if (!is_resource_path(path)) {
    return fail(Errc::kInvalidArgument, "a resource is not repository/type/tag", path);
  }
  if (content.size() > kMaxResourceBytes) {
    return fail(Errc::kBadLength, "a resource is over 1 MiB", path);
  }
  auto database = database_->lock();
  Statement statement = VHSM_TRY(database->prepare(
      with_now("INSERT INTO resource (path, content, version, changed) VALUES (?1, ?2, 1, ",
               ") ON CONFLICT (path) " + std::string(on_conflict))));
  VHSM_TRY(statement.bind(1, path));
  VHSM_TRY(statement.bind(2, content.expose()));
  VHSM_TRY(statement.run());
  if (database->changes() == 0) {
    return fail(Errc::kWrongState, "there is a resource of this name already", path)
        .cured_by("name another path, or replace it");
  }
  return {};
}

Result<SecretBytes> Store::content(std::string_view path) {
  auto database = database_->lock();
  Statement statement =
      VHSM_TRY(database->prepare("SELECT content, disabled FROM resource WHERE path = ?1"));
  VHSM_TRY(statement.bind(1, path));
  const bool found = VHSM_TRY(statement.step());
  if (!found) return missing(path);
  if (statement.number(1) != 0) return fail(Errc::kDenied, "the resource is disabled", path);
  return SecretBytes::copy(statement.bytes(0));
}

Result<ResourceInfo> Store::info(std::string_view path) {
  auto database = database_->lock();
  Statement statement = VHSM_TRY(
      database->prepare("SELECT path, version, disabled, changed FROM resource WHERE path = ?1"));
  VHSM_TRY(statement.bind(1, path));
  const bool found = VHSM_TRY(statement.step());
  if (!found) return missing(path);
  return info_of(statement);
}

Result<std::vector<ResourceInfo>> Store::list() {
  auto database = database_->lock();
  Statement statement = VHSM_TRY(
      database->prepare("SELECT path, version, disabled, changed FROM resource ORDER BY path"));
  std::vector<ResourceInfo> all;
  while (true) {
    const bool row = VHSM_TRY(statement.step());
    if (!row) return all;
    all.push_back(info_of(statement));
  }
}

Status Store::set_disabled(std::string_view path, bool disabled) {
  auto database = database_->lock();
  Statement statement = VHSM_TRY(database->prepare(
      with_now("UPDATE resource SET disabled = ?2, changed = ", " WHERE path = ?1")));
  VHSM_TRY(statement.bind(1, path));
  VHSM_TRY(statement.bind(2, std::int64_t{disabled}));
  return run_on_one(*database, statement, path);
}

Status Store::erase(std::string_view path) {
  auto database = database_->lock();
  {
    Statement statement = VHSM_TRY(database->prepare("DELETE FROM resource WHERE path = ?1"));
    VHSM_TRY(statement.bind(1, path));
    VHSM_TRY(run_on_one(*database, statement, path));
  }
  // The content is still in the write-ahead log; a busy reader only postpones this.
  return database->run("PRAGMA wal_checkpoint(TRUNCATE)");
}

Status Store::record(const AuditRow& row) {
  auto database = database_->lock();
  Statement statement = VHSM_TRY(database->prepare(with_now(
      "INSERT INTO audit (session, peer, event, resource, outcome, reason, measurement, chip_id, "
      "time) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ",
      ")")));
  int parameter = 1;
  for (const std::string* value : {&row.session, &row.peer, &row.event, &row.resource, &row.outcome,
                                   &row.reason, &row.measurement, &row.chip_id}) {
    VHSM_TRY(statement.bind(parameter++, std::string_view(*value)));
  }
  VHSM_TRY(statement.run());
  return {};
}

Result<std::vector<AuditRow>> Store::audit(std::int64_t limit) {
  auto database = database_->lock();
  Statement statement = VHSM_TRY(database->prepare(
      "SELECT time, session, peer, event, resource, outcome, reason, measurement, chip_id "
      "FROM audit ORDER BY id DESC LIMIT ?1"));
  VHSM_TRY(statement.bind(1, limit));
  std::vector<AuditRow> rows;
  while (true) {
    const bool row = VHSM_TRY(statement.step());
    if (!row) break;
    rows.push_back(audit_of(statement));
  }
  std::ranges::reverse(rows);
  return rows;
}

}  // namespace vhsm::kbs
