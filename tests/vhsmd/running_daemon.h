// SPDX-License-Identifier: Apache-2.0
//
// A vhsmd in the test's own process, on a real socket, with a KBS that has one key of each kind.
#pragma once

#include <grp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "keystore/daemon/listener.h"
#include "keystore/daemon/remote_keystore.h"
#include "keystore/daemon/server.h"
#include "tests/base/temp_dir.h"
#include "tests/keystore/samples.h"

namespace vhsm::keystore {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Bytes = std::vector<std::uint8_t>;

inline constexpr uid_t kStranger = 54321;
inline constexpr int kSkipped = 77;  // exit code of a child that could not do its part
inline constexpr const char* kP256 = "default/key/p256";
inline constexpr const char* kRsaKey = "default/key/rsa";
inline constexpr const char* kEd = "default/key/ed25519";
inline constexpr const char* kX = "default/key/x25519";
inline constexpr const char* kSlow = "default/key/slow";
inline constexpr const char* kSession = "default/sym/session";  ///< of 32 bytes 's'

inline KeyUri uri(const char* name) { return {KeyName::parse(name).value(), {}, {}}; }

inline bool eventually(milliseconds patience, const std::function<bool()>& holds) {
  const auto deadline = Clock::now() + patience;
  while (!holds()) {
    if (Clock::now() > deadline) return false;
    std::this_thread::sleep_for(milliseconds(5));
  }
  return true;
}

/// Runs `body` in a child.  @return its exit code.
inline int in_child(const std::function<int()>& body) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(body());
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

inline bool become(uid_t user) {
  return ::setgroups(0, nullptr) == 0 && ::setresgid(user, user, user) == 0 &&
         ::setresuid(user, user, user) == 0;
}

/// A KBS with one key of each kind, and one that takes its time.
class Source final : public KeySource {
 public:
  explicit Source(const std::map<std::string, std::string>& pems) : pems_(pems) {}
  Result<SecretBytes> fetch(const KeyName& name,
                            std::chrono::steady_clock::time_point /*deadline*/) override {
    if (name.path() == kSlow) std::this_thread::sleep_for(delay.load());
    const auto found = pems_.find(name.path());
    if (found == pems_.end()) return fail(Errc::kMissing, "no such key", name.uri());
    return SecretBytes::copy(Bytes(found->second.begin(), found->second.end()));
  }
  std::atomic<milliseconds> delay{milliseconds(700)};

 private:
  std::map<std::string, std::string> pems_;
};

/// A server that runs in this process until it is stopped or succeeded.
class Daemon {
 public:
  Daemon(Descriptor listener, std::shared_ptr<Source> source, const Limits& limits) {
    std::shared_ptr<HoldingKeystore> keystore =
        make_memory_keystore(std::move(source), {}, std::make_shared<Metrics>());
    grants_ = Grants::load("", ::geteuid()).value();
    auto service =
        std::make_shared<Service>(keystore, grants_, Log(), [] { return DaemonStatus(); });
    server_ = Server::create(std::move(service), std::move(listener), limits).value();
    thread_ = std::thread([this] {
      server_->run(2);
      ended_ = true;
    });
  }
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;
  ~Daemon() {
    server_->stop();
    thread_.join();
  }
  [[nodiscard]] Server& server() const noexcept { return *server_; }
  [[nodiscard]] Grants& grants() const noexcept { return *grants_; }
  [[nodiscard]] bool ended() const noexcept { return ended_; }

 private:
  std::shared_ptr<Grants> grants_;
  std::unique_ptr<Server> server_;
  std::atomic<bool> ended_{false};
  std::thread thread_;
};

/// A client that may send what it likes.
class RawClient {
 public:
  explicit RawClient(const std::string& path)
      : socket_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    const auto* any = reinterpret_cast<const sockaddr*>(&address);
    connected_ = ::connect(socket_.get(), any, sizeof address) == 0;
  }
  [[nodiscard]] bool connected() const noexcept { return connected_; }

