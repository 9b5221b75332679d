// SPDX-License-Identifier: Apache-2.0
//
// What is left to a process in the sandbox. Each claim is tried in a child, as there is no way
// back.
#include "vhsmd/sandbox.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/netlink.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <thread>

#include "snp/guest_device.h"
#include "tests/base/temp_dir.h"

namespace vhsm::vhsmd {
namespace {

using test::TempDir;
using Claim = std::function<bool()>;

constexpr int kFalse = 1;
constexpr int kNoSandbox = 2;

/// How a child ended that entered the sandbox by `enter` and tried `claim`.
int outcome_of(const std::function<Status()>& enter, const Claim& claim) {
  const pid_t child = ::fork();
  if (child == 0) {
    if (!enter().ok()) ::_exit(kNoSandbox);
    ::_exit(claim() ? 0 : kFalse);
  }
  int status = -1;
  ::waitpid(child, &status, 0);
  return status;
}

::testing::AssertionResult holds(const std::function<Status()>& enter, const Claim& claim) {
  const int status = outcome_of(enter, claim);
  if (status == 0) return ::testing::AssertionSuccess();
  if (WIFSIGNALED(status)) {
    return ::testing::AssertionFailure() << "killed by signal " << WTERMSIG(status);
  }
  return ::testing::AssertionFailure()
         << (WEXITSTATUS(status) == kNoSandbox ? "the sandbox could not be entered" : "false");
}

/// The filter, and no core files of what it kills.
Status filtered() {
  VHSM_TRY(hide_memory());
  return install_syscall_filter();
}

::testing::AssertionResult holds_filtered(const Claim& claim) { return holds(filtered, claim); }

bool killed_by_filter(const Claim& claim) {
  const int status = outcome_of(filtered, claim);
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
}

/// Whether a call failed because the filter refused it.
bool refused(long result) { return result == -1 && errno == EPERM; }

// ---- Memory, limits --------------------------------------------------------------------------

TEST(HideMemory, LeavesNoDumpAndNoTracer) {
  EXPECT_TRUE(holds(hide_memory, [] {
    rlimit limit{1, 1};
    ::getrlimit(RLIMIT_CORE, &limit);
    return ::prctl(PR_GET_DUMPABLE) == 0 && limit.rlim_cur == 0 && limit.rlim_max == 0;
  }));
}

TEST(RaiseDescriptorLimit, TakesAllThatTheAdministratorAllows) {
  const auto lower = [] {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = 16;
    ::setrlimit(RLIMIT_NOFILE, &limit);
    return raise_descriptor_limit();
  };
  EXPECT_TRUE(holds(lower, [] {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur == limit.rlim_max && limit.rlim_cur > 16;
  }));
}

// ---- Users -----------------------------------------------------------------------------------

std::string line_of_status(const std::string& key) {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(key + ":"))
      return line.substr(line.find_first_not_of(" \t", key.size() + 1));
  }
  return "absent";
}

bool has_no_capabilities() {
  const std::string none(16, '0');
  for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"}) {
    if (line_of_status(set) != none) return false;
  }
  return true;
}

class Become : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "only root can become another user";
    nobody_ = ::getpwnam("nobody");
    if (nobody_ == nullptr) GTEST_SKIP() << "this machine has no user nobody";
  }
  static Status nobody() { return become("nobody"); }

  const passwd* nobody_ = nullptr;
};

TEST_F(Become, IsThatUserWithThatUsersGroups) {
  const auto enter = [] {
    constexpr gid_t kRootsGroup = 4;
    ::setgroups(1, &kRootsGroup);
    return nobody();
  };
  EXPECT_TRUE(holds(enter, [this] {
    std::array<gid_t, 64> groups{};
    const int count = ::getgroups(static_cast<int>(groups.size()), groups.data());
    return ::getuid() == nobody_->pw_uid && ::geteuid() == nobody_->pw_uid &&
           ::getgid() == nobody_->pw_gid && count == 1 && groups[0] == nobody_->pw_gid;
  }));
}

