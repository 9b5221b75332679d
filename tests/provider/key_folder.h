// SPDX-License-Identifier: Apache-2.0
//
// What stands behind vhsm_files: a folder with one key (and certificate) of each type, which the
// test knows in the clear. Made once for a process.
#pragma once

#include <openssl/asn1.h>
#include <openssl/evp.h>

#include <string>

#include "tests/provider/host.h"

namespace vhsm::test {

class KeyFolder {
 public:
  KeyFolder();

  /// "vhsm:default/test/EC"; types that sign have a certificate beside the key.
  [[nodiscard]] std::string uri(const std::string& type) const;
  [[nodiscard]] const std::string& path() const;
  /// The private exponent, scalar or seed.
  [[nodiscard]] Bytes private_bytes(const std::string& type) const;
  /// The stored key, in the default provider of `host`.
  [[nodiscard]] ossl::PKey in_default(const Host& host, const std::string& type) const;
  /// The stored PEM.
  [[nodiscard]] std::string pem(const std::string& type) const;
  /// Stores `pem` as "vhsm:default/test/NAME".
  void put(const std::string& name, const std::string& pem) const;
};

/// What a certificate says of itself.
struct Identity {
  std::string name = "localhost";
  std::string serial = "1";  ///< decimal
  int text_type = MBSTRING_ASC;
};

/// A self-signed certificate.
ossl::X509Cert self_signed(const Host& host, EVP_PKEY* key, const char* digest,
                           const Identity& identity = {});

}  // namespace vhsm::test
