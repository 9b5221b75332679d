// SPDX-License-Identifier: Apache-2.0
//
// Files that hold secrets.
#include "kbs/secret_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <openssl/pem.h>

#include <cerrno>
#include <utility>

namespace vhsm::kbs {
namespace {

constexpr std::size_t kMaxKeyFileBytes = std::size_t{64} << 10;

class Descriptor {
 public:
  explicit Descriptor(int number, bool owned = true) : number_(number), owned_(owned) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (owned_ && number_ >= 0) ::close(number_);
  }
  [[nodiscard]] int get() const noexcept { return number_; }

 private:
  int number_;
  bool owned_;
};

/// Fills `buffer` as far as the file goes.
Result<std::size_t> read_all(int descriptor, std::span<std::uint8_t> buffer) {
  std::size_t size = 0;
  while (size < buffer.size()) {
    const ssize_t part = ::read(descriptor, buffer.data() + size, buffer.size() - size);
    if (part == 0) break;
    if (part < 0 && errno == EINTR) continue;
    if (part < 0) return fail(Errc::kIo, "a file cannot be read");
    size += static_cast<std::size_t>(part);
  }
  return size;
}

Status write_all(int descriptor, std::span<const std::uint8_t> bytes) {
  while (!bytes.empty()) {
    const ssize_t part = ::write(descriptor, bytes.data(), bytes.size());
    if (part < 0 && errno == EINTR) continue;
    if (part <= 0) return fail(Errc::kIo, "a file cannot be written");
    bytes = bytes.subspan(static_cast<std::size_t>(part));
  }
  if (::fsync(descriptor) != 0) return fail(Errc::kIo, "a file cannot be written");
  return {};
}

// A passphrase prompt would hang a server.
int no_passphrase(char* /*buffer*/, int /*size*/, int /*writing*/, void* /*user*/) { return -1; }

Result<ossl::PKey> parse_pem(const SecretBytes& pem) {
  const ossl::ErrorMark quiet;
  const auto bytes = pem.expose();
  const auto bio = VHSM_TRY(
      made(ossl::Bio(BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size()))), "BIO_new"));
  ossl::PKey key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, nullptr));
  if (key == nullptr) return fail(Errc::kBadFormat, "no unencrypted private key in PEM");
  return key;
}

Result<SecretBytes> to_pem(EVP_PKEY* key) {
  const auto bio = VHSM_TRY(made(ossl::Bio(BIO_new(BIO_s_mem())), "BIO_new"));
  VHSM_TRY(
      crypto(PEM_write_bio_PKCS8PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr),
             "PEM_write_bio_PKCS8PrivateKey"));
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return SecretBytes::copy(
      {reinterpret_cast<const std::uint8_t*>(data), static_cast<std::size_t>(size)});
}

template <class T>
Result<T> about(Result<T> result, const std::string& path) {
  if (!result.ok()) return result.error().about(path);
  return result;
}

}  // namespace

Result<SecretBytes> read_secret(const std::string& path, std::size_t max_bytes) {
  const bool standard_input = path == "-";
  const Descriptor file(standard_input ? STDIN_FILENO : ::open(path.c_str(), O_RDONLY | O_CLOEXEC),
                        !standard_input);
  if (file.get() < 0) return fail(Errc::kIo, "a file cannot be opened", path);
  auto secret = VHSM_TRY(SecretBytes::zeros(max_bytes + 1));  // one more shows that there is more
  const std::size_t size = VHSM_TRY(about(read_all(file.get(), secret.expose()), path));
  if (size > max_bytes) return fail(Errc::kBadLength, "a file is too big", path);
  secret.truncate(size);
  return secret.clone();  // as big as it needs to be
}

Status write_secret(const std::string& path, const SecretBytes& secret) {
  const Descriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (file.get() < 0) return fail(Errc::kIo, "a new file cannot be made", path);
  const Status written = write_all(file.get(), secret.expose());
  if (!written.ok()) return written.error().about(path);
  return {};
}

Result<PrivateKey> PrivateKey::read(const std::string& path) {
  const SecretBytes pem = VHSM_TRY(read_secret(path, kMaxKeyFileBytes));
  ossl::PKey key = VHSM_TRY(
      about(memory::run_protected([&]() -> Result<ossl::PKey> { return parse_pem(pem); }), path));
  return PrivateKey(std::move(key));
}

Result<PrivateKey> PrivateKey::generate_p256() {
  ossl::PKey key = VHSM_TRY(memory::run_protected([]() -> Result<ossl::PKey> {
    return made(ossl::PKey(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256")),
                "generating a P-256 key");
  }));
  return PrivateKey(std::move(key));
}

Status PrivateKey::write(const std::string& path) const {
  const SecretBytes pem =
      VHSM_TRY(memory::run_protected([&]() -> Result<SecretBytes> { return to_pem(key_.get()); }));
  return write_secret(path, pem);
}

PrivateKey::~PrivateKey() {
  if (key_ == nullptr) return;
  const Status freed = memory::run_protected([&]() -> Status {
    key_.reset();
    return {};
  });
  if (!freed.ok()) static_cast<void>(key_.release());
}

}  // namespace vhsm::kbs
