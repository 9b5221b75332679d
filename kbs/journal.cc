// SPDX-License-Identifier: Apache-2.0
//
// Every decision leaves one audit row and one log line.
#include "kbs/journal.h"

#include <cstdio>

#include "kbs/reply.h"

namespace vhsm::kbs {
namespace {

/// Peers choose parts of a line; no control character of theirs reaches the log.
std::string printable(std::string_view text) {
  std::string safe(text);
  for (char& c : safe) {
    if (c < ' ' || c > '~') c = '?';
  }
  return safe;
}

std::string line_of(const AuditRow& row) {
  std::string line = row.event + " " + row.outcome + " peer=" + row.peer;
  if (!row.session.empty()) line += " session=" + row.session;
  if (!row.resource.empty()) line += " resource=" + row.resource;
  if (!row.measurement.empty()) line += " measurement=" + row.measurement;
  if (!row.reason.empty()) line += " reason=\"" + row.reason + "\"";
  return printable(line);
}

}  // namespace

Result<Journal> Journal::open(const Config& config, Store& store) {
  LineFile file = VHSM_TRY(LineFile::open(config.log));
  return Journal(store, Log(std::move(file), config.log_level), config.log_level,
                 config.log.empty());
}

Status Journal::decided(const AuditRow& row) const {
  note(row.outcome == "granted" ? LogLevel::kInfo : LogLevel::kWarning, line_of(row));
  const Status recorded = store_->record(row);
  if (!recorded.ok()) note(LogLevel::kError, "audit: " + reason_of(recorded.error()));
  return recorded;
}

void Journal::note(LogLevel level, std::string_view text) const {
  log_.write(level, text);
  if (!to_stderr_ || level > level_) return;
  const std::string line = "vhsm-kbs: " + std::string(text) + "\n";
  std::fwrite(line.data(), 1, line.size(), stderr);
}

}  // namespace vhsm::kbs