TEST_F(Become, CannotBeRootAgain) {
  EXPECT_TRUE(holds(nobody, [] {
    return ::setuid(0) != 0 && ::seteuid(0) != 0 && ::setresuid(0, 0, 0) != 0 && ::setgid(0) != 0 &&
           ::setgroups(0, nullptr) != 0;
  }));
}

TEST_F(Become, LeavesNoCapabilityNotEvenToExecutedPrograms) {
  EXPECT_TRUE(holds(nobody, has_no_capabilities));
}

TEST_F(Become, LeavesNoneWhereSecurebitsKeepThem) {
  const auto enter = [] {
    ::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0);
    return nobody();
  };
  EXPECT_TRUE(holds(enter, has_no_capabilities));
}

TEST_F(Become, IsNoErrorForAProcessThatIsThatUserAlready) {
  EXPECT_TRUE(holds(nobody, [] { return become("nobody").ok(); }));
}

TEST_F(Become, IsRefusedToAProcessWithoutRootsPrivileges) {
  EXPECT_TRUE(holds(nobody, [] {
    const Status status = become("daemon");
    return !status.ok() && status.error().code == Errc::kBadConfig;
  }));
}

TEST(BecomeName, OfNobodyKnownIsTheSubjectOfTheError) {
  const Status status = become("no-such-user");
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, Errc::kBadConfig);
  EXPECT_EQ(status.error().subject.text(), "no-such-user");
}

TEST(BecomeName, OfRootIsRefused) {
  const Status status = become("root");
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, Errc::kBadConfig);
}

TEST_F(Become, HidesMemoryFromItselfWhenThatComesNext) {
  const auto enter = []() -> Status {
    VHSM_TRY(nobody());
    return hide_memory();
  };
  EXPECT_TRUE(holds(enter, [] {
    // Code could be rewritten by this file, whatever the pages' protection.
    return ::prctl(PR_GET_DUMPABLE) == 0 && ::open("/proc/self/mem", O_RDWR) < 0;
  }));
}

// ---- The filter: what ends the process -------------------------------------------------------

struct Call {
  const char* name;
  long number;
};

class DeadlyCall : public ::testing::TestWithParam<Call> {};

TEST_P(DeadlyCall, EndsTheProcess) {
  EXPECT_TRUE(killed_by_filter([] { return ::syscall(GetParam().number, 0, 0, 0, 0, 0, 0) == 0; }));
}

INSTANTIATE_TEST_SUITE_P(
    Filter, DeadlyCall,
    ::testing::Values(
        Call{"execve", SYS_execve}, Call{"execveat", SYS_execveat}, Call{"ptrace", SYS_ptrace},
        Call{"process_vm_readv", SYS_process_vm_readv},
        Call{"process_vm_writev", SYS_process_vm_writev}, Call{"init_module", SYS_init_module},
        Call{"finit_module", SYS_finit_module}, Call{"kexec_load", SYS_kexec_load},
        Call{"bpf", SYS_bpf}, Call{"mount", SYS_mount}, Call{"pivot_root", SYS_pivot_root},
        Call{"chroot", SYS_chroot}, Call{"unshare", SYS_unshare}, Call{"setns", SYS_setns},
        Call{"setuid", SYS_setuid}, Call{"setgid", SYS_setgid}, Call{"setresuid", SYS_setresuid},
        Call{"setresgid", SYS_setresgid}, Call{"setgroups", SYS_setgroups},
        Call{"capset", SYS_capset}, Call{"personality", SYS_personality},
        Call{"userfaultfd", SYS_userfaultfd}, Call{"keyctl", SYS_keyctl},
        Call{"add_key", SYS_add_key}, Call{"request_key", SYS_request_key},
        Call{"perf_event_open", SYS_perf_event_open},
        Call{"open_by_handle_at", SYS_open_by_handle_at}, Call{"memfd_create", SYS_memfd_create},
        Call{"io_uring_setup", SYS_io_uring_setup}),
    [](const auto& test) { return test.param.name; });

