// SPDX-License-Identifier: Apache-2.0
//
// Ownership of file descriptors, and waiting for them until a deadline.
// Source: fcntl(2), poll(2).
#pragma once

#include <utility>

#include "base/deadline.h"

namespace vhsm {

class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int number) noexcept : number_(number) {}
  Descriptor(Descriptor&& other) noexcept : number_(other.release()) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor();

  [[nodiscard]] bool valid() const noexcept { return number_ >= 0; }
  [[nodiscard]] int get() const noexcept { return number_; }
  [[nodiscard]] int release() noexcept { return std::exchange(number_, -1); }

 private:
  int number_ = -1;
};

/// `first`, or a copy above 2 in its place: a host that closed its standard streams would print
/// into our connection.
[[nodiscard]] Descriptor clear_of_streams(Descriptor first) noexcept;

/// Waits until `descriptor` is ready for `events` (POLLIN, POLLOUT) or broken.
/// @return false when `deadline` passed first.
[[nodiscard]] bool wait_until_ready(int descriptor, short events, TimePoint deadline) noexcept;

}  // namespace vhsm
