// SPDX-License-Identifier: Apache-2.0
//
// Signatures of vhsm's keys as X.509 has them: the value, and the identifier of the algorithm.
// Source: RFC 5280, section 4.1.1.2; RFC 4055, section 3.1 (RSASSA-PSS); RFC 8410, section 3, RFC
// 9881 and RFC 9909 (types that sign whole messages are identified as their keys are).
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/handle.h"
#include "base/result.h"
#include "keystore/key.h"

namespace vhsm::ossl {
using Algorithm = Handle<X509_ALGOR, X509_ALGOR_free>;
}  // namespace vhsm::ossl

namespace vhsm::cli {

/// How a key is to sign.
struct SigningTerms {
  std::string digest{};  ///< OpenSSL's name; empty: the key's default
  bool pss = false;      ///< RSA: by PSS, with a salt as long as the digest
};

class KeySigner {
 public:
  /// `key` outlives it.
  /// @errors kUnsupported for a type that does not sign, and for terms that it does not have.
  static Result<KeySigner> create(const keystore::Key& key, const SigningTerms& terms);

  [[nodiscard]] const X509_ALGOR* algorithm() const noexcept { return algorithm_.get(); }
  /// @errors those of Key::begin() and Operation::run().
  [[nodiscard]] Result<std::vector<std::uint8_t>> sign(std::span<const std::uint8_t> message) const;

 private:
  KeySigner(const keystore::Key& key, const EVP_MD* digest, bool pss,
            ossl::Algorithm algorithm) noexcept
      : key_(key), digest_(digest), pss_(pss), algorithm_(std::move(algorithm)) {}

  const keystore::Key& key_;
  const EVP_MD* digest_;  ///< null: the type signs whole messages
  bool pss_;
  ossl::Algorithm algorithm_;
};

}  // namespace vhsm::cli
