// SPDX-License-Identifier: Apache-2.0
#include "tests/servers/load.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <openssl/err.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <memory>

namespace vhsm::tests {
namespace {

template <class T, void (*Free)(T*)>
struct Freed {
  void operator()(T* object) const noexcept { Free(object); }
};
using Context = std::unique_ptr<SSL_CTX, Freed<SSL_CTX, SSL_CTX_free>>;
using Session = std::unique_ptr<SSL, Freed<SSL, SSL_free>>;

constexpr std::size_t kMaxFailures = 5;

/// A connected socket, closed at the end.
class Socket {
 public:
  explicit Socket(int port) : descriptor_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const timeval patience{10, 0};
    ::setsockopt(descriptor_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    connected_ = ::connect(descriptor_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  ~Socket() { ::close(descriptor_); }
  [[nodiscard]] int descriptor() const noexcept { return descriptor_; }
  [[nodiscard]] bool connected() const noexcept { return connected_; }

 private:
  int descriptor_;
  bool connected_ = false;
};

/// A worker that is killed under load is an EPIPE for its client, not the end of the test. The
/// signal is held back for this thread alone: one that is ignored would be so in servers, too.
class PipeSignalHeld {
 public:
  PipeSignalHeld() {
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  PipeSignalHeld(const PipeSignalHeld&) = delete;
  PipeSignalHeld& operator=(const PipeSignalHeld&) = delete;
  ~PipeSignalHeld() {
    const timespec at_once{};
    ::sigtimedwait(&pipe_, nullptr, &at_once);
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }

 private:
  sigset_t pipe_{};
  sigset_t before_{};
};

std::string last_error(const char* what) {
  const int error = errno;
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  const char* const reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  return std::string(what) + ": " + (reason == nullptr ? std::strerror(error) : reason);
}

Context context_for(const Handshake& how) {
  Context context(SSL_CTX_new(TLS_client_method()));
  SSL_CTX_set_min_proto_version(context.get(), how.version);
  SSL_CTX_set_max_proto_version(context.get(), how.version);
  if (!how.ciphers.empty()) SSL_CTX_set_cipher_list(context.get(), how.ciphers.c_str());
  return context;
}

/// A handshake that has been tried.
class Connection {
 public:
  Connection(int port, const Handshake& how) : context_(context_for(how)), socket_(port) {
    if (!socket_.connected()) {
      failure_ = last_error("connect");
      return;
    }
    ssl_.reset(SSL_new(context_.get()));
    SSL_set_fd(ssl_.get(), socket_.descriptor());
    errno = 0;
    if (SSL_connect(ssl_.get()) == 1) return;
    failure_ = last_error("handshake");
    ssl_.reset();
  }
  /// Null when it failed.
  [[nodiscard]] SSL* ssl() const noexcept { return ssl_.get(); }
  [[nodiscard]] const std::string& failure() const noexcept { return failure_; }

 private:
  PipeSignalHeld held_;
  Context context_;
  Socket socket_;
  Session ssl_;
  std::string failure_;
};

std::string fetch_page(SSL* ssl) {
  constexpr char kRequest[] = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
  if (SSL_write(ssl, kRequest, sizeof kRequest - 1) <= 0) return last_error("write");
  std::string answer;
  char buffer[1024];
  for (int got = 0; (got = SSL_read(ssl, buffer, sizeof buffer)) > 0;) {
    answer.append(buffer, static_cast<std::size_t>(got));
  }
  ERR_clear_error();
  return answer.find("a page") == std::string::npos ? "no page: " + answer : std::string();
}

}  // namespace

std::string shake_hands(int port, const Handshake& how) {
  const Connection connection(port, how);
  if (connection.ssl() == nullptr) return connection.failure();
  SSL_shutdown(connection.ssl());
  return {};
}

std::string visit(int port, const Handshake& how) {
  const Connection connection(port, how);
  return connection.ssl() == nullptr ? connection.failure() : fetch_page(connection.ssl());
}

Load::Load(int port, int clients) {
  for (int i = 0; i < clients; ++i) {
    threads_.emplace_back([this, port, i] { visit_until_stopped(port, i); });
  }
}

void Load::visit_until_stopped(int port, int client) {
  for (int round = client; !stopped_; ++round) {
    const int version = round % 2 == 0 ? TLS1_2_VERSION : TLS1_3_VERSION;
    const auto start = std::chrono::steady_clock::now();
    const std::string failure = visit(port, {version});
    const auto took =
        std::chrono::ceil<std::chrono::milliseconds>(std::chrono::steady_clock::now() - start);
    ++visits_;
    for (long slowest = slowest_; took.count() > slowest;) {
      if (slowest_.compare_exchange_weak(slowest, took.count())) break;
    }
    if (failure.empty()) continue;
    const std::lock_guard lock(mutex_);
    if (failures_.size() < kMaxFailures) failures_.push_back(failure);
  }
}

void Load::stop() {
  stopped_ = true;
  for (auto& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

}  // namespace vhsm::tests
