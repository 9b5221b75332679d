// SPDX-License-Identifier: Apache-2.0
#include "tests/residue/host.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include <array>

extern char** environ;

namespace vhsm::tests {
namespace {

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> all;
  for (auto& text : texts) all.push_back(text.data());
  return all;
}

void redirect(posix_spawn_file_actions_t& actions, int from, int to) {
  if (from >= 0) {
    posix_spawn_file_actions_adddup2(&actions, from, to);
  } else {
    posix_spawn_file_actions_addopen(&actions, to, "/dev/null", O_RDWR, 0);
  }
}

}  // namespace

Child::Child(std::vector<std::string> argv, const std::vector<std::string>& environment, int in,
             int out) {
  std::vector<std::string> own(environment);
  auto variables = pointers(own);
  for (char** entry = environ; *entry != nullptr; ++entry) variables.push_back(*entry);
  variables.push_back(nullptr);
  auto arguments = pointers(argv);
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  redirect(actions, in, STDIN_FILENO);
  redirect(actions, out, STDOUT_FILENO);
  const int error = ::posix_spawnp(&process_, argv[0].c_str(), &actions, nullptr, arguments.data(),
                                   variables.data());
  EXPECT_EQ(error, 0) << argv[0];
  if (error != 0) process_ = -1;
  posix_spawn_file_actions_destroy(&actions);
}

void Child::wait() {
  if (process_ > 0) ::waitpid(process_, nullptr, 0);
  process_ = -1;
}

Child::~Child() {
  if (process_ > 0) ::kill(process_, SIGKILL);
  wait();
}

ResidueHost::ResidueHost(const std::vector<std::string>& environment) {
  std::array<int, 2> in{};
  std::array<int, 2> out{};
  EXPECT_EQ(::pipe2(in.data(), O_CLOEXEC), 0);
  EXPECT_EQ(::pipe2(out.data(), O_CLOEXEC), 0);
  child_ = std::make_unique<Child>(std::vector<std::string>{VHSM_BIN_DIR "/residue_host"},
                                   environment, in[0], out[1]);
  ::close(in[0]);
  ::close(out[1]);
  to_ = ::fdopen(in[1], "w");
  from_ = ::fdopen(out[0], "r");
}

ResidueHost::~ResidueHost() {
  std::fclose(to_);
  std::fclose(from_);
}

std::string ResidueHost::tell(const std::string& command) {
  std::fprintf(to_, "%s\n", command.c_str());
  std::fflush(to_);
  std::array<char, 4096> answer{};
  if (std::fgets(answer.data(), answer.size(), from_) == nullptr) answer[0] = '\0';
  std::string text(answer.data());
  EXPECT_TRUE(text.starts_with("ok")) << command << ": " << text;
  if (!text.starts_with("ok")) return {};
  text.erase(0, text.find_first_not_of("ok "));
  return text.substr(0, text.find('\n'));
}

Range range_of(const std::string& text) {
  Range range;
  EXPECT_EQ(std::sscanf(text.c_str(), "%lx-%lx", &range.from, &range.to), 2) << text;
  return range;
}

}  // namespace vhsm::tests
