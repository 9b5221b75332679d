// SPDX-License-Identifier: Apache-2.0
#include "provider/algorithms.h"

#include <openssl/core_dispatch.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <string_view>
#include <utility>

#include "keystore/key_type.h"
#include "provider/cipher.h"
#include "provider/key_decoder.h"
#include "provider/key_encoder.h"
#include "provider/key_management.h"
#include "provider/operation_context.h"
#include "provider/ossl/asym_cipher.h"
#include "provider/ossl/decoder.h"
#include "provider/ossl/encoder.h"
#include "provider/ossl/keyexch.h"
#include "provider/ossl/signature.h"
#include "provider/ossl/store.h"
#include "provider/signature_scheme.h"
#include "provider/signer.h"
#include "provider/store_loader.h"

namespace vhsm::provider {
namespace {

using keystore::KeyType;

constexpr const char* kProperties = "provider=vhsm";

bool signs_alike(const KeyType& a, const KeyType& b) noexcept {
  return a.signature.own != nullptr && b.signature.own != nullptr &&
         std::string_view(a.signature.own) == b.signature.own;
}

/// The types that sign with the same algorithm as `kType`, for OpenSSL's query_key_types.
template <const KeyType& kType>
const char** signing_types() {
  static constexpr std::size_t kMost = 4;  // two of them are there: RSA and RSA-PSS
  static auto names = [] {
    std::array<const char*, kMost + 1> found{};
    std::size_t count = 0;
    for (const KeyType* type : keystore::key_types()) {
      if (signs_alike(*type, kType) && count < kMost) found.at(count++) = type->name;
    }
    return found;
  }();
  return names.data();
}

template <const KeyType& kType, template <class> class... More>
constexpr const OSSL_DISPATCH* digest_signature_table() noexcept {
  namespace slots = ossl::signature;
  return ossl::Table<
      Signer, slots::NewCtx, slots::FreeCtx, slots::DupCtx, slots::SignInit, slots::Sign,
      slots::VerifyInit, slots::Verify, slots::DigestSignInit, slots::DigestSignUpdate,
      slots::DigestSignFinal, slots::DigestSign, slots::DigestVerifyInit, slots::DigestVerifyUpdate,
      slots::DigestVerifyFinal, slots::DigestVerify, slots::GetCtxParams, slots::GettableCtxParams,
      slots::SetCtxParams, slots::SettableCtxParams, slots::GetCtxMdParams,
      slots::GettableCtxMdParams, slots::SetCtxMdParams, slots::SettableCtxMdParams,
      slots::TakesKeys<signing_types<kType>>::template QueryKeyTypes, More...>::kEntries;
}

template <const KeyType& kType>
constexpr const OSSL_DISPATCH* message_signature_table() noexcept {
  namespace slots = ossl::signature;
  return ossl::Table<Signer, slots::NewCtx, slots::FreeCtx, slots::DupCtx, slots::SignInit,
                     slots::Sign, slots::VerifyInit, slots::Verify, slots::SignMessageInit,
                     slots::VerifyMessageInit, slots::DigestSignInit, slots::DigestSign,
                     slots::DigestVerifyInit, slots::DigestVerify, slots::GetCtxParams,
                     slots::GettableCtxParams, slots::SetCtxParams, slots::SettableCtxParams,
                     slots::TakesKeys<signing_types<kType>>::template QueryKeyTypes>::kEntries;
}

/// One of many algorithms that differ in nothing but an entry of a table.
template <const auto& kSchemes, std::size_t kIndex>
struct OfScheme {
  static Result<std::unique_ptr<Signer>> create(Provider& provider) {
    return std::make_unique<Signer>(provider, &kSchemes[kIndex]);
  }
  static const char** key_types() {
    static std::array<const char*, 2> names{kSchemes[kIndex].key_type, nullptr};
    return names.data();
  }
};

template <const auto& kSchemes, std::size_t kIndex, template <class> class... More>
constexpr const OSSL_DISPATCH* scheme_table() noexcept {
  namespace slots = ossl::signature;
  using Scheme = OfScheme<kSchemes, kIndex>;
  return ossl::Table<Signer, slots::CreatedBy<Scheme::create>::template NewCtx, slots::FreeCtx,
                     slots::DupCtx, slots::SignInit, slots::Sign, slots::VerifyInit, slots::Verify,
                     slots::SignMessageInit, slots::VerifyMessageInit, slots::GetCtxParams,
                     slots::GettableCtxParams, slots::SetCtxParams, slots::SettableCtxParams,
                     slots::TakesKeys<Scheme::key_types>::template QueryKeyTypes,
                     More...>::kEntries;
}

constexpr const OSSL_DISPATCH* exchange_table() noexcept {
  namespace slots = ossl::keyexch;
  return ossl::Table<OperationContext, slots::NewCtx, slots::FreeCtx, slots::DupCtx, slots::Init,
                     slots::SetPeer, slots::Derive, slots::GetCtxParams, slots::GettableCtxParams,
                     slots::SetCtxParams, slots::SettableCtxParams>::kEntries;
}

constexpr const OSSL_DISPATCH* cipher_table() noexcept {
  namespace slots = ossl::asym_cipher;
  return ossl::Table<Cipher, slots::NewCtx, slots::FreeCtx, slots::DupCtx, slots::EncryptInit,
                     slots::Encrypt, slots::DecryptInit, slots::Decrypt, slots::GetCtxParams,
                     slots::GettableCtxParams, slots::SetCtxParams,
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

template <const KeyType& kType, Form kForm>
constexpr const OSSL_DISPATCH* encoder_table() noexcept {
  namespace slots = ossl::encoder;
  return ossl::Table<KeyEncoder<kType, kForm>, slots::NewCtx, slots::FreeCtx, slots::DoesSelection,
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
  if (names.own == nullptr || std::ranges::any_of(rows, same)) return;
  add(rows, names.common, kProperties, table);
  add(rows, names.own, kProperties, table);
}

template <const KeyType& kType>
void add_encoders(std::vector<OSSL_ALGORITHM>& rows) {
  const char* names = kType.names;
  add(rows, names, "provider=vhsm,output=text", encoder_table<kType, Form::kText>());
  add(rows, names, "provider=vhsm,output=der,structure=SubjectPublicKeyInfo",
      encoder_table<kType, Form::kPublicKeyInfoDer>());
  add(rows, names, "provider=vhsm,output=pem,structure=SubjectPublicKeyInfo",
      encoder_table<kType, Form::kPublicKeyInfoPem>());
  add(rows, names, "provider=vhsm,output=der,structure=PrivateKeyInfo",
      encoder_table<kType, Form::kPrivateDer>());
  add(rows, names, "provider=vhsm,output=der,structure=EncryptedPrivateKeyInfo",
      encoder_table<kType, Form::kPrivateDer>());
  add(rows, names, "provider=vhsm,output=pem,structure=EncryptedPrivateKeyInfo",
      encoder_table<kType, Form::kEncryptedPem>());
  add(rows, names, "provider=vhsm,output=pem,structure=PrivateKeyInfo",
      encoder_table<kType, Form::kPrivatePem>());
}

/// The type's own structures: of RSA the public key is one of them.
template <const KeyType& kType, Form kDer, Form kPem>
void add_own_encoders(std::vector<OSSL_ALGORITHM>& rows) {
  add(rows, kType.names, "provider=vhsm,output=der,structure=type-specific",
      encoder_table<kType, kDer>());
  add(rows, kType.names, "provider=vhsm,output=pem,structure=type-specific",
      encoder_table<kType, kPem>());
  if constexpr (kDer == Form::kPkcs1Der) {
    add(rows, kType.names, "provider=vhsm,output=der,structure=pkcs1",
        encoder_table<kType, kDer>());
    add(rows, kType.names, "provider=vhsm,output=pem,structure=pkcs1",
        encoder_table<kType, kPem>());
  }
}

template <std::size_t... kIndex>
void add_hashing_schemes(std::vector<OSSL_ALGORITHM>& rows,
                         std::index_sequence<kIndex...> /*each*/) {
  namespace slots = ossl::signature;
  (add(rows, kHashingSchemes[kIndex].names, kProperties,
       scheme_table<kHashingSchemes, kIndex, slots::SignMessageUpdate, slots::SignMessageFinal,
                    slots::VerifyMessageUpdate, slots::VerifyMessageFinal>()),
   ...);
}

template <std::size_t... kIndex>
void add_whole_schemes(std::vector<OSSL_ALGORITHM>& rows, std::index_sequence<kIndex...> /*each*/) {
  (add(rows, kWholeSchemes[kIndex].names, kProperties, scheme_table<kWholeSchemes, kIndex>()), ...);
}

/// Older hosts know some of the names for digests, and must not learn otherwise.
void add_schemes(std::vector<OSSL_ALGORITHM>& rows) {
  add_hashing_schemes(rows, std::make_index_sequence<std::size(kHashingSchemes)>());
  if constexpr (kKnowsInstances) {
    add_whole_schemes(rows, std::make_index_sequence<std::size(kWholeSchemes)>());
  }
}

template <const KeyType& kType>
constexpr const OSSL_DISPATCH* signature_table() noexcept {
  return kType.signing == keystore::Signing::kMessage ? message_signature_table<kType>()
                                                      : digest_signature_table<kType>();
}

/// RSA alone gives back what was signed.
template <>
constexpr const OSSL_DISPATCH* signature_table<keystore::kRsa>() noexcept {
  namespace slots = ossl::signature;
  return digest_signature_table<keystore::kRsa, slots::VerifyRecoverInit, slots::VerifyRecover>();
}

template <const KeyType& kType, Form kDer = Form::kPrivateDer, Form kPem = Form::kPrivatePem>
void add_type(Algorithms::Rows& rows) {
  add(rows.key_management, kType.names, kProperties, key_management_table<kType>());
  add_once(rows.signatures, kType.signature, signature_table<kType>());
  add_once(rows.exchanges, kType.exchange, exchange_table());
  add_once(rows.ciphers, kType.cipher, cipher_table());
  add_encoders<kType>(rows.encoders);
  add_own_encoders<kType, kDer, kPem>(rows.encoders);
  add(rows.decoders, kType.names, "provider=vhsm,input=der,structure=vhsm-uri",
      decoder_table<KeyDecoder<kType>>());
}

}  // namespace

Algorithms::Algorithms(bool host_signs_messages) {
  add_type<keystore::kRsa, Form::kPkcs1Der, Form::kPkcs1Pem>(rows_);
  add_type<keystore::kRsaPss>(rows_);
  add_type<keystore::kEc>(rows_);
  add_type<keystore::kEd25519>(rows_);
  add_type<keystore::kX25519>(rows_);
  add_type<keystore::kEd448>(rows_);
  add_type<keystore::kX448>(rows_);
  if (host_signs_messages) add_schemes(rows_.signatures);
  add(rows_.decoders, "DER", "provider=vhsm,input=pem", decoder_table<PemDecoder>());
  add(rows_.stores, "vhsm", kProperties, store_table());
  for (auto* rows : {&rows_.key_management, &rows_.signatures, &rows_.exchanges, &rows_.ciphers,
                     &rows_.encoders, &rows_.decoders, &rows_.stores}) {
    rows->push_back({nullptr, nullptr, nullptr, nullptr});
  }
}

const OSSL_ALGORITHM* Algorithms::of(int operation) const noexcept {
  switch (operation) {
    case OSSL_OP_KEYMGMT: return rows_.key_management.data();
    case OSSL_OP_SIGNATURE: return rows_.signatures.data();
    case OSSL_OP_KEYEXCH: return rows_.exchanges.data();
    case OSSL_OP_ASYM_CIPHER: return rows_.ciphers.data();
    case OSSL_OP_ENCODER: return rows_.encoders.data();
    case OSSL_OP_DECODER: return rows_.decoders.data();
    case OSSL_OP_STORE: return rows_.stores.data();
    default: return nullptr;
  }
}

}  // namespace vhsm::provider
