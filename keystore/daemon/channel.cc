// SPDX-License-Identifier: Apache-2.0
#include "keystore/daemon/channel.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <thread>
#include <utility>

#include "keystore/daemon/unix_address.h"
#include "memory/protected_memory.h"

namespace vhsm::keystore {
namespace {

constexpr std::chrono::milliseconds kPause{5};             // between two tries to connect
constexpr std::chrono::milliseconds kForgotten{5000};      // an outage that nobody looked at since
constexpr std::chrono::milliseconds kLittlePatience{200};  // with a vhsmd that was silent
constexpr int kFreshTries = 3;  // a vhsmd that ends takes new connections with it

Clock::rep now() noexcept { return Clock::now().time_since_epoch().count(); }

/// @return 0, or errno.
int connect_to(int socket, const std::string& path) noexcept {
  const int rc = with_unix_address(path, [socket](const sockaddr* address, socklen_t size) {
    return ::connect(socket, address, size);
  });
  return rc == 0 ? 0 : errno;
}

/// Makes `folder` the calling thread's working folder, and only its, for a while.
class ThreadFolder {
 public:
  explicit ThreadFolder(const Descriptor& folder) noexcept {
    if (::unshare(CLONE_FS) != 0) return;
    before_ = Descriptor(::open(".", O_PATH | O_DIRECTORY | O_CLOEXEC));
    const bool may_return = before_.valid() && ::fchdir(before_.get()) == 0;
    entered_ = may_return && ::fchdir(folder.get()) == 0;
  }
  ~ThreadFolder() {
    if (entered_) static_cast<void>(::fchdir(before_.get()) == 0);
  }
  ThreadFolder(const ThreadFolder&) = delete;
  ThreadFolder& operator=(const ThreadFolder&) = delete;
  [[nodiscard]] bool entered() const noexcept { return entered_; }

 private:
  Descriptor before_;
  bool entered_ = false;
};

std::string folder_of(const std::string& path) { return path.substr(0, path.rfind('/') + 1); }
std::string file_of(const std::string& path) { return path.substr(path.rfind('/') + 1); }

Error no_daemon(const std::string& path) {
  return fail(Errc::kNoDaemon, "nobody serves this socket", path);
}

}  // namespace

/// Whoever opened it may use it: neither a child nor the process after setuid.
struct Channel::Connection {
  Descriptor socket;
  std::uint64_t generation = memory::generation();
  uid_t user = ::geteuid();
  bool fresh = true;

  [[nodiscard]] bool ours() const noexcept {
    return generation == memory::generation() && user == ::geteuid();
  }
  /// An idle connection on which vhsmd has hung up is readable.
  [[nodiscard]] bool quiet() const noexcept {
    pollfd one{socket.get(), POLLIN, 0};
    return ::poll(&one, 1, 0) == 0;
  }
};

Channel::Channel(std::string path)
    : path_(std::move(path)),
      folder_(clear_of_streams(
          Descriptor(::open(folder_of(path_).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)))) {}

Channel::~Channel() {
  for (auto& place : idle_) ConnectionPtr(place.exchange(nullptr));
}

Channel::ConnectionPtr Channel::take_idle() noexcept {
  for (auto& place : idle_) {
    if (place.load(std::memory_order_relaxed) == nullptr) continue;
    ConnectionPtr found(place.exchange(nullptr, std::memory_order_acq_rel));
    if (found != nullptr && found->ours() && found->quiet()) return found;
  }
  return nullptr;
}

void Channel::keep(ConnectionPtr connection) noexcept {
  connection->fresh = false;
  for (auto& place : idle_) {
    Connection* none = nullptr;
    if (place.compare_exchange_strong(none, connection.get(), std::memory_order_acq_rel)) {
      static_cast<void>(connection.release());
      return;
    }
  }
}

/// In a chroot the path leads nowhere, but a folder that was opened before still does: from there
/// the socket has a relative path.
int Channel::connect_once(int socket) const noexcept {
  const int error = connect_to(socket, path_);
  const bool hidden = error == ENOENT || error == EACCES || error == ENOTDIR;
  if (!hidden || !folder_.valid()) return error;
  const ThreadFolder inside(folder_);
  return inside.entered() ? connect_to(socket, file_of(path_)) : error;
}

bool Channel::still_patient() noexcept {
  const Clock::rep moment = now();
  const Clock::rep last = looked_at_.exchange(moment);
  Clock::rep since = gone_since_.load();
  if (since == 0 || Clock::duration(moment - last) > kForgotten) {
    gone_since_.store(moment);
    since = moment;
  }
  return Clock::duration(moment - since) < kPatience;
}

Result<Channel::ConnectionPtr> Channel::connect() {
  if (ConnectionPtr idle = take_idle()) return idle;
  for (;;) {
    auto connection = std::make_unique<Connection>();
    connection->socket = clear_of_streams(
        Descriptor(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)));
    if (!connection->socket.valid()) return fail(Errc::kNoDaemon, "no socket for vhsmd", path_);
    const int error = connect_once(connection->socket.get());
    if (error == 0) {
      gone_since_.store(0);
      return connection;
    }
    if (error == EACCES || error == EPERM) {
      return fail(Errc::kNoDaemon, "this user may not connect to the socket", path_);
    }
    if (!still_patient()) return no_daemon(path_);
    std::this_thread::sleep_for(kPause);
  }
}

