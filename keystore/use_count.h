// SPDX-License-Identifier: Apache-2.0
//
// How often a key may still be used, by all processes together. A process takes uses from where
// they are kept before it spends the first of them: one, then as many as it has spent so far. So
// who works for a moment takes no more than it needs, who works for long takes them rarely, what a
// crash loses is lost for good, and nobody ever has more than there were.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

#include "base/result.h"

namespace vhsm::keystore {

/// A number of this process: in a child of a fork it is 0. Lock-free, at most 2^32 - 1.
class OwnNumber {
 public:
  [[nodiscard]] std::uint32_t value() const noexcept;
  void add(std::uint32_t more) noexcept;
  /// @return whether there was one.
  [[nodiscard]] bool take_one() noexcept;
  [[nodiscard]] std::uint32_t take_all() noexcept;

 private:
  std::atomic<std::uint64_t> number_{0};  ///< above it the process (generation) that it is of
};

/// Lock-free but for what its store does; any number of threads, usable on both sides of a fork: a
/// child has none of its parent's uses, takes its own, and gives its own back.
class UseCount {
 public:
  /// Where the uses are kept. Neither is called in a scope.
  struct Store {
    /// Takes uses that nobody else gets: 1 at least, and not many more than `wanted`.
    std::function<Result<std::uint32_t>(std::uint32_t wanted)> take;
    /// Those that are not going to be spent here. If this fails they are lost.
    std::function<Status(std::uint32_t uses)> give_back;
  };

  explicit UseCount(Store store) : store_(std::move(store)) {}
  ~UseCount();
  UseCount(const UseCount&) = delete;
  UseCount& operator=(const UseCount&) = delete;

  /// One use, whatever comes of it. Not in a scope.
  /// @errors those of Store::take.
  Status spend();

 private:
  const Store store_;
  OwnNumber held_;
  OwnNumber taken_;  ///< so far
};

using UseCountPtr = std::shared_ptr<UseCount>;

}  // namespace vhsm::keystore
