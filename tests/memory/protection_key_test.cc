// SPDX-License-Identifier: Apache-2.0
//
// Protected memory behind a protection key: a program of its own, because it has a thread that is
// older than the key. Needs a CPU with PKU; scripts/test.sh runs it in an emulated one.
#include <setjmp.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <functional>
#include <thread>

#include "memory/secret_bytes.h"
#include "tests/memory/fixture.h"

namespace vhsm::memory {
namespace {

/// Signal, code and key of a fault; 0 when there was none.
struct Fault {
  int signal = 0;
  int code = 0;
};

thread_local sigjmp_buf t_after_fault;
thread_local Fault t_fault;

void on_fault(int signal, siginfo_t* info, void* /*context*/) {
  t_fault = {signal, info->si_code};
  siglongjmp(t_after_fault, 1);
}

/// What ends `body`, as a host that jumps away from its crash handler sees it.
template <class Body>
Fault fault_of(Body&& body) {
  struct sigaction action {};
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  struct sigaction old {};
  ::sigaction(SIGSEGV, &action, &old);
  t_fault = {};
  if (sigsetjmp(t_after_fault, 1) == 0) body();
  ::sigaction(SIGSEGV, &old, nullptr);
  return t_fault;
}

bool is_closed(const void* address) {
  const auto* const byte = static_cast<const volatile unsigned char*>(address);
  const Fault fault = fault_of([byte] { static_cast<void>(*byte); });
  return fault.signal == SIGSEGV && fault.code == SEGV_PKUERR;
}

/// Does what it is told, from before protected memory was there.
class OlderThread {
 public:
  OlderThread() : thread_([this] { run(); }) {}
  ~OlderThread() {
    over_ = true;
    thread_.join();
  }
  void call(std::function<void()> task) {
    task_ = std::move(task);
    pending_ = true;
    while (pending_) std::this_thread::yield();
  }

 private:
  void run() {
    while (!over_) {
      if (pending_) {
        task_();
        pending_ = false;
      }
      std::this_thread::yield();
    }
  }
  std::atomic<bool> pending_{false};
  std::atomic<bool> over_{false};
  std::function<void()> task_;
  std::thread thread_;
};

class ProtectionKeyTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (kind() == Kind::kNone) older_ = new OlderThread;
    ASSERT_TRUE(initialise({}).ok());
  }
  static void TearDownTestSuite() {
    delete older_;
    older_ = nullptr;
  }
  void SetUp() override {
    ASSERT_TRUE(usage().has_protection_key) << "not on this CPU or kernel: see scripts/guest.sh";
    secret_ = SecretBytes::copy(std::array<std::uint8_t, 4>{7, 7, 7, 7}).value();
  }
  [[nodiscard]] const std::uint8_t* address() const { return secret_.expose().data(); }
  [[nodiscard]] Result<int> value_in_scope() const {
    return run_protected([this]() -> Result<int> { return *address(); });
  }

  static OlderThread* older_;
  SecretBytes secret_;
};
OlderThread* ProtectionKeyTest::older_ = nullptr;

TEST_F(ProtectionKeyTest, ClosesProtectedMemoryOutsideScopes) {
  EXPECT_TRUE(is_closed(address()));
  EXPECT_EQ(value_in_scope().value(), 7);
  EXPECT_TRUE(is_closed(address()));
}

TEST_F(ProtectionKeyTest, ClosesTheStacksToo) {
  const void* frame = nullptr;
  ASSERT_TRUE(run_protected([&]() -> Status {
                frame = __builtin_frame_address(0);
                return {};
              }).ok());
  EXPECT_TRUE(is_closed(frame));
}

TEST_F(ProtectionKeyTest, IsOpenWhileAnAccessLives) {
  {
    const Access access;
    EXPECT_EQ(*address(), 7);
    {
      const Access nested;
      release(allocate(100));
      EXPECT_EQ(*address(), 7);
    }
    EXPECT_EQ(*address(), 7);
  }
  EXPECT_TRUE(is_closed(address()));
}

TEST_F(ProtectionKeyTest, ClosesWhatTheKernelReadsForUsToo) {
  std::array<int, 2> channel{};
  ASSERT_EQ(::pipe(channel.data()), 0);
  EXPECT_EQ(::write(channel[1], address(), 4), -1);
  EXPECT_EQ(errno, EFAULT);
}

TEST_F(ProtectionKeyTest, IsClosedInThreadsThatAreOlderThanIt) {
  bool closed = false;
  int value = 0;
  older_->call([&] {
    closed = is_closed(address());
    value = value_in_scope().value();
    closed = closed && is_closed(address());
  });
  EXPECT_TRUE(closed);
  EXPECT_EQ(value, 7);
}

TEST_F(ProtectionKeyTest, IsClosedInThreadsThatStartWhileItIsOpenElsewhere) {
  bool closed = false;
  static_cast<void>(run_protected([&]() -> Status { return {}; }));
  std::thread([&] { closed = is_closed(address()); }).join();
  EXPECT_TRUE(closed);
}

std::atomic<const std::uint8_t*> g_looked_at{nullptr};
std::atomic<int> g_seen{-1};

TEST_F(ProtectionKeyTest, IsClosedInAHandlerAndOpenAgainAfterIt) {
  g_looked_at = address();
  struct sigaction action {};
  action.sa_handler = [](int) { g_seen = is_closed(g_looked_at.load()) ? 1 : 0; };
  struct sigaction old {};
  ::sigaction(SIGUSR1, &action, &old);
  {
    const Access access;
    ::raise(SIGUSR1);
    EXPECT_EQ(*address(), 7) << "after the handler";
  }
  ::sigaction(SIGUSR1, &old, nullptr);
  EXPECT_EQ(g_seen, 1);
}

TEST_F(ProtectionKeyTest, AHandlerCanWorkOnKeysItself) {
  g_looked_at = address();
  struct sigaction action {};
  action.sa_handler = [](int) {
    g_seen = run_protected([]() -> Result<int> { return *g_looked_at.load(); }).value();
  };
  struct sigaction old {};
  ::sigaction(SIGUSR1, &action, &old);
  ::raise(SIGUSR1);
  ::sigaction(SIGUSR1, &old, nullptr);
  EXPECT_EQ(g_seen, 7);
  EXPECT_TRUE(is_closed(address()));
}

TEST_F(ProtectionKeyTest, IsClosedAfterAJumpOutOfAScope) {
  std::array<char, 64 << 10> alternate{};
  stack_t stack{};
  stack.ss_sp = alternate.data();
  stack.ss_size = alternate.size();
  ASSERT_EQ(::sigaltstack(&stack, nullptr), 0);
  const Fault fault = fault_of([] {
    static_cast<void>(run_protected([]() -> Status {
      ::raise(SIGSEGV);
      return {};
    }));
  });
  EXPECT_EQ(fault.signal, SIGSEGV);
  EXPECT_TRUE(is_closed(address()));
  EXPECT_EQ(value_in_scope().value(), 7);
  stack.ss_flags = SS_DISABLE;
  ::sigaltstack(&stack, nullptr);
}

TEST_F(ProtectionKeyTest, ClosesTheChildsCopyToo) {
  EXPECT_EQ(in_child([&] {
              if (!is_closed(address())) return 1;
              if (value_in_scope().value() != 7) return 2;
              void* more = nullptr;
              for (int i = 0; i < 20; ++i) more = allocate(64 << 10);  // it grows
              if (more == nullptr || !is_closed(more)) return 3;
              return in_child([&] { return is_closed(address()) ? 0 : 1; });
            }),
            0);
}

}  // namespace
}  // namespace vhsm::memory
