// SPDX-License-Identifier: Apache-2.0
//
// SQLite behind Result: one connection, prepared statements, bound values only.
// Source: https://sqlite.org/c3ref/intro.html.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace vhsm::kbs {

class Statement {
 public:
  /// Parameters count from 1. Bound text and bytes must outlive the last step().
  Status bind(int parameter, std::string_view text);
  Status bind(int parameter, std::int64_t number);
  Status bind(int parameter, std::span<const std::uint8_t> bytes);

  /// @return whether there is a row.
  /// @errors kIo.
  Result<bool> step();

  /// For statements without rows.
  /// @errors kIo.
  Status run();

  /// Columns count from 0, and live until the next step().
  [[nodiscard]] std::string_view text(int column) const;
  [[nodiscard]] std::int64_t number(int column) const;
  [[nodiscard]] std::span<const std::uint8_t> bytes(int column) const;

 private:
  friend class Database;
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const noexcept { sqlite3_finalize(statement); }
  };
  explicit Statement(sqlite3_stmt* statement) : statement_(statement) {}
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
};

class Database {
 public:
  /// Opens an existing file.
  /// @errors kIo (subject: the path).
  static Result<Database> open(const std::string& path);

  /// @errors kIo.
  Result<Statement> prepare(std::string_view sql);

  /// Runs a script without parameters.
  /// @errors kIo.
  Status run(const char* script);

  /// Rows that the last statement changed.
  [[nodiscard]] std::int64_t changes() const;

 private:
  struct Close {
    void operator()(sqlite3* database) const noexcept { sqlite3_close_v2(database); }
  };
  explicit Database(sqlite3* database) : database_(database) {}
  std::unique_ptr<sqlite3, Close> database_;
};

}  // namespace vhsm::kbs
