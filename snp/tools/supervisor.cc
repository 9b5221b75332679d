// SPDX-License-Identifier: Apache-2.0
#include "snp/tools/supervisor.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <condition_variable>
#include <cstddef>
#include <cstring>
#include <deque>
#include <limits>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "snp/sev_guest.h"
#include "snp/tools/process.h"

namespace vhsm::snp {
namespace {

constexpr const char* kSubject = "seccomp";

class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  Descriptor& operator=(Descriptor&&) = delete;
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  [[nodiscard]] int number() const noexcept { return number_; }

 private:
  int number_;
};

Error failed(Literal what) { return fail(Errc::kPlatform, what, kSubject); }

// ---- The filter: which system calls are told to the supervisor -------------------------------

constexpr sock_filter load(std::size_t offset) {
  return BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(offset));
}
constexpr sock_filter give(std::uint32_t action) { return BPF_STMT(BPF_RET | BPF_K, action); }
/// Skips so many of the following instructions when the loaded value is `value`.
constexpr sock_filter skip_if(std::uint32_t value, std::uint8_t count) {
  return BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, count, 0);
}

/// Of ioctls, only ours: others cost nothing. A filter cannot look at paths, so every open is told.
/// The codes have 32 bits, which is all that the kernel looks at.
constexpr std::array kFilter{load(offsetof(seccomp_data, arch)),
                             skip_if(AUDIT_ARCH_X86_64, 1),
                             give(SECCOMP_RET_ALLOW),
                             load(offsetof(seccomp_data, nr)),
                             skip_if(SYS_open, 8),
                             skip_if(SYS_openat, 7),
                             skip_if(SYS_openat2, 6),
                             skip_if(SYS_ioctl, 1),
                             give(SECCOMP_RET_ALLOW),
                             load(offsetof(seccomp_data, args[1])),
                             skip_if(kGetReport, 2),
                             skip_if(kGetDerivedKey, 1),
                             skip_if(kGetExtendedReport, 0),
                             give(SECCOMP_RET_USER_NOTIF)};

/// @return the listener, or -1.
int install(unsigned flags) {
  sock_fprog program{kFilter.size(), const_cast<sock_filter*>(kFilter.data())};
  return static_cast<int>(::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program));
}

/// A caller that waits for the device is not interrupted by signals that it survives, as in the
/// kernel's driver; kernels before 5.19 cannot do that.
Result<Descriptor> install_filter() {
#ifdef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
  constexpr unsigned kKillableOnly = SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
#else
  constexpr unsigned kKillableOnly = 1U << 5;
#endif
  // Without CAP_SYS_ADMIN the price is that programs with set-user-ID run without it.
  if (::geteuid() != 0) ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  int listener = install(SECCOMP_FILTER_FLAG_NEW_LISTENER | kKillableOnly);
  if (listener < 0 && errno == EINVAL) listener = install(SECCOMP_FILTER_FLAG_NEW_LISTENER);
  if (listener >= 0) return Descriptor(listener);
  if (errno == EBUSY) return failed("a supervisor is there already; one cannot run in another");
  return failed("this kernel, or its sandbox, lets no process answer another's system calls");
}

// ---- The supervisor --------------------------------------------------------------------------

/// A system call that waits for its answer.
class Notification {
 public:
  Notification(int listener, const seccomp_notif& notification)
      : listener_(listener),
        id_(notification.id),
        thread_(static_cast<pid_t>(notification.pid)),
        data_(notification.data) {}

  [[nodiscard]] int number() const noexcept { return data_.nr; }
  [[nodiscard]] std::uint64_t argument(std::size_t index) const { return data_.args[index]; }
  [[nodiscard]] int descriptor(std::size_t index) const {
    return static_cast<int>(data_.args[index]);
  }
  [[nodiscard]] Process process() const { return Process(thread_); }

