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

#include "base/descriptor.h"
#include "snp/sev_guest.h"
#include "snp/tools/notification.h"
#include "snp/tools/process.h"
#include "snp/tools/tsm_server.h"
#include "snp/tsm.h"

namespace vhsm::snp {
namespace {

constexpr const char* kSubject = "seccomp";

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

/// Skips so many of the following instructions when the loaded value is at least `value`.
constexpr sock_filter skip_from(std::uint32_t value, std::uint8_t count) {
  return BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, value, count, 0);
}

/// Of ioctls only ours, and of reads and writes only those on the descriptors that were given by
/// number: others cost nothing. A filter cannot look at paths, so every open is told.
/// The codes have 32 bits, which is all that the kernel looks at.
constexpr std::array kFilter{load(offsetof(seccomp_data, arch)),
                             skip_if(AUDIT_ARCH_X86_64, 1),
                             give(SECCOMP_RET_ALLOW),
                             load(offsetof(seccomp_data, nr)),
                             skip_if(SYS_open, 19),
                             skip_if(SYS_openat, 18),
                             skip_if(SYS_openat2, 17),
                             skip_if(SYS_mkdir, 16),
                             skip_if(SYS_mkdirat, 15),
                             skip_if(SYS_rmdir, 14),
                             skip_if(SYS_unlinkat, 13),
                             skip_if(SYS_read, 8),
                             skip_if(SYS_write, 7),
                             skip_if(SYS_ioctl, 1),
                             give(SECCOMP_RET_ALLOW),
                             load(offsetof(seccomp_data, args[1])),
                             skip_if(kGetReport, 7),
                             skip_if(kGetDerivedKey, 6),
                             skip_if(kGetExtendedReport, 5),
                             give(SECCOMP_RET_ALLOW),
                             load(offsetof(seccomp_data, args[0])),
                             skip_from(kLastToldDescriptor + 1, 1),
                             skip_from(kFirstToldDescriptor, 1),
                             give(SECCOMP_RET_ALLOW),
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

/// Serves requests one after the other on a thread of its own: one may take a minute, and the rest
/// of the processes must not wait for it.
class Device {
 public:
  Device(const EmulatedFirmware& firmware, const Faults& faults, const TsmFaults& tsm_faults)
      : driver_(firmware, faults, [](auto time) { std::this_thread::sleep_for(time); }),
        tsm_driver_(driver_, firmware, tsm_faults),
        tsm_(tsm_driver_) {
    std::thread([this] { serve(); }).detach();
  }

  void ask(TsmCall call) {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(call));
    condition_.notify_one();
  }

 private:
  TsmCall next() {
    std::unique_lock lock(mutex_);
    condition_.wait(lock, [this] { return !waiting_.empty(); });
    TsmCall call = std::move(waiting_.front());
    waiting_.pop_front();
    return call;
  }

  [[noreturn]] void serve() {
    for (;;) {
      const TsmCall call = next();
      if (call.notification.number() == SYS_ioctl) {
        control(call.notification);
      } else {
        tsm_.answer(call);
      }
    }
  }

  void control(const Notification& call) {
    const auto code = static_cast<std::uint32_t>(call.argument(1));
    Process caller = call.process();
    call.answer(driver_.ioctl(code, call.argument(2), caller));
  }

  GuestDriver driver_;
  TsmDriver tsm_driver_;
  TsmServer tsm_;
  std::mutex mutex_;
  std::condition_variable condition_;
  std::deque<TsmCall> waiting_;
};

/// A path that a call names: where it starts, and the flags that come with it.
struct Naming {
  int folder;
  std::uint64_t path;
  std::uint32_t flags;
};

Naming naming_of(const Notification& call) {
  const auto flags = [&](std::size_t index) {
    return static_cast<std::uint32_t>(call.argument(index));
  };
  switch (call.number()) {
    case SYS_open: return {AT_FDCWD, call.argument(0), flags(1)};
    case SYS_mkdir:
    case SYS_rmdir: return {AT_FDCWD, call.argument(0), 0};
    case SYS_openat:
    case SYS_unlinkat: return {call.descriptor(0), call.argument(1), flags(2)};
    case SYS_mkdirat: return {call.descriptor(0), call.argument(1), 0};
    default: break;
  }
  open_how how{};  // its size may be larger in the caller, and these come first
  call.process().read(call.argument(2), {reinterpret_cast<std::uint8_t*>(&how), sizeof how});
  return {call.descriptor(0), call.argument(1), static_cast<std::uint32_t>(how.flags)};
}

/// What the callers' descriptors are, to them.
struct Files {
  Descriptor device;
  Descriptor tsm_root;
};

/// Serves until no process is left that could ask.
class Supervisor {
 public:
  Supervisor(Descriptor listener, Files files, const EmulatedFirmware& firmware,
             const HostFaults& faults)
      : listener_(std::move(listener)),
        files_(std::move(files)),
        device_(firmware, faults.device, faults.tsm) {}

