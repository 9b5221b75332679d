// SPDX-License-Identifier: Apache-2.0
//
// The socket of vhsmd: many clients, some of them hostile, none of whom can hold up the others.
// Source: docs/vhsmd-protocol.md; Boost.Asio.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/descriptor.h"
#include "base/result.h"
#include "keystore/daemon/service.h"

namespace vhsm::keystore {

/// What clients may take up.
struct Limits {
  std::size_t connections = 20000;
  /// Of one user. Owners are not counted.
  std::size_t connections_of_user = 8000;
  /// Bytes of messages beyond kSmallMessageBytes that are under way, of one user.
  std::size_t bytes_of_user = std::size_t{65} << 20;
  /// For a message to come in, or an answer to be taken.
  std::chrono::seconds message_time{10};
  /// For what is under way when the server ends.
  std::chrono::seconds grace{10};
};
inline constexpr std::size_t kSmallMessageBytes = std::size_t{4} << 10;

class Server {
 public:
  /// @param listener  a listening AF_UNIX stream socket.
  /// @errors kIo.
  static Result<std::unique_ptr<Server>> create(std::shared_ptr<Service> service,
                                                Descriptor listener, const Limits& limits);
  virtual ~Server() = default;
  Server() = default;
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  /// Serves from `threads` threads, until stop() or until a successor has taken over.
  virtual void run(unsigned threads) = 0;
  /// Takes no new connection, finishes what is under way, then run() returns. From any thread.
  virtual void stop() = 0;
  /// Called about once in a `period` from now on: by a server that still serves.
  virtual void beat(std::chrono::milliseconds period, std::function<void()> on_beat) = 0;
  /// SIGTERM and SIGINT call stop().
  virtual void stop_on_signals() = 0;
  [[nodiscard]] virtual std::size_t connections() const noexcept = 0;
};

}  // namespace vhsm::keystore
