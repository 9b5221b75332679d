// SPDX-License-Identifier: Apache-2.0
//
// A system call of another process that waits for our answer.
// Source: seccomp_unotify(2).
#pragma once

#include <linux/seccomp.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>

#include "snp/tools/process.h"

namespace vhsm::snp {

/// The only descriptors whose reads and writes are told: those that are given by number.
inline constexpr int kFirstToldDescriptor = 900;
inline constexpr int kLastToldDescriptor = 963;

class Notification {
 public:
  Notification(int listener, const seccomp_notif& notification)
      : listener_(listener),
        id_(notification.id),
        thread_(static_cast<pid_t>(notification.pid)),
        data_(notification.data) {}

  [[nodiscard]] int number() const noexcept { return data_.nr; }
  [[nodiscard]] std::uint64_t argument(std::size_t index) const { return data_.args[index]; }
  [[nodiscard]] int descriptor(std::size_t index) const {
    return static_cast<int>(data_.args[index]);
  }
  [[nodiscard]] Process process() const { return Process(thread_); }

  /// @param error  an errno; 0: the call succeeds with `value`.
  void answer(int error, std::size_t value = 0) const;
  /// The kernel carries it out, as if nobody had been asked.
  void let_pass() const;
  /// The call succeeds with a new descriptor for our `file`.
  /// @param flags   of open: whether it is closed at exec.
  /// @param number  which descriptor; unset: the lowest.
  void answer_with(int file, std::uint32_t flags, std::optional<int> number = {}) const;

 private:
  void send(int error, std::int64_t value, std::uint32_t flags) const;

  int listener_;
  std::uint64_t id_;
  pid_t thread_;
  seccomp_data data_;
};

/// The next call; nothing when it went away meanwhile.
[[nodiscard]] std::optional<Notification> receive_notification(int listener);

}  // namespace vhsm::snp
