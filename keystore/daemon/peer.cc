// SPDX-License-Identifier: Apache-2.0
//
// Source: as peer.h; for the rule of units cg_path_get_unit() in systemd's src/basic/cgroup-util.c.
#include "keystore/daemon/peer.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <utility>

#include "base/descriptor.h"

namespace vhsm::keystore {
namespace {

constexpr int kPeerPidfd = 77;  // SO_PEERPIDFD, which the headers of Debian 12 do not have
constexpr uid_t kNobodyThere = static_cast<uid_t>(-1);
constexpr std::size_t kMaxProcBytes = std::size_t{64} << 10;
constexpr std::size_t kMaxUnitBytes = 255;
constexpr int kStartTimeField = 22;  // of /proc/PID/stat

/// The whole file, or nothing: half a file could end in another unit's name.
std::optional<std::string> read_whole(const std::string& path) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
  if (!file.valid()) return std::nullopt;
  std::string text(kMaxProcBytes, '\0');
  std::size_t size = 0;
  while (size < text.size()) {
    const ssize_t part = ::read(file.get(), text.data() + size, text.size() - size);
    if (part < 0 && errno == EINTR) continue;
    if (part < 0) return std::nullopt;
    if (part == 0) return text.substr(0, size);
    size += static_cast<std::size_t>(part);
  }
  return std::nullopt;
}

/// What stands before the first `separator`; `text` keeps what stands behind it.
std::string_view take(std::string_view& text, char separator) {
  const std::size_t end = std::min(text.find(separator), text.size());
  const std::string_view part = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return part;
}

bool may_stand_in_a_unit(char c) noexcept {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
         std::string_view(":_.\\@-").find(c) != std::string_view::npos;
}

/// Whether `text` is "NAME`suffix`" or "NAME@INSTANCE`suffix`".
bool is_name(std::string_view text, std::string_view suffix) noexcept {
  if (text.size() > kMaxUnitBytes || text.size() <= suffix.size()) return false;
  const std::string_view stem = text.substr(0, text.size() - suffix.size());
  const std::size_t at = stem.find('@');
  return text.ends_with(suffix) && std::ranges::all_of(stem, may_stand_in_a_unit) && at != 0 &&
         at + 1 != stem.size();
}

bool is_slice(std::string_view text) noexcept {
  return is_name(text, ".slice") && text.find('@') == std::string_view::npos;
}

std::string_view unit_of_path(std::string_view path) {
  if (!path.starts_with('/')) return {};
  while (!path.empty()) {
    std::string_view element = take(path, '/');
    if (element.empty()) continue;
    // systemd sets an underscore before names that the kernel has for its own files.
    if (element.starts_with('_')) element.remove_prefix(1);
    if (is_slice(element)) continue;
    return is_unit_name(element) ? element : std::string_view{};
  }
  return {};
}

Result<ucred> credentials_of(int socket) {
  ucred credentials{};
  socklen_t size = sizeof(credentials);
  // A socket that is not a Unix socket, or not connected, has no peer, but succeeds.
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0 ||
      credentials.uid == kNobodyThere) {
    return fail(Errc::kIo, "this connection does not tell who its peer is");
  }
  return credentials;
}

Result<std::vector<gid_t>> groups_of(int socket) {
  std::vector<gid_t> groups(16);
  for (;;) {
    auto size = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
    const int rc = ::getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &size);
    const bool too_small = rc != 0 && errno == ERANGE && size > groups.size() * sizeof(gid_t);
    if (rc != 0 && !too_small) {
      return fail(Errc::kIo, "this connection does not tell its peer's groups");
    }
    groups.resize(size / sizeof(gid_t));
    if (rc == 0) return groups;
  }
}

