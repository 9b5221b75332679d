// SPDX-License-Identifier: Apache-2.0
#include "snp/files.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

namespace vhsm::snp {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int descriptor) : descriptor_(descriptor) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  [[nodiscard]] int get() const noexcept { return descriptor_; }

 private:
  int descriptor_;
};

}  // namespace

Result<std::vector<std::uint8_t>> read_file(const std::string& path, std::size_t max_bytes) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) return fail(Errc::kIo, "this file cannot be opened", path);
  std::vector<std::uint8_t> data(max_bytes + 1);
  std::size_t size = 0;
  while (size < data.size()) {
    const ssize_t got = ::read(file.get(), data.data() + size, data.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail(Errc::kIo, "this file cannot be read", path);
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  if (size > max_bytes) return fail(Errc::kIo, "this file is too large", path);
  data.resize(size);
  return data;
}

Status write_new_file(const std::string& path, std::span<const std::uint8_t> data, mode_t mode) {
  const Descriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
  if (file.get() < 0) return fail(Errc::kIo, "this file cannot be made", path);
  while (!data.empty()) {
    const ssize_t put = ::write(file.get(), data.data(), data.size());
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return fail(Errc::kIo, "this file cannot be written", path);
    data = data.subspan(static_cast<std::size_t>(put));
  }
  return {};
}

}  // namespace vhsm::snp