  void run() {
    pollfd events{listener_.get(), POLLIN, 0};
    while (::poll(&events, 1, -1) >= 0 || errno == EINTR) {
      if ((events.revents & POLLIN) != 0) {
        if (auto call = receive_notification(listener_.get())) dispatch(*std::move(call));
      } else if (events.revents != 0) {
        return;
      }
    }
  }

 private:
  void dispatch(Notification call) {
    switch (call.number()) {
      case SYS_ioctl: return control(std::move(call));
      case SYS_read:
      case SYS_write: return device_.ask({std::move(call), {}, 0});
      default: return name(std::move(call));
    }
  }

  void control(Notification call) {
    if (!call.process().has_open(call.descriptor(0), files_.device.get())) return call.let_pass();
    device_.ask({std::move(call), {}, 0});
  }

  /// A call that names a path: ours, or the kernel's business.
  void name(Notification call) {
    const Naming naming = naming_of(call);
    Process caller = call.process();
    const auto written = caller.read_path(naming.path);
    if (!written.has_value()) return call.let_pass();
    const std::string path = find(caller, *written, naming.folder);
    if (path == kTsmRoot) return open_root(call, naming.flags);
    if (path.starts_with(kTsmRoot)) {
      return device_.ask({std::move(call), path.substr(std::strlen(kTsmRoot)), naming.flags});
    }
    if (path != kSevGuestPath) return call.let_pass();
    open_device(call, naming.flags);
  }

  /// Empty for what can be neither: to resolve each path would cost too much.
  [[nodiscard]] std::string find(const Process& caller, const std::string& path, int folder) const {
    if (path.ends_with("sev-guest") || path.find("tsm/report") != std::string::npos) {
      return caller.resolve(path, folder);
    }
    const bool below_root = !path.starts_with('/') && folder != AT_FDCWD &&
                            caller.has_open(folder, files_.tsm_root.get());
    return below_root ? kTsmRoot + ("/" + path) : std::string();
  }

  void open_root(const Notification& call, std::uint32_t flags) const {
    const bool opens =
        call.number() == SYS_open || call.number() == SYS_openat || call.number() == SYS_openat2;
    if (!opens) return call.answer(EPERM);
    call.answer_with(files_.tsm_root.get(), flags);
  }

  void open_device(const Notification& call, std::uint32_t flags) const {
    if (!call.process().is_owner()) return call.answer(EACCES);
    call.answer_with(files_.device.get(), flags);
  }

  Descriptor listener_;
  Files files_;
  Device device_;
};

/// Something that no other program has open, and that can be neither written nor mapped.
Result<Descriptor> make_file(const char* name) {
  Descriptor file(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  constexpr int kSeals = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL;
  if (!file.valid() || ::fcntl(file.get(), F_ADD_SEALS, kSeals) != 0) {
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

/// Holds nothing of the caller's but `kept`: whoever reads the command's output must not wait for
/// us.
void detach(std::array<int, 3> kept) {
  std::ranges::sort(kept);
  int next = STDERR_FILENO + 1;
  for (const int one : kept) {
    close_from_to(next, one - 1);
    next = one + 1;
  }
  close_from_to(next, std::numeric_limits<int>::max());
  ::setsid();
  const Descriptor null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  for (const int standard : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    ::dup2(null.get(), standard);
  }
  if (::chdir("/") != 0) ::_exit(1);
}

/// The process in the background, from its first instruction to its last.
[[noreturn]] void serve(const Descriptor& socket, Files files, const EmulatedFirmware& firmware,
                        const HostFaults& faults) {
  detach({socket.get(), files.device.get(), files.tsm_root.get()});
  Descriptor listener(receive_descriptor(socket.get()));
  if (!listener.valid()) ::_exit(1);
  Supervisor supervisor(std::move(listener), std::move(files), firmware, faults);
  constexpr char kReady = 1;
  if (::write(socket.get(), &kReady, 1) == 1) supervisor.run();
  ::_exit(0);
}

/// Whether the socket says that the supervisor serves.
bool is_ready(const Descriptor& socket) {
  char byte = 0;
  return ::read(socket.get(), &byte, 1) == 1;
}

}  // namespace

Status supervise(const EmulatedFirmware& firmware, const HostFaults& faults) {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return failed("no socket for the supervisor");
  }
  const Descriptor ours(ends[0]);
  std::optional<Descriptor> theirs(std::in_place, ends[1]);
  Files files;
  files.device = VHSM_TRY(make_file("sev-guest"));
  files.tsm_root = VHSM_TRY(make_file("configfs-tsm"));
  const pid_t child = ::fork();
  if (child == 0) {
    // A grandchild, so that the command finds no child that it has not made.
    if (::fork() == 0) serve(*theirs, std::move(files), firmware, faults);
    ::_exit(0);
  }
  theirs.reset();
  if (child < 0 || ::waitpid(child, nullptr, 0) != child) return failed("no process to supervise");
  const Descriptor listener = VHSM_TRY(install_filter());
  if (!send_descriptor(ours.get(), listener.get()) || !is_ready(ours)) {
    return failed("the supervisor did not start");
  }
  return {};
}

}  // namespace vhsm::snp
