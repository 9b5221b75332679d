// SPDX-License-Identifier: Apache-2.0
#include "tests/residue/scan.h"

#include <elf.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>

#include "tests/residue/process.h"

extern char** environ;

namespace vhsm::tests {
namespace {

class File {
 public:
  explicit File(const std::string& path)
      : descriptor_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {}
  ~File() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  [[nodiscard]] bool ok() const noexcept { return descriptor_ >= 0; }
  [[nodiscard]] std::size_t read(std::uintptr_t at, std::uint8_t* to, std::size_t size) const {
    const ssize_t got = ::pread(descriptor_, to, size, static_cast<off_t>(at));
    return got > 0 ? static_cast<std::size_t>(got) : 0;
  }

 private:
  int descriptor_;
};

std::string hex(std::uintptr_t address) {
  std::array<char, 24> text{};
  std::snprintf(text.data(), text.size(), "0x%lx", address);
  return text.data();
}

/// Looks through pieces of files and keeps what it finds, once for each place, value and form.
class Search {
 public:
  explicit Search(const Windows& windows) : windows_(windows), piece_(kPiece + windows.longest()) {}

  /// All that can be read of [from, to), page by page where not all can.
  /// @return the bytes looked at.
  std::size_t look(const File& file, Range range, Place place, const std::string& name) {
    std::size_t total = 0;
    for (std::uintptr_t at = range.from; at < range.to;) {
      const std::size_t size = std::min<std::uintptr_t>(piece_.size(), range.to - at);
      const std::size_t got = file.read(at, piece_.data(), size);
      if (got == 0) {
        at = (at / kPage + 1) * kPage;
        continue;
      }
      look(piece_.data(), got, place, name, at);
      const std::size_t step = got == piece_.size() ? kPiece : got;
      total += step;
      at += step;
    }
    return total;
  }

  void look(const std::uint8_t* begin, std::size_t size, Place place, const std::string& name,
            std::uintptr_t address) {
    windows_.find(begin, size, [&](std::size_t at, const Match& match) {
      keep({place, match, hex(address + at) + " in " + name});
    });
  }

  [[nodiscard]] const std::vector<Finding>& findings() const noexcept { return findings_; }

 private:
  static constexpr std::size_t kPiece = 1 << 20;
  static constexpr std::uintptr_t kPage = 4096;

  void keep(Finding finding) {
    const auto same = [&](const Finding& other) {
      return other.place == finding.place && other.match.value == finding.match.value &&
             other.match.form == finding.match.form;
    };
    const auto known = std::ranges::find_if(findings_, same);
    if (known == findings_.end()) {
      findings_.push_back(std::move(finding));
      return;
    }
    ++known->count;
    if (finding.match.bytes > known->match.bytes) {
      known->match = finding.match;
      known->where = finding.where;
    }
  }

