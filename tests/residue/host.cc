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

}  // namespace

ResidueHost::ResidueHost(const std::vector<std::string>& environment) {
  std::array<int, 2> in{};
  std::array<int, 2> out{};
  if (::pipe2(in.data(), O_CLOEXEC) != 0 || ::pipe2(out.data(), O_CLOEXEC) != 0) return;
  std::vector<std::string> own(environment);
  auto variables = pointers(own);
  for (char** entry = environ; *entry != nullptr; ++entry) variables.push_back(*entry);
  variables.push_back(nullptr);
  std::string path = std::string(VHSM_BIN_DIR) + "/residue_host";
  std::array<char*, 2> argv{path.data(), nullptr};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
  EXPECT_EQ(
      ::posix_spawn(&process_, path.c_str(), &actions, nullptr, argv.data(), variables.data()), 0);
  posix_spawn_file_actions_destroy(&actions);
  ::close(in[0]);
  ::close(out[1]);
  to_ = ::fdopen(in[1], "w");
  from_ = ::fdopen(out[0], "r");
}

ResidueHost::~ResidueHost() {
  std::fclose(to_);
  std::fclose(from_);
  if (process_ <= 0) return;
  ::kill(process_, SIGKILL);
  ::waitpid(process_, nullptr, 0);
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
