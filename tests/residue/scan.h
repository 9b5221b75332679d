// SPDX-License-Identifier: Apache-2.0
//
// Looks for secrets everywhere in a process and in its core dump.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "tests/residue/values.h"
#include "tests/residue/windows.h"

namespace vhsm::tests {

enum class Place {
  kMemory,         ///< a leak
  kWords,          ///< 8 bytes, where those are searched, e.g. on a signal stack: a leak
  kCore,           ///< a leak
  kProtected,      ///< protected memory of the locked form: where the key belongs
  kRegisters,      ///< of a thread that was stopped while it used the key
  kCoreRegisters,  ///< the same, in the notes of a core dump
};

struct Finding {
  Place place = Place::kMemory;
  Match match;
  std::string where;  ///< the first of them
  std::size_t count = 1;
};
void PrintTo(const Finding& finding, std::ostream* out);

struct Range {
  std::uintptr_t from = 0;
  std::uintptr_t to = 0;
};

struct Target {
  pid_t process = 0;              ///< 0: only the core dump
  std::vector<Range> words = {};  ///< where 8 bytes are a finding
  bool words_everywhere = false;  ///< in all of its memory
  /// A core dump that is there; otherwise, with `dump`, gdb's gcore makes one.
  std::string core = {};
  bool dump = false;
};

struct Report {
  std::string error;  ///< empty: the job was done
  std::vector<Finding> findings;
  std::size_t threads = 0;
  std::size_t bytes = 0;  ///< of memory looked at
  std::size_t register_bytes = 0;
  std::size_t word_bytes = 0;
  std::size_t core_bytes = 0;
  std::string core;                           ///< which, or why none
  std::vector<std::string> unreadable;        ///< mappings of which the kernel gives nothing
  std::vector<std::string> protected_memory;  ///< that could be read

  [[nodiscard]] std::vector<Finding> at(Place place) const;
  /// What nobody should be able to find.
  [[nodiscard]] std::vector<Finding> leaks() const;
};

Report scan(const Target& target, const std::vector<Value>& values);

}  // namespace vhsm::tests