  const Windows& windows_;
  std::vector<std::uint8_t> piece_;
  std::vector<Finding> findings_;
};

void look_at_mapping(const File& memory, const Mapping& mapping, Search& search, Report& report) {
  if (mapping.is_empty) return;
  const Place place = mapping.is_protected ? Place::kProtected : Place::kMemory;
  const std::size_t bytes = search.look(memory, {mapping.from, mapping.to}, place, mapping.line);
  report.bytes += bytes;
  if (bytes == 0) report.unreadable.push_back(mapping.line);
  if (bytes != 0 && mapping.is_protected) report.protected_memory.push_back(mapping.line);
}

void look_for_words(const Target& target, const File& memory, Search& words, Report& report) {
  std::vector<Range> ranges = target.words;
  if (target.words_everywhere) {
    for (const Mapping& mapping : mappings_of(target.process)) {
      if (!mapping.is_protected && !mapping.is_empty) ranges.push_back({mapping.from, mapping.to});
    }
  }
  for (const Range& range : ranges) {
    const std::string name = hex(range.from) + "-" + hex(range.to);
    report.word_bytes += words.look(memory, range, Place::kWords, name);
  }
}

void look_at_process(const Target& target, Search& search, Search& words, Report& report) {
  const StoppedProcess stopped(target.process);
  const File memory("/proc/" + std::to_string(target.process) + "/mem");
  report.error = stopped.error();
  if (report.error.empty() && !memory.ok()) report.error = "its memory cannot be opened";
  if (!report.error.empty()) return;
  report.threads = stopped.threads();
  for (const Mapping& mapping : mappings_of(target.process)) {
    look_at_mapping(memory, mapping, search, report);
  }
  look_for_words(target, memory, words, report);
  for (const Bytes& registers : stopped.registers()) {
    words.look(registers.data(), registers.size(), Place::kRegisters, "registers", 0);
    report.register_bytes += registers.size();
  }
}

/// Where the notes of a core dump lie, which have the registers of all threads.
std::vector<Range> notes_of(const File& core) {
  Elf64_Ehdr header{};
  std::vector<Range> notes;
  if (core.read(0, reinterpret_cast<std::uint8_t*>(&header), sizeof header) != sizeof header) {
    return notes;
  }
  std::vector<Elf64_Phdr> segments(header.e_phnum);
  const std::size_t size = segments.size() * sizeof(Elf64_Phdr);
  if (core.read(header.e_phoff, reinterpret_cast<std::uint8_t*>(segments.data()), size) != size) {
    return notes;
  }
  for (const Elf64_Phdr& segment : segments) {
    if (segment.p_type == PT_NOTE) {
      notes.push_back({segment.p_offset, segment.p_offset + segment.p_filesz});
    }
  }
  return notes;
}

void look_at_core(const std::string& path, Search& search, Report& report) {
  const File core(path);
  std::error_code error;
  const std::size_t size = std::filesystem::file_size(path, error);
  if (!core.ok() || error) {
    report.error = "no core dump can be read in " + path;
    return;
  }
  std::uintptr_t at = 0;
  for (const Range& note : notes_of(core)) {
    report.core_bytes += search.look(core, {at, note.from}, Place::kCore, path);
    report.core_bytes += search.look(core, note, Place::kCoreRegisters, "the notes of " + path);
    at = note.to;
  }
  report.core_bytes += search.look(core, {at, size}, Place::kCore, path);
}

/// @return whether gcore ended well.
bool run_gcore(pid_t process, std::string prefix) {
  std::string name = "gcore";
  std::string option = "-o";
  std::string number = std::to_string(process);
  char* argv[] = {name.data(), option.data(), prefix.data(), number.data(), nullptr};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    posix_spawn_file_actions_addopen(&actions, descriptor, "/dev/null", O_RDWR, 0);
  }
  pid_t child = -1;
  int status = -1;
  if (::posix_spawnp(&child, "gcore", &actions, nullptr, argv, environ) == 0) {
    ::waitpid(child, &status, 0);
  }
  posix_spawn_file_actions_destroy(&actions);
  return status == 0;
}

/// In a folder that only this user can enter, and gone when it has been looked at: it has all
/// secrets of programs that do not protect them.
void dump_and_look(pid_t process, Search& search, Report& report) {
  std::string folder = std::filesystem::temp_directory_path() / "residue-XXXXXX";
  if (::mkdtemp(folder.data()) == nullptr) return;
  const std::string prefix = folder + "/core";
  if (run_gcore(process, prefix)) {
    look_at_core(prefix + "." + std::to_string(process), search, report);
    report.core = "by gcore";
  } else {
    report.core = "NOT LOOKED AT: gcore, of the package gdb, could not make one";
  }
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
}

}  // namespace

void PrintTo(const Finding& finding, std::ostream* out) {
  *out << finding.match.value << ", " << finding.match.form << ", " << finding.match.bytes
       << " bytes" << (finding.match.whole ? " (whole)" : "") << " at " << finding.where;
  if (finding.count > 1) *out << " and " << finding.count - 1 << " more";
}

std::vector<Finding> Report::at(Place place) const {
  std::vector<Finding> some;
  std::ranges::copy_if(findings, std::back_inserter(some),
                       [&](const Finding& finding) { return finding.place == place; });
  return some;
}

std::vector<Finding> Report::leaks() const {
  std::vector<Finding> some;
  std::ranges::copy_if(findings, std::back_inserter(some),
                       [](const Finding& finding) { return finding.place <= Place::kCore; });
  return some;
}

Report scan(const Target& target, const std::vector<Value>& values) {
  const Windows windows(values);
  const Windows words(values, Windows::Size::kWord);
  Search search(windows);
  Search word_search(words);
  Report report;
  report.core = "not looked at";
  if (target.process != 0) look_at_process(target, search, word_search, report);
  if (report.error.empty() && !target.core.empty()) {
    report.core = target.core;
    look_at_core(target.core, search, report);
  } else if (report.error.empty() && target.dump && target.process != 0) {
    dump_and_look(target.process, search, report);
  }
  report.findings = search.findings();
  report.findings.insert(report.findings.end(), word_search.findings().begin(),
                         word_search.findings().end());
  return report;
}

}  // namespace vhsm::tests
