// SPDX-License-Identifier: Apache-2.0
//
// A thread that answers many must not wait long for somebody else.
#pragma once

#include <chrono>

namespace vhsm {

/// While one lives, its thread waits for another process or thread for a moment at most: what takes
/// longer fails, and is done again by a thread that may wait. Nests.
class Haste {
 public:
  Haste() noexcept;
  ~Haste();
  Haste(const Haste&) = delete;
  Haste& operator=(const Haste&) = delete;

  /// What is left of `patience` on the calling thread.
  [[nodiscard]] static std::chrono::milliseconds limit(std::chrono::milliseconds patience) noexcept;

 private:
  const bool outer_;
};

}  // namespace vhsm