  /// @return whether all was taken.
  bool send(ByteView bytes) const {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes = bytes.subspan(static_cast<std::size_t>(sent));
    }
    return true;
  }
  bool send(const Message& message) const { return send(ByteView(message.bytes())); }

  /// Sends as much as fits.  @return whether the server has hung up.
  [[nodiscard]] bool send_what_fits(ByteView bytes) const {
    for (;;) {
      const ssize_t sent =
          ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent < 0) return errno != EAGAIN;
    }
  }

  /// The next answer; nothing when the server hangs up or does not answer.
  std::optional<Reply> receive(milliseconds patience = seconds(5)) const {
    const auto deadline = Clock::now() + patience;
    std::array<std::uint8_t, kLengthBytes> head{};
    if (!fill(head, deadline)) return std::nullopt;
    Bytes bytes(decode_length(head).value());
    if (!fill(bytes, deadline)) return std::nullopt;
    auto reply = decode_reply(bytes);
    return reply.ok() ? std::optional(std::move(reply).value()) : std::nullopt;
  }

  [[nodiscard]] bool has_answer() const {
    return wait_until_ready(socket_.get(), POLLIN, Clock::now());
  }

  [[nodiscard]] bool is_hung_up_within(milliseconds patience) const {
    std::uint8_t byte = 0;
    return wait_until_ready(socket_.get(), POLLIN, Clock::now() + patience) &&
           ::recv(socket_.get(), &byte, 1, MSG_DONTWAIT) <= 0;
  }

 private:
  bool fill(std::span<std::uint8_t> into, TimePoint deadline) const {
    while (!into.empty()) {
      if (!wait_until_ready(socket_.get(), POLLIN, deadline)) return false;
      const ssize_t got = ::recv(socket_.get(), into.data(), into.size(), 0);
      if (got <= 0) return false;
      into = into.subspan(static_cast<std::size_t>(got));
    }
    return true;
  }

  Descriptor socket_;
  bool connected_ = false;
};

class ServerTest : public KeystoreTest {
 protected:
  static void SetUpTestSuite() {
    KeystoreTest::SetUpTestSuite();
    if (!keys_.empty()) return;
    keys_[kP256] = make_key("P-256");
    keys_[kRsaKey] = make_key("RSA2048");
    keys_[kEd] = make_key("ED25519");
    keys_[kX] = make_key("X25519");
    keys_[kSlow] = make_key("P-256");
  }

  ServerTest() { ::chmod(folder_.file("").c_str(), 0755); }  // other users come as well

  void start(const Limits& limits = {}) {
    daemon_.reset();
    daemon_ = std::make_unique<Daemon>(listen_at(path_).value(), source(), limits);
  }
  static std::shared_ptr<Source> source() {
    std::map<std::string, std::string> pems;
    for (const auto& [name, key] : keys_) pems[name] = pkcs8_pem(key.get());
    pems[kSession] = std::string(32, 's');
    return std::make_shared<Source>(pems);
  }

  void grant_to_stranger(const char* name) const {
    const Rule rule = parse_rule(Rule::Kind::kUser, std::to_string(kStranger)).value();
    ASSERT_TRUE(daemon_->grants().grant(uri(name).name, rule).ok());
  }

  [[nodiscard]] RawClient client() const { return RawClient(path_); }
  [[nodiscard]] std::unique_ptr<RemoteKeystore> remote() const {
    return make_remote_keystore(path_, {milliseconds(1000), milliseconds(3000)},
                                std::make_shared<Metrics>());
  }
  /// Whether somebody else is answered now.
  [[nodiscard]] bool serves() const {
    const RawClient other = client();
    return other.send(encode(Request{})) && other.receive(milliseconds(500)).has_value();
  }
  [[nodiscard]] bool is_idle() const {
    return eventually(seconds(3), [&] { return daemon_->server().connections() == 0; });
  }

  static Bytes public_key(const char* name) {
    return PublicHalf::of(keys_.at(name).get()).value().key_info().value();
  }
  static std::optional<Errc> signing(const KeyPtr& key) {
    const auto operation = key->begin({OperationKind::kSign, "SHA256"});
    if (!operation.ok()) return operation.error().code;
    std::array<std::uint8_t, 128> signature{};
    const auto size = operation.value()->run(kDigest, signature);
    if (!size.ok()) return size.error().code;
    const auto check = key->begin({OperationKind::kVerify, "SHA256"}).value();
    const auto right = check->verify(kDigest, std::span(signature).first(size.value()));
    return right.ok() && right.value() ? std::nullopt : std::optional(Errc::kBadSignature);
  }

  static constexpr std::array<std::uint8_t, 32> kDigest{1, 2, 3};
  static inline std::map<std::string, ossl::PKey> keys_;
  test::TempDir folder_;
  std::string path_ = folder_.file("socket");
  std::unique_ptr<Daemon> daemon_;
};

}  // namespace vhsm::keystore
