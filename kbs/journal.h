// SPDX-License-Identifier: Apache-2.0
//
// Every decision leaves one audit row and one log line.
#pragma once

#include <string>

#include "base/log.h"
#include "base/result.h"
#include "kbs/config.h"
#include "kbs/store.h"

namespace vhsm::kbs {

/// Thread-safe.
class Journal {
 public:
  /// @errors kIo (the log file).
  static Result<Journal> open(const Config& config, Store& store);

  /// Records the row and logs it. A decision that cannot be recorded must not stand.
  /// @errors kIo.
  Status decided(const AuditRow& row) const;

  void note(LogLevel level, std::string_view text) const;

 private:
  Journal(Store& store, Log log, LogLevel level, bool to_stderr)
      : store_(&store), log_(std::move(log)), level_(level), to_stderr_(to_stderr) {}

  Store* store_;
  Log log_;
  LogLevel level_;
  bool to_stderr_;
};

}  // namespace vhsm::kbs
