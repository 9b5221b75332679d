// SPDX-License-Identifier: Apache-2.0
#include "vhsmd/systemd.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

namespace vhsm::vhsmd {
namespace {

using std::chrono::microseconds;

constexpr int kFirstDescriptor = 3;  // SD_LISTEN_FDS_START

/// What a listening socket must be, and the sentence if it is not.
struct Demand {
  int option;
  int value;
  Literal otherwise;
};
constexpr std::array kDemands{
    Demand{SO_DOMAIN, AF_UNIX, "the inherited descriptor is not an AF_UNIX socket"},
    Demand{SO_TYPE, SOCK_STREAM, "the inherited socket is not a stream"},
    Demand{SO_ACCEPTCONN, 1, "the inherited socket does not listen"},
};

/// The variable, which is gone afterwards.
std::optional<std::string> take(const char* name) {
  const char* const value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): no thread yet
  if (value == nullptr) return std::nullopt;
  std::string text(value);
  ::unsetenv(name);  // NOLINT(concurrency-mt-unsafe): no thread yet
  return text;
}

/// @return none unless all of `text` is a number.
std::optional<std::uint64_t> number(std::string_view text) noexcept {
  std::uint64_t value = 0;
  const char* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, value);
  if (error != std::errc{} || end != last) return std::nullopt;
  return value;
}

Result<std::uint64_t> demand_number(const char* variable, std::string_view text) {
  const auto value = number(text);
  if (!value.has_value()) return fail(Errc::kBadConfig, "this variable is not a number", variable);
  return *value;
}

bool is_this_process(std::uint64_t pid) noexcept {
  return pid == static_cast<std::uint64_t>(::getpid());
}

std::optional<microseconds> period_of(const std::optional<std::string>& limit,
                                      const std::optional<std::string>& pid) noexcept {
  if (!limit.has_value()) return std::nullopt;
  if (pid.has_value() && !is_this_process(number(*pid).value_or(0))) return std::nullopt;
  const std::uint64_t half = number(*limit).value_or(0) / 2;
  if (half == 0) return std::nullopt;
  return microseconds(half);
}

/// A line break would start an assignment of its own.
std::string status_line(std::string_view text) {
  std::string line = "STATUS=";
  line.append(text);
  std::ranges::replace_if(
      line, [](char c) { return static_cast<unsigned char>(c) < ' '; }, ' ');
  return line;
}

Status check(int descriptor, const std::string& name) {
  for (const Demand& demand : kDemands) {
    int value = -1;
    socklen_t bytes = sizeof value;
    if (::getsockopt(descriptor, SOL_SOCKET, demand.option, &value, &bytes) != 0) {
      return fail(Errc::kBadConfig, "the inherited descriptor is not a socket", name);
    }
    if (value != demand.value) return fail(Errc::kBadConfig, demand.otherwise, name);
  }
  return {};
}

}  // namespace

Supervisor::Supervisor() {
  address(take("NOTIFY_SOCKET").value_or(""));
  const auto limit = take("WATCHDOG_USEC");
  watchdog_period_ = period_of(limit, take("WATCHDOG_PID"));
  listen_pid_ = take("LISTEN_PID");
  listen_count_ = take("LISTEN_FDS");
  listen_names_ = take("LISTEN_FDNAMES").value_or("LISTEN_FDS");
}

Supervisor::~Supervisor() {
  if (socket_ >= 0) ::close(socket_);
}

/// A path, or '@' and an abstract name. Other forms (vsock:) are of supervisors of whole VMs, not
/// of services; like no address, they leave the service without a listener.
void Supervisor::address(std::string_view path) noexcept {
  const bool known = path.starts_with('/') || path.starts_with('@');
  if (!known || path.size() < 2 || path.size() >= sizeof address_.sun_path) return;
  address_.sun_family = AF_UNIX;
  std::ranges::copy(path, address_.sun_path);
  if (path.starts_with('@')) address_.sun_path[0] = '\0';
  address_bytes_ = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
  socket_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

/// The answer is of no use: a supervisor that is gone or busy must not stop the service.
void Supervisor::tell(std::string_view assignments) const noexcept {
  if (socket_ < 0) return;
  static_cast<void>(::sendto(socket_, assignments.data(), assignments.size(),
                             MSG_DONTWAIT | MSG_NOSIGNAL,
                             reinterpret_cast<const sockaddr*>(&address_), address_bytes_));
}

void Supervisor::ready(std::string_view text) const { tell("READY=1\n" + status_line(text)); }
void Supervisor::status(std::string_view text) const { tell(status_line(text)); }
void Supervisor::stopping() const { tell("STOPPING=1"); }
void Supervisor::alive() const { tell("WATCHDOG=1"); }

Result<std::optional<int>> Supervisor::listening_socket() const {
  if (!listen_pid_.has_value() || !listen_count_.has_value()) return std::optional<int>();
  const std::uint64_t pid = VHSM_TRY(demand_number("LISTEN_PID", *listen_pid_));
  const std::uint64_t count = VHSM_TRY(demand_number("LISTEN_FDS", *listen_count_));
  if (!is_this_process(pid) || count == 0) return std::optional<int>();
  if (count > 1) return fail(Errc::kBadConfig, "vhsmd listens on one socket only", listen_names_);
  VHSM_TRY(check(kFirstDescriptor, listen_names_));
  ::fcntl(kFirstDescriptor, F_SETFD, FD_CLOEXEC);
  return std::optional<int>(kFirstDescriptor);
}

}  // namespace vhsm::vhsmd
