// SPDX-License-Identifier: Apache-2.0
#include "nitride/connection.h"

#include <array>
#include <utility>

namespace vhsm::nitride {
namespace {

constexpr std::size_t kRecordBytes = std::size_t{17} << 10;  // one TLS record and its header

}  // namespace

Result<Connection> Connection::open(const Endpoint& endpoint, const Addresses& addresses,
                                    const TlsContext& tls, TimePoint deadline) {
  auto socket = VHSM_TRY(Socket::connect(addresses.all(), deadline));
  Connection connection(std::move(socket));
  if (endpoint.scheme != "https") return connection;
  auto session = VHSM_TRY(tls.begin(endpoint));
  connection.tls_.emplace(std::move(session));
  VHSM_TRY(connection.shake_hands(deadline));
  return connection;
}

Status Connection::shake_hands(TimePoint deadline) {
  for (;;) {
    const auto step = tls_->handshake();
    const Status flushed = flush(deadline);  // an alert too: it tells the server why we go
    if (!step.ok()) return step.error();
    if (!flushed.ok()) return flushed;
    if (!step.value().wants_input) return {};
    VHSM_TRY(fill(deadline));
  }
}

Status Connection::flush(TimePoint deadline) {
  const std::string_view data = tls_->outgoing();
  if (data.empty()) return {};
  const Status status = socket_.send(data, deadline);
  tls_->sent();  // also what could not be sent: no second try would mend the stream
  return status;
}

Status Connection::fill(TimePoint deadline) {
  std::array<char, kRecordBytes> buffer;
  const std::size_t got = VHSM_TRY(socket_.receive(buffer, deadline));
  // No close_notify came before, so the end may be an attacker's.
  if (got == 0) return fail(Errc::kUnreachable, "the KBS closed the connection");
  return tls_->feed(std::span(buffer).first(got));
}

Status Connection::write(std::string_view data, TimePoint deadline) {
  if (!tls_.has_value()) return socket_.send(data, deadline);
  VHSM_TRY(tls_->write(data));
  return flush(deadline);
}

Result<std::size_t> Connection::read(std::span<char> into, TimePoint deadline) {
  if (!tls_.has_value()) return socket_.receive(into, deadline);
  for (;;) {
    const auto step = VHSM_TRY(tls_->read(into));
    VHSM_TRY(flush(deadline));  // the answer to a key update
    if (!step.wants_input) return step.bytes;
    VHSM_TRY(fill(deadline));
  }
}

std::string Connection::tls_version() const { return tls_.has_value() ? tls_->version() : "none"; }

}  // namespace vhsm::nitride
