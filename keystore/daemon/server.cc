// SPDX-License-Identifier: Apache-2.0
#include "keystore/daemon/server.h"

#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "base/guarded.h"
#include "keystore/daemon/listener.h"

namespace vhsm::keystore {
namespace {

namespace asio = boost::asio;
using Stream = asio::local::stream_protocol;
using boost::system::error_code;

constexpr std::size_t kWaitingThreads = 16;  // for answers that wait for a KBS
constexpr std::chrono::milliseconds kSweep{1000};
constexpr std::chrono::milliseconds kNoDescriptorPause{50};
constexpr std::chrono::milliseconds kDrainPause{5};

/// What each user takes up.
class Usage {
 public:
  explicit Usage(const Limits& limits) : limits_(limits), state_(std::in_place) {}

  bool connect(uid_t user, bool counted) {
    auto state = state_.lock();
    if (state->connections >= limits_.connections) return false;
    User& of = state->users[user];
    if (counted && of.connections >= limits_.connections_of_user) return false;
    ++of.connections;
    ++state->connections;
    return true;
  }
  void disconnect(uid_t user) {
    auto state = state_.lock();
    --state->connections;
    const auto found = state->users.find(user);
    if (--found->second.connections == 0) state->users.erase(found);
  }
  bool take_bytes(uid_t user, std::size_t bytes) {
    auto state = state_.lock();
    User& of = state->users[user];
    if (of.bytes + bytes > limits_.bytes_of_user) return false;
    of.bytes += bytes;
    return true;
  }
  void give_bytes(uid_t user, std::size_t bytes) { state_.lock()->users[user].bytes -= bytes; }
  [[nodiscard]] std::size_t connections() const { return state_.lock()->connections; }

 private:
  struct User {
    std::size_t connections = 0;
    std::size_t bytes = 0;
  };
  struct State {
    std::map<uid_t, User> users;
    std::size_t connections = 0;
  };
  Limits limits_;
  mutable Guarded<State> state_;
};

class Session;

/// What all sessions of a server share.
struct Shared {
  Shared(std::shared_ptr<Service> to_serve, const Limits& given)
      : service(std::move(to_serve)), limits(given), usage(given) {}

  std::shared_ptr<Service> service;
  Limits limits;
  Usage usage;
  std::atomic<bool> ending{false};
  std::mutex mutex;  ///< of `sessions`
  std::list<Session*> sessions;
  /// Gives the listening socket to whom asks on `socket`.
  std::function<Status(int socket)> hand_over;
  asio::thread_pool waiting{kWaitingThreads};
  asio::io_context io;  ///< last: sessions that it still has end with it
};

/// Bytes of a large message that count against its user, for so long.
class Share {
 public:
  Share(Usage& usage, uid_t user) noexcept : usage_(usage), user_(user) {}
  Share(const Share&) = delete;
  Share& operator=(const Share&) = delete;
  ~Share() { give_back(); }

  bool take(std::size_t bytes) {
    if (bytes <= kSmallMessageBytes || bytes_ != 0) return true;
    if (!usage_.take_bytes(user_, bytes)) return false;
    bytes_ = bytes;
    return true;
  }
  void give_back() {
    if (bytes_ != 0) usage_.give_bytes(user_, std::exchange(bytes_, 0));
  }

 private:
  Usage& usage_;
  uid_t user_;
  std::size_t bytes_ = 0;
};

/// One client: reads a message, answers it, and so on. One step is under way at a time, and keeps
/// the session alive; when there is none, it ends.
class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(Shared& shared, Descriptor socket, Peer peer)
      : shared_(shared),
        socket_(shared.io, Stream(), socket.release()),
        peer_(std::move(peer)),
        share_(shared.usage, peer_.uid) {
    const std::lock_guard lock(shared_.mutex);
    place_ = shared_.sessions.insert(shared_.sessions.end(), this);
  }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session() {
    {
      const std::lock_guard lock(shared_.mutex);
      shared_.sessions.erase(place_);
    }
    shared_.usage.disconnect(peer_.uid);
  }

  /// Goes on with what has come in so far.
  void proceed() {
    if (filled_ < kLengthBytes) return read();
    const auto size = decode_length(
        std::span<const std::uint8_t, kLengthBytes>(in_.bytes().data(), kLengthBytes));
    if (!size.ok() || !share_.take(size.value())) return;
    message_bytes_ = size.value();
    if (filled_ < kLengthBytes + message_bytes_) return read();
    busy(false);  // from now on it is ours to be slow
    answer(ByteView(in_.bytes()).subspan(kLengthBytes, message_bytes_));
  }

