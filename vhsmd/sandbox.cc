// SPDX-License-Identifier: Apache-2.0
#include "vhsmd/sandbox.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/netlink.h>
#include <pwd.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "snp/guest_device.h"

namespace vhsm::vhsmd {
namespace {

// ---- Users and capabilities ------------------------------------------------------------------

struct Account {
  uid_t user;
  gid_t group;
};

Result<Account> find_account(const std::string& user) {
  constexpr std::size_t kEntryBytes = 16384;
  std::array<char, kEntryBytes> text{};
  passwd entry{};
  passwd* found = nullptr;
  const int error = ::getpwnam_r(user.c_str(), &entry, text.data(), text.size(), &found);
  if (found != nullptr) return Account{entry.pw_uid, entry.pw_gid};
  if (error == EIO || error == EMFILE || error == ENFILE || error == ERANGE) {
    return fail(Errc::kIo, "the user database cannot be read", user);
  }
  return fail(Errc::kBadConfig, "there is no such user", user);
}

bool runs_as(uid_t user) noexcept {
  uid_t real = 0;
  uid_t effective = 0;
  uid_t saved = 0;
  return ::getresuid(&real, &effective, &saved) == 0 && real == user && effective == user &&
         saved == user;
}

bool runs_as_group(gid_t group) noexcept {
  gid_t real = 0;
  gid_t effective = 0;
  gid_t saved = 0;
  return ::getresgid(&real, &effective, &saved) == 0 && real == group && effective == group &&
         saved == group;
}

/// What is not in the bounding set, no program that is executed later can get back. Without
/// CAP_SETPCAP it stays: then it was our starter's business, and nothing is executed later anyway.
void empty_bounding_set() noexcept {
  for (unsigned long capability = 0; ::prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0;
       ++capability) {
    ::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
  }
}

using CapabilitySets = std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3>;

/// Raw, as libc has no wrapper and libcap would be one more library.
bool has_capabilities() noexcept {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  CapabilitySets sets{};
  if (::syscall(SYS_capget, &header, sets.data()) != 0) return true;
  return std::ranges::any_of(
      sets, [](const auto& set) { return (set.effective | set.permitted | set.inheritable) != 0; });
}

/// A change of user empties the permitted set only where no "securebits" say otherwise, and the
/// inheritable set never. What counts is what is left: a filter of systemd's may refuse capset(2).
Status drop_capabilities(const std::string& user) {
  ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  const CapabilitySets none{};
  ::syscall(SYS_capset, &header, none.data());
  if (has_capabilities()) return fail(Errc::kUnsupported, "capabilities cannot be given up", user);
  return {};
}

Status change_to(const Account& account, const std::string& user) {
  empty_bounding_set();
  if (::initgroups(user.c_str(), account.group) != 0 ||
      ::setresgid(account.group, account.group, account.group) != 0 ||
      ::setresuid(account.user, account.user, account.user) != 0) {
    return fail(Errc::kUnsupported, "this process may not change to the user", user);
  }
  if (!runs_as_group(account.group)) {
    return fail(Errc::kUnsupported, "the change of user did not last", user);
  }
  return {};
}

/// Tried rather than reasoned: capabilities and securebits have too many corners.
bool can_be_root_again() noexcept { return ::setuid(0) == 0 || ::seteuid(0) == 0; }

// ---- The system call filter ------------------------------------------------------------------

constexpr const char* kSubject = "seccomp";

/// A call that nobody foresaw, say of a newer libc or of a module of the name service, fails and
/// takes its caller's path for errors. To kill the process would take the keys from all clients.
constexpr std::uint32_t kRefuse = SCMP_ACT_ERRNO(EPERM);

constexpr std::array kAllowed{
    // Data
    SCMP_SYS(read), SCMP_SYS(readv), SCMP_SYS(pread64), SCMP_SYS(write), SCMP_SYS(writev),
    SCMP_SYS(pwrite64), SCMP_SYS(lseek), SCMP_SYS(close), SCMP_SYS(fcntl),
    // Sockets; sendmmsg is how libc asks a name server for both families at once
    SCMP_SYS(accept4), SCMP_SYS(bind), SCMP_SYS(connect), SCMP_SYS(listen), SCMP_SYS(recvfrom),
    SCMP_SYS(recvmsg), SCMP_SYS(sendto), SCMP_SYS(sendmsg), SCMP_SYS(sendmmsg), SCMP_SYS(shutdown),
    SCMP_SYS(getsockname), SCMP_SYS(getpeername), SCMP_SYS(getsockopt), SCMP_SYS(setsockopt),
    // Waiting
    SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait),
    SCMP_SYS(epoll_pwait2), SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(eventfd2),
    SCMP_SYS(signalfd4), SCMP_SYS(timerfd_create), SCMP_SYS(timerfd_settime),
    SCMP_SYS(timerfd_gettime), SCMP_SYS(nanosleep), SCMP_SYS(clock_nanosleep),
    SCMP_SYS(restart_syscall),
    // Files
    SCMP_SYS(openat), SCMP_SYS(newfstatat), SCMP_SYS(fstat), SCMP_SYS(stat), SCMP_SYS(lstat),
    SCMP_SYS(access), SCMP_SYS(faccessat), SCMP_SYS(faccessat2), SCMP_SYS(readlink),
    SCMP_SYS(readlinkat), SCMP_SYS(getdents64), SCMP_SYS(ftruncate), SCMP_SYS(fsync),
    SCMP_SYS(fdatasync), SCMP_SYS(rename), SCMP_SYS(renameat), SCMP_SYS(renameat2),
    SCMP_SYS(unlink), SCMP_SYS(unlinkat), SCMP_SYS(fchmod), SCMP_SYS(fchown), SCMP_SYS(mkdir),
    SCMP_SYS(mkdirat), SCMP_SYS(rmdir), SCMP_SYS(umask),
    // Memory
    SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(mlock),
    SCMP_SYS(mlock2), SCMP_SYS(munlock), SCMP_SYS(memfd_secret),
    // Threads and signals
    SCMP_SYS(futex), SCMP_SYS(futex_waitv), SCMP_SYS(set_robust_list), SCMP_SYS(rseq),
    SCMP_SYS(sched_yield), SCMP_SYS(sched_getaffinity), SCMP_SYS(getcpu), SCMP_SYS(arch_prctl),
    SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn),
    SCMP_SYS(rt_sigtimedwait), SCMP_SYS(sigaltstack), SCMP_SYS(exit), SCMP_SYS(exit_group),
    // Who and when
    SCMP_SYS(gettid), SCMP_SYS(getpid), SCMP_SYS(getppid), SCMP_SYS(getuid), SCMP_SYS(geteuid),
    SCMP_SYS(getgid), SCMP_SYS(getegid), SCMP_SYS(getresuid), SCMP_SYS(getresgid),
    SCMP_SYS(getgroups), SCMP_SYS(capget), SCMP_SYS(getrlimit), SCMP_SYS(pidfd_open),
    SCMP_SYS(waitid), SCMP_SYS(clock_gettime), SCMP_SYS(clock_getres), SCMP_SYS(gettimeofday),
    SCMP_SYS(time), SCMP_SYS(uname), SCMP_SYS(sysinfo), SCMP_SYS(getrandom)};

