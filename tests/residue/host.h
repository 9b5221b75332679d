// SPDX-License-Identifier: Apache-2.0
//
// A residue_host that a test leads, and the scans of it.
#pragma once

#include <sys/types.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "tests/residue/scan.h"

namespace vhsm::tests {

/// Another program, ended with this object's life.
class Child {
 public:
  /// @param in, out  descriptors for its standard input and output; without, /dev/null.
  Child(std::vector<std::string> argv, const std::vector<std::string>& environment, int in = -1,
        int out = -1);
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  [[nodiscard]] pid_t process() const noexcept { return process_; }
  /// Until it ends by itself.
  void wait();

 private:
  pid_t process_ = -1;
};

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
  [[nodiscard]] pid_t process() const noexcept { return child_->process(); }

 private:
  std::unique_ptr<Child> child_;
  std::FILE* to_ = nullptr;
  std::FILE* from_ = nullptr;
};

/// A range of addresses as the host tells it.
Range range_of(const std::string& text);

}  // namespace vhsm::tests
