// SPDX-License-Identifier: Apache-2.0
//
// Reading the files and settings behind a TlsContext.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <string>
#include <string_view>
#include <utility>

#include "nitride/tls.h"

namespace vhsm::nitride {
namespace {

constexpr std::size_t kMaxKeyBytes = std::size_t{16} << 10;

// Where distributions keep their bundle in one file: Debian, Fedora, others. A hashed directory
// would be searched at handshake time, perhaps from inside a chroot.
constexpr std::array<const char*, 3> kSystemBundles{
    "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"};

class File {
 public:
  explicit File(const char* path) : descriptor_(::open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY)) {}
  ~File() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  [[nodiscard]] bool is_open() const noexcept { return descriptor_ >= 0; }

  /// Reads until `into` is full or the file ends. @return bytes read, or a negative number.
  template <class Byte>
  [[nodiscard]] ssize_t read(std::span<Byte> into) const noexcept {
    std::size_t total = 0;
    while (total < into.size()) {
      const ssize_t got = ::read(descriptor_, into.data() + total, into.size() - total);
      if (got == 0) break;
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return -1;
      total += static_cast<std::size_t>(got);
    }
    return static_cast<ssize_t>(total);
  }

 private:
  int descriptor_;
};

/// Straight into protected memory, with no copy of the file in any other buffer.
Result<SecretBytes> read_key(const std::string& path) {
  auto key = VHSM_TRY(SecretBytes::zeros(kMaxKeyBytes));
  const memory::Access access;
  const File file(path.c_str());
  const ssize_t size = file.is_open() ? file.read(key.expose()) : -1;
  if (size < 0) return fail(Errc::kIo, "the TLS client key cannot be read", path);
  if (static_cast<std::size_t>(size) == key.size()) {
    return fail(Errc::kBadConfig, "this file is too large for a key", path);
  }
  return SecretBytes::copy(std::as_const(key).expose().first(static_cast<std::size_t>(size)));
}

std::string system_bundle(const Settings& settings) {
  for (const char* path : kSystemBundles) {
    auto text = named_text(settings, path);
    if (text.ok()) return std::move(text).value();
  }
  return {};
}

bool needs_roots(const Settings& settings) {
  const auto is_https = [](const std::string& url) { return url.starts_with("https:"); };
  return std::ranges::any_of(settings.kbs, is_https) || is_https(settings.attestation_service);
}

Result<Pin> parse_pin(const std::string& hex) {
  Pin pin{};
  if (hex.size() != 2 * pin.size()) {
    return fail(Errc::kBadConfig, "kbs_pin is a SHA-256 in 64 hexadecimal digits", hex);
  }
  for (std::size_t i = 0; i < pin.size(); ++i) {
    const char* digits = hex.data() + 2 * i;
    const auto parsed = std::from_chars(digits, digits + 2, pin[i], 16);
    if (parsed.ec != std::errc{} || parsed.ptr != digits + 2) {
      return fail(Errc::kBadConfig, "kbs_pin is a SHA-256 in 64 hexadecimal digits", hex);
    }
  }
  return pin;
}

}  // namespace

Result<TlsMaterial> TlsMaterial::load(const Settings& settings) {
  TlsMaterial material;
  material.ca_path = settings.kbs_ca;
  material.certificate_path = settings.kbs_cert;
  material.key_path = settings.kbs_key;
  for (const std::string& hex : settings.kbs_pin) {
    const auto pin = VHSM_TRY(parse_pin(hex));
    material.pins.push_back(pin);
  }
  if (!settings.kbs_ca.empty()) {
    material.ca_pem = VHSM_TRY(named_text(settings, settings.kbs_ca));
  } else if (needs_roots(settings)) {
    material.ca_pem = system_bundle(settings);
  }
  if (settings.kbs_cert.empty() != settings.kbs_key.empty()) {
    return fail(Errc::kBadConfig, "kbs_cert and kbs_key go together", settings.source);
  }
  if (settings.kbs_cert.empty()) return material;
  material.certificate_pem = VHSM_TRY(named_text(settings, settings.kbs_cert));
  material.key_pem = VHSM_TRY(read_key(settings.kbs_key));
  return material;
}

}  // namespace vhsm::nitride
