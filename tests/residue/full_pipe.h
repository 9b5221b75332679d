// SPDX-License-Identifier: Apache-2.0
//
// Stops a program at its output: when it has done its work and not yet given up what it worked
// with.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>

#include "tests/residue/values.h"
#include "tests/world/world.h"

namespace vhsm::tests {

/// A named pipe that is full: who writes to it waits until it is drained.
class FullPipe {
 public:
  explicit FullPipe(std::string path) : path_(std::move(path)) {
    EXPECT_EQ(::mkfifo(path_.c_str(), 0600), 0);
    descriptor_ = ::open(path_.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
    const Bytes filling(4096);
    while (::write(descriptor_, filling.data(), filling.size()) > 0) filled_ += filling.size();
  }
  ~FullPipe() {
    ::close(descriptor_);
    ::unlink(path_.c_str());
  }
  FullPipe(const FullPipe&) = delete;
  FullPipe& operator=(const FullPipe&) = delete;

  /// What was written behind the filling, so far.
  Bytes drain() {
    Bytes piece(4096);
    for (ssize_t got = 0; (got = ::read(descriptor_, piece.data(), piece.size())) > 0;) {
      all_.insert(all_.end(), piece.begin(), piece.begin() + got);
    }
    const auto from = all_.begin() + static_cast<std::ptrdiff_t>(std::min(filled_, all_.size()));
    return {from, all_.end()};
  }

 private:
  std::string path_;
  int descriptor_ = -1;
  std::size_t filled_ = 0;
  Bytes all_;
};

/// Whether its main thread waits in write(2).
inline bool writes(pid_t process) {
  return read_file("/proc/" + std::to_string(process) + "/syscall").starts_with("1 ");
}

}  // namespace vhsm::tests
