// SPDX-License-Identifier: Apache-2.0
#include "snp/child.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <thread>
#include <utility>

#include "base/descriptor.h"

extern char** environ;  // NOLINT: POSIX declares it nowhere

namespace vhsm::snp {
namespace {

using Bytes = std::vector<std::uint8_t>;

Error too_late() { return fail(Errc::kPlatform, "this program did not answer in time"); }

struct Pipe {
  Descriptor read;
  Descriptor write;
};

Result<Pipe> make_pipe() {
  int ends[2] = {-1, -1};
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail(Errc::kIo, "no pipe for a program");
  return Pipe{clear_of_streams(Descriptor(ends[0])), clear_of_streams(Descriptor(ends[1]))};
}

/// A child of ours, ended and waited for on every way out. A host may take its status first.
class Child {
 public:
  explicit Child(pid_t pid) : pid_(pid) {}
  Child(Child&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  Child& operator=(Child&&) = delete;
  ~Child() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    int status = 0;
    static_cast<void>(take(status, 0));
  }

  /// It has closed its output, so it will have ended soon, or hangs.
  /// @errors kIo when it ended with a failure, as far as anyone can tell; kPlatform.
  Status wait(TimePoint deadline) {
    constexpr std::chrono::milliseconds kRest{5};
    int status = 0;
    while (take(status, WNOHANG) == 0) {
      if (Clock::now() > deadline) return too_late();
      std::this_thread::sleep_for(kRest);
    }
    pid_ = -1;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
    return fail(Errc::kIo, "this program ended with a failure");
  }

 private:
  /// @return 0 while it runs.
  [[nodiscard]] pid_t take(int& status, int flags) const {
    for (;;) {
      const pid_t ended = ::waitpid(pid_, &status, flags);
      if (ended >= 0 || errno != EINTR) return ended;
    }
  }

  pid_t pid_;
};

Result<Child> spawn(const std::vector<std::string>& command, int input, int output) {
  std::vector<char*> words;
  for (const std::string& word : command) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  pid_t pid = -1;
  const int error = ::posix_spawn(&pid, words[0], &actions, nullptr, words.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return fail(Errc::kIo, "this program cannot be run", command.front());
  return Child(pid);
}

Result<Bytes> read_all(int from, std::size_t max_bytes, TimePoint deadline) {
  Bytes output(max_bytes + 1);
  std::size_t size = 0;
  while (size < output.size()) {
    if (!wait_until_ready(from, POLLIN, deadline)) return too_late();
    const ssize_t got = ::read(from, output.data() + size, output.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail(Errc::kIo, "what this program prints cannot be read");
    if (got == 0) {
      output.resize(size);
      return output;
    }
    size += static_cast<std::size_t>(got);
  }
  return fail(Errc::kIo, "this program prints too much");
}

/// A pipe takes a page without a reader, so nobody waits, and there is no SIGPIPE: we hold the
/// other end.
Status put_input(const Pipe& pipe, std::span<const std::uint8_t> input) {
  if (input.empty()) return {};
  const ssize_t put = ::write(pipe.write.get(), input.data(), input.size());
  if (put == static_cast<ssize_t>(input.size())) return {};
  return fail(Errc::kIo, "a program's input cannot be written");
}

}  // namespace

Result<Bytes> run_program(const std::vector<std::string>& command,
                          std::span<const std::uint8_t> input, std::size_t max_bytes,
                          TimePoint deadline) {
  Pipe to = VHSM_TRY(make_pipe());
  Pipe from = VHSM_TRY(make_pipe());
  VHSM_TRY(put_input(to, input));
  Child child = VHSM_TRY(spawn(command, to.read.get(), from.write.get()));
  to = {};
  from.write = {};
  auto output = read_all(from.read.get(), max_bytes, deadline);
  if (!output.ok()) return output.error().about(command.front());
  const Status ended = child.wait(deadline);
  if (!ended.ok()) return ended.error().about(command.front());
  return output;
}

}  // namespace vhsm::snp