namespace {

enum class Step : std::uint8_t { kDone, kBroken, kTimedOut };

Step send_all(int socket, ByteView data, TimePoint deadline) {
  while (!data.empty()) {
    const ssize_t sent = ::send(socket, data.data(), data.size(), MSG_NOSIGNAL);
    if (sent >= 0) {
      data = data.subspan(static_cast<std::size_t>(sent));
    } else if (errno == EAGAIN) {
      if (!wait_until_ready(socket, POLLOUT, deadline)) return Step::kTimedOut;
    } else if (errno != EINTR) {
      return Step::kBroken;
    }
  }
  return Step::kDone;
}

Step receive_all(int socket, std::span<std::uint8_t> into, TimePoint deadline) {
  while (!into.empty()) {
    const ssize_t got = ::recv(socket, into.data(), into.size(), 0);
    if (got > 0) {
      into = into.subspan(static_cast<std::size_t>(got));
    } else if (got < 0 && errno == EAGAIN) {
      if (!wait_until_ready(socket, POLLIN, deadline)) return Step::kTimedOut;
    } else if (got == 0 || errno != EINTR) {
      return Step::kBroken;
    }
  }
  return Step::kDone;
}

/// `reply` is there, with the secret behind it, when that is done.  @errors as decode_reply().
Result<Step> exchange(int socket, const Message& request, Reply& reply, TimePoint deadline) {
  Step step = send_all(socket, request.bytes(), deadline);
  if (step != Step::kDone) return step;
  std::array<std::uint8_t, kLengthBytes> head{};
  step = receive_all(socket, head, deadline);
  if (step != Step::kDone) return step;
  const auto size = decode_length(head);
  if (!size.ok()) return Step::kBroken;
  Message answer(size.value());
  step = receive_all(socket, answer.bytes(), deadline);
  if (step != Step::kDone) return step;
  reply = VHSM_TRY(decode_reply(answer.bytes()));
  return receive_all(socket, reply.secret.expose(), deadline);
}

}  // namespace

Result<Reply> Channel::ask(const Request& request, std::chrono::milliseconds patience) {
  if (!memory::usable()) {
    return fail(Errc::kForked, "this process has no protected memory of its own");
  }
  const Message message = encode(request);
  if (silent_) patience = std::min(patience, kLittlePatience);
  for (int tries = 0; tries < kFreshTries;) {
    auto connection = VHSM_TRY(connect());
    tries += connection->fresh ? 1 : 0;  // idle ones may all have been cut, and cost nothing
    Reply reply;
    const Step step =
        VHSM_TRY(exchange(connection->socket.get(), message, reply, Clock::now() + patience));
    silent_ = step == Step::kTimedOut;
    if (silent_) return fail(Errc::kNoDaemon, "vhsmd did not answer in time", path_);
    if (step == Step::kDone) {
      keep(std::move(connection));
      if (reply.error.has_value()) return *reply.error;
      return reply;
    }
    if (changes_something(request.ask)) break;
  }
  return fail(Errc::kNoDaemon, "vhsmd closed the connection", path_);
}

}  // namespace vhsm::keystore
