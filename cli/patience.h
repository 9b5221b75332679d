// SPDX-License-Identifier: Apache-2.0
//
// At boot a KBS, the network or vhsmd may not be there yet: asking again, for so long.
#pragma once

#include <algorithm>
#include <chrono>
#include <thread>

#include "base/deadline.h"
#include "base/result.h"

namespace vhsm::cli {

/// Whether it may pass: whom we asked was not there, or waits for another attestation, or a slot of
/// the folder waits for the KBS.
[[nodiscard]] constexpr bool may_pass(Errc code) noexcept {
  return code == Errc::kUnreachable || code == Errc::kInUse || code == Errc::kNoDaemon ||
         code == Errc::kSealed;
}

/// Calls `ask` until it gets an answer, or `patience` is over: then the last error counts.
template <class Ask>
auto ask_with_patience(std::chrono::seconds patience, Ask&& ask) {
  constexpr std::chrono::milliseconds kFirstPause{250};
  constexpr std::chrono::milliseconds kLongestPause{5000};
  const auto deadline = Clock::now() + patience;
  for (auto pause = kFirstPause;; pause = std::min(pause * 2, kLongestPause)) {
    auto answer = ask();
    if (answer.ok() || !may_pass(answer.error().code) || Clock::now() + pause > deadline) {
      return answer;
    }
    std::this_thread::sleep_for(pause);
  }
}

}  // namespace vhsm::cli
