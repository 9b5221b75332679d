// SPDX-License-Identifier: Apache-2.0
#include "provider/algorithms.h"

#include <openssl/core_dispatch.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "keystore/key_type.h"
#include "provider/key_decoder.h"
#include "provider/key_encoder.h"
#include "provider/key_management.h"
#include "provider/operation_context.h"
#include "provider/ossl/asym_cipher.h"
#include "provider/ossl/decoder.h"
#include "provider/ossl/encoder.h"
#include "provider/ossl/kem.h"
#include "provider/ossl/keyexch.h"
#include "provider/ossl/signature.h"
#include "provider/ossl/store.h"
#include "provider/signer.h"
#include "provider/store_loader.h"

namespace vhsm::provider {
namespace {

using keystore::kTypeTable;

constexpr const char* kProperties = "provider=vhsm";

constexpr const OSSL_DISPATCH* digest_signature_table() noexcept {
  namespace slots = ossl::signature;
  return ossl::Table<
      Signer, slots::NewCtx, slots::FreeCtx, slots::DupCtx, slots::SignInit, slots::Sign,
      slots::VerifyInit, slots::Verify, slots::DigestSignInit, slots::DigestSignUpdate,
      slots::DigestSignFinal, slots::DigestSign, slots::DigestVerifyInit, slots::DigestVerifyUpdate,
      slots::DigestVerifyFinal, slots::DigestVerify, slots::GetCtxParams, slots::GettableCtxParams,
      slots::SetCtxParams, slots::SettableCtxParams, slots::GetCtxMdParams,
      slots::GettableCtxMdParams, slots::SetCtxMdParams, slots::SettableCtxMdParams>::kEntries;
}

constexpr const OSSL_DISPATCH* message_signature_table() noexcept {
  namespace slots = ossl::signature;
  return ossl::Table<Signer, slots::NewCtx, slots::FreeCtx, slots::DupCtx, slots::DigestSignInit,
                     slots::DigestSign, slots::DigestVerifyInit, slots::DigestVerify,
                     slots::GetCtxParams, slots::GettableCtxParams, slots::SetCtxParams,
                     slots::SettableCtxParams>::kEntries;
}

constexpr const OSSL_DISPATCH* exchange_table() noexcept {
  namespace slots = ossl::keyexch;
  return ossl::Table<OperationContext, slots::NewCtx, slots::FreeCtx, slots::DupCtx, slots::Init,
                     slots::SetPeer, slots::Derive, slots::GetCtxParams, slots::GettableCtxParams,
                     slots::SetCtxParams, slots::SettableCtxParams>::kEntries;
}

constexpr const OSSL_DISPATCH* cipher_table() noexcept {
  namespace slots = ossl::asym_cipher;
  return ossl::Table<OperationContext, slots::NewCtx, slots::FreeCtx, slots::DupCtx,
                     slots::EncryptInit, slots::Encrypt, slots::DecryptInit, slots::Decrypt,
                     slots::GetCtxParams, slots::GettableCtxParams, slots::SetCtxParams,
                     slots::SettableCtxParams>::kEntries;
}

constexpr const OSSL_DISPATCH* kem_table() noexcept {
  namespace slots = ossl::kem;
  return ossl::Table<OperationContext, slots::NewCtx, slots::FreeCtx, slots::DupCtx,
                     slots::EncapsulateInit, slots::AuthEncapsulateInit, slots::Encapsulate,
                     slots::DecapsulateInit, slots::AuthDecapsulateInit, slots::Decapsulate,
                     slots::GetCtxParams, slots::GettableCtxParams, slots::SetCtxParams,
                     slots::SettableCtxParams>::kEntries;
}

constexpr const OSSL_DISPATCH* store_table() noexcept {
  namespace slots = ossl::store;
  return ossl::Table<StoreLoader, slots::Open, slots::OpenEx, slots::SettableCtxParams,
                     slots::SetCtxParams, slots::Load, slots::Eof, slots::Close>::kEntries;
}

template <class T>
constexpr const OSSL_DISPATCH* decoder_table() noexcept {
  namespace slots = ossl::decoder;
  return ossl::Table<T, slots::NewCtx, slots::FreeCtx, slots::DoesSelection,
                     slots::Decode>::kEntries;
}

template <std::size_t kRow, Form kForm>
constexpr const OSSL_DISPATCH* encoder_table() noexcept {
  namespace slots = ossl::encoder;
  return ossl::Table<KeyEncoder<kRow, kForm>, slots::NewCtx, slots::FreeCtx, slots::DoesSelection,
                     slots::Encode, slots::ImportObject, slots::FreeObject>::kEntries;
}

void add(std::vector<OSSL_ALGORITHM>& rows, const char* names, const char* properties,
         const OSSL_DISPATCH* table) {
  rows.push_back({names, properties, table, nullptr});
}

/// Adds an operation's algorithm; two key types (RSA, RSA-PSS) may share it. Two rows: as aliases
/// in one row the host would take both names for the same algorithm, and other providers' too.
void add_once(std::vector<OSSL_ALGORITHM>& rows, const keystore::OperationNames& names,
              const OSSL_DISPATCH* table) {
  const auto same = [&names](const OSSL_ALGORITHM& row) {
    return std::string_view(row.algorithm_names) == names.own;
  };
  if (!names.exist() || std::ranges::any_of(rows, same)) return;
  add(rows, names.common, kProperties, table);
  add(rows, names.own, kProperties, table);
}

template <std::size_t kRow>
void add_encoders(std::vector<OSSL_ALGORITHM>& rows) {
  const char* names = kTypeTable[kRow].names;
  add(rows, names, "provider=vhsm,output=text", encoder_table<kRow, Form::kText>());
  add(rows, names, "provider=vhsm,output=der,structure=SubjectPublicKeyInfo",
      encoder_table<kRow, Form::kPublicKeyInfoDer>());
  add(rows, names, "provider=vhsm,output=pem,structure=SubjectPublicKeyInfo",
      encoder_table<kRow, Form::kPublicKeyInfoPem>());
  add(rows, names, "provider=vhsm,output=der,structure=PrivateKeyInfo",
      encoder_table<kRow, Form::kPrivateDer>());
  add(rows, names, "provider=vhsm,output=der,structure=EncryptedPrivateKeyInfo",
      encoder_table<kRow, Form::kPrivateDer>());
  add(rows, names, "provider=vhsm,output=pem,structure=EncryptedPrivateKeyInfo",
      encoder_table<kRow, Form::kEncryptedPem>());
  add(rows, names, "provider=vhsm,output=pem,structure=PrivateKeyInfo",
      encoder_table<kRow, Form::kPrivatePem>());
}

/// The type's own structures: of RSA the public key is one of them.
template <std::size_t kRow>
void add_own_encoders(std::vector<OSSL_ALGORITHM>& rows) {
  constexpr bool kPkcs1 = &kTypeTable[kRow] == &keystore::kRsa;
  constexpr Form kDer = kPkcs1 ? Form::kPkcs1Der : Form::kPrivateDer;
  constexpr Form kPem = kPkcs1 ? Form::kPkcs1Pem : Form::kPrivatePem;
  const char* names = kTypeTable[kRow].names;
  add(rows, names, "provider=vhsm,output=der,structure=type-specific", encoder_table<kRow, kDer>());
  add(rows, names, "provider=vhsm,output=pem,structure=type-specific", encoder_table<kRow, kPem>());
  if constexpr (kPkcs1) {
    add(rows, names, "provider=vhsm,output=der,structure=pkcs1", encoder_table<kRow, kDer>());
    add(rows, names, "provider=vhsm,output=pem,structure=pkcs1", encoder_table<kRow, kPem>());
  }
}

template <std::size_t kRow>
void add_type(Algorithms::Rows& rows) {
  constexpr const keystore::KeyType& type = kTypeTable[kRow];
  if (!keystore::is_there(type.since)) return;
  add(rows.key_management, type.names, kProperties, key_management_table<kRow>());
  add_once(rows.signatures, type.signature,
           type.signing == keystore::Signing::kMessage ? message_signature_table()
                                                       : digest_signature_table());
  add_once(rows.exchanges, type.exchange, exchange_table());
  add_once(rows.ciphers, type.cipher, cipher_table());
  add_once(rows.kems, type.kem, kem_table());
  add_encoders<kRow>(rows.encoders);
  add_own_encoders<kRow>(rows.encoders);
  add(rows.decoders, type.names, "provider=vhsm,input=der,structure=vhsm-uri",
      decoder_table<KeyDecoder<kRow>>());
}

template <std::size_t... kRows>
void add_types(Algorithms::Rows& rows, std::index_sequence<kRows...> /*all*/) {
  (add_type<kRows>(rows), ...);
}

bool is_one_of(std::string_view name, const keystore::OperationNames& names) noexcept {
  return names.exist() && (name == names.common || name == names.own);
}

/// Whether rows with these names are for something that FIPS 140-3 does not approve.
bool is_unapproved(std::string_view names) noexcept {
  return std::ranges::any_of(kTypeTable, [names](const keystore::KeyType& type) {
    if (names == type.names) return !type.approved;
    const auto refuses = [&](const keystore::OperationNames& operation) {
      return is_one_of(names, operation) && !(type.approved && operation.approved);
    };
    return refuses(type.signature) || refuses(type.exchange) || refuses(type.cipher) ||
           refuses(type.kem);
  });
}

}  // namespace

Algorithms::Algorithms(bool assume_fips) {
  add_types(rows_, std::make_index_sequence<kTypeTable.size()>());
  add(rows_.decoders, "DER", "provider=vhsm,input=pem", decoder_table<PemDecoder>());
  add(rows_.stores, "vhsm", kProperties, store_table());
  for (auto* rows : {&rows_.key_management, &rows_.signatures, &rows_.exchanges, &rows_.ciphers,
                     &rows_.kems, &rows_.encoders, &rows_.decoders, &rows_.stores}) {
    for (OSSL_ALGORITHM& row : *rows) {
      if (!assume_fips) break;
      const char* fips = is_unapproved(row.algorithm_names) ? ",fips=no" : ",fips=yes";
      row.property_definition =
          properties_.emplace_back(std::string(row.property_definition) + fips).c_str();
    }
    rows->push_back({nullptr, nullptr, nullptr, nullptr});
  }
}

const OSSL_ALGORITHM* Algorithms::of(int operation) const noexcept {
  switch (operation) {
    case OSSL_OP_KEYMGMT: return rows_.key_management.data();
    case OSSL_OP_SIGNATURE: return rows_.signatures.data();
    case OSSL_OP_KEYEXCH: return rows_.exchanges.data();
    case OSSL_OP_ASYM_CIPHER: return rows_.ciphers.data();
    case OSSL_OP_KEM: return rows_.kems.data();
    case OSSL_OP_ENCODER: return rows_.encoders.data();
    case OSSL_OP_DECODER: return rows_.decoders.data();
    case OSSL_OP_STORE: return rows_.stores.data();
    default: return nullptr;
  }
}

}  // namespace vhsm::provider
