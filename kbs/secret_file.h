// SPDX-License-Identifier: Apache-2.0
//
// Files that hold secrets: from disk into protected memory and back, with no copy between.
#pragma once

#include <string>

#include "base/handle.h"
#include "base/result.h"
#include "memory/secret_bytes.h"

namespace vhsm::kbs {

/// @param path  a file, or "-" for standard input.
/// @errors kIo, kBadLength (over `max_bytes`), kMemoryLimit. The subject is the path.
[[nodiscard]] Result<SecretBytes> read_secret(const std::string& path, std::size_t max_bytes);

/// Makes a new file of mode 0600.
/// @errors kIo. The subject is the path.
Status write_secret(const std::string& path, const SecretBytes& secret);

/// A private key in PEM; made and freed inside a ProtectedScope.
class PrivateKey {
 public:
  /// @errors kIo, kBadFormat (subject: the path), kMemoryLimit.
  static Result<PrivateKey> read(const std::string& path);

  /// @errors kCrypto, kMemoryLimit.
  static Result<PrivateKey> generate_p256();

  /// Writes PKCS#8 PEM, mode 0600, to a new file.
  /// @errors kIo, kCrypto.
  Status write(const std::string& path) const;

  [[nodiscard]] EVP_PKEY* get() const noexcept { return key_.get(); }

  PrivateKey(PrivateKey&&) noexcept = default;
  PrivateKey& operator=(PrivateKey&&) = delete;
  PrivateKey(const PrivateKey&) = delete;
  PrivateKey& operator=(const PrivateKey&) = delete;
  ~PrivateKey();

 private:
  explicit PrivateKey(ossl::PKey key) : key_(std::move(key)) {}
  ossl::PKey key_;
};

}  // namespace vhsm::kbs