#if defined(__SANITIZE_ADDRESS__)
/// UBSan, which comes with it, reads an object through a pipe before it judges its type.
constexpr std::array kCheckers{SCMP_SYS(pipe2)};
#else
constexpr std::array<int, 0> kCheckers{};
#endif

/// Other programs, other processes' memory, code in the kernel, file systems, other identities, and
/// ways round a filter (io_uring).
constexpr std::array kDeadly{
    SCMP_SYS(execve), SCMP_SYS(execveat),
    // Processes
    SCMP_SYS(ptrace), SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev),
    SCMP_SYS(process_madvise), SCMP_SYS(pidfd_getfd), SCMP_SYS(kcmp), SCMP_SYS(userfaultfd),
    SCMP_SYS(personality), SCMP_SYS(modify_ldt), SCMP_SYS(memfd_create), SCMP_SYS(vmsplice),
    SCMP_SYS(remap_file_pages), SCMP_SYS(io_uring_setup), SCMP_SYS(io_uring_enter),
    SCMP_SYS(io_uring_register),
    // The kernel
    SCMP_SYS(init_module), SCMP_SYS(finit_module), SCMP_SYS(delete_module), SCMP_SYS(kexec_load),
    SCMP_SYS(kexec_file_load), SCMP_SYS(bpf), SCMP_SYS(perf_event_open), SCMP_SYS(reboot),
    SCMP_SYS(iopl), SCMP_SYS(ioperm), SCMP_SYS(swapon), SCMP_SYS(swapoff), SCMP_SYS(acct),
    SCMP_SYS(settimeofday), SCMP_SYS(clock_settime), SCMP_SYS(add_key), SCMP_SYS(request_key),
    SCMP_SYS(keyctl),
    // File systems and namespaces
    SCMP_SYS(mount), SCMP_SYS(umount2), SCMP_SYS(pivot_root), SCMP_SYS(chroot),
    SCMP_SYS(move_mount), SCMP_SYS(open_tree), SCMP_SYS(fsopen), SCMP_SYS(fsconfig),
    SCMP_SYS(fsmount), SCMP_SYS(fspick), SCMP_SYS(mount_setattr), SCMP_SYS(open_by_handle_at),
    SCMP_SYS(unshare), SCMP_SYS(setns), SCMP_SYS(fanotify_init),
    // Identities
    SCMP_SYS(setuid), SCMP_SYS(setgid), SCMP_SYS(setreuid), SCMP_SYS(setregid), SCMP_SYS(setresuid),
    SCMP_SYS(setresgid), SCMP_SYS(setfsuid), SCMP_SYS(setfsgid), SCMP_SYS(setgroups),
    SCMP_SYS(capset)};

