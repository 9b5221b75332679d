// SPDX-License-Identifier: Apache-2.0
//
// Looks for the private parts of a key in a process's own memory without having them there: what
// is looked for is masked, and memory is masked byte by byte while it is compared.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <ostream>
#include <string>
#include <unordered_map>
#include <vector>

namespace vhsm::tests {

inline constexpr std::uint8_t kMask = 0x5C;
inline constexpr std::size_t kWindowBytes = 16;

/// A named private component, masked, in the order of its bytes.
struct Needle {
  std::string name;
  std::vector<std::uint8_t> masked;
};

/// All 16-byte windows of the needles, forwards and backwards.
class Windows {
 public:
  explicit Windows(const std::vector<Needle>& needles);
  /// Names of the needles of which at least one window lies in [begin, begin + size).
  [[nodiscard]] std::vector<std::string> find(const std::uint8_t* begin, std::size_t size) const;

 private:
  void add(const std::string& name, const std::vector<std::uint8_t>& masked);

  std::vector<bool> starts_;  // by the first two masked bytes: almost all positions end here
  std::unordered_map<std::string, std::string> windows_;
};

struct Finding {
  std::string needle;
  std::string mapping;
  friend void PrintTo(const Finding& finding, std::ostream* out) {
    *out << finding.needle << " in " << finding.mapping;
  }
};

/// Reads every readable mapping of this process except protected memory (locked and never dumped).
std::vector<Finding> search_own_memory(const Windows& windows);

/// What another process's memory has.
struct Search {
  std::vector<Finding> findings;
  std::size_t bytes = 0;                ///< looked at
  std::vector<std::string> unreadable;  ///< mappings of which the kernel gives nothing
  std::vector<std::string> left_out;    ///< protected memory that could be read
};

/// Reads all that /proc/PID/mem gives of the process, now, while it runs.
Search search_process(pid_t process, const Windows& windows);

/// @param path  e.g. a core dump.
Search search_file(const std::string& path, const Windows& windows);

/// Reads "name hex" lines, in which hex is masked.
std::vector<Needle> read_needles(const std::string& path);

}  // namespace vhsm::tests
