// SPDX-License-Identifier: Apache-2.0
//
// Everything that vhsm offers OpenSSL, by operation.
#pragma once

#include <openssl/core.h>

#include <deque>
#include <string>
#include <vector>

namespace vhsm::provider {

class Algorithms {
 public:
  /// @param host_signs_messages  the host has EVP_PKEY_sign_message_init(3): OpenSSL 3.4 and later
  /// @param assume_fips  whether rows carry fips=yes or fips=no, for hosts that ask for fips=yes.
  Algorithms(bool host_signs_messages, bool assume_fips);

  /// OSSL_OP_*: the algorithms, ended by a row of nulls; null for none. The same answer each time,
  /// whatever is loaded: programs look before they open a key.
  [[nodiscard]] const OSSL_ALGORITHM* of(int operation) const noexcept;

  struct Rows {
    std::vector<OSSL_ALGORITHM> key_management;
    std::vector<OSSL_ALGORITHM> signatures;
    std::vector<OSSL_ALGORITHM> exchanges;
    std::vector<OSSL_ALGORITHM> ciphers;
    std::vector<OSSL_ALGORITHM> kems;
    std::vector<OSSL_ALGORITHM> encoders;
    std::vector<OSSL_ALGORITHM> decoders;
    std::vector<OSSL_ALGORITHM> stores;
    std::vector<OSSL_ALGORITHM> secret_management;
    std::vector<OSSL_ALGORITHM> macs;
    std::vector<OSSL_ALGORITHM> symmetric_ciphers;
    std::vector<OSSL_ALGORITHM> derivations;
  };

 private:
  Rows rows_;
  std::deque<std::string> properties_;  ///< what rows point to, beside literals
};

}  // namespace vhsm::provider
