// SPDX-License-Identifier: Apache-2.0
//
// An OSSL_PARAM array as one block of bytes: what a key consists of, in a form that can be sealed,
// or that can leave protected memory (the public parts). Whatever OpenSSL tells of a key comes back
// to it unchanged, so no type of key is a case of its own.
#pragma once

#include <openssl/params.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"

namespace vhsm::keystore {

/// An RSA key of ten primes has 36 parts.
inline constexpr std::size_t kMaxParts = 48;

[[nodiscard]] std::size_t packed_bytes(const OSSL_PARAM params[]) noexcept;

/// Writes packed_bytes() bytes to `out`.
/// @errors kBadLength when a part is longer than any key's.
Status pack(const OSSL_PARAM params[], std::span<std::uint8_t> out) noexcept;

/// An array whose members point into the packed bytes.
class UnpackedParams {
 public:
  /// @errors kBadFormat.
  static Result<UnpackedParams> of(std::span<std::uint8_t> packed) noexcept;
  [[nodiscard]] OSSL_PARAM* get() noexcept { return params_.data(); }

 private:
  std::array<OSSL_PARAM, kMaxParts + 1> params_{};  // the rest stays zero: the end
};

}  // namespace vhsm::keystore
