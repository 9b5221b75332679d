// SPDX-License-Identifier: Apache-2.0
//
// One connection to an endpoint, with TLS where its URL says so.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/deadline.h"
#include "base/endpoint.h"
#include "base/result.h"
#include "nitride/resolver.h"
#include "nitride/socket.h"
#include "nitride/tls.h"

namespace vhsm::nitride {

/// Move-only; one thread at a time.
class Connection {
 public:
  /// Connects and shakes hands; nothing has been sent to a server that did not verify.
  /// @param tls  must outlive the connection.
  /// @errors kUnreachable, kForged (TlsSession::handshake()).
  static Result<Connection> open(const Endpoint& endpoint, const Addresses& addresses,
                                 const TlsContext& tls, TimePoint deadline);

  /// @errors kUnreachable.
  Status write(std::string_view data, TimePoint deadline);

  /// @return bytes read, at least one; 0 when the peer ended the connection properly.
  /// @errors kUnreachable (also when a TLS connection was cut off), kForged.
  Result<std::size_t> read(std::span<char> into, TimePoint deadline);

  /// "TLSv1.3", or "none".
  [[nodiscard]] std::string tls_version() const;

 private:
  explicit Connection(Socket socket) : socket_(std::move(socket)) {}
  Status shake_hands(TimePoint deadline);
  Status flush(TimePoint deadline);
  Status fill(TimePoint deadline);

  Socket socket_;
  std::optional<TlsSession> tls_;
};

}  // namespace vhsm::nitride
