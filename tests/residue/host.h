// SPDX-License-Identifier: Apache-2.0
//
// A residue_host that a test leads, and the scans of it.
#pragma once

#include <sys/types.h>

#include <cstdio>
#include <string>
#include <vector>

#include "tests/residue/scan.h"

namespace vhsm::tests {

/// Starts residue_host, and ends it with its own life.
class ResidueHost {
 public:
  explicit ResidueHost(const std::vector<std::string>& environment);
  ~ResidueHost();
  ResidueHost(const ResidueHost&) = delete;
  ResidueHost& operator=(const ResidueHost&) = delete;

  /// Has a command carried out; a failure is a test failure.
  /// @return what the answer says behind "ok".
  std::string tell(const std::string& command);
  [[nodiscard]] pid_t process() const noexcept { return process_; }

 private:
  pid_t process_ = -1;
  std::FILE* to_ = nullptr;
  std::FILE* from_ = nullptr;
};

/// A range of addresses as the host tells it.
Range range_of(const std::string& text);

}  // namespace vhsm::tests
