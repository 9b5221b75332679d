// SPDX-License-Identifier: Apache-2.0
#include "snp/tools/notification.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

namespace vhsm::snp {

void Notification::answer(int error, std::size_t value) const {
  send(-error, error == 0 ? static_cast<std::int64_t>(value) : 0, 0);
}

void Notification::let_pass() const { send(0, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE); }

void Notification::answer_with(int file, std::uint32_t flags, std::optional<int> number) const {
  seccomp_notif_addfd added{};
  added.id = id_;
  added.flags = SECCOMP_ADDFD_FLAG_SEND | (number ? SECCOMP_ADDFD_FLAG_SETFD : 0U);
  added.srcfd = static_cast<std::uint32_t>(file);
  added.newfd = static_cast<std::uint32_t>(number.value_or(0));
  added.newfd_flags = flags & O_CLOEXEC;
  if (::ioctl(listener_, SECCOMP_IOCTL_NOTIF_ADDFD, &added) < 0) answer(errno);
}

/// Fails when the caller is gone.
void Notification::send(int error, std::int64_t value, std::uint32_t flags) const {
  seccomp_notif_resp response{};
  response.id = id_;
  response.val = value;
  response.error = error;
  response.flags = flags;
  ::ioctl(listener_, SECCOMP_IOCTL_NOTIF_SEND, &response);
}

std::optional<Notification> receive_notification(int listener) {
  seccomp_notif_sizes sizes{};
  ::syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes);
  // A newer kernel may write more than our header knows.
  std::vector<std::uint64_t> room(
      std::max<std::size_t>(sizes.seccomp_notif, sizeof(seccomp_notif)) / sizeof(std::uint64_t) +
      1);
  if (::ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, room.data()) != 0) return std::nullopt;
  seccomp_notif notification{};
  std::memcpy(&notification, room.data(), sizeof notification);
  return Notification(listener, notification);
}

}  // namespace vhsm::snp