/// When the process started, in clock ticks since boot, rounded down.
std::optional<std::uint64_t> start_ticks(const std::string& folder) {
  const auto text = read_whole(folder + "/stat");
  if (!text.has_value()) return std::nullopt;
  // The second field is a name that the process chose, brackets and blanks included.
  const std::size_t bracket = text->rfind(')');
  if (bracket == std::string::npos) return std::nullopt;
  std::string_view rest = std::string_view(*text).substr(bracket);
  for (int field = 2; field < kStartTimeField; ++field) take(rest, ' ');
  const std::string_view digits = take(rest, ' ');
  std::uint64_t ticks = 0;
  const char* const last = digits.data() + digits.size();
  const auto [end, error] = std::from_chars(digits.data(), last, ticks);
  if (error != std::errc{} || end != last) return std::nullopt;
  return ticks;
}

bool started_before(const std::string& folder, std::chrono::nanoseconds moment) {
  const long ticks_per_second = ::sysconf(_SC_CLK_TCK);
  const auto ticks = start_ticks(folder);
  if (!ticks.has_value() || ticks_per_second <= 0 || moment.count() < 0) return false;
  const std::chrono::nanoseconds tick =
      std::chrono::nanoseconds(std::chrono::seconds(1)) / ticks_per_second;
  return *ticks < static_cast<std::uint64_t>(moment / tick);
}

/// Whether the process that connected has not exited. The pidfd is that process's, whoever bears
/// its number now.
bool is_running(int pidfd) {
  pollfd state{pidfd, POLLIN, 0};
  return ::poll(&state, 1, 0) == 0;
}

/// Whether `folder`, which has been read before, was the peer's, and not that of a later process
/// with the same pid. Before 6.5 only this can be shown: a process that bears the pid now and had
/// it before the connection existed, had it all the time. A younger one may be the peer or have
/// come after it: a peer can connect, exit, and wait in the queue until its pid comes round.
bool was_of_the_peer(int socket, const std::string& folder, const PeerLook& look) {
  if (look.pidfd) {
    int number = -1;
    socklen_t size = sizeof(number);
    if (::getsockopt(socket, SOL_SOCKET, kPeerPidfd, &number, &size) == 0) {
      const Descriptor pidfd(number);
      return is_running(pidfd.get());
    }
    if (errno != ENOPROTOOPT) return false;
  }
  return look.not_before.has_value() && started_before(folder, *look.not_before);
}

std::string unit_of(int socket, pid_t pid, const PeerLook& look) {
  if (pid <= 0) return {};
  const std::string folder = look.proc + "/" + std::to_string(pid);
  const auto text = read_whole(folder + "/cgroup");
  if (!text.has_value() || !was_of_the_peer(socket, folder, look)) return {};
  return unit_of_cgroup(*text);
}

}  // namespace

std::chrono::nanoseconds boot_time() noexcept {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

Result<Peer> identify_peer(int connected_socket, const PeerLook& look) {
  const ucred credentials = VHSM_TRY(credentials_of(connected_socket));
  std::vector<gid_t> groups = VHSM_TRY(groups_of(connected_socket));
  return Peer{credentials.uid, credentials.gid, std::move(groups), credentials.pid,
              unit_of(connected_socket, credentials.pid, look)};
}

std::string unit_of_cgroup(std::string_view text) {
  if (text.size() > kMaxProcBytes) return {};
  std::string_view unified;
  std::string_view legacy;
  while (!text.empty()) {
    std::string_view path = take(text, '\n');
    const std::string_view hierarchy = take(path, ':');
    const std::string_view controllers = take(path, ':');
    if (hierarchy == "0" && controllers.empty()) unified = path;
    if (controllers == "name=systemd") legacy = path;
  }
  // Where systemd uses v2, v1's line is no one's or a container's: it must not name a unit.
  const bool v1 = unified.empty() || unified == "/";
  return std::string(unit_of_path(v1 ? legacy : unified));
}

bool is_unit_name(std::string_view text) noexcept {
  return is_name(text, ".service") || is_name(text, ".scope");
}

}  // namespace vhsm::keystore