  /// @param error  an errno; 0: the call succeeds with 0.
  void answer(int error) const { send(-error, 0); }
  /// The kernel carries it out, as if nobody had been asked.
  void let_pass() const { send(0, SECCOMP_USER_NOTIF_FLAG_CONTINUE); }
  /// The call succeeds with a new descriptor for our `file`.
  void answer_with(int file, std::uint32_t flags) const {
    seccomp_notif_addfd added{};
    added.id = id_;
    added.flags = SECCOMP_ADDFD_FLAG_SEND;
    added.srcfd = static_cast<std::uint32_t>(file);
    added.newfd_flags = flags & O_CLOEXEC;
    if (::ioctl(listener_, SECCOMP_IOCTL_NOTIF_ADDFD, &added) < 0) answer(errno);
  }

 private:
  void send(int error, std::uint32_t flags) const {
    seccomp_notif_resp response{};
    response.id = id_;
    response.error = error;
    response.flags = flags;
    ::ioctl(listener_, SECCOMP_IOCTL_NOTIF_SEND, &response);  // fails when the caller is gone
  }

  int listener_;
  std::uint64_t id_;
  pid_t thread_;
  seccomp_data data_;
};

/// The next call; nothing when it went away meanwhile.
std::optional<Notification> receive(int listener) {
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

/// Serves requests one after the other on a thread of its own: one may take a minute, and the rest
/// of the processes must not wait for it.
class Device {
 public:
  Device(const EmulatedFirmware& firmware, const Faults& faults)
      : driver_(firmware, faults, [](auto time) { std::this_thread::sleep_for(time); }) {
    std::thread([this] { serve(); }).detach();
  }

  void ask(Notification notification) {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(notification));
    condition_.notify_one();
  }

 private:
  Notification next() {
    std::unique_lock lock(mutex_);
    condition_.wait(lock, [this] { return !waiting_.empty(); });
    Notification notification = std::move(waiting_.front());
    waiting_.pop_front();
    return notification;
  }

  [[noreturn]] void serve() {
    for (;;) {
      Notification call = next();
      const auto code = static_cast<std::uint32_t>(call.argument(1));
      Process caller = call.process();
      call.answer(driver_.ioctl(code, call.argument(2), caller));
    }
  }

  GuestDriver driver_;
  std::mutex mutex_;
  std::condition_variable condition_;
  std::deque<Notification> waiting_;
};

/// What an open asks for, whichever of the three it is.
struct Opening {
  int folder;
  std::uint64_t path;
  std::uint32_t flags;
};

Opening opening_of(const Notification& call) {
  const auto flags = [&](std::size_t index) {
    return static_cast<std::uint32_t>(call.argument(index));
  };
  if (call.number() == SYS_open) return {AT_FDCWD, call.argument(0), flags(1)};
  if (call.number() == SYS_openat) return {call.descriptor(0), call.argument(1), flags(2)};
  open_how how{};  // its size may be larger in the caller, and these come first
  call.process().read(call.argument(2), {reinterpret_cast<std::uint8_t*>(&how), sizeof how});
  return {call.descriptor(0), call.argument(1), static_cast<std::uint32_t>(how.flags)};
}

/// Serves until no process is left that could ask.
class Supervisor {
 public:
  Supervisor(Descriptor listener, Descriptor file, const EmulatedFirmware& firmware,
             const Faults& faults)
      : listener_(std::move(listener)), file_(std::move(file)), device_(firmware, faults) {}

  void run() {
    pollfd events{listener_.number(), POLLIN, 0};
    while (::poll(&events, 1, -1) >= 0 || errno == EINTR) {
      if ((events.revents & POLLIN) != 0) {
        if (auto call = receive(listener_.number())) dispatch(*std::move(call));
      } else if (events.revents != 0) {
        return;
      }
    }
  }

 private:
  void dispatch(Notification call) {
    if (call.number() == SYS_ioctl) return control(std::move(call));
    open(call);
  }

  void control(Notification call) {
    if (!call.process().has_open(call.descriptor(0), file_.number())) return call.let_pass();
    device_.ask(std::move(call));
  }

