// SPDX-License-Identifier: Apache-2.0
//
// A process's one thread in the background, on both sides of a fork.
#include "keystore/worker.h"

#include <dirent.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <new>
#include <set>
#include <thread>

#include "tests/keystore/samples.h"

namespace vhsm::keystore {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;

/// Numbers and when they are due.
class Numbers {
 public:
  using Task = int;
  using TimePoint = steady_clock::time_point;

  void add(int number, std::chrono::milliseconds in = 0ms) {
    due_.emplace(steady_clock::now() + in, number);
  }
  void done() { ++done_; }
  [[nodiscard]] int how_many_done() const { return done_; }

  [[nodiscard]] bool empty() const { return due_.empty(); }
  std::optional<int> take(TimePoint now) {
    if (due_.empty() || due_.begin()->first > now) return std::nullopt;
    const int number = due_.begin()->second;
    due_.erase(due_.begin());
    return number;
  }
  [[nodiscard]] std::optional<TimePoint> due() const {
    return due_.empty() ? std::nullopt : std::optional(due_.begin()->first);
  }

 private:
  std::set<std::pair<TimePoint, int>> due_;
  int done_ = 0;
};

using NumbersWorker = Worker<Numbers>;

bool happens(const std::function<bool()>& what) {
  const auto deadline = steady_clock::now() + 8s;
  while (!what()) {
    if (steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(2ms);
  }
  return true;
}

/// Of this process, now.
int threads() {
  DIR* const folder = ::opendir("/proc/self/task");
  int count = -2;  // "." and ".."
  while (::readdir(folder) != nullptr) ++count;
  ::closedir(folder);
  return count;
}

bool ended_well(pid_t child) {
  int status = -1;
  return ::waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

class WorkerTest : public KeystoreTest {
 protected:
  /// With the first thread ThreadSanitizer starts one of its own.
  void SetUp() override {
    std::thread([] {}).join();
  }

  /// What the thread does: it notes the number, and who does it.
  struct Notes {
    std::atomic<int> sum{0};
    std::atomic<bool> held{false};
    std::atomic<bool> throws{false};  ///< once
    std::mutex mutex;
    std::set<std::thread::id> who;
  };

  bool hire() {
    return NumbersWorker::hire(desk(), [notes = notes_](auto& own, int number) {
      while (notes->held) std::this_thread::sleep_for(1ms);
      if (notes->throws.exchange(false)) throw std::bad_alloc();
      {
        const std::lock_guard lock(notes->mutex);
        notes->who.insert(std::this_thread::get_id());
      }
      notes->sum += number;
      own.with([](Numbers& numbers) { numbers.done(); });
    });
  }
  void add(int number, std::chrono::milliseconds in = 0ms) {
    desk()->with([&](Numbers& numbers) { numbers.add(number, in); });
  }
  NumbersWorker::DeskPtr desk() { return worker_->desk().value(); }
  bool sum_becomes(int sum) {
    return happens([&] { return notes_->sum == sum; });
  }

  std::shared_ptr<Notes> notes_ = std::make_shared<Notes>();
  std::unique_ptr<NumbersWorker> worker_ = std::make_unique<NumbersWorker>();
};

TEST_F(WorkerTest, OneThreadDoesEverythingWhenItIsDue) {
  const auto start = steady_clock::now();
  add(100, 200ms);
  for (int i = 0; i < 10; ++i) {
    add(1);
    EXPECT_TRUE(hire());
  }
  EXPECT_TRUE(sum_becomes(10)) << "what is due later holds nothing up";
  EXPECT_TRUE(sum_becomes(110));
  EXPECT_GE(steady_clock::now() - start, 200ms);
  EXPECT_EQ(notes_->who.size(), 1U);
}

TEST_F(WorkerTest, TheThreadEndsWithTheWorkAndTheNextWorkHasAnother) {
  const int before = threads();
  for (int i = 1; i <= 3; ++i) {
    add(1);
    EXPECT_TRUE(hire());
    EXPECT_TRUE(sum_becomes(i));
    EXPECT_TRUE(happens([&] { return threads() == before; }));
  }
}

TEST_F(WorkerTest, TheThreadEndsWhenTheWorkerIsGone) {
  const int before = threads();
  add(1, 1h);
  EXPECT_TRUE(hire());
  EXPECT_TRUE(happens([&] { return threads() == before + 1; }));
  worker_.reset();
  EXPECT_TRUE(happens([&] { return threads() == before; }));
  EXPECT_EQ(notes_->sum, 0);
}

TEST_F(WorkerTest, AThreadThatAnExceptionEndsHasASuccessor) {
  notes_->throws = true;
  add(1);
  EXPECT_TRUE(hire());
  EXPECT_TRUE(happens([&] { return !notes_->throws; }));
  add(20);
  EXPECT_TRUE(happens([&] { return hire() && notes_->sum == 20; }));
}

TEST_F(WorkerTest, WhoWaitsSeesTheOutcomeOrHisPatienceEnd) {
  notes_->held = true;
  add(1);
  EXPECT_TRUE(hire());
  const auto done = [](const Numbers& numbers) { return numbers.how_many_done() == 1; };
  const auto start = steady_clock::now();
  EXPECT_FALSE(desk()->wait(50ms, done));
  EXPECT_GE(steady_clock::now() - start, 50ms);
  notes_->held = false;
  EXPECT_TRUE(desk()->wait(8s, done));
}

TEST_F(WorkerTest, AChildBeginsAnewWithAThreadOfItsOwn) {
  notes_->held = true;
  add(1);
  EXPECT_TRUE(hire());  // the parent's thread is in the middle of it
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(20);
    const bool fresh = desk()->with([](const Numbers& numbers) { return numbers.empty(); });
    notes_->held = false;
    add(20);
    ::_exit(fresh && hire() && sum_becomes(20) && threads() <= 2 ? 0 : 1);
  }
  EXPECT_TRUE(ended_well(child));
  notes_->held = false;
  EXPECT_TRUE(sum_becomes(1)) << "and the parent's goes on";
}

TEST_F(WorkerTest, AChildIsNotStuckByWhatItsParentsThreadsHeld) {
  std::atomic<bool> stop{false};
  std::thread busy([&] {
    while (!stop) desk()->with([](Numbers& numbers) { numbers.done(); });
  });
  for (int i = 0; i < 50; ++i) {
    const pid_t child = ::fork();
    if (child == 0) {
      ::alarm(20);
      add(1);
      const bool worked = hire() && sum_becomes(1);
      worker_.reset();
      ::_exit(worked ? 0 : 1);
    }
    EXPECT_TRUE(ended_well(child));
  }
  stop = true;
  busy.join();
}

TEST_F(WorkerTest, WhereTheSystemGivesNoThreadTheCallerIsToldEachTime) {
  const pid_t child = ::fork();
  if (child == 0) {  // the limit does not bind root
    const rlimit none{0, 0};
    if (::setrlimit(RLIMIT_NPROC, &none) != 0 || ::setuid(65534) != 0) ::_exit(77);
    add(1);
    ::_exit(!hire() && !hire() && notes_->sum == 0 ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 77) GTEST_SKIP() << "only root can become nobody";
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace vhsm::keystore