TEST(SyscallFilter, EndsTheProcessThatExecutesAProgram) {
  EXPECT_TRUE(killed_by_filter([] { return ::execl("/bin/true", "true", nullptr) == 0; }));
}

TEST(SyscallFilter, EndsAProcessThatCallsByAnotherAbi) {
  EXPECT_TRUE(killed_by_filter([] {
    constexpr long kX32 = 0x40000000;
    return ::syscall(kX32 | SYS_getpid) > 0;
  }));
  const int status = outcome_of(filtered, [] {
    long number = 20;  // getpid of the 32-bit ABI
    asm volatile("int $0x80" : "+a"(number) : : "memory");
    return number > 0;
  });
  ASSERT_TRUE(WIFSIGNALED(status));
  // A kernel without that ABI has no gate.
  EXPECT_TRUE(WTERMSIG(status) == SIGSYS || WTERMSIG(status) == SIGSEGV);
}

TEST(SyscallFilter, HoldsForThreadsThatRanBefore) {
  std::atomic<bool> go = false;
  std::thread earlier;
  const auto enter = [&] {
    earlier = std::thread([&go] {
      go.wait(false);
      ::execl("/bin/true", "true", nullptr);
    });
    return filtered();
  };
  const int status = outcome_of(enter, [&] {
    go = true;
    go.notify_all();
    earlier.join();
    return true;
  });
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
}

// ---- The filter: what fails ------------------------------------------------------------------

TEST(SyscallFilter, RefusesWhatIsNotListedWithAnError) {
  EXPECT_TRUE(holds_filtered([] {
    return refused(::symlink("/", "/vhsm-sandbox-test")) && refused(::kill(::getppid(), 0)) &&
           refused(::syscall(SYS_socketpair, 0, 0, 0, 0)) && refused(::syscall(1000));
  }));
}

TEST(SyscallFilter, RefusesExecutableMemory) {
  EXPECT_TRUE(holds_filtered([] {
    constexpr std::size_t kBytes = 4096;
    void* const code =
        ::mmap(nullptr, kBytes, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const bool no_map = code == MAP_FAILED && errno == EPERM;
    void* const data =
        ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return no_map && data != MAP_FAILED && ::mprotect(data, kBytes, PROT_READ) == 0 &&
           refused(::mprotect(data, kBytes, PROT_READ | PROT_EXEC));
  }));
}

TEST(SyscallFilter, RefusesNewProcesses) {
  EXPECT_TRUE(holds_filtered([] {
    return refused(::fork()) && refused(::syscall(SYS_fork)) &&
           refused(::syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0)) &&
           ::syscall(SYS_clone3, 0, 0) == -1 && errno == ENOSYS;
  }));
}

TEST(SyscallFilter, SoAPlatformThatStartsProgramsIsRefusedBefore) {
  for (const char* const kind : {"sev-guest", "tsm", "svsm", "agent", "emulator"}) {
    EXPECT_TRUE(check_platform(kind).ok()) << kind;
  }
  const Status refused = check_platform("vtpm");
  ASSERT_FALSE(refused.ok());
  const std::string text = describe(refused.error());
  EXPECT_NE(text.find("tpm2-tools"), std::string::npos) << text;
  EXPECT_NE(text.find("keystore = memory: or dir:PATH"), std::string::npos) << text;
}

TEST(SyscallFilter, RefusesOtherSocketFamilies) {
  EXPECT_TRUE(holds_filtered([] {
    for (const int family : {AF_PACKET, AF_ALG, AF_VSOCK, AF_BLUETOOTH}) {
      if (!refused(::socket(family, SOCK_RAW, 0))) return false;
    }
    return refused(::socket(AF_NETLINK, SOCK_RAW, NETLINK_KOBJECT_UEVENT));
  }));
}

