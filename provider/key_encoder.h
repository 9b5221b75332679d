// SPDX-License-Identifier: Apache-2.0
//
// Keys as text, DER and PEM. Public keys come out in full; in the place of a private key PEM has
// the stand-in, and DER is refused with a reason and not one byte.
#pragma once

#include <openssl/core.h>

#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/result.h"
#include "keystore/key_type.h"
#include "provider/key_handle.h"
#include "provider/provider.h"

namespace vhsm::provider {

enum class Form : std::uint8_t {
  kPublicKeyInfoDer,  ///< SubjectPublicKeyInfo, RFC 5280
  kPublicKeyInfoPem,
  kPrivateDer,    ///< any structure with the private key: refused
  kPrivatePem,    ///< the stand-in
  kEncryptedPem,  ///< EncryptedPrivateKeyInfo: refused
  kPkcs1Der,      ///< RSAPublicKey, RFC 8017 A.1.1; private: as kPrivateDer
  kPkcs1Pem,      ///< the same in PEM; private: as kPrivatePem
  kText,
};

/// Whether libcrypto should pick this form for `selection`.
[[nodiscard]] bool form_serves(Form form, keystore::Selection selection) noexcept;

/// @errors kNotExportable, kNoPrivateKey, kIo.
Status write_key(const ossl::Core& core, const KeyHandle& handle, Form form,
                 keystore::Selection selection, OSSL_CORE_BIO* out);

template <std::size_t kRow, Form kForm>  // a row of keystore::kTypeTable
class KeyEncoder {
 public:
  using Provider = vhsm::provider::Provider;
  using Key = KeyHandle;

  static Result<std::unique_ptr<KeyEncoder>> create(Provider& provider) {
    return std::make_unique<KeyEncoder>(provider);
  }
  explicit KeyEncoder(Provider& provider) noexcept : provider_(&provider) {}

  [[nodiscard]] const ossl::Core& core() const noexcept { return provider_->core(); }
  static bool does_selection(int selection) noexcept { return form_serves(kForm, selection); }

  Status encode(const KeyHandle& handle, int selection, OSSL_CORE_BIO* out) const {
    return write_key(core(), handle, kForm, selection, out);
  }
  /// A handle for another provider's public key; null, without an error, for a private key.
  Result<std::unique_ptr<KeyHandle>> import_object(int selection, const OSSL_PARAM params[]) const {
    auto handle = std::make_unique<KeyHandle>(*provider_, keystore::kTypeTable[kRow]);
    const bool imported = VHSM_TRY(handle->import(selection, params));
    if (!imported) handle.reset();  // the caller goes on with other encoders
    return handle;
  }

 private:
  Provider* provider_;
};

}  // namespace vhsm::provider
