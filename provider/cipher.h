// SPDX-License-Identifier: Apache-2.0
//
// Encrypting and decrypting: an operation that must not become an oracle for PKCS#1 v1.5 padding
// (Bleichenbacher 1998; RFC 8017, section 7.2). Where the private OpenSSL makes up a message for a
// wrong padding (EVP_PKEY_decrypt(3), implicit rejection), nobody can tell; elsewhere each failure
// says that the padding was wrong, so such a decryption is done only if the settings allow it.
#pragma once

#include <memory>

#include "provider/operation_context.h"

namespace vhsm::provider {

class Cipher : public OperationContext {
 public:
  static Result<std::unique_ptr<Cipher>> create(Provider& provider) {
    return std::make_unique<Cipher>(provider);
  }
  using OperationContext::OperationContext;

  [[nodiscard]] Result<std::unique_ptr<Cipher>> clone() const;

  /// As run().
  /// @errors kUnsupported for PKCS#1 v1.5 where neither the private OpenSSL hides a wrong padding
  ///         nor the setting pkcs1_v15_decrypt allows it.
  Result<std::size_t> decrypt(std::span<const std::uint8_t> in, std::span<std::uint8_t> out);

 private:
  [[nodiscard]] Status check_padding() const;
  [[nodiscard]] Result<int> padding() const;
};

}  // namespace vhsm::provider
