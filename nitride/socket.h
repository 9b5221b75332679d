// SPDX-License-Identifier: Apache-2.0
//
// A TCP connection whose every wait has a deadline. Never raises SIGPIPE, never leaks into a
// program that the host executes.
// Source: socket(7), tcp(7), poll(2).
#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <utility>

#include "base/deadline.h"
#include "base/descriptor.h"
#include "base/result.h"
#include "nitride/resolver.h"

namespace vhsm::nitride {

class Socket {
 public:
  /// Tries one address after the other; each gets an equal share of what is left, so that a dead
  /// first one does not eat the time of a live second.
  /// @errors kUnreachable.
  static Result<Socket> connect(std::span<const Address> addresses, TimePoint deadline);

  /// Sends all of `data`.
  /// @errors kUnreachable: closed by the peer, or not done in time.
  Status send(std::string_view data, TimePoint deadline);

  /// Waits for at least one byte.
  /// @return bytes read; 0 when the peer has closed.
  /// @errors kUnreachable: reset by the peer, or nothing came in time.
  Result<std::size_t> receive(std::span<char> into, TimePoint deadline);

 private:
  explicit Socket(Descriptor descriptor) noexcept : descriptor_(std::move(descriptor)) {}
  static Result<Socket> connect_to(const Address& address, TimePoint deadline);

  Descriptor descriptor_;
};

}  // namespace vhsm::nitride
