// SPDX-License-Identifier: Apache-2.0
//
// What stands behind vhsm_files: a folder with one key (and certificate) of each type, which the
// test knows in the clear. Made once for a process.
#pragma once

#include <openssl/evp.h>

#include <string>
#include <vector>

#include "tests/provider/host.h"

namespace vhsm::test {

class KeyFolder {
 public:
  KeyFolder();

  /// Of the keys: that of the type.
  static std::vector<std::string> names();
  /// "vhsm:default/test/EC"; types that sign have a certificate beside the key.
  [[nodiscard]] std::string uri(const std::string& type) const;
  [[nodiscard]] const std::string& path() const;
  /// The private exponent, scalar or seed.
  [[nodiscard]] Bytes private_bytes(const std::string& type) const;
  /// The stored key, in the default provider of `host`.
  [[nodiscard]] ossl::PKey in_default(const Host& host, const std::string& type) const;
  /// The stored PEM.
  [[nodiscard]] std::string pem(const std::string& type) const;
};

/// A self-signed certificate for localhost.
ossl::X509Cert self_signed(const Host& host, EVP_PKEY* key, const char* digest);

}  // namespace vhsm::test
