// SPDX-License-Identifier: Apache-2.0
//
// Another process, stopped: its threads, its mappings, its memory, its registers.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "tests/residue/values.h"

namespace vhsm::tests {

/// Stops all threads of a process, and lets them go on at the end of its own life or of this
/// program, however that ends.
class StoppedProcess {
 public:
  explicit StoppedProcess(pid_t process);
  ~StoppedProcess();
  StoppedProcess(const StoppedProcess&) = delete;
  StoppedProcess& operator=(const StoppedProcess&) = delete;

  /// Empty when it is stopped.
  [[nodiscard]] const std::string& error() const noexcept { return error_; }
  [[nodiscard]] std::size_t threads() const noexcept { return threads_.size(); }
  /// All register sets of all threads: general, floating point and vector.
  [[nodiscard]] std::vector<Bytes> registers() const;

 private:
  struct Thread {
    pid_t id;
    int signal;  // that it was about to get
  };

  /// @return whether there was a thread that ran.
  bool stop_threads();
  void stop_thread(pid_t thread);

  pid_t process_;
  std::vector<Thread> threads_;
  std::string error_;
};

struct Mapping {
  std::uintptr_t from = 0;
  std::uintptr_t to = 0;
  std::string line;           ///< of /proc/PID/maps
  bool is_secret = false;     ///< by memfd_secret
  bool is_protected = false;  ///< that, or locked and not dumped: the fallback
  bool is_empty = false;      ///< without a page: reserved only
};

std::vector<Mapping> mappings_of(pid_t process);

/// The name of a process, for people.
std::string name_of(pid_t process);

}  // namespace vhsm::tests
