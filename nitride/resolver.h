// SPDX-License-Identifier: Apache-2.0
//
// Names to addresses within a deadline, which getaddrinfo(3) does not know: it runs in a thread of
// its own that is left behind when time is up.
// Source: getaddrinfo(3), RFC 6724 (the order of the addresses is the resolver's).
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <memory>
#include <span>

#include "base/deadline.h"
#include "base/endpoint.h"
#include "base/result.h"

namespace vhsm::nitride {

union Address {
  sockaddr any;
  sockaddr_in four;
  sockaddr_in6 six;

  [[nodiscard]] socklen_t size() const noexcept {
    return any.sa_family == AF_INET6 ? sizeof six : sizeof four;
  }
};

/// The first few addresses of a host, in order of preference; allocates nothing.
class Addresses {
 public:
  static constexpr std::size_t kMax = 8;

  /// Adds `address` unless there are kMax already, or it is of another family than IPv4 and IPv6.
  void add(const sockaddr* address, socklen_t size) noexcept;
  [[nodiscard]] std::span<const Address> all() const noexcept { return {items_.data(), count_}; }
  [[nodiscard]] bool empty() const noexcept { return count_ == 0; }

 private:
  std::array<Address, kMax> items_{};
  std::size_t count_ = 0;
};

/// One look-up under way.
class Lookup {
 public:
  /// Address literals are done at once; for a name a detached thread starts, with all signals
  /// blocked (no handler of the host runs on it) and a small stack.
  static Lookup start(const Endpoint& endpoint);

  /// @errors kUnreachable when the name has no address, or none was found in time.
  Result<Addresses> wait(TimePoint deadline);

 private:
  struct Shared;
  explicit Lookup(std::shared_ptr<Shared> shared) : shared_(std::move(shared)) {}
  static void run(Shared& shared);

  std::shared_ptr<Shared> shared_;
};

}  // namespace vhsm::nitride
