// SPDX-License-Identifier: Apache-2.0
#include "keystore/daemon/listener.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "keystore/daemon/unix_address.h"

namespace vhsm::keystore {
namespace {

constexpr int kBacklog = 4096;  // Linux takes the smaller of this and net.core.somaxconn
constexpr std::chrono::milliseconds kPatience{5000};

template <class Call>
bool with_address(const std::string& path, Call&& call) {
  return with_unix_address(path, std::forward<Call>(call)) == 0;
}

Descriptor open_socket() {
  return clear_of_streams(Descriptor(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)));
}

bool is_served(const std::string& path) {
  const Descriptor probe = open_socket();
  return with_address(path, [&](const sockaddr* address, socklen_t size) {
    return ::connect(probe.get(), address, size);
  });
}

/// Room for one descriptor beside a message.
union Beside {
  cmsghdr head;
  std::array<char, CMSG_SPACE(sizeof(int))> bytes;
};

Descriptor descriptor_in(msghdr& message) {
  const cmsghdr* const head = CMSG_FIRSTHDR(&message);
  if (head == nullptr || head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS ||
      head->cmsg_len != CMSG_LEN(sizeof(int))) {
    return {};
  }
  int number = -1;
  std::memcpy(&number, CMSG_DATA(head), sizeof number);
  return Descriptor(number);
}

/// Receives all of `into`; a descriptor that comes beside it goes to `descriptor`.
Status receive(int socket, std::span<std::uint8_t> into, Descriptor& descriptor) {
  while (!into.empty()) {
    iovec part{into.data(), into.size()};
    Beside beside{};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = beside.bytes.data();
    message.msg_controllen = beside.bytes.size();
    const ssize_t got = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return fail(Errc::kNoDaemon, "the running vhsmd does not answer");
    if (auto found = descriptor_in(message); found.valid()) descriptor = std::move(found);
    into = into.subspan(static_cast<std::size_t>(got));
  }
  return {};
}

}  // namespace

Result<Descriptor> listen_at(const std::string& path) {
  if (is_served(path)) {
    return fail(Errc::kInUse, "another process serves this socket", path)
        .cured_by("end that one, or replace a vhsmd by vhsmd --take-over");
  }
  struct stat there {};
  if (::lstat(path.c_str(), &there) == 0 && !S_ISSOCK(there.st_mode)) {
    return fail(Errc::kIo, "what stands in the socket's place is no socket, and is left alone",
                path);
  }
  const std::string fresh = path + ".new";
  ::unlink(fresh.c_str());
  Descriptor socket = open_socket();
  const bool bound = with_address(fresh, [&](const sockaddr* address, socklen_t size) {
    return ::bind(socket.get(), address, size);
  });
  if (!bound) return fail(Errc::kIo, "the socket cannot be made: is its folder there?", path);
  if (::chmod(fresh.c_str(), 0666) != 0 || ::listen(socket.get(), kBacklog) != 0 ||
      ::rename(fresh.c_str(), path.c_str()) != 0) {
    ::unlink(fresh.c_str());
    return fail(Errc::kIo, "the socket cannot be put in its place", path);
  }
  return socket;
}

Status send_with_descriptor(int socket, const Message& answer, int descriptor) {
  iovec part{const_cast<std::uint8_t*>(answer.bytes().data()), answer.bytes().size()};
  Beside beside{};
  beside.head.cmsg_len = CMSG_LEN(sizeof(int));
  beside.head.cmsg_level = SOL_SOCKET;
  beside.head.cmsg_type = SCM_RIGHTS;
  std::memcpy(CMSG_DATA(&beside.head), &descriptor, sizeof descriptor);
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = beside.bytes.data();
  message.msg_controllen = beside.bytes.size();
  const ssize_t sent = ::sendmsg(socket, &message, MSG_NOSIGNAL);
  if (sent == static_cast<ssize_t>(answer.bytes().size())) return {};
  return fail(Errc::kIo, "the successor did not take the socket");
}

Result<Predecessor> Predecessor::connect(const std::string& path) {
  Descriptor socket = open_socket();
  const bool connected = with_address(path, [&](const sockaddr* address, socklen_t size) {
    return ::connect(socket.get(), address, size);
  });
  if (!connected) return fail(Errc::kNoDaemon, "nobody serves this socket", path);
  const timeval patience{std::chrono::duration_cast<std::chrono::seconds>(kPatience).count(), 0};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  return Predecessor(std::move(socket));
}

Result<Reply> Predecessor::ask(Ask ask, Descriptor* beside) {
  const Message request = encode(Request{.ask = ask});
  const auto& bytes = request.bytes();
  const ssize_t sent = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  if (sent != static_cast<ssize_t>(bytes.size())) {
    return fail(Errc::kNoDaemon, "the running vhsmd takes no request");
  }
  Descriptor unused;
  Descriptor& descriptor = beside != nullptr ? *beside : unused;
  std::array<std::uint8_t, kLengthBytes> head{};
  VHSM_TRY(receive(socket_.get(), head, descriptor));
  const std::size_t size = VHSM_TRY(decode_length(head));
  Message answer(size);
  VHSM_TRY(receive(socket_.get(), answer.bytes(), descriptor));
  auto reply = VHSM_TRY(decode_reply(answer.bytes()));
  if (reply.error.has_value()) return *reply.error;
  return reply;
}

Result<std::vector<std::string>> Predecessor::key_names() {
  Reply reply = VHSM_TRY(ask(Ask::kNames, nullptr));
  return std::move(reply.lines);
}

Result<Descriptor> Predecessor::take_over() {
  Descriptor listener;
  [[maybe_unused]] const Reply reply = VHSM_TRY(ask(Ask::kTakeOver, &listener));
  if (!listener.valid()) return fail(Errc::kNoDaemon, "the running vhsmd gave no socket");
  return listener;
}

}  // namespace vhsm::keystore
