// SPDX-License-Identifier: Apache-2.0
#include "tests/residue/needles.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <set>
#include <sstream>

namespace vhsm::tests {
namespace {

struct Mapping {
  std::uintptr_t from = 0;
  std::uintptr_t to = 0;
  std::string line;
  bool readable = false;
  bool is_protected = false;
};

/// From smaps, whose VmFlags tell locked (lo) and not dumped (dd).
std::vector<Mapping> mappings(const std::string& process) {
  std::vector<Mapping> all;
  std::ifstream smaps("/proc/" + process + "/smaps");
  for (std::string line; std::getline(smaps, line);) {
    Mapping next;
    std::array<char, 5> access{};
    if (std::sscanf(line.c_str(), "%lx-%lx %4s", &next.from, &next.to, access.data()) == 3) {
      next.line = line;
      next.readable = access[0] == 'r';
      all.push_back(next);
    } else if (line.starts_with("VmFlags:") && !all.empty()) {
      all.back().is_protected = line.find(" dd") != std::string::npos &&
                                (line.find(" lo") != std::string::npos ||
                                 all.back().line.find("secretmem") != std::string::npos);
    }
  }
  return all;
}

std::size_t start_index(const std::uint8_t* at) { return std::size_t{at[0]} << 8 | at[1]; }

/// Goes through [from, to) of an open file in pieces that overlap by a window, and leaves out what
/// cannot be read, page by page.
/// @return the bytes read.
std::size_t for_each_piece(
    int file, std::uintptr_t from, std::uintptr_t to,
    const std::function<void(const std::uint8_t* begin, std::size_t size)>& body) {
  constexpr std::size_t kPiece = 1 << 20;
  constexpr std::uintptr_t kPage = 4096;
  std::vector<std::uint8_t> piece(kPiece + kWindowBytes);
  std::size_t total = 0;
  for (std::uintptr_t at = from; at < to;) {
    const std::size_t size = std::min<std::uintptr_t>(piece.size(), to - at);
    const ssize_t got = ::pread(file, piece.data(), size, static_cast<off_t>(at));
    if (got > 0) {
      const auto read = static_cast<std::size_t>(got);
      body(piece.data(), read);
      total += read;
      at += read == piece.size() ? kPiece : read;
    } else {
      at = at / kPage * kPage + kPage;
    }
  }
  return total;
}

}  // namespace

Windows::Windows(const std::vector<Needle>& needles) : starts_(65536, false) {
  for (const Needle& needle : needles) {
    add(needle.name, needle.masked);
    add(needle.name + " (reversed)", {needle.masked.rbegin(), needle.masked.rend()});
  }
}

void Windows::add(const std::string& name, const std::vector<std::uint8_t>& masked) {
  for (std::size_t at = 0; at + kWindowBytes <= masked.size(); ++at) {
    starts_[start_index(masked.data() + at)] = true;
    windows_.emplace(std::string(masked.begin() + static_cast<std::ptrdiff_t>(at),
                                 masked.begin() + static_cast<std::ptrdiff_t>(at + kWindowBytes)),
                     name);
  }
}

std::vector<std::string> Windows::find(const std::uint8_t* begin, std::size_t size) const {
  std::set<std::string> names;
  for (std::size_t at = 0; at + kWindowBytes <= size; ++at) {
    const std::uint8_t start[2] = {static_cast<std::uint8_t>(begin[at] ^ kMask),
                                   static_cast<std::uint8_t>(begin[at + 1] ^ kMask)};
    if (!starts_[start_index(start)]) continue;
    std::string window(kWindowBytes, '\0');
    std::transform(begin + at, begin + at + kWindowBytes, window.begin(),
                   [](std::uint8_t byte) { return static_cast<char>(byte ^ kMask); });
    if (const auto found = windows_.find(window); found != windows_.end()) {
      names.insert(found->second);
    }
  }
  return {names.begin(), names.end()};
}

std::vector<Finding> search_own_memory(const Windows& windows) {
  std::vector<Finding> findings;
  for (const Mapping& mapping : mappings("self")) {
    const bool kernels = mapping.line.find("[vvar") != std::string::npos ||
                         mapping.line.find("[vsyscall") != std::string::npos;
    if (!mapping.readable || mapping.is_protected || kernels) continue;
    const auto* begin = reinterpret_cast<const std::uint8_t*>(mapping.from);
    for (auto& name : windows.find(begin, mapping.to - mapping.from)) {
      findings.push_back({name, mapping.line});
    }
  }
  return findings;
}

Search search_process(pid_t process, const Windows& windows) {
  const std::string folder = "/proc/" + std::to_string(process);
  const int file = ::open((folder + "/mem").c_str(), O_RDONLY | O_CLOEXEC);
  Search search;
  for (const Mapping& mapping : mappings(std::to_string(process))) {
    std::set<std::string> found;
    const auto look = [&](const std::uint8_t* begin, std::size_t size) {
      for (auto& name : windows.find(begin, size)) found.insert(name);
    };
    const std::size_t bytes = for_each_piece(file, mapping.from, mapping.to, look);
    search.bytes += bytes;
    if (bytes == 0) search.unreadable.push_back(mapping.line);
    if (bytes != 0 && mapping.is_protected) {
      search.left_out.push_back(mapping.line);
      continue;
    }
    for (const auto& name : found) search.findings.push_back({name, mapping.line});
  }
  ::close(file);
  return search;
}

Search search_file(const std::string& path, const Windows& windows) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  Search search;
  std::set<std::string> found;
  const auto look = [&](const std::uint8_t* begin, std::size_t size) {
    for (auto& name : windows.find(begin, size)) found.insert(name);
  };
  search.bytes = for_each_piece(file, 0, std::filesystem::file_size(path), look);
  for (const auto& name : found) search.findings.push_back({name, path});
  ::close(file);
  return search;
}

std::vector<Needle> read_needles(const std::string& path) {
  std::vector<Needle> needles;
  std::ifstream file(path);
  for (std::string name, hex; file >> name >> hex;) {
    Needle needle{name, {}};
    for (std::size_t at = 0; at + 2 <= hex.size(); at += 2) {
      needle.masked.push_back(
          static_cast<std::uint8_t>(std::stoul(hex.substr(at, 2), nullptr, 16)));
    }
    needles.push_back(std::move(needle));
  }
  return needles;
}

}  // namespace vhsm::tests
