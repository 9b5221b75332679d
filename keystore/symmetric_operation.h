// SPDX-License-Identifier: Apache-2.0
//
// One operation with a symmetric key, as the provider sees it. OSSL_PARAM arrays cross it
// unchanged, as in key.h.
#pragma once

#include <openssl/core.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "base/result.h"
#include "keystore/symmetric_algorithm.h"
#include "keystore/symmetric_key.h"
#include "memory/secret_bytes.h"

namespace vhsm::keystore {

/// What an operation starts with.
struct SymmetricStart {
  SymmetricKeyPtr key{};               ///< null: that of the last start, if any
  bool forwards = true;                ///< false: decrypt, unwrap
  std::span<const std::uint8_t> iv{};  ///< of ciphers; empty: that of the last start
};

/// Made without a key, then given settings, started, fed, finished; reusable by another start().
/// One thread at a time.
class SymmetricOperation {
 public:
  SymmetricOperation() = default;
  SymmetricOperation(const SymmetricOperation&) = delete;
  SymmetricOperation& operator=(const SymmetricOperation&) = delete;
  virtual ~SymmetricOperation() = default;

  /// @errors kUnsupported for a name that the private OpenSSL does not know, and for a key in the
  ///         clear (subject: the parameter); kCrypto.
  virtual Status set_params(const OSSL_PARAM params[]) = 0;
  virtual Status get_params(OSSL_PARAM params[]) const = 0;

  /// A cipher may be started before its key is known, and get it by another start.
  /// @errors kWrongState without a key (MAC, KDF), kBadLength (key or IV), kPolicy, kDamaged,
  ///         kMemoryLimit, kCrypto.
  virtual Status start(const SymmetricStart& start) = 0;

  /// MAC: takes `in`. Cipher: what it yields, up to in.size() and one block; a null out.data()
  /// makes `in` associated data, or asks a WRAP for the size.
  /// @errors kWrongState before start(), without a key or, for all but WRAP, an IV; kBadLength;
  ///         kCrypto.
  virtual Result<std::size_t> update(std::span<const std::uint8_t> in,
                                     std::span<std::uint8_t> out) = 0;

  /// MAC: the code. Cipher: the last block. KDF: exactly out.size() bytes.
  /// @errors as update(); kCrypto for a wrong tag or padding.
  virtual Result<std::size_t> finish(std::span<std::uint8_t> out) = 0;

  /// @errors kCrypto when the private OpenSSL cannot copy this operation.
  virtual Result<std::unique_ptr<SymmetricOperation>> clone() const = 0;
};

/// KDF: `bytes` of output as a key of its own, which nobody sees.
/// @errors as finish().
Result<SymmetricKeyPtr> derive_key(SymmetricOperation& operation, std::size_t bytes);

/// One that works with keys of this process.
/// @errors kUnsupported when the private OpenSSL lacks the algorithm; kMemoryLimit.
Result<std::unique_ptr<SymmetricOperation>> make_local_operation(
    const SymmetricAlgorithm& algorithm);

/// OSSL_PARAM descriptors of what such an operation takes and tells, whatever its state; static
/// lifetime, null for none. `algorithm` tells of the algorithm itself.
struct SymmetricParams {
  const OSSL_PARAM* settable = nullptr;
  const OSSL_PARAM* gettable = nullptr;
  const OSSL_PARAM* algorithm = nullptr;
};
[[nodiscard]] SymmetricParams describe_params(const SymmetricAlgorithm& algorithm);

/// Questions about the algorithm itself: mode, lengths.
Status get_algorithm_params(const SymmetricAlgorithm& algorithm, OSSL_PARAM params[]);

}  // namespace vhsm::keystore
