// SPDX-License-Identifier: Apache-2.0
//
// Work that cannot be interrupted, waited for until a deadline.
#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "base/deadline.h"
#include "base/result.h"
#include "base/thread.h"

namespace vhsm::snp {

/// Runs `work` (copyable, returns a Result) on a thread of its own and waits for it until
/// `deadline`. After that it goes on alone: it owns all that it touches, and its result is dropped.
/// Without a deadline it runs here; so it does where the process may have no thread (HAProxy's
/// workers: RLIMIT_NPROC is 0), for as long as it takes.
/// @param subject  the subject of errors.
/// @errors kPlatform when it takes too long; what `work` returns.
template <class Work>
auto within(TimePoint deadline, const char* subject, Work work) -> decltype(work()) {
  using Answer = decltype(work());
  struct Call {
    std::mutex mutex;
    std::condition_variable done;
    std::optional<Answer> answer;
  };
  if (deadline == TimePoint::max()) return work();
  const auto call = std::make_shared<Call>();
  const bool started = start_thread([call, work]() mutable {
    Answer answer = work();
    const std::lock_guard lock(call->mutex);
    call->answer.emplace(std::move(answer));
    call->done.notify_all();
  });
  if (!started) return work();
  std::unique_lock lock(call->mutex);
  if (!call->done.wait_until(lock, deadline, [&] { return call->answer.has_value(); })) {
    return fail(Errc::kPlatform, "the platform did not answer in time", subject);
  }
  return std::move(*call->answer);
}

}  // namespace vhsm::snp
