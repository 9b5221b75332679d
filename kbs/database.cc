// SPDX-License-Identifier: Apache-2.0
//
// SQLite behind Result.
#include "kbs/database.h"

namespace vhsm::kbs {
namespace {

constexpr int kBusyMilliseconds = 3000;

Error failed(sqlite3* database) {
  return fail(Errc::kIo, "the database refuses", sqlite3_errmsg(database));
}

Status bound(int code) {
  if (code == SQLITE_OK) return {};
  return fail(Errc::kIo, "a value cannot be bound", sqlite3_errstr(code));
}

}  // namespace

Status Statement::bind(int parameter, std::string_view text) {
  return bound(sqlite3_bind_text64(statement_.get(), parameter, text.data(), text.size(),
                                   SQLITE_STATIC, SQLITE_UTF8));
}

Status Statement::bind(int parameter, std::int64_t number) {
  return bound(sqlite3_bind_int64(statement_.get(), parameter, number));
}

Status Statement::bind(int parameter, std::span<const std::uint8_t> bytes) {
  if (bytes.empty()) return bound(sqlite3_bind_zeroblob(statement_.get(), parameter, 0));
  return bound(
      sqlite3_bind_blob64(statement_.get(), parameter, bytes.data(), bytes.size(), SQLITE_STATIC));
}

Result<bool> Statement::step() {
  const int code = sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return failed(sqlite3_db_handle(statement_.get()));
}

Status Statement::run() {
  const auto row = step();
  if (!row.ok()) return row.error();
  return {};
}

std::string_view Statement::text(int column) const {
  const auto* data = reinterpret_cast<const char*>(sqlite3_column_text(statement_.get(), column));
  if (data == nullptr) return {};
  return {data, static_cast<std::size_t>(sqlite3_column_bytes(statement_.get(), column))};
}

std::int64_t Statement::number(int column) const {
  return sqlite3_column_int64(statement_.get(), column);
}

std::span<const std::uint8_t> Statement::bytes(int column) const {
  const auto* data =
      static_cast<const std::uint8_t*>(sqlite3_column_blob(statement_.get(), column));
  if (data == nullptr) return {};
  return {data, static_cast<std::size_t>(sqlite3_column_bytes(statement_.get(), column))};
}

Result<Database> Database::open(const std::string& path) {
  sqlite3* raw = nullptr;
  const int code =
      sqlite3_open_v2(path.c_str(), &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_FULLMUTEX, nullptr);
  Database database(raw);
  if (code != SQLITE_OK) return fail(Errc::kIo, "the database cannot be opened", path);
  sqlite3_busy_timeout(raw, kBusyMilliseconds);
  sqlite3_extended_result_codes(raw, 1);
  return database;
}

Result<Statement> Database::prepare(std::string_view sql) {
  sqlite3_stmt* raw = nullptr;
  if (sqlite3_prepare_v2(database_.get(), sql.data(), static_cast<int>(sql.size()), &raw,
                         nullptr) != SQLITE_OK) {
    return failed(database_.get());
  }
  return Statement(raw);
}

Status Database::run(const char* script) {
  if (sqlite3_exec(database_.get(), script, nullptr, nullptr, nullptr) == SQLITE_OK) return {};
  return failed(database_.get());
}

std::int64_t Database::changes() const { return sqlite3_changes64(database_.get()); }

}  // namespace vhsm::kbs
