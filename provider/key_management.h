// SPDX-License-Identifier: Apache-2.0
//
// The key management of one key type, a row of keystore::kTypeTable: what OpenSSL asks before there
// is a key handle.
#pragma once

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>

#include <cstddef>
#include <memory>

#include "keystore/key_type.h"
#include "keystore/type_params.h"
#include "provider/key_generator.h"
#include "provider/key_handle.h"
#include "provider/ossl/keymgmt.h"
#include "provider/provider.h"

namespace vhsm::provider {

/// Of a key that is not held: the public half, as a TLS peer sends it.
inline constexpr OSSL_PARAM kSettable[] = {
    {OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, OSSL_PARAM_OCTET_STRING, nullptr, 0,
     OSSL_PARAM_UNMODIFIED},
    {nullptr, 0, nullptr, 0, 0}};

template <std::size_t kRow>
struct KeyManagement {
  static constexpr const keystore::KeyType& kType = keystore::kTypeTable[kRow];
  using Provider = vhsm::provider::Provider;
  using Key = KeyHandle;
  using Generator = KeyGenerator;

  static const keystore::KeyType& type() noexcept { return kType; }

  static Result<std::unique_ptr<KeyHandle>> empty(Provider& provider) {
    return std::make_unique<KeyHandle>(provider, kType);
  }
  static const OSSL_PARAM* gettable_params() noexcept { return keystore::gettable_params(kType); }
  static const OSSL_PARAM* settable_params() noexcept {
    return kType.exchange.own != nullptr || kType.is_own_group() ? kSettable : nullptr;
  }
  static const OSSL_PARAM* import_types(int selection) noexcept {
    const bool pair = (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0;
    return keystore::import_params(kType, pair);
  }
  /// Hosts that ask so are told what import() takes here.
  static const OSSL_PARAM* import_types(const Provider& provider, int selection) noexcept {
    const bool closed = !provider.settings().import_private;
    return import_types(closed ? selection & ~OSSL_KEYMGMT_SELECT_PRIVATE_KEY : selection);
  }
  static const OSSL_PARAM* export_types(int /*selection*/) noexcept {
    return keystore::import_params(kType, false);
  }
  static const char* operation_name(int operation) noexcept {
    switch (operation) {
      case OSSL_OP_SIGNATURE: return kType.signature.own_if_there();
      case OSSL_OP_KEYEXCH: return kType.exchange.own_if_there();
      case OSSL_OP_ASYM_CIPHER: return kType.cipher.own_if_there();
      case OSSL_OP_KEM: return kType.kem.own_if_there();
      default: return nullptr;
    }
  }
};

template <std::size_t kRow>
constexpr const OSSL_DISPATCH* key_management_table() noexcept {
  namespace slots = ossl::keymgmt;
  return ossl::Table<KeyManagement<kRow>, slots::New, slots::Free, slots::Load, slots::Dup,
                     slots::Has, slots::Match, slots::Validate, slots::Import, slots::ImportTypes,
                     slots::ImportTypesEx, slots::Export, slots::ExportTypes, slots::ExportTypesEx,
                     slots::GetParams, slots::GettableParams, slots::SetParams,
                     slots::SettableParams, slots::GenInit, slots::GenSetTemplate,
                     slots::GenSetParams, slots::GenSettableParams, slots::Gen, slots::GenCleanup,
                     slots::QueryOperationName>::kEntries;
}

}  // namespace vhsm::provider
