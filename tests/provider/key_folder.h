// SPDX-License-Identifier: Apache-2.0
//
// What stands behind vhsm_files: a folder of keys (and certificates), which the test knows in the
// clear. One for a process; a key is made when it is asked for.
#pragma once

#include <openssl/asn1.h>
#include <openssl/evp.h>

#include <string>

#include "tests/provider/host.h"

namespace vhsm::test {

class KeyFolder {
 public:
  KeyFolder();

  /// "vhsm:default/test/P-256" (or EC: the same curve); types that sign have a certificate beside
  /// the key.
  [[nodiscard]] std::string uri(const std::string& kind) const;
  [[nodiscard]] const std::string& path() const;
  /// The private exponent, scalar or seed.
  [[nodiscard]] Bytes private_bytes(const std::string& kind) const;
  /// The stored key, in the default provider of `host`.
  [[nodiscard]] ossl::PKey in_default(const Host& host, const std::string& kind) const;
  /// The stored PEM.
  [[nodiscard]] std::string pem(const std::string& kind) const;
  /// Stores `pem` as "vhsm:default/test/NAME".
  void put(const std::string& name, const std::string& pem) const;

 private:
  [[nodiscard]] std::string file(const std::string& kind) const;
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
