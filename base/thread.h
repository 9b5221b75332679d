// SPDX-License-Identifier: Apache-2.0
//
// Threads of ours in programs of others.
#pragma once

#include <functional>

namespace vhsm {

/// Runs `body` on a new thread that nobody joins, with all signals blocked: the host's handlers
/// belong on the host's threads. What `body` throws is dropped with it.
/// @return false when the system gives no thread.
[[nodiscard]] bool start_thread(std::function<void()> body) noexcept;

}  // namespace vhsm
