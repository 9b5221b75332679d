// SPDX-License-Identifier: Apache-2.0
#include "snp/tools/tsm_server.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <utility>
#include <vector>

namespace vhsm::snp {
namespace {

/// More than any file takes or gives in one call.
constexpr std::size_t kMaxTransferBytes = 0x10000;

/// "/ENTRY/FILE".
struct Name {
  std::string entry;
  std::string file;
};

std::optional<Name> parse(const std::string& path) {
  const std::size_t slash = path.find('/', 1);
  if (!path.starts_with('/') || slash == std::string::npos) return std::nullopt;
  return Name{path.substr(1, slash - 1), path.substr(slash + 1)};
}

std::optional<int> free_number(const Process& caller) {
  for (int number = kFirstToldDescriptor; number <= kLastToldDescriptor; ++number) {
    if (!caller.open_file(number).has_value()) return number;
  }
  return std::nullopt;
}

bool is_abandoned(const Descriptor& peer) {
  pollfd one{peer.get(), 0, 0};
  return ::poll(&one, 1, 0) == 1 && (one.revents & (POLLHUP | POLLERR)) != 0;
}

}  // namespace

/// What its callers have closed before this call is closed before it is answered.
void TsmServer::answer(const TsmCall& call) {
  close_abandoned();
  switch (call.notification.number()) {
    case SYS_read:
    case SYS_write: return transfer(call.notification);
    case SYS_mkdir:
    case SYS_mkdirat: return change_folder(call, &TsmDriver::make);
    case SYS_rmdir: return change_folder(call, &TsmDriver::remove);
    case SYS_unlinkat:
      if ((call.flags & AT_REMOVEDIR) == 0) return call.notification.answer(EPERM);
      return change_folder(call, &TsmDriver::remove);
    default: return open(call);
  }
}

void TsmServer::change_folder(const TsmCall& call, int (TsmDriver::*change)(const std::string&)) {
  if (!call.notification.process().is_owner()) return call.notification.answer(EACCES);
  if (call.path.find('/', 1) != std::string::npos) return call.notification.answer(EPERM);
  call.notification.answer((driver_.*change)(call.path.substr(1)));
}

void TsmServer::open(const TsmCall& call) {
  const bool writes = (call.flags & O_ACCMODE) != O_RDONLY;
  const auto name = parse(call.path);
  if (!name) return call.notification.answer(ENOENT);
  const Process caller = call.notification.process();
  if (writes && !caller.is_owner()) return call.notification.answer(EACCES);
  TsmDriver::OpenFile file;
  if (const int error = driver_.open(name->entry, name->file, writes, file)) {
    return call.notification.answer(error);
  }
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()) != 0) {
    return call.notification.answer(errno);
  }
  Descriptor ours(ends[0]);
  const Descriptor theirs(ends[1]);
  const auto number = free_number(caller);
  const auto id = file_id(theirs.get());
  if (!number || !id) return call.notification.answer(EMFILE);
  handles_.push_back({std::move(ours), *id, std::move(file)});
  call.notification.answer_with(theirs.get(), call.flags, number);
}

void TsmServer::transfer(const Notification& call) {
  const auto id = call.process().open_file(call.descriptor(0));
  const auto found = std::ranges::find_if(
      handles_, [&](const Handle& handle) { return id.has_value() && handle.theirs == *id; });
  if (found == handles_.end()) return call.let_pass();
  if (call.number() == SYS_read) return read(call, *found);
  write(call, *found);
}

void TsmServer::read(const Notification& call, Handle& handle) {
  std::vector<std::uint8_t> bytes(std::min<std::uint64_t>(call.argument(2), kMaxTransferBytes));
  std::size_t got = 0;
  if (const int error = driver_.read(handle.file, bytes, got)) return call.answer(error);
  const bool written = call.process().write(call.argument(1), std::span(bytes).first(got));
  call.answer(written ? 0 : EFAULT, got);
}

void TsmServer::write(const Notification& call, Handle& handle) {
  std::vector<std::uint8_t> bytes(std::min<std::uint64_t>(call.argument(2), kMaxTransferBytes));
  if (!call.process().read(call.argument(1), bytes)) return call.answer(EFAULT);
  call.answer(driver_.write(handle.file, bytes), bytes.size());
}

void TsmServer::close_abandoned() {
  for (auto at = handles_.begin(); at != handles_.end();) {
    if (!is_abandoned(at->peer)) {
      ++at;
      continue;
    }
    drain(*at);
    driver_.close(at->file);
    at = handles_.erase(at);
  }
}

/// What was written under another number, as a shell does. Whether it was right, nobody can be told
/// any more.
void TsmServer::drain(Handle& handle) {
  std::array<std::uint8_t, 4096> bytes{};
  const ssize_t got = ::recv(handle.peer.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
  if (got <= 0) return;
  static_cast<void>(
      driver_.write(handle.file, std::span(bytes).first(static_cast<std::size_t>(got))));
}

}  // namespace vhsm::snp
