// SPDX-License-Identifier: Apache-2.0
#include "nitride/socket.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace vhsm::nitride {
namespace {

/// A descriptor above 2: a host that closed its standard streams would print into our connection.
int open_socket(int family) noexcept {
  const int first = ::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
  if (first < 0 || first > STDERR_FILENO) return first;
  const int moved = ::fcntl(first, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  ::close(first);
  return moved;
}

static_assert(EAGAIN == EWOULDBLOCK);
bool is_blocked(int error) noexcept { return error == EAGAIN; }

}  // namespace

Socket::Socket(Socket&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}

Socket& Socket::operator=(Socket&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

Socket::~Socket() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

bool Socket::wait_for(short events, TimePoint deadline) const noexcept {
  for (;;) {
    pollfd one{descriptor_, events, 0};
    const int rc = ::poll(&one, 1, poll_milliseconds(deadline));
    if (rc > 0) return true;  // errors and hang-ups show in the next call
    if (rc == 0 || errno != EINTR || Clock::now() >= deadline) return false;
  }
}

Result<Socket> Socket::connect_to(const Address& address, TimePoint deadline) {
  Socket socket(open_socket(address.any.sa_family));
  if (socket.descriptor_ < 0) return fail(Errc::kUnreachable, "no socket for the KBS");
  const int on = 1;
  ::setsockopt(socket.descriptor_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (::connect(socket.descriptor_, &address.any, address.size()) == 0) return socket;
  if (errno != EINPROGRESS && errno != EINTR) {
    return fail(Errc::kUnreachable, "the KBS refuses the connection, or there is no way to it");
  }
  if (!socket.wait_for(POLLOUT, deadline)) {
    return fail(Errc::kUnreachable, "the KBS did not accept the connection in time");
  }
  int error = 0;
  socklen_t size = sizeof error;
  if (::getsockopt(socket.descriptor_, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0) {
    return fail(Errc::kUnreachable, "the KBS refuses the connection, or there is no way to it");
  }
  return socket;
}

Result<Socket> Socket::connect(std::span<const Address> addresses, TimePoint deadline) {
  Result<Socket> last = fail(Errc::kUnreachable, "the KBS has no usable address");
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    const auto now = Clock::now();
    const auto share = (deadline - now) / static_cast<Clock::rep>(addresses.size() - i);
    last = connect_to(addresses[i], now + share);
    if (last.ok()) return last;
  }
  return last;
}

Status Socket::send(std::string_view data, TimePoint deadline) {
  while (!data.empty()) {
    const ssize_t sent = ::send(descriptor_, data.data(), data.size(), MSG_NOSIGNAL);
    if (sent >= 0) {
      data.remove_prefix(static_cast<std::size_t>(sent));
    } else if (is_blocked(errno)) {
      if (!wait_for(POLLOUT, deadline)) {
        return fail(Errc::kUnreachable, "the KBS did not take the request in time");
      }
    } else if (errno != EINTR) {
      return fail(Errc::kUnreachable, "the KBS closed the connection");
    }
  }
  return {};
}

Result<std::size_t> Socket::receive(std::span<char> into, TimePoint deadline) {
  for (;;) {
    // Before reading too: a peer that always has one more byte must not win time.
    if (Clock::now() >= deadline) break;
    const ssize_t got = ::recv(descriptor_, into.data(), into.size(), 0);
    if (got >= 0) return static_cast<std::size_t>(got);
    if (is_blocked(errno)) {
      if (!wait_for(POLLIN, deadline)) break;
    } else if (errno != EINTR) {
      return fail(Errc::kUnreachable, "the KBS reset the connection");
    }
  }
  return fail(Errc::kUnreachable, "the KBS did not answer in time");
}

}  // namespace vhsm::nitride
