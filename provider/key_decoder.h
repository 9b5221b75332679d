// SPDX-License-Identifier: Apache-2.0
//
// Reading PEM stand-ins, in two stages as libcrypto wants them: PEM to DER, then DER to a key.
// Whatever is not a stand-in is passed over in silence, wherever it stands in a file.
#pragma once

#include <openssl/core.h>
#include <openssl/core_dispatch.h>

#include <cstddef>
#include <memory>

#include "base/result.h"
#include "keystore/key_type.h"
#include "provider/key_handle.h"
#include "provider/provider.h"

namespace vhsm::provider {

/// Reads the next PEM block of `in`; tells its DER if it is a stand-in.
/// @return false when the callback failed.
/// @errors kBadFormat for a stand-in that is malformed.
Result<bool> decode_stand_in_pem(const ossl::Core& core, OSSL_CORE_BIO* in, OSSL_CALLBACK* tell,
                                 void* arg);

/// Reads DER from `in`; tells a key if it is a stand-in for a key of `type`.
/// @errors kBadUri, and those of Keystore::open_stand_in().
Result<bool> decode_stand_in_der(Provider& provider, const keystore::KeyType& type,
                                 OSSL_CORE_BIO* in, OSSL_CALLBACK* tell, void* arg);

/// Stand-ins stand for private keys.
inline bool decodes_selection(int selection) noexcept {
  return selection == 0 || (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0;
}

class PemDecoder {
 public:
  using Provider = vhsm::provider::Provider;
  static Result<std::unique_ptr<PemDecoder>> create(Provider& provider) {
    return std::make_unique<PemDecoder>(provider);
  }
  explicit PemDecoder(Provider& provider) noexcept : provider_(&provider) {}
  [[nodiscard]] const ossl::Core& core() const noexcept { return provider_->core(); }
  static bool does_selection(int selection) noexcept { return decodes_selection(selection); }
  Result<bool> decode(OSSL_CORE_BIO* in, OSSL_CALLBACK* tell, void* arg) const {
    return decode_stand_in_pem(core(), in, tell, arg);
  }

 private:
  Provider* provider_;
};

template <std::size_t kRow>  // of keystore::kTypeTable
class KeyDecoder {
 public:
  using Provider = vhsm::provider::Provider;
  static Result<std::unique_ptr<KeyDecoder>> create(Provider& provider) {
    return std::make_unique<KeyDecoder>(provider);
  }
  explicit KeyDecoder(Provider& provider) noexcept : provider_(&provider) {}
  [[nodiscard]] const ossl::Core& core() const noexcept { return provider_->core(); }
  static bool does_selection(int selection) noexcept { return decodes_selection(selection); }
  Result<bool> decode(OSSL_CORE_BIO* in, OSSL_CALLBACK* tell, void* arg) const {
    return decode_stand_in_der(*provider_, keystore::kTypeTable[kRow], in, tell, arg);
  }

 private:
  Provider* provider_;
};

}  // namespace vhsm::provider
