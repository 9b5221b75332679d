// SPDX-License-Identifier: Apache-2.0
//
// A process's connections to vhsmd. Usable after fork, setuid and chroot; comes back by itself when
// vhsmd was restarted or replaced.
// Source: unix(7); docs/vhsmd-protocol.md.
#pragma once

#include <sys/types.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "base/descriptor.h"
#include "base/result.h"
#include "keystore/daemon/message.h"

namespace vhsm::keystore {

/// Thread-safe: each thread that asks has a connection of its own for so long.
class Channel {
 public:
  /// How long callers wait for a vhsmd that is being restarted. Then they fail at once until it is
  /// back: a server that answers many clients from one thread must not hold them up for ever.
  static constexpr std::chrono::milliseconds kPatience{2000};

  /// @param path  the socket; its folder is opened now, so that it is found after chroot.
  explicit Channel(std::string path);
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;
  ~Channel();

  /// Sends `request` and waits for its answer. If the connection breaks meanwhile it is sent again
  /// on a new one, unless it changes something (message.h).
  /// @param patience  for the answer, once vhsmd has the request. When vhsmd has been silent for so
  ///                  long once, the next who ask are less patient until it answers again.
  /// @errors kNoDaemon, kForked, kBadFormat, and what vhsmd answers.
  Result<Reply> ask(const Request& request, std::chrono::milliseconds patience);

 private:
  struct Connection;
  using ConnectionPtr = std::unique_ptr<Connection>;

  Result<ConnectionPtr> connect();
  ConnectionPtr take_idle() noexcept;
  void keep(ConnectionPtr connection) noexcept;
  [[nodiscard]] int connect_once(int socket) const noexcept;
  /// Whether another try is worth its wait.
  bool still_patient() noexcept;

  static constexpr std::size_t kPlaces = 16;
  std::string path_;
  Descriptor folder_;
  std::array<std::atomic<Connection*>, kPlaces> idle_{};
  /// When vhsmd was found gone, and when that was looked at last; in ticks of Clock, 0: it is
  /// there.
  std::atomic<Clock::rep> gone_since_{0};
  std::atomic<Clock::rep> looked_at_{0};
  std::atomic<bool> silent_{false};  ///< the last answer did not come in time
};

}  // namespace vhsm::keystore
