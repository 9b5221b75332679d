// SPDX-License-Identifier: Apache-2.0
//
// Who is at the other end of a connection, as the kernel tells it: user, groups and systemd unit.
// Source: unix(7) (SO_PEERCRED), socket(7), pidfd_open(2), proc(5), cgroups(7), systemd.unit(5).
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace vhsm::keystore {

/// The process that connected, as it was then: one that inherits or is handed its descriptor
/// speaks in its name.
struct Peer {
  uid_t uid;
  gid_t gid;
  std::vector<gid_t> groups;  ///< supplementary ones, in the kernel's order
  pid_t pid;                  ///< 0 for a process of a pid namespace that is not ours
  std::string unit;           ///< "nginx.service"; empty: in none, or not certain
};

/// How to look; the defaults are for kernels from 6.5 on.
struct PeerLook {
  std::string proc = "/proc";
  /// A moment at which the connection did not exist yet: what boot_time() said *before* the last
  /// call of accept(2) that found none (EAGAIN); after it, a connection may have come already.
  /// Kernels before 6.5 cannot show a unit without it, nor that of a process that started later.
  std::optional<std::chrono::nanoseconds> not_before;
  bool pidfd = true;  ///< false: as before 6.5
};

/// The time since boot that proc(5) dates processes by (CLOCK_BOOTTIME).
[[nodiscard]] std::chrono::nanoseconds boot_time() noexcept;

/// Asks the kernel about the peer of `connected_socket`. Its unit is the one that it is in now;
/// that is not certain, and so empty, once it has exited, or when its pid may have been reused.
/// @errors kIo for anything but a connected Unix socket.
[[nodiscard]] Result<Peer> identify_peer(int connected_socket, const PeerLook& look = {});

/// The system's unit that /proc/PID/cgroup tells of, by the rule of sd_pid_get_unit(3): the first
/// element below the slices. For a user's own services that is "user@1000.service". Elements below
/// a unit are the unit's to name, so they count for nothing. Empty when there is none.
[[nodiscard]] std::string unit_of_cgroup(std::string_view text);

/// Whether `text` names a service or a scope that can run (no template), in at most 255 bytes.
[[nodiscard]] bool is_unit_name(std::string_view text) noexcept;

}  // namespace vhsm::keystore
