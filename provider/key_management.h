// SPDX-License-Identifier: Apache-2.0
//
// The key management of one key type: what OpenSSL asks before there is a key handle.
#pragma once

#include <openssl/core_dispatch.h>

#include <memory>

#include "keystore/key_type.h"
#include "provider/key_generator.h"
#include "provider/key_handle.h"
#include "provider/key_params.h"
#include "provider/ossl/keymgmt.h"
#include "provider/provider.h"

namespace vhsm::provider {

template <const keystore::KeyType& kType>
struct KeyManagement {
  using Provider = vhsm::provider::Provider;
  using Key = KeyHandle;
  using Generator = KeyGenerator;

  static const keystore::KeyType& type() noexcept { return kType; }

  static Result<std::unique_ptr<KeyHandle>> empty(Provider& provider) {
    return std::make_unique<KeyHandle>(provider, kType);
  }
  static const OSSL_PARAM* gettable_params() noexcept { return key_params(kType).gettable; }
  static const OSSL_PARAM* settable_params() noexcept { return key_params(kType).settable; }
  static const OSSL_PARAM* import_types(int selection) noexcept {
    const bool pair = (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0;
    return pair ? key_params(kType).key_pair : key_params(kType).public_part;
  }
  /// Hosts that ask so are told what import() takes here.
  static const OSSL_PARAM* import_types(const Provider& provider, int selection) noexcept {
    const bool closed = !provider.settings().import_private;
    return import_types(closed ? selection & ~OSSL_KEYMGMT_SELECT_PRIVATE_KEY : selection);
  }
  static const OSSL_PARAM* export_types(int /*selection*/) noexcept {
    return key_params(kType).public_part;
  }
  static const char* operation_name(int operation) noexcept {
    switch (operation) {
      case OSSL_OP_SIGNATURE: return kType.signature.own;
      case OSSL_OP_KEYEXCH: return kType.exchange.own;
      case OSSL_OP_ASYM_CIPHER: return kType.cipher.own;
      default: return nullptr;
    }
  }
};

template <const keystore::KeyType& kType>
constexpr const OSSL_DISPATCH* key_management_table() noexcept {
  namespace slots = ossl::keymgmt;
  return ossl::Table<KeyManagement<kType>, slots::New, slots::Free, slots::Load, slots::Dup,
                     slots::Has, slots::Match, slots::Validate, slots::Import, slots::ImportTypes,
                     slots::ImportTypesEx, slots::Export, slots::ExportTypes, slots::ExportTypesEx,
                     slots::GetParams, slots::GettableParams, slots::SetParams,
                     slots::SettableParams, slots::GenInit, slots::GenSetTemplate,
                     slots::GenSetParams, slots::GenSettableParams, slots::Gen, slots::GenCleanup,
                     slots::QueryOperationName>::kEntries;
}

}  // namespace vhsm::provider
