// SPDX-License-Identifier: Apache-2.0
//
// Where words go that are for operators: the log (what happened) and the audit log (who got which
// key when, one line for each fetch). The provider never writes to the host's stderr.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace vhsm {

enum class LogLevel : std::uint8_t { kError, kWarning, kInfo, kDebug };

/// @errors kBadConfig unless error, warning, info or debug.
[[nodiscard]] Result<LogLevel> parse_log_level(std::string_view name);

/// Appends whole lines to a file that was opened once, so that it keeps working after setuid or
/// chroot. A full disk loses the line, never the caller's operation. Thread-safe, fork-safe: one
/// write(2) on an O_APPEND descriptor for each line.
class LineFile {
 public:
  LineFile() = default;  ///< drops every line
  LineFile(LineFile&& other) noexcept;
  LineFile& operator=(LineFile&& other) noexcept;
  LineFile(const LineFile&) = delete;
  LineFile& operator=(const LineFile&) = delete;
  ~LineFile();

  /// Opens (mode 0640 when new); an empty path drops every line.
  /// @errors kIo.
  static Result<LineFile> open(const std::string& path);

  void write(std::string_view line) const noexcept;

 private:
  int descriptor_ = -1;
};

/// "2026-01-31T12:00:00Z info text".
class Log {
 public:
  Log() = default;
  Log(LineFile file, LogLevel level) : file_(std::move(file)), level_(level) {}
  void write(LogLevel level, std::string_view text) const noexcept;
  void error(const Error& error) const noexcept;

 private:
  LineFile file_;
  LogLevel level_ = LogLevel::kInfo;
};

/// One JSON object a line: {"time":…,"event":"fetch","key":…,"endpoint":…,"outcome":…}.
class AuditLog {
 public:
  AuditLog() = default;
  explicit AuditLog(LineFile file) : file_(std::move(file)) {}
  /// @param outcome "released" or reason(error.code).
  void fetch(std::string_view key, std::string_view endpoint,
             std::string_view outcome) const noexcept;

 private:
  LineFile file_;
};

}  // namespace vhsm
