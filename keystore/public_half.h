// SPDX-License-Identifier: Apache-2.0
//
// What everyone may know of a key: an inner EVP_PKEY without private parts, in the ordinary heap.
// Whatever is asked of a held key's public side is answered from here, so no question, however
// put, can reach the private half.
#pragma once

#include <openssl/core.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/handle.h"
#include "base/result.h"
#include "keystore/key_type.h"

namespace vhsm::keystore {

/// Which parts of a key: OSSL_KEYMGMT_SELECT_* bits of <openssl/core_dispatch.h>.
using Selection = int;

/// An OSSL_PARAM array and the memory behind it.
class OwnedParams {
 public:
  explicit OwnedParams(OSSL_PARAM* params) noexcept : params_(params) {}
  OwnedParams(OwnedParams&& other) noexcept;
  OwnedParams& operator=(OwnedParams&& other) noexcept;
  OwnedParams(const OwnedParams&) = delete;
  OwnedParams& operator=(const OwnedParams&) = delete;
  ~OwnedParams();
  [[nodiscard]] OSSL_PARAM* get() const noexcept { return params_; }

 private:
  OSSL_PARAM* params_;
};

class PublicHalf {
 public:
  /// From params of EVP_PKEY_fromdata(3); private members are ignored.
  /// @errors kBadFormat, kUnsupported (EC: explicit or unknown curve; RSA: size).
  static Result<PublicHalf> from_params(const KeyType& type, Selection selection,
                                        const OSSL_PARAM params[]);
  /// From DER.  @errors kBadFormat, kUnsupported.
  static Result<PublicHalf> from_key_info(std::span<const std::uint8_t> der);
  /// The public side of `pair`, a key in protected memory. Outside a scope.
  static Result<PublicHalf> of(EVP_PKEY* pair);

  [[nodiscard]] const KeyType& type() const noexcept { return *type_; }
  [[nodiscard]] EVP_PKEY* get() const noexcept { return key_.get(); }
  [[nodiscard]] bool has_public() const noexcept { return has_public_; }

  /// OpenSSL's output convention for signatures: what a null `out` needs, or whether it is enough.
  /// @return the longest signature's bytes.
  /// @errors kBadLength.
  [[nodiscard]] Result<std::size_t> room_for_signature(std::span<const std::uint8_t> out) const;

  Status get_params(OSSL_PARAM params[]) const;
  Result<OwnedParams> export_params(Selection selection) const;
  Result<std::vector<std::uint8_t>> key_info() const;
  [[nodiscard]] bool matches(const PublicHalf& other, Selection selection) const noexcept;
  Status validate(bool quick) const;
  Result<PublicHalf> with_public(std::span<const std::uint8_t> encoded) const;
  /// The digest that signatures use unless told otherwise; empty when the type takes none.
  [[nodiscard]] std::string_view default_digest() const noexcept;

 private:
  PublicHalf(const KeyType& type, ossl::PKey key) noexcept;
  static Result<PublicHalf> checked(ossl::PKey key);
  /// Names that the type does not have stay unmodified, which is success.
  bool answer(OSSL_PARAM& param) const;

  const KeyType* type_;
  ossl::PKey key_;
  bool has_public_ = false;
  std::size_t max_output_bytes_ = 0;  ///< of a signature, a ciphertext or a shared secret
  // Asked for in each handshake, hence known beforehand; none where the key has none. An empty
  // mandatory digest means that the type hashes by itself.
  std::optional<std::string> default_digest_;
  std::optional<std::string> mandatory_digest_;
  std::optional<std::string> group_;
};

/// @errors kUnsupported (subject: type, curve or size): the sizes and curves that vhsm holds.
Result<const KeyType*> supported_type(const EVP_PKEY* key);

}  // namespace vhsm::keystore
