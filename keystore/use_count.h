// SPDX-License-Identifier: Apache-2.0
//
// How often a key may still be used, by all processes together. A process takes uses from where
// they are kept before it spends the first of them, a block at a time. So what a crash loses is
// lost for good, and nobody ever has more than there were.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

#include "base/result.h"

namespace vhsm::keystore {

/// Lock-free but for what `take` does; any number of threads, usable on both sides of a fork: a
/// child has none of its parent's uses, and takes its own.
class UseCount {
 public:
  /// Takes uses that nobody else gets; at least 1. Not in a scope.
  using Take = std::function<Result<std::uint32_t>()>;

  explicit UseCount(Take take) : take_(std::move(take)) {}

  /// One use, whatever comes of it. Not in a scope.
  /// @errors those of `take`.
  Status spend();

 private:
  [[nodiscard]] bool spend_own() noexcept;
  void keep(std::uint32_t uses) noexcept;

  const Take take_;
  std::atomic<std::uint64_t> held_{
      0};  ///< uses, and above them the process (generation) they are of
};

using UseCountPtr = std::shared_ptr<UseCount>;

}  // namespace vhsm::keystore