/// The bits of an argument that are in `mask` are `value`.
constexpr scmp_arg_cmp bits(unsigned argument, std::uint64_t mask, std::uint64_t value) {
  return {argument, SCMP_CMP_MASKED_EQ, mask, value};
}
/// The kernel reads 32 bits of an int; a register's other half may hold anything.
constexpr scmp_arg_cmp is(unsigned argument, std::uint64_t value) {
  return bits(argument, UINT32_MAX, value);
}
constexpr scmp_arg_cmp is_null(unsigned argument) { return {argument, SCMP_CMP_EQ, 0, 0}; }

constexpr std::uint64_t kNewNamespaces = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS |
                                         CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;

/// A call whose arguments meet all conditions.
struct Form {
  int call;
  unsigned count;
  std::array<scmp_arg_cmp, 2> conditions;
};
constexpr Form form(int call, std::same_as<scmp_arg_cmp> auto... conditions) {
  return {call, sizeof...(conditions), {conditions...}};
}

constexpr std::array kAllowedForms{
    // The KBS, clients, systemd; NETLINK_ROUTE tells getaddrinfo(3) which addresses are of use.
    form(SCMP_SYS(socket), is(0, AF_UNIX)),
    form(SCMP_SYS(socket), is(0, AF_INET)),
    form(SCMP_SYS(socket), is(0, AF_INET6)),
    form(SCMP_SYS(socket), is(0, AF_NETLINK), is(2, NETLINK_ROUTE)),
    // FIONREAD is getaddrinfo's too.
    form(SCMP_SYS(ioctl), is(1, snp::kGetReport)),
    form(SCMP_SYS(ioctl), is(1, snp::kGetDerivedKey)),
    form(SCMP_SYS(ioctl), is(1, snp::kGetExtendedReport)),
    form(SCMP_SYS(ioctl), is(1, FIONBIO)),
    form(SCMP_SYS(ioctl), is(1, FIONREAD)),
    // Memory holds data or code, and all code is there already.
    form(SCMP_SYS(mmap), bits(2, PROT_EXEC, 0)),
    form(SCMP_SYS(mprotect), bits(2, PROT_EXEC, 0)),
    form(SCMP_SYS(pkey_mprotect), bits(2, PROT_EXEC, 0)),
    // Threads, not processes.
    form(SCMP_SYS(clone), bits(0, CLONE_THREAD | kNewNamespaces, CLONE_THREAD)),
    form(SCMP_SYS(prctl), is(0, PR_SET_NAME)),
    form(SCMP_SYS(prlimit64), is(0, 0), is_null(2)),
    // Signal 0: is the client still there?
    form(SCMP_SYS(pidfd_send_signal), is(1, 0)),
};

