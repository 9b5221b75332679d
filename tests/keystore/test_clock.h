// SPDX-License-Identifier: Apache-2.0
//
// A clock of leases that only goes on when a test says so.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

#include "keystore/lease.h"

namespace vhsm::keystore {

inline constexpr std::uint8_t kLatest = 255;  ///< the jitter of a renewal at three quarters

inline std::atomic<BootTime::rep> g_now{BootTime(std::chrono::hours(1)).count()};
inline BootTime test_now() noexcept { return BootTime(g_now.load()); }
inline void pass(BootTime time) { g_now += time.count(); }

}  // namespace vhsm::keystore
