// SPDX-License-Identifier: Apache-2.0
#include "snp/tools/process.h"

#include <fcntl.h>
#include <linux/limits.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

#include "snp/certificate_table.h"

namespace vhsm::snp {
namespace {

iovec here(std::span<const std::uint8_t> bytes) {
  return {const_cast<std::uint8_t*>(bytes.data()), bytes.size()};
}

iovec there(std::uint64_t address, std::size_t size) {
  return {reinterpret_cast<void*>(address), size};
}

/// Where a link points to; empty when it cannot be read.
std::string target_of(const std::string& link) {
  std::error_code error;
  return std::filesystem::read_symlink(link, error).string();
}

}  // namespace

bool Process::read(std::uint64_t address, std::span<std::uint8_t> bytes) {
  const iovec to = here(bytes);
  const iovec from = there(address, bytes.size());
  return ::process_vm_readv(thread_, &to, 1, &from, 1, 0) == static_cast<ssize_t>(bytes.size());
}

bool Process::write(std::uint64_t address, std::span<const std::uint8_t> bytes) {
  const iovec from = here(bytes);
  const iovec to = there(address, bytes.size());
  return ::process_vm_writev(thread_, &from, 1, &to, 1, 0) == static_cast<ssize_t>(bytes.size());
}

/// Page by page: what follows the path may not be mapped.
std::optional<std::string> Process::read_path(std::uint64_t address) {
  std::string path;
  std::vector<std::uint8_t> buffer(kPageBytes);
  while (path.size() < PATH_MAX) {
    const std::size_t size = kPageBytes - address % kPageBytes;
    const std::span part = std::span(buffer).first(size);
    if (!read(address, part)) return std::nullopt;
    const auto end = std::ranges::find(part, 0);
    path.append(part.begin(), end);
    if (end != part.end()) return path;
    address += size;
  }
  return std::nullopt;
}

std::string Process::entry(const std::string& name) const {
  return "/proc/" + std::to_string(thread_) + "/" + name;
}

std::string Process::resolve(const std::string& path, int folder) const {
  const bool absolute = path.starts_with('/');
  const std::string start = absolute             ? target_of(entry("root"))
                            : folder == AT_FDCWD ? target_of(entry("cwd"))
                                                 : target_of(entry("fd/" + std::to_string(folder)));
  return std::filesystem::path(start + "/" + path).lexically_normal().string();
}

std::optional<uid_t> Process::file_user() const {
  std::ifstream status(entry("status"));
  for (std::string line; std::getline(status, line);) {
    std::istringstream words(line);
    std::string name;
    uid_t real = 0;
    uid_t effective = 0;
    uid_t saved = 0;
    uid_t file = 0;
    if (words >> name >> real >> effective >> saved >> file && name == "Uid:") return file;
  }
  return std::nullopt;
}

bool Process::is_owner() const {
  const auto user = file_user();
  return user == uid_t{0} || user == ::geteuid();
}

std::optional<FileId> Process::open_file(int number) const {
  struct stat status {};
  if (::stat(entry("fd/" + std::to_string(number)).c_str(), &status) != 0) return std::nullopt;
  return FileId{status.st_dev, status.st_ino};
}

bool Process::has_open(int number, int file) const {
  const auto theirs = open_file(number);
  return theirs.has_value() && theirs == file_id(file);
}

std::optional<FileId> file_id(int descriptor) {
  struct stat status {};
  if (::fstat(descriptor, &status) != 0) return std::nullopt;
  return FileId{status.st_dev, status.st_ino};
}

}  // namespace vhsm::snp
