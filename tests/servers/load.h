// SPDX-License-Identifier: Apache-2.0
//
// TLS clients of the system's OpenSSL.
#pragma once

#include <openssl/ssl.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace vhsm::tests {

/// One full handshake.
struct Handshake {
  int version = TLS1_3_VERSION;  ///< that and no other
  std::string ciphers = {};      ///< for TLS 1.2; empty: the library's choice
};

/// @return what went wrong; empty when the server has agreed and taken its leave.
std::string shake_hands(int port, const Handshake& how = {});
/// @return what went wrong; empty for a handshake and a page.
std::string visit(int port, const Handshake& how = {});

/// Clients that visit one after the other, TLS 1.2 and 1.3 in turn, until the end of life.
class Load {
 public:
  Load(int port, int clients);
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;
  ~Load() { stop(); }

  void stop();
  [[nodiscard]] long visits() const noexcept { return visits_; }
  /// How long the slowest visit took.
  [[nodiscard]] std::chrono::milliseconds slowest() const noexcept {
    return std::chrono::milliseconds(slowest_);
  }
  /// The first failures.
  [[nodiscard]] const std::vector<std::string>& failures() const noexcept { return failures_; }

 private:
  void visit_until_stopped(int port, int client);

  std::atomic<bool> stopped_{false};
  std::atomic<long> visits_{0};
  std::atomic<long> slowest_{0};
  std::mutex mutex_;
  std::vector<std::string> failures_;
  std::vector<std::thread> threads_;
};

}  // namespace vhsm::tests
