// SPDX-License-Identifier: Apache-2.0
#include "cli/secret_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>
#include <utility>

#include "base/descriptor.h"
#include "keystore/sealed/box.h"

namespace vhsm::cli {
namespace {

constexpr std::size_t kMaxSecretBytes = std::size_t{256} << 10;
constexpr std::string_view kHex = "0123456789abcdef";

Result<Descriptor> open_file(const std::string& path) {
  if (path == "-") return Descriptor(::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3));
  Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return io_failure("this file cannot be opened", path, errno);
  return file;
}

Status write_all(const Descriptor& file, std::span<const std::uint8_t> bytes,
                 const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t put = ::write(file.get(), bytes.data(), bytes.size());
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return io_failure("this file cannot be written", path, errno);
    bytes = bytes.subspan(static_cast<std::size_t>(put));
  }
  return {};
}

Status write_new(const std::string& path, std::span<const std::uint8_t> bytes) {
  constexpr int kFlags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC;
  const Descriptor file(::open(path.c_str(), kFlags, S_IRUSR | S_IWUSR));
  if (!file.valid()) {
    return io_failure("this file cannot be made, or is there already", path, errno);
  }
  VHSM_TRY(write_all(file, bytes, path));
  if (::fsync(file.get()) == 0) return {};
  return io_failure("this file cannot be written to disk", path, errno);
}

struct Wipeable {
  Descriptor file;
  std::size_t size = 0;
};

/// A link's target would stay, other names would keep the zeros, and a pipe must not block.
Result<Wipeable> open_to_wipe(const std::string& path) {
  struct stat status {};
  if (path == "-" || ::lstat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) {
    return fail(Errc::kInvalidArgument, "--wipe-source is for a regular file", path);
  }
  constexpr int kFlags = O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
  Descriptor file(::open(path.c_str(), kFlags));
  if (!file.valid() || ::fstat(file.get(), &status) != 0) {
    return io_failure("this file cannot be overwritten, as --wipe-source says", path, errno);
  }
  if (!S_ISREG(status.st_mode) || status.st_nlink != 1) {
    return fail(Errc::kInvalidArgument,
                "this file has other names (hard links), which --wipe-source would leave", path);
  }
  return Wipeable{std::move(file), static_cast<std::size_t>(status.st_size)};
}

/// In a scope.
Result<SecretBytes> to_hex(const SecretBytes& key) {
  auto text = VHSM_TRY(SecretBytes::zeros(2 * key.size() + 1));
  auto out = text.expose();
  for (std::size_t i = 0; i < key.size(); ++i) {
    out[2 * i] = static_cast<std::uint8_t>(kHex[key.expose()[i] >> 4]);
    out[2 * i + 1] = static_cast<std::uint8_t>(kHex[key.expose()[i] & 15]);
  }
  out.back() = '\n';
  return text;
}

/// In a scope. -1: no digit.
int value_of(std::uint8_t digit) noexcept {
  const std::size_t at = kHex.find(static_cast<char>(digit));
  return at == std::string_view::npos ? -1 : static_cast<int>(at);
}

Result<SecretBytes> from_hex(const SecretBytes& text, const std::string& path) {
  auto key = VHSM_TRY(SecretBytes::zeros(keystore::sealed::kKeyBytes));
  if (text.size() < 2 * key.size() || text.size() > 2 * key.size() + 2) {
    return fail(Errc::kBadFormat, "a recovery key has 64 hex digits", path);
  }
  for (std::size_t i = 0; i < key.size(); ++i) {
    const int high = value_of(text.expose()[2 * i]);
    const int low = value_of(text.expose()[2 * i + 1]);
    if (high < 0 || low < 0)
      return fail(Errc::kBadFormat, "a recovery key has 64 hex digits", path);
    key.expose()[i] = static_cast<std::uint8_t>(high << 4 | low);
  }
  return key;
}

}  // namespace

Result<SecretBytes> read_secret_file(const std::string& path) {
  const Descriptor file = VHSM_TRY(open_file(path));
  auto secret = VHSM_TRY(SecretBytes::zeros(kMaxSecretBytes + 1));
  std::size_t size = 0;
  while (size < secret.size()) {
    const ssize_t got = ::read(file.get(), secret.expose().data() + size, secret.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return io_failure("this file cannot be read", path, errno);
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  if (size > kMaxSecretBytes)
    return fail(Errc::kBadLength, "this file is too long for a key", path);
  return SecretBytes::copy(secret.expose().first(size));
}

Status check_wipeable(const std::string& path) {
  [[maybe_unused]] const Wipeable file = VHSM_TRY(open_to_wipe(path));
  return {};
}

Status wipe_file(const std::string& path) {
  const Wipeable source = VHSM_TRY(open_to_wipe(path));
  const std::array<std::uint8_t, 4096> zeros{};
  for (std::size_t left = source.size; left > 0;) {
    const std::size_t part = std::min(left, zeros.size());
    VHSM_TRY(write_all(source.file, std::span(zeros).first(part), path));
    left -= part;
  }
  if (::fsync(source.file.get()) == 0 && ::unlink(path.c_str()) == 0) return {};
  return io_failure("this file cannot be removed", path, errno);
}

Result<SecretBytes> make_recovery_key(const std::string& path) {
  auto key = VHSM_TRY(keystore::sealed::random_secret(keystore::sealed::kKeyBytes));
  const auto text = VHSM_TRY(memory::run_protected([&] { return to_hex(key); }));
  VHSM_TRY(write_new(path, text.expose()));
  return key;
}

Result<SecretBytes> read_recovery_key(const std::string& path) {
  const auto text = VHSM_TRY(read_secret_file(path));
  return memory::run_protected([&] { return from_hex(text, path); });
}

}  // namespace vhsm::cli
