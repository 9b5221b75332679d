// SPDX-License-Identifier: Apache-2.0
//
// Where words go that are for operators: the log (what happened) and the audit log (who got which
// key when, and on what proof). The provider never writes to the host's stderr.
// Source: RFC 3164, section 4.1 (syslog); systemd's Native Journal Protocol.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace vhsm {

enum class LogLevel : std::uint8_t { kError, kWarning, kInfo, kDebug };

/// @errors kBadConfig unless error, warning, info or debug.
[[nodiscard]] Result<LogLevel> parse_log_level(std::string_view name);

/// Appends whole lines to a file, or sends them to the system's logger, which was opened once, so
/// that it keeps working after setuid or chroot. A full disk or a logger that is away loses the
/// line, never the caller's operation. Thread-safe, fork-safe: one write(2) on an O_APPEND
/// descriptor, or one datagram, for each line.
class LineFile {
 public:
  LineFile() = default;  ///< drops every line
  LineFile(LineFile&& other) noexcept;
  LineFile& operator=(LineFile&& other) noexcept;
  LineFile(const LineFile&) = delete;
  LineFile& operator=(const LineFile&) = delete;
  ~LineFile();

  /// Opens (mode 0640 when new); an empty path drops every line.
  /// @param path  or "syslog" (/dev/log), or "journal" (systemd's).
  /// @errors kIo.
  static Result<LineFile> open(const std::string& path);

  void write(std::string_view line) const noexcept;

 private:
  enum class Kind : std::uint8_t { kFile, kSyslog, kJournal };
  static Result<LineFile> connect(Kind kind);
  void send(std::string_view line) const noexcept;

  int descriptor_ = -1;
  Kind kind_ = Kind::kFile;
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

/// Something that concerns a key or this VM's proof. What is empty is left out of the line.
struct AuditEvent {
  std::string_view event;    ///< attestation, release, denial, renewal, wipe, copy, backup, restore
  std::string_view outcome;  ///< "granted", "used", "removed", or reason(error.code)
  std::string_view key{};
  std::string_view endpoint{};  ///< URL of the KBS or the attestation service
  std::string_view nonce{};     ///< first digits of the nonce's SHA-256: finds the KBS's own line
  std::string_view measurement{};  ///< hex; of a backup: the receiver's
  std::string_view tcb{};          ///< REPORTED_TCB, hex
  std::optional<std::chrono::milliseconds> took{};
};

/// One JSON object a line: {"time":…,"event":…,"outcome":…,"key":…,"endpoint":…,…,"ms":…}.
class AuditLog {
 public:
  AuditLog() = default;
  explicit AuditLog(LineFile file) : file_(std::move(file)) {}
  void write(const AuditEvent& event) const noexcept;

 private:
  LineFile file_;
};

/// Both, for parts that share them.
struct Records {
  Log log{};
  AuditLog audit{};
};

}  // namespace vhsm
