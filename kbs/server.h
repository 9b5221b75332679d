// SPDX-License-Identifier: Apache-2.0
//
// The KBS over HTTP: routes, limits, TLS. There is no administration over HTTP.
// Source: KBS protocol 0.4.0 (Trustee kbs/src/api_server.rs).
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "kbs/kbs.h"

namespace httplib {
class Server;
}

namespace vhsm::kbs {

inline constexpr std::size_t kMaxBodyBytes = std::size_t{2} << 20;

class HttpServer {
 public:
  /// Binds and listens: connections wait until run().
  /// @param kbs  must outlive the server.
  /// @errors kIo (subject: the address), kBadFormat (TLS certificate or key).
  static Result<HttpServer> open(const Kbs& kbs);

  HttpServer(HttpServer&&) noexcept;
  HttpServer& operator=(HttpServer&&) = delete;
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;
  ~HttpServer();

  /// "https://127.0.0.1:8080", with the port that was found for port 0.
  [[nodiscard]] const std::string& url() const noexcept { return url_; }
  [[nodiscard]] int port() const noexcept { return port_; }

  /// Serves until stop().
  void run();

  /// From any thread; waits for a run() that is about to begin.
  void stop();

 private:
  HttpServer(std::unique_ptr<httplib::Server> server, std::string url, int port);

  std::unique_ptr<httplib::Server> server_;
  std::string url_;
  int port_;
};

}  // namespace vhsm::kbs
