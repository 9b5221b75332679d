// SPDX-License-Identifier: Apache-2.0
//
// What systemd says to a service and hears from it: start-up, status, watchdog, the socket that it
// listens on. Our own few lines: libsystemd has no static library, and vhsmd needs libc and libcbor
// alone. Sources: sd_notify(3), sd_watchdog_enabled(3), sd_listen_fds(3).
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace vhsm::vhsmd {

/// The supervisor of this process; outside systemd there is none, and nothing happens. No call
/// blocks or raises SIGPIPE; a message that the supervisor has no room for is lost. Messages may be
/// sent by several threads at once.
class Supervisor {
 public:
  /// Takes the variables out of the environment, so that no child inherits them. Before the first
  /// thread, as the environment has no lock.
  Supervisor();
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;
  ~Supervisor();

  /// The socket of vhsmd.socket, now closed on exec. The caller owns it. Whether it blocks is the
  /// unit's choice (NonBlocking=).
  /// @return none when this process was started without one.
  /// @errors kBadConfig for several sockets, a malformed number, or one that is not a listening
  /// stream socket of AF_UNIX: to listen elsewhere instead would hide a mistake in the unit.
  [[nodiscard]] Result<std::optional<int>> listening_socket() const;

  /// @param text  for `systemctl status`; a control character becomes a blank.
  void ready(std::string_view text) const;
  void status(std::string_view text) const;
  void stopping() const;
  /// Feeds the watchdog.
  void alive() const;

  /// How often alive() is due: half of what the watchdog allows. None without a watchdog for this
  /// process. A malformed number counts as none: no period could be right, and a watchdog that is
  /// there after all restarts us.
  [[nodiscard]] std::optional<std::chrono::microseconds> watchdog_period() const noexcept {
    return watchdog_period_;
  }

 private:
  void address(std::string_view path) noexcept;
  void tell(std::string_view assignments) const noexcept;

  int socket_ = -1;
  sockaddr_un address_{};
  socklen_t address_bytes_ = 0;
  std::optional<std::chrono::microseconds> watchdog_period_;
  std::optional<std::string> listen_pid_;
  std::optional<std::string> listen_count_;
  std::string listen_names_;
};

}  // namespace vhsm::vhsmd