TEST(SyscallFilter, PassesTheDevicesThreeRequestsAndNoOthers) {
  EXPECT_TRUE(holds_filtered([] {
    const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    for (const auto request : {snp::kGetReport, snp::kGetDerivedKey, snp::kGetExtendedReport}) {
      if (::ioctl(null, request, 0) != -1 || errno != ENOTTY) return false;  // /dev/null's answer
    }
    return refused(::ioctl(null, snp::kGetExtendedReport + 1, 0)) &&
           refused(::ioctl(null, TIOCSTI, 0));
  }));
}

TEST(SyscallFilter, LimitsCanBeReadButNotSet) {
  EXPECT_TRUE(holds_filtered([] {
    rlimit limit{};
    return ::getrlimit(RLIMIT_NOFILE, &limit) == 0 && refused(::setrlimit(RLIMIT_NOFILE, &limit));
  }));
}

TEST(SyscallFilter, DumpableIsForGood) {
  EXPECT_TRUE(holds_filtered([] {
    return refused(::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)) && ::prctl(PR_SET_NAME, "vhsmd") == 0;
  }));
}

TEST(SyscallFilter, SignalsReachOwnThreadsOnly) {
  EXPECT_TRUE(holds_filtered([] {
    const pid_t parent = ::getppid();
    return ::pthread_kill(::pthread_self(), 0) == 0 &&
           refused(::syscall(SYS_tgkill, parent, parent, 0));
  }));
  const int status = outcome_of(filtered, []() -> bool { ::abort(); });
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

// ---- The filter: what still works ------------------------------------------------------------

TEST(SyscallFilter, FilesStillWork) {
  const TempDir folder;
  EXPECT_TRUE(holds_filtered([&folder] {
    const std::string written = folder.write("new", "sealed");
    const int file = ::open(written.c_str(), O_RDWR | O_CLOEXEC);
    const bool durable = ::fsync(file) == 0 && ::fchmod(file, 0600) == 0 && ::close(file) == 0;
    std::error_code error;
    std::filesystem::rename(written, folder.file("key"), error);
    std::filesystem::create_directory(folder.file("folder"), error);
    std::filesystem::remove(folder.file("folder"), error);
    const auto entries = std::filesystem::directory_iterator(folder.file("."), error);
    return durable && !error && std::distance(begin(entries), end(entries)) == 1 &&
           folder.read("key") == "sealed";
  }));
}

TEST(SyscallFilter, ThreadsStillStart) {
  EXPECT_TRUE(holds_filtered([] {
    std::atomic<int> count = 0;
    std::array<std::thread, 4> threads;
    for (std::thread& thread : threads) thread = std::thread([&count] { ++count; });
    for (std::thread& thread : threads) thread.join();
    return count == 4;
  }));
}

/// One byte there over loopback TCP.
bool connects(int family, const sockaddr* any, socklen_t bytes) {
  sockaddr_storage address{};
  socklen_t address_bytes = sizeof address;
  auto* const bound = reinterpret_cast<sockaddr*>(&address);
  const int listener = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int client = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (::bind(listener, any, bytes) != 0 || ::listen(listener, 1) != 0 ||
      ::getsockname(listener, bound, &address_bytes) != 0 ||
      ::connect(client, bound, address_bytes) != 0) {
    return false;
  }
  const int server = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  char byte = 'x';
  return ::send(client, &byte, 1, MSG_NOSIGNAL) == 1 && ::recv(server, &byte, 1, 0) == 1;
}

TEST(SyscallFilter, SocketsStillWork) {
  EXPECT_TRUE(holds_filtered([] {
    sockaddr_in loopback{};
    loopback.sin_family = AF_INET;
    loopback.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const sa_family_t unnamed = AF_UNIX;  // binds to an abstract name of the kernel's choice
    return connects(AF_INET, reinterpret_cast<const sockaddr*>(&loopback), sizeof loopback) &&
           connects(AF_UNIX, reinterpret_cast<const sockaddr*>(&unnamed), sizeof unnamed);
  }));
}

TEST(SyscallFilter, NamesAreStillLookedUp) {
  EXPECT_TRUE(holds_filtered([] {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_ADDRCONFIG;  // asks netlink
    addrinfo* found = nullptr;
    return ::getaddrinfo("localhost", "443", &hints, &found) == 0;
  }));
}

/// As libc's resolver does it: both families' questions in one call, then the answer's size.
TEST(SyscallFilter, NameServersAreStillAsked) {
  EXPECT_TRUE(holds_filtered([] {
    sockaddr_in loopback{};
    loopback.sin_family = AF_INET;
    loopback.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* const address = reinterpret_cast<sockaddr*>(&loopback);
    socklen_t bytes = sizeof loopback;
    const int server = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const int client = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (::bind(server, address, bytes) != 0 || ::getsockname(server, address, &bytes) != 0 ||
        ::connect(client, address, bytes) != 0) {
      return false;
    }
    std::array<char, 3> question{'a', 'a', 'a'};
    iovec part{question.data(), question.size()};
    std::array<mmsghdr, 2> questions{};
    for (mmsghdr& one : questions) one.msg_hdr = {nullptr, 0, &part, 1, nullptr, 0, 0};
    int size = 0;
    return ::sendmmsg(client, questions.data(), 2, MSG_NOSIGNAL) == 2 &&
           ::ioctl(server, FIONREAD, &size) == 0 && size == 3;
  }));
}

TEST(SyscallFilter, WaitingStillWorks) {
  EXPECT_TRUE(holds_filtered([] {
    const int queue = ::epoll_create1(EPOLL_CLOEXEC);
    const int event = ::eventfd(1, EFD_CLOEXEC);
    const int timer = ::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    const itimerspec soon{{0, 0}, {0, 1}};
    epoll_event wanted{EPOLLIN, {}};
    std::array<epoll_event, 2> seen{};
    return ::timerfd_settime(timer, 0, &soon, nullptr) == 0 &&
           ::epoll_ctl(queue, EPOLL_CTL_ADD, event, &wanted) == 0 &&
           ::epoll_ctl(queue, EPOLL_CTL_ADD, timer, &wanted) == 0 && ::usleep(1000) == 0 &&
           ::epoll_wait(queue, seen.data(), static_cast<int>(seen.size()), 1000) == 2;
  }));
}

TEST(SyscallFilter, ClientsCanStillBeWatched) {
  EXPECT_TRUE(holds_filtered([] {
    const auto parent = static_cast<int>(::syscall(SYS_pidfd_open, ::getppid(), 0));
    return parent >= 0 && ::syscall(SYS_pidfd_send_signal, parent, 0, nullptr, 0) == 0 &&
           refused(::syscall(SYS_pidfd_send_signal, parent, SIGWINCH, nullptr, 0));
  }));
}

TEST(SyscallFilter, ProtectedMemoryAndRandomnessStillWork) {
  EXPECT_TRUE(holds_filtered([] {
    std::array<char, 16> random{};
    constexpr std::size_t kBytes = 4096;
    void* const page =
        ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const long secret = ::syscall(SYS_memfd_secret, 0);
    const bool secret_memory = secret >= 0 || errno == ENOSYS;  // the kernel's answer, not ours
    return ::getrandom(random.data(), random.size(), 0) == 16 && secret_memory &&
           ::mlock2(page, kBytes, MLOCK_ONFAULT) == 0 &&
           ::madvise(page, kBytes, MADV_DONTDUMP) == 0 && ::munlock(page, kBytes) == 0 &&
           ::munmap(page, kBytes) == 0;
  }));
}

TEST(SyscallFilter, StacksOnAnUnprivilegedUser) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can become another user";
  const auto enter = []() -> Status {
    VHSM_TRY(raise_descriptor_limit());
    VHSM_TRY(become("nobody"));
    return filtered();
  };
  EXPECT_TRUE(holds(enter, [] { return ::open("/dev/null", O_RDONLY) >= 0; }));
}

}  // namespace
}  // namespace vhsm::vhsmd
