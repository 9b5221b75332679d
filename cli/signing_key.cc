// SPDX-License-Identifier: Apache-2.0
#include "cli/signing_key.h"

#include <fcntl.h>
#include <unistd.h>

#include <openssl/pem.h>

#include <cerrno>
#include <span>

#include "base/descriptor.h"
#include "memory/protected_memory.h"
#include "memory/secret_bytes.h"

namespace vhsm::cli {
namespace {

constexpr std::size_t kMaxKeyBytes = std::size_t{16} << 10;

/// Reads until `into` is full or the file ends. @return bytes read, or a negative number.
ssize_t read_all(int file, std::span<std::uint8_t> into) {
  std::size_t total = 0;
  while (total < into.size()) {
    const ssize_t got = ::read(file, into.data() + total, into.size() - total);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return -1;
    if (got == 0) break;
    total += static_cast<std::size_t>(got);
  }
  return static_cast<ssize_t>(total);
}

Result<SecretBytes> read_secret(const std::string& path) {
  auto secret = VHSM_TRY(SecretBytes::zeros(kMaxKeyBytes));
  const memory::Access access;
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
  const ssize_t size = file.get() < 0 ? -1 : read_all(file.get(), secret.expose());
  if (size < 0) return fail(Errc::kIo, "this key cannot be read", path);
  secret.truncate(static_cast<std::size_t>(size));
  return secret;
}

int no_passphrase(char*, int, int, void*) { return -1; }

}  // namespace

Result<ossl::PKey> read_signing_key(const std::string& path) {
  const auto secret = VHSM_TRY(read_secret(path));
  return memory::run_protected([&]() -> Result<ossl::PKey> {
    const ossl::ErrorMark mark;
    const auto pem = secret.expose();
    const ossl::Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
    ossl::PKey key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, nullptr));
    if (key == nullptr) {
      return fail(Errc::kBadFormat, "this file has no unencrypted PEM key", path);
    }
    return key;
  });
}

}  // namespace vhsm::cli