  void open(const Notification& call) const {
    const Opening opening = opening_of(call);
    Process caller = call.process();
    const auto path = caller.read_path(opening.path);
    if (!path.has_value() || !path->ends_with("sev-guest") ||
        caller.resolve(*path, opening.folder) != kSevGuestPath) {
      return call.let_pass();
    }
    const auto user = caller.file_user();
    if (user != uid_t{0} && user != ::geteuid()) return call.answer(EACCES);
    call.answer_with(file_.number(), opening.flags);
  }

  Descriptor listener_;
  Descriptor file_;  ///< what callers get a descriptor of
  Device device_;
};

/// Something that no other program has open, and that can be neither written nor mapped.
Result<Descriptor> make_device_file() {
  Descriptor file(::memfd_create("sev-guest", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  constexpr int kSeals = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL;
  if (file.number() < 0 || ::fcntl(file.number(), F_ADD_SEALS, kSeals) != 0) {
    return failed("no memory for the device's file");
  }
  return file;
}

// ---- Starting it -----------------------------------------------------------------------------

bool send_descriptor(int socket, int descriptor) {
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  char byte = 0;
  iovec data{&byte, 1};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* const header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
  return ::sendmsg(socket, &message, 0) == 1;
}

/// @return -1 when none came.
int receive_descriptor(int socket) {
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  char byte = 0;
  iovec data{&byte, 1};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  if (::recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != 1) return -1;
  const cmsghdr* const header = CMSG_FIRSTHDR(&message);
  int descriptor = -1;
  if (header != nullptr && header->cmsg_type == SCM_RIGHTS) {
    std::memcpy(&descriptor, CMSG_DATA(header), sizeof descriptor);
  }
  return descriptor;
}

/// @param first, last  an empty range where `last` is smaller.
void close_from_to(int first, int last) {
  if (first <= last) ::close_range(static_cast<unsigned>(first), static_cast<unsigned>(last), 0);
}

/// Holds nothing of the caller's but two descriptors: whoever reads the command's output must not
/// wait for us.
void detach(int kept, int also_kept) {
  const auto [low, high] = std::minmax(kept, also_kept);
  close_from_to(STDERR_FILENO + 1, low - 1);
  close_from_to(low + 1, high - 1);
  close_from_to(high + 1, std::numeric_limits<int>::max());
  ::setsid();
  const Descriptor null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  for (const int standard : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    ::dup2(null.number(), standard);
  }
  if (::chdir("/") != 0) ::_exit(1);
}

/// The process in the background, from its first instruction to its last.
[[noreturn]] void serve(const Descriptor& socket, Descriptor file, const EmulatedFirmware& firmware,
                        const Faults& faults) {
  detach(socket.number(), file.number());
  Descriptor listener(receive_descriptor(socket.number()));
  if (listener.number() < 0) ::_exit(1);
  Supervisor supervisor(std::move(listener), std::move(file), firmware, faults);
  constexpr char kReady = 1;
  if (::write(socket.number(), &kReady, 1) == 1) supervisor.run();
  ::_exit(0);
}

/// Whether the socket says that the supervisor serves.
bool is_ready(const Descriptor& socket) {
  char byte = 0;
  return ::read(socket.number(), &byte, 1) == 1;
}

}  // namespace

Status supervise(const EmulatedFirmware& firmware, const Faults& faults) {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return failed("no socket for the supervisor");
  }
  const Descriptor ours(ends[0]);
  std::optional<Descriptor> theirs(std::in_place, ends[1]);
  Descriptor file = VHSM_TRY(make_device_file());
  const pid_t child = ::fork();
  if (child == 0) {
    // A grandchild, so that the command finds no child that it has not made.
    if (::fork() == 0) serve(*theirs, std::move(file), firmware, faults);
    ::_exit(0);
  }
  theirs.reset();
  if (child < 0 || ::waitpid(child, nullptr, 0) != child) return failed("no process to supervise");
  const Descriptor listener = VHSM_TRY(install_filter());
  if (!send_descriptor(ours.number(), listener.number()) || !is_ready(ours)) {
    return failed("the supervisor did not start");
  }
  return {};
}

}  // namespace vhsm::snp
