// SPDX-License-Identifier: Apache-2.0
#include "base/descriptor.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>

namespace vhsm {

Descriptor::~Descriptor() {
  if (number_ >= 0) ::close(number_);
}

Descriptor clear_of_streams(Descriptor first) noexcept {
  if (!first.valid() || first.get() > STDERR_FILENO) return first;
  return Descriptor(::fcntl(first.get(), F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
}

bool wait_until_ready(int descriptor, short events, TimePoint deadline) noexcept {
  for (;;) {
    pollfd one{descriptor, events, 0};
    const int rc = ::poll(&one, 1, poll_milliseconds(deadline));
    if (rc > 0) return true;  // errors and hang-ups show in the next call
    if (rc == 0 || errno != EINTR || Clock::now() >= deadline) return false;
  }
}

}  // namespace vhsm
