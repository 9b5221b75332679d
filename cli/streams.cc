// SPDX-License-Identifier: Apache-2.0
//
// Source: read(2), write(2), open(2), O_TMPFILE; linkat(2), mkostemp(3), rename(2).
#include "cli/streams.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <utility>

namespace vhsm::cli {
namespace {

constexpr mode_t kOwner = S_IRUSR | S_IWUSR;

std::string folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash + 1);
}

}  // namespace

Result<InputStream> InputStream::open(const std::string& path) {
  Descriptor file(path == "-" ? ::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
                              : ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
  if (!file.valid()) return io_failure("this file cannot be opened", path, errno);
  return InputStream(std::move(file), path);
}

Result<std::size_t> InputStream::fill(std::span<std::uint8_t> into) const {
  std::size_t size = 0;
  while (size < into.size()) {
    const ssize_t got = ::read(file_.get(), into.data() + size, into.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return io_failure("this file cannot be read", path_, errno);
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  return size;
}

Result<OutputStream> OutputStream::open(const std::string& path) {
  ::signal(SIGPIPE, SIG_IGN);  // so that it is an error like any other
  if (path == "-") {
    Descriptor out(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3));
    if (!out.valid()) return fail(Errc::kIo, "nothing can be written", "standard output");
    return OutputStream(std::move(out), "standard output", "", false);
  }
  Descriptor nameless(::open(folder_of(path).c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, kOwner));
  if (nameless.valid()) return OutputStream(std::move(nameless), path, "", true);
  std::string beside = path + ".XXXXXX";
  Descriptor file(::mkostemp(beside.data(), O_CLOEXEC));
  if (!file.valid()) return io_failure("no file can be made beside this one", path, errno);
  return OutputStream(std::move(file), path, std::move(beside), true);
}

OutputStream::~OutputStream() {
  if (!beside_.empty()) ::unlink(beside_.c_str());
}

Status OutputStream::write(std::span<const std::uint8_t> bytes) const {
  while (!bytes.empty()) {
    const ssize_t put = ::write(file_.get(), bytes.data(), bytes.size());
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return io_failure("this cannot be written, or nobody reads it", path_, errno);
    bytes = bytes.subspan(static_cast<std::size_t>(put));
  }
  return {};
}

/// By its descriptor's name: AT_EMPTY_PATH is root's alone.
bool OutputStream::link(const std::string& name) const {
  const std::string self = "/proc/self/fd/" + std::to_string(file_.get());
  return ::linkat(AT_FDCWD, self.c_str(), AT_FDCWD, name.c_str(), AT_SYMLINK_FOLLOW) == 0;
}

Status OutputStream::name_beside() {
  std::uint64_t number = 0;
  const bool drawn = ::getrandom(&number, sizeof number, 0) == sizeof number;
  std::string beside = path_ + "." + std::to_string(number);
  if (!drawn || !link(beside)) {
    return io_failure("no file can be made beside this one", path_, errno);
  }
  beside_ = std::move(beside);
  return {};
}

Status OutputStream::complete() {
  if (!is_file_) return {};
  if (::fsync(file_.get()) != 0) {
    return io_failure("this file cannot be written to disk", path_, errno);
  }
  if (beside_.empty() && link(path_)) return {};
  if (beside_.empty()) VHSM_TRY(name_beside());
  if (std::rename(beside_.c_str(), path_.c_str()) != 0) {
    return io_failure("this file cannot take its place", path_, errno);
  }
  beside_.clear();
  return {};
}

}  // namespace vhsm::cli