  /// Called under the list's lock, so the socket is there. What has come in is still read.
  void hang_up(int how) noexcept { ::shutdown(socket_.native_handle(), how); }

  [[nodiscard]] bool is_late(Clock::time_point now) const noexcept {
    const Clock::time_point since{Clock::duration(busy_since_.load())};
    return since != Clock::time_point() && now - since >= shared_.limits.message_time;
  }

 private:
  void busy(bool is) noexcept {
    busy_since_ = is ? Clock::now().time_since_epoch().count() : Clock::rep{0};
  }

  /// The buffer grows as bytes come: a length is only a promise.
  void read() {
    auto& bytes = in_.bytes();
    if (bytes.size() - filled_ < kReadBytes / 2) bytes.resize(filled_ * 2 + kReadBytes);
    if (filled_ > 0 && busy_since_ == 0) busy(true);
    socket_.async_read_some(asio::buffer(bytes.data() + filled_, bytes.size() - filled_),
                            [self = shared_from_this()](const error_code& error, std::size_t size) {
                              self->filled_ += size;
                              if (!error) self->proceed();
                            });
  }

  void answer(ByteView message) {
    auto request = decode_request(message);
    if (!request.ok()) {
      last_ = true;  // who knows what the next bytes are
      return send(refusal(request.error()));
    }
    if (request.value().ask == Ask::kTakeOver) return hand_over();
    auto reply = shared_.service->answer_at_once(request.value(), peer_);
    if (reply.has_value()) return send(*std::move(reply));
    answer_waiting(std::move(request).value());
  }

  /// On a thread that may wait. The request's views are into in_, which stays as it is.
  void answer_waiting(Request request) {
    asio::post(shared_.waiting, [self = shared_from_this(), request = std::move(request)] {
      auto reply = self->shared_.service->answer(request, self->peer_);
      asio::post(self->shared_.io,
                 [self, reply = std::move(reply)]() mutable { self->send(std::move(reply)); });
    });
  }

  void send(const Reply& reply) {
    out_ = encode(reply);
    busy(true);
    asio::async_write(socket_, asio::buffer(out_.bytes()),
                      [self = shared_from_this()](const error_code& error, std::size_t /*size*/) {
                        self->busy(false);
                        if (!error && !self->last_) self->next();
                      });
  }

  void next() {
    auto& bytes = in_.bytes();
    const auto begin = bytes.begin() + static_cast<std::ptrdiff_t>(kLengthBytes + message_bytes_);
    std::copy(begin, bytes.begin() + static_cast<std::ptrdiff_t>(filled_), bytes.begin());
    filled_ -= kLengthBytes + message_bytes_;
    out_ = Message();
    if (bytes.size() > kSmallMessageBytes && filled_ == 0) in_ = Message();
    share_.give_back();
    proceed();
  }

  void hand_over() {
    Status done = shared_.service->may_take_over(peer_);
    if (done.ok()) done = shared_.hand_over(socket_.native_handle());
    if (!done.ok()) send(refusal(done.error()));
  }

  static Reply refusal(const Error& error) {
    Reply reply;
    reply.error = error;
    return reply;
  }

  static constexpr std::size_t kReadBytes = 4096;

  Shared& shared_;
  Stream::socket socket_;
  Peer peer_;
  Share share_;
  std::list<Session*>::iterator place_;
  Message in_;
  Message out_;
  std::size_t filled_ = 0;         ///< of in_
  std::size_t message_bytes_ = 0;  ///< of the message in in_, without its length
  bool last_ = false;
  std::atomic<Clock::rep> busy_since_{0};  ///< in the middle of a message; ticks, 0: not
};

class AsioServer final : public Server {
 public:
  AsioServer(std::shared_ptr<Service> service, Descriptor listener, const Limits& limits)
      : shared_(std::move(service), limits),
        acceptor_(shared_.io, Stream(), listener.release()),
        pause_(shared_.io),
        sweep_(shared_.io),
        beat_(shared_.io),
        last_moment_(shared_.io),
        signals_(shared_.io) {
    acceptor_.native_non_blocking(true);
    shared_.hand_over = [this](int socket) { return hand_over(socket); };
  }
  ~AsioServer() override { shared_.waiting.join(); }

  void run(unsigned threads) override {
    accept();
    sweep();
    std::vector<std::jthread> others;
    for (unsigned i = 1; i < threads; ++i) others.emplace_back([this] { work(); });
    work();
  }

  void stop() override {
    asio::post(shared_.io, [this] { end(); });
  }

  void beat(std::chrono::milliseconds period, std::function<void()> on_beat) override {
    on_beat();
    beat_.expires_after(period);
    beat_.async_wait([this, period, on_beat = std::move(on_beat)](const error_code& error) {
      if (!error) beat(period, on_beat);
    });
  }