struct Setting {
  scmp_filter_attr attribute;
  std::uint32_t value;
};
constexpr std::array kSettings{
    Setting{SCMP_FLTATR_CTL_NNP, 1}, Setting{SCMP_FLTATR_CTL_TSYNC, 1},
    Setting{SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS},
    Setting{SCMP_FLTATR_CTL_OPTIMIZE, 2},  // a binary tree: fewer comparisons for each call
};

/// Collects rules; the first failure ends it.
class Filter {
 public:
  Filter() : context_(::seccomp_init(kRefuse)) {}

  [[nodiscard]] bool configure() {
    return context_ != nullptr && std::ranges::all_of(kSettings, [this](const Setting& setting) {
             return ::seccomp_attr_set(context_.get(), setting.attribute, setting.value) == 0;
           });
  }
  [[nodiscard]] bool add(std::uint32_t action, std::span<const int> calls) {
    return std::ranges::all_of(calls, [&](int call) {
      return ::seccomp_rule_add_array(context_.get(), action, call, 0, nullptr) == 0;
    });
  }
  [[nodiscard]] bool allow(std::span<const Form> forms) {
    return std::ranges::all_of(forms, [this](const Form& one) {
      return ::seccomp_rule_add_array(context_.get(), SCMP_ACT_ALLOW, one.call, one.count,
                                      one.conditions.data()) == 0;
    });
  }
  [[nodiscard]] bool load() { return ::seccomp_load(context_.get()) == 0; }

 private:
  struct Release {
    void operator()(scmp_filter_ctx context) const noexcept { ::seccomp_release(context); }
  };
  std::unique_ptr<void, Release> context_;
};

/// abort(3) and pthread_kill(3) signal our own threads, whose process is known only now.
Form own_threads_only() {
  return form(SCMP_SYS(tgkill), is(0, static_cast<std::uint64_t>(::getpid())));
}

}  // namespace

Status check_platform(std::string_view kind) {
  if (kind != "vtpm") return {};
  return fail(Errc::kUnsupported, "a vTPM's reports need tpm2-tools, and vhsmd starts no programs",
              kind)
      .cured_by(
          "keep the keys in the programs themselves with keystore = memory: or dir:PATH, or do "
          "without reports with platform = none");
}

Status hide_memory() {
  const rlimit none{0, 0};
  if (::setrlimit(RLIMIT_CORE, &none) != 0 || ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
    return fail(Errc::kUnsupported, "this process cannot be made undumpable");
  }
  return {};
}

Status become(const std::string& user) {
  const Account account = VHSM_TRY(find_account(user));
  if (account.user == 0) return fail(Errc::kBadConfig, "the daemon's user must not be root", user);
  if (!runs_as(account.user)) {
    if (::geteuid() != 0) return fail(Errc::kBadConfig, "only root can become another user", user);
    VHSM_TRY(change_to(account, user));
  }
  VHSM_TRY(drop_capabilities(user));
  if (can_be_root_again() || !runs_as(account.user)) {
    return fail(Errc::kUnsupported, "root's privileges come back", user);
  }
  return {};
}

Status raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    if (::setrlimit(RLIMIT_NOFILE, &limit) == 0) return {};
  }
  return fail(Errc::kUnsupported, "the limit of open descriptors cannot be raised");
}

Status install_syscall_filter() {
  // libc falls back to clone, whose flags a filter can read; clone3's are behind a pointer.
  constexpr std::array kUnreadable{SCMP_SYS(clone3)};
  const std::array own{own_threads_only()};
  Filter filter;
  const bool complete = filter.configure() && filter.add(SCMP_ACT_ALLOW, kAllowed) &&
                        filter.add(SCMP_ACT_ALLOW, kCheckers) && filter.allow(kAllowedForms) &&
                        filter.allow(own) && filter.add(SCMP_ACT_KILL_PROCESS, kDeadly) &&
                        filter.add(SCMP_ACT_ERRNO(ENOSYS), kUnreadable);
  if (!complete) return fail(Errc::kUnsupported, "the filter cannot be built", kSubject);
  if (filter.load()) return {};
  return fail(Errc::kUnsupported, "this kernel, or a sandbox around, takes no filter", kSubject);
}

}  // namespace vhsm::vhsmd
