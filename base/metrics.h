// SPDX-License-Identifier: Apache-2.0
//
// What a provider instance has done, for its gettable parameters and for tests that prove that
// Case A touches neither platform nor network.
#pragma once

#include <atomic>
#include <cstdint>

namespace vhsm {

/// Monotonic counters; each may be bumped by any thread.
struct Metrics {
  std::atomic<std::uint64_t> fetches{0};     ///< resources asked from a KBS (vhsm-fetches)
  std::atomic<std::uint64_t> reports{0};     ///< reports asked from the platform (vhsm-reports)
  std::atomic<std::uint64_t> operations{0};  ///< private-key operations (vhsm-operations)
};

}  // namespace vhsm
