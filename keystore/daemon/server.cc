// SPDX-License-Identifier: Apache-2.0
#include "keystore/daemon/server.h"

#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <list>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "keystore/daemon/listener.h"
#include "keystore/daemon/usage.h"

namespace vhsm::keystore {
namespace {

namespace asio = boost::asio;
using Stream = asio::local::stream_protocol;
using boost::system::error_code;

constexpr std::size_t kLongMessageBytes = std::size_t{64} << 10;
constexpr std::size_t kLongWorkThreads = 2;  // for messages beyond that
constexpr std::chrono::milliseconds kSweep{1000};
constexpr std::chrono::milliseconds kNoDescriptorPause{50};
constexpr std::chrono::milliseconds kDrainPause{5};

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
  asio::thread_pool long_work{kLongWorkThreads};
  asio::io_context io;  ///< last: sessions that it still has end with it
};

/// What one recvmsg(2) gave.
struct Received {
  bool again = false;
  std::size_t size = 0;    ///< 0: it is over
  ucred sender{-1, 0, 0};  ///< as the kernel saw them when they sent; process -1: it does not say
};

/// Descriptors that come beside it are dropped by the kernel: there is no room for them.
Received receive_some(int socket, std::span<std::uint8_t> into) {
  union {
    cmsghdr head;
    std::array<char, CMSG_SPACE(sizeof(ucred))> bytes;
  } beside{};
  iovec part{into.data(), into.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = beside.bytes.data();
  message.msg_controllen = beside.bytes.size();
  const ssize_t got = ::recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (got < 0) return {.again = errno == EAGAIN || errno == EINTR};
  Received received{.size = static_cast<std::size_t>(got)};
  const cmsghdr* const head = CMSG_FIRSTHDR(&message);
  if (head != nullptr && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_CREDENTIALS &&
      head->cmsg_len == CMSG_LEN(sizeof(ucred))) {
    std::memcpy(&received.sender, CMSG_DATA(head), sizeof received.sender);
  }
  return received;
}

/// One client: reads a message, answers it, and so on. One step is under way at a time, and keeps
/// the session alive; when there is none, it ends.
class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(Shared& shared, Place place, Descriptor socket, Peer peer)
      : shared_(shared),
        counted_(std::move(place)),
        socket_(shared.io, Stream(), socket.release()),
        peer_(std::move(peer)),
        share_(shared.usage, peer_.uid) {
    const std::lock_guard lock(shared_.mutex);
    place_ = shared_.sessions.insert(shared_.sessions.end(), this);
    if (shared_.ending) hang_up(SHUT_RD);  // end() has been through the list
  }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session() {
    const std::lock_guard lock(shared_.mutex);
    shared_.sessions.erase(place_);
  }

  /// Goes on with what has come in so far.
  void proceed() {
    if (filled_ < kLengthBytes) return read(kLengthBytes);
    const auto size = decode_length(
        std::span<const std::uint8_t, kLengthBytes>(in_.bytes().data(), kLengthBytes));
    if (!size.ok() || !share_.take(size.value())) return;
    message_bytes_ = size.value();
    if (filled_ < kLengthBytes + message_bytes_) return read(kLengthBytes + message_bytes_);
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

  /// The buffer grows as bytes come, since a length is only a promise, and not much beyond
  /// `wanted`, since that is what its user answers for.
  void read(std::size_t wanted) {
    if (in_.bytes().size() - filled_ < kReadBytes / 2) {
      in_.resize(std::min(filled_ * 2, wanted) + kReadBytes);
    }
    if (filled_ > 0 && busy_since_ == 0) busy(true);
    socket_.async_wait(Stream::socket::wait_read,
                       [self = shared_from_this()](const error_code& error) {
                         if (!error) self->receive();
                       });
  }

  void receive() {
    const auto received = receive_some(socket_.native_handle(),
                                       std::span<std::uint8_t>(in_.bytes()).subspan(filled_));
    if (received.again) return proceed();
    if (received.size == 0 || !is_same(received.sender)) return;  // the session ends
    filled_ += received.size;
    proceed();
  }

  /// Whoever opened the connection speaks on it, as the user who opened it, and nobody who has
  /// inherited it: the workers of a server have its master's descriptors, but not its rights.
  [[nodiscard]] bool is_same(const ucred& sender) const noexcept {
    return sender.pid == peer_.pid && sender.uid == peer_.uid && sender.gid == peer_.gid;
  }

  void answer(ByteView message) {
    auto request = decode_request(message);
    if (!request.ok()) {
      last_ = true;  // who knows what the next bytes are
      return send(refusal(request.error()));
    }
    if (request.value().ask == Ask::kTakeOver) return hand_over();
    const std::size_t work = message.size() + request.value().step.skip;
    if (work <= kLongMessageBytes) return answer_or_wait(std::move(request).value());
    // What is long takes long to sign or to pass over, and these threads are everybody's.
    on(shared_.long_work, [this, request = std::move(request).value()]() mutable {
      answer_or_wait(std::move(request));
    });
  }

  /// Does `work` on another thread; the session goes on for so long, unless there is no memory.
  template <class Work>
  void on(asio::thread_pool& pool, Work work) {
    asio::post(pool, [self = shared_from_this(), work = std::move(work)]() mutable {
      try {
        work();
      } catch (const std::exception&) {  // as in AsioServer::work(); the pool would end the process
        self->shared_.service->note(fail(Errc::kOutOfMemory, "a connection had to be given up"));
      }
    });
  }

  void answer_or_wait(Request request) {
    auto reply = shared_.service->answer_at_once(request, peer_);
    if (reply.has_value()) return send(*std::move(reply));
    answer_waiting(std::move(request));
  }

  /// On a thread that may wait. The request's views are into in_, which stays as it is.
  void answer_waiting(Request request) {
    if (!shared_.usage.begin_waiting(peer_.uid)) {
      return send(refusal(fail(Errc::kUnreachable, "too many requests of this user are waiting",
                               std::string(request.name))));
    }
    on(shared_.waiting, [this, request = std::move(request)] {
      const WaitingPlace place(shared_.usage, peer_.uid);
      send(shared_.service->answer(request, peer_));
    });
  }

  void send(Reply reply) {
    out_ = encode(reply);
    secret_ = std::move(reply.secret);
    busy(true);
    const auto& message = out_.bytes();
    const auto secret = secret_.expose();
    const std::array<asio::const_buffer, 2> parts{
        {{message.data(), message.size()}, {secret.data(), secret.size()}}};
    asio::async_write(socket_, parts,
                      [self = shared_from_this()](const error_code& error, std::size_t /*size*/) {
                        self->busy(false);
                        if (!error && !self->last_) self->next();
                      });
  }

  void next() {
    const auto rest = std::span(in_.bytes()).first(filled_).subspan(kLengthBytes + message_bytes_);
    const bool large = in_.bytes().size() > kSmallMessageBytes;
    Message fresh(large ? rest.size() : 0);  // a large buffer goes with the share
    std::ranges::copy(rest, large ? fresh.bytes().begin() : in_.bytes().begin());
    const std::size_t end = std::exchange(filled_, rest.size());
    if (large) {
      in_ = std::move(fresh);
    } else {
      in_.wipe(filled_, end);  // it may have been a key to wrap
    }
    out_ = Message();
    secret_ = SecretBytes();
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
  Place counted_;  ///< until all else is gone
  Stream::socket socket_;
  Peer peer_;
  Share share_;
  std::list<Session*>::iterator place_;
  Message in_;
  Message out_;
  SecretBytes secret_;             ///< what stands behind out_
  std::size_t filled_ = 0;         ///< of in_
  std::size_t message_bytes_ = 0;  ///< of the message in in_, without its length
  bool last_ = false;
  std::atomic<Clock::rep> busy_since_{0};  ///< in the middle of a message; ticks, 0: not
};

class AsioServer final : public Server {
 public:
  AsioServer(std::shared_ptr<Service> service, Descriptor listener, const Limits& limits)
      : shared_(std::move(service), limits),
        strand_(asio::make_strand(shared_.io)),
        acceptor_(strand_, Stream(), listener.release()),
        pause_(strand_),
        sweep_(strand_),
        beat_(strand_),
        last_moment_(strand_),
        signals_(strand_) {
    acceptor_.native_non_blocking(true);
    const int on = 1;  // accepted sockets inherit it
    ::setsockopt(acceptor_.native_handle(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
    shared_.hand_over = [this](int socket) { return hand_over(socket); };
  }
  ~AsioServer() override {
    shared_.long_work.join();  // first: what it finds missing waits in the other
    shared_.waiting.join();
  }

  void run(unsigned threads) override {
    accept();
    sweep();
    std::vector<std::jthread> others;
    for (unsigned i = 1; i < threads; ++i) others.emplace_back([this] { work(); });
    work();
  }

  void stop() override {
    asio::post(strand_, [this] { end(); });
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
    while (!shared_.ending) {
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
    return true;
  }

  /// Without memory this client is lost, and not those who come after it.
  void admit(Descriptor client) noexcept {
    try {
      admit_peer(std::move(client));
    } catch (const std::exception&) {
      shared_.service->note(fail(Errc::kOutOfMemory, "a connection had to be given up"));
    }
  }

  void admit_peer(Descriptor client) {
    auto peer = identify_peer(client.get(), {.not_before = nobody_at_});
    if (!peer.ok()) return;
    const uid_t user = peer.value().uid;
    const bool counted = !shared_.service->may_take_over(peer.value()).ok();
    if (!shared_.usage.connect(user, counted)) {
      return shared_.service->note(fail(Errc::kNotGranted, "too many connections of one user",
                                        "user " + std::to_string(user)));
    }
    Place place(shared_.usage, user);
    std::make_shared<Session>(shared_, std::move(place), std::move(client), std::move(peer).value())
        ->proceed();
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

  /// From any thread.
  Status hand_over(int socket) {
    const std::lock_guard lock(listening_);
    if (!acceptor_.is_open()) return fail(Errc::kWrongState, "this vhsmd is ending");
    VHSM_TRY(send_with_descriptor(socket, encode(Reply{}), acceptor_.native_handle()));
    stop();
    return {};
  }

  void end() {
    if (shared_.ending.exchange(true)) return;
    error_code ignored;
    {
      const std::lock_guard lock(listening_);
      acceptor_.close(ignored);
    }
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
  /// Of all below: one at a time, so that none is changed while end() closes it.
  asio::strand<asio::io_context::executor_type> strand_;
  std::mutex listening_;  ///< of the acceptor's descriptor, for hand_over()
  Stream::acceptor acceptor_;
  asio::steady_timer pause_;
  asio::steady_timer sweep_;
  asio::steady_timer beat_;
  asio::steady_timer last_moment_;
  asio::signal_set signals_;
  std::optional<std::chrono::nanoseconds>
      nobody_at_;  ///< those who are accepted next were not there
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