  void stop_on_signals() override {
    signals_.add(SIGTERM);
    signals_.add(SIGINT);
    signals_.async_wait([this](const error_code& error, int /*signal*/) {
      if (!error) end();
    });
  }

  [[nodiscard]] std::size_t connections() const noexcept override {
    return shared_.usage.connections();
  }
  [[nodiscard]] bool handed_over() const noexcept override { return handed_over_; }

 private:
  /// An exception (bad_alloc) ends the session that it came from and nothing else.
  void work() noexcept {
    for (;;) {
      try {
        shared_.io.run();
        return;
      } catch (const std::exception&) {
        shared_.service->note(fail(Errc::kOutOfMemory, "a connection had to be given up"));
      }
    }
  }

  /// By hand and not by async_accept: that accept(2) found nobody is what dates the next client.
  void accept() {
    acceptor_.async_wait(Stream::acceptor::wait_read, [this](const error_code& error) {
      if (error) return;
      if (accept_all()) return accept();
      pause_.expires_after(kNoDescriptorPause);  // no descriptor, no memory
      pause_.async_wait([this](const error_code& cancelled) {
        if (!cancelled) accept();
      });
    });
  }

  /// @return whether there is nobody left.
  bool accept_all() {
    for (;;) {
      const auto before = boot_time();
      Descriptor client(
          ::accept4(acceptor_.native_handle(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (client.valid()) {
        admit(std::move(client));
      } else if (errno == EAGAIN) {
        nobody_at_ = before;
        return true;
      } else if (errno != ECONNABORTED && errno != EINTR) {
        return false;
      }
    }
  }

  void admit(Descriptor client) {
    auto peer = identify_peer(client.get(), {.not_before = nobody_at_});
    if (!peer.ok()) return;
    const uid_t user = peer.value().uid;
    const bool counted = !shared_.service->may_take_over(peer.value()).ok();
    if (!shared_.usage.connect(user, counted)) {
      return shared_.service->note(fail(Errc::kNotGranted, "too many connections of one user",
                                        "user " + std::to_string(user)));
    }
    std::make_shared<Session>(shared_, std::move(client), std::move(peer).value())->proceed();
  }

  template <class What>
  void each_session(What&& what) {
    const std::lock_guard lock(shared_.mutex);
    for (Session* session : shared_.sessions) what(*session);
  }

  void sweep() {
    sweep_.expires_after(kSweep);
    sweep_.async_wait([this](const error_code& error) {
      if (error) return;
      each_session([now = Clock::now()](Session& session) {
        if (session.is_late(now)) session.hang_up(SHUT_RDWR);
      });
      sweep();
    });
  }

  Status hand_over(int socket) {
    VHSM_TRY(send_with_descriptor(socket, encode(Reply{}), acceptor_.native_handle()));
    handed_over_ = true;
    stop();
    return {};
  }

  void end() {
    if (shared_.ending.exchange(true)) return;
    error_code ignored;
    acceptor_.close(ignored);
    pause_.cancel();
    sweep_.cancel();
    beat_.cancel();
    signals_.cancel(ignored);
    each_session([](Session& session) { session.hang_up(SHUT_RD); });
    last_moment_.expires_after(shared_.limits.grace);
    wait_for_sessions();
  }

  /// Whatever is not done when the grace is over is given up.
  void wait_for_sessions() {
    if (shared_.usage.connections() == 0) return;
    if (last_moment_.expiry() <= std::chrono::steady_clock::now()) return shared_.io.stop();
    pause_.expires_after(kDrainPause);
    pause_.async_wait([this](const error_code& /*error*/) { wait_for_sessions(); });
  }

  Shared shared_;
  Stream::acceptor acceptor_;
  asio::steady_timer pause_;
  asio::steady_timer sweep_;
  asio::steady_timer beat_;
  asio::steady_timer last_moment_;
  asio::signal_set signals_;
  std::optional<std::chrono::nanoseconds>
      nobody_at_;  ///< those who are accepted next were not there
  std::atomic<bool> handed_over_{false};
};

}  // namespace

Result<std::unique_ptr<Server>> Server::create(std::shared_ptr<Service> service,
                                               Descriptor listener, const Limits& limits) {
  try {  // Boost throws where it cannot register a descriptor
    return std::unique_ptr<Server>(
        std::make_unique<AsioServer>(std::move(service), std::move(listener), limits));
  } catch (const std::exception&) {
    return fail(Errc::kIo, "the socket cannot be served");
  }
}

}  // namespace vhsm::keystore
