// SPDX-License-Identifier: Apache-2.0
#include "tests/residue/process.h"

#include <elf.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>

namespace vhsm::tests {
namespace {

std::string folder_of(pid_t process) { return "/proc/" + std::to_string(process); }

std::vector<pid_t> threads_of(pid_t process) {
  std::vector<pid_t> threads;
  std::error_code error;
  for (const auto& entry :
       std::filesystem::directory_iterator(folder_of(process) + "/task", error)) {
    threads.push_back(std::stoi(entry.path().filename()));
  }
  return threads;
}

/// @return the signal that the thread was about to get when it stopped; 0: none; -1: it is gone.
int wait_until_stopped(pid_t thread) {
  int status = 0;
  if (::waitpid(thread, &status, __WALL) != thread || !WIFSTOPPED(status)) return -1;
  return status >> 16 == PTRACE_EVENT_STOP ? 0 : WSTOPSIG(status);
}

bool has(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

/// Whether the mapping starts at this line of smaps.
bool starts(const std::string& line, Mapping& mapping) {
  std::array<char, 5> access{};
  return std::sscanf(line.c_str(), "%lx-%lx %4s", &mapping.from, &mapping.to, access.data()) == 3;
}

void add_detail(const std::string& line, Mapping& mapping) {
  long kib = 0;
  std::array<char, 32> name{};
  if (std::sscanf(line.c_str(), "%31s %ld kB", name.data(), &kib) == 2) {
    const bool counted = has(line, "Rss:") || has(line, "Swap:");
    if (counted && kib > 0) mapping.is_empty = false;
  } else if (line.starts_with("VmFlags:")) {
    mapping.is_protected = mapping.is_secret || (has(line, " dd") && has(line, " lo"));
  }
}

}  // namespace

StoppedProcess::StoppedProcess(pid_t process) : process_(process) {
  while (error_.empty() && stop_threads()) {  // threads start threads until all are stopped
  }
  if (error_.empty() && threads_.empty()) error_ = "no such process";
}

bool StoppedProcess::stop_threads() {
  bool some = false;
  for (const pid_t thread : threads_of(process_)) {
    const auto known = [&](const Thread& other) { return other.id == thread; };
    if (std::ranges::any_of(threads_, known)) continue;
    some = true;
    stop_thread(thread);
    if (!error_.empty()) return false;
  }
  return some;
}

void StoppedProcess::stop_thread(pid_t thread) {
  if (::ptrace(PTRACE_SEIZE, thread, nullptr, nullptr) != 0) {
    if (errno != ESRCH) error_ = std::string("ptrace: ") + std::strerror(errno);
    return;
  }
  ::ptrace(PTRACE_INTERRUPT, thread, nullptr, nullptr);
  const int signal = wait_until_stopped(thread);
  if (signal >= 0) threads_.push_back({thread, signal});
}

StoppedProcess::~StoppedProcess() {
  for (const Thread& thread : threads_) {
    ::ptrace(PTRACE_DETACH, thread.id, nullptr, static_cast<std::uintptr_t>(thread.signal));
  }
}

std::vector<Bytes> StoppedProcess::registers() const {
  std::vector<Bytes> all;
  for (const Thread& thread : threads_) {
    for (const unsigned set :
         {unsigned{NT_PRSTATUS}, unsigned{NT_PRFPREG}, unsigned{NT_X86_XSTATE}}) {
      Bytes registers(16384);
      iovec vector{registers.data(), registers.size()};
      if (::ptrace(PTRACE_GETREGSET, thread.id, std::uintptr_t{set}, &vector) != 0) continue;
      registers.resize(vector.iov_len);
      all.push_back(std::move(registers));
    }
  }
  return all;
}

std::vector<Mapping> mappings_of(pid_t process) {
  std::vector<Mapping> all;
  std::ifstream smaps(folder_of(process) + "/smaps");
  for (std::string line; std::getline(smaps, line);) {
    Mapping next;
    if (starts(line, next)) {
      next.line = line;
      next.is_secret = has(line, "secretmem");
      next.is_empty = !has(line, "/") && !has(line, "[");
      all.push_back(next);
    } else if (!all.empty()) {
      add_detail(line, all.back());
    }
  }
  return all;
}

std::string name_of(pid_t process) {
  std::ifstream file(folder_of(process) + "/comm");
  std::string name;
  std::getline(file, name);
  return name;
}

}  // namespace vhsm::tests
