// SPDX-License-Identifier: Apache-2.0
#include "nitride/socket.h"

#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>

namespace vhsm::nitride {
namespace {

static_assert(EAGAIN == EWOULDBLOCK);
bool is_blocked(int error) noexcept { return error == EAGAIN; }

}  // namespace

Result<Socket> Socket::connect_to(const Address& address, TimePoint deadline) {
  constexpr int kType = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
  Socket socket(clear_of_streams(Descriptor(::socket(address.any.sa_family, kType, IPPROTO_TCP))));
  if (!socket.descriptor_.valid()) return fail(Errc::kUnreachable, "no socket for the KBS");
  const int descriptor = socket.descriptor_.get();
  const int on = 1;
  ::setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (::connect(descriptor, &address.any, address.size()) == 0) return socket;
  if (errno != EINPROGRESS && errno != EINTR) {
    return fail(Errc::kUnreachable, "the KBS refuses the connection, or there is no way to it");
  }
  if (!wait_until_ready(descriptor, POLLOUT, deadline)) {
    return fail(Errc::kUnreachable, "the KBS did not accept the connection in time");
  }
  int error = 0;
  socklen_t size = sizeof error;
  if (::getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0) {
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
    const ssize_t sent = ::send(descriptor_.get(), data.data(), data.size(), MSG_NOSIGNAL);
    if (sent >= 0) {
      data.remove_prefix(static_cast<std::size_t>(sent));
    } else if (is_blocked(errno)) {
      if (!wait_until_ready(descriptor_.get(), POLLOUT, deadline)) {
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
    const ssize_t got = ::recv(descriptor_.get(), into.data(), into.size(), 0);
    if (got >= 0) return static_cast<std::size_t>(got);
    if (is_blocked(errno)) {
      if (!wait_until_ready(descriptor_.get(), POLLIN, deadline)) break;
    } else if (errno != EINTR) {
      return fail(Errc::kUnreachable, "the KBS reset the connection");
    }
  }
  return fail(Errc::kUnreachable, "the KBS did not answer in time");
}

}  // namespace vhsm::nitride
