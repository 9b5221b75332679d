// SPDX-License-Identifier: Apache-2.0
#include "provider/algorithms.h"

#include <openssl/core_dispatch.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <string_view>
#include <utility>

#include "keystore/key_type.h"
#include "keystore/symmetric_algorithm.h"
#include "provider/cipher.h"
#include "provider/key_decoder.h"
#include "provider/key_encoder.h"
#include "provider/key_management.h"
#include "provider/operation_context.h"
#include "provider/ossl/asym_cipher.h"
#include "provider/ossl/cipher.h"
#include "provider/ossl/compat.h"
#include "provider/ossl/decoder.h"
#include "provider/ossl/encoder.h"
#include "provider/ossl/kdf.h"
#include "provider/ossl/kem.h"
#include "provider/ossl/keyexch.h"
#include "provider/ossl/mac.h"
#include "provider/ossl/signature.h"
#include "provider/ossl/skeymgmt.h"
#include "provider/ossl/store.h"
#include "provider/secret_handle.h"
#include "provider/signature_scheme.h"
#include "provider/signer.h"
#include "provider/store_loader.h"
#include "provider/symmetric_context.h"

namespace vhsm::provider {
namespace {

using keystore::kTypeTable;

constexpr const char* kProperties = "provider=vhsm";

/// Not provider=vhsm: who prefers vhsm for key pairs does not ask for MACs and ciphers without a
/// key.
constexpr const char* kSymmetricProperties = "vhsm.symmetric=yes";

bool signs_alike(const keystore::KeyType& a, const keystore::KeyType& b) noexcept {
  return a.signature.own != nullptr && b.signature.own != nullptr &&
         std::string_view(a.signature.own) == b.signature.own;
}

/// The types that sign with the same algorithm as those of the row, for OpenSSL's query_key_types.
template <std::size_t kRow>
const char** signing_types() {
  static constexpr std::size_t kMost = 4;  // two of them are there: RSA and RSA-PSS
  static auto names = [] {
    std::array<const char*, kMost + 1> found{};
    std::size_t count = 0;
    for (const keystore::KeyType* type : keystore::key_types()) {
      const bool alike = signs_alike(*type, kTypeTable[kRow]);
      if (alike && count < kMost) found.at(count++) = type->name;
    }
    return found;
  }();
  return names.data();
}

template <std::size_t kRow, template <class> class... More>
constexpr const OSSL_DISPATCH* digest_signature_table() noexcept {
  namespace slots = ossl::signature;
  return ossl::Table<
      Signer, slots::NewCtx, slots::FreeCtx, slots::DupCtx, slots::SignInit, slots::Sign,
      slots::VerifyInit, slots::Verify, slots::DigestSignInit, slots::DigestSignUpdate,
      slots::DigestSignFinal, slots::DigestSign, slots::DigestVerifyInit, slots::DigestVerifyUpdate,
      slots::DigestVerifyFinal, slots::DigestVerify, slots::GetCtxParams, slots::GettableCtxParams,
      slots::SetCtxParams, slots::SettableCtxParams, slots::GetCtxMdParams,
      slots::GettableCtxMdParams, slots::SetCtxMdParams, slots::SettableCtxMdParams,
      slots::TakesKeys<signing_types<kRow>>::template QueryKeyTypes, More...>::kEntries;
}

template <std::size_t kRow>
constexpr const OSSL_DISPATCH* message_signature_table() noexcept {
  namespace slots = ossl::signature;
  return ossl::Table<Signer, slots::NewCtx, slots::FreeCtx, slots::DupCtx, slots::SignInit,
                     slots::Sign, slots::VerifyInit, slots::Verify, slots::SignMessageInit,
                     slots::VerifyMessageInit, slots::DigestSignInit, slots::DigestSign,
                     slots::DigestVerifyInit, slots::DigestVerify, slots::GetCtxParams,
                     slots::GettableCtxParams, slots::SetCtxParams, slots::SettableCtxParams,
                     slots::TakesKeys<signing_types<kRow>>::template QueryKeyTypes>::kEntries;
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

constexpr const OSSL_DISPATCH* kem_table() noexcept {
  namespace slots = ossl::kem;
  return ossl::Table<OperationContext, slots::NewCtx, slots::FreeCtx, slots::DupCtx,
                     slots::EncapsulateInit, slots::AuthEncapsulateInit, slots::Encapsulate,
                     slots::DecapsulateInit, slots::AuthDecapsulateInit, slots::Decapsulate,
                     slots::GetCtxParams, slots::GettableCtxParams, slots::SetCtxParams,
                     slots::SettableCtxParams>::kEntries;
}

template <class T>
constexpr const OSSL_DISPATCH* mac_table() noexcept {
  namespace slots = ossl::mac;
  return ossl::Table<T, slots::NewCtx, slots::FreeCtx, slots::DupCtx, slots::Init, slots::InitSkey,
                     slots::Update, slots::Final, slots::GettableParams, slots::GetParams,
                     slots::GettableCtxParams, slots::GetCtxParams, slots::SettableCtxParams,
                     slots::SetCtxParams>::kEntries;
}

template <class T>
constexpr const OSSL_DISPATCH* symmetric_cipher_table() noexcept {
  namespace slots = ossl::cipher;
  return ossl::Table<T, slots::NewCtx, slots::FreeCtx, slots::DupCtx, slots::EncryptInit,
                     slots::DecryptInit, slots::EncryptSkeyInit, slots::DecryptSkeyInit,
                     slots::Update, slots::Final, slots::GettableParams, slots::GetParams,
                     slots::GettableCtxParams, slots::GetCtxParams, slots::SettableCtxParams,
                     slots::SetCtxParams>::kEntries;
}

template <class T>
constexpr const OSSL_DISPATCH* derivation_table() noexcept {
  namespace slots = ossl::kdf;
  return ossl::Table<T, slots::NewCtx, slots::FreeCtx, slots::DupCtx, slots::Reset, slots::Derive,
                     slots::SetSkey, slots::DeriveSkey, slots::GettableParams, slots::GetParams,
                     slots::GettableCtxParams, slots::GetCtxParams, slots::SettableCtxParams,
                     slots::SetCtxParams>::kEntries;
}

constexpr const OSSL_DISPATCH* secret_management_table() noexcept {
  namespace slots = ossl::skeymgmt;
  return ossl::Table<SecretHandle, slots::Free, slots::Import, slots::Export, slots::Generate,
                     slots::GetKeyId, slots::ImportSettable, slots::GenerateSettable>::kEntries;
}

constexpr const OSSL_DISPATCH* store_table() noexcept {
  namespace slots = ossl::store;
  return ossl::Table<StoreLoader, slots::Open, slots::OpenEx, slots::SettableCtxParams,
                     slots::SetCtxParams, slots::Load, slots::Eof, slots::Close,
                     slots::Delete>::kEntries;
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

/// RSA alone gives back what was signed.
template <std::size_t kRow>
constexpr const OSSL_DISPATCH* signature_table() noexcept {
  namespace slots = ossl::signature;
  constexpr const keystore::KeyType& type = kTypeTable[kRow];
  if constexpr (type.family == keystore::Family::kRsa) {
    return digest_signature_table<kRow, slots::VerifyRecoverInit, slots::VerifyRecover>();
  } else if constexpr (type.signing == keystore::Signing::kMessage) {
    return message_signature_table<kRow>();
  } else {
    return digest_signature_table<kRow>();
  }
}

template <std::size_t kRow>
void add_type(Algorithms::Rows& rows) {
  constexpr const keystore::KeyType& type = kTypeTable[kRow];
  if (!keystore::is_there(type.since)) return;
  add(rows.key_management, type.names, kProperties, key_management_table<kRow>());
  add_once(rows.signatures, type.signature, signature_table<kRow>());
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

template <const keystore::SymmetricAlgorithm&... kAll>
void add_macs(std::vector<OSSL_ALGORITHM>& rows) {
  (add(rows, kAll.own_name, kSymmetricProperties, mac_table<Symmetric<kAll>>()), ...);
}

template <const keystore::SymmetricAlgorithm&... kAll>
void add_ciphers(std::vector<OSSL_ALGORITHM>& rows) {
  (add(rows, kAll.own_name, kSymmetricProperties, symmetric_cipher_table<Symmetric<kAll>>()), ...);
}

template <const keystore::SymmetricAlgorithm&... kAll>
void add_derivations(std::vector<OSSL_ALGORITHM>& rows) {
  (add(rows, kAll.own_name, kSymmetricProperties, derivation_table<Symmetric<kAll>>()), ...);
}

void add_symmetric(Algorithms::Rows& rows) {
  using namespace keystore;  // names of algorithms alone
  add(rows.secret_management, "VHSM-GENERIC-SECRET", kSymmetricProperties,
      secret_management_table());
  add_macs<kHmac, kCmac, kKmac128, kKmac256>(rows.macs);
  add_ciphers<kAes128Gcm, kAes192Gcm, kAes256Gcm, kAes128Cbc, kAes192Cbc, kAes256Cbc, kAes128Ctr,
              kAes192Ctr, kAes256Ctr, kAes128Wrap, kAes192Wrap, kAes256Wrap>(
      rows.symmetric_ciphers);
  add_derivations<kHkdf, kTls13Kdf>(rows.derivations);
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

Algorithms::Algorithms(bool host_signs_messages, bool assume_fips) {
  add_types(rows_, std::make_index_sequence<kTypeTable.size()>());
  if (host_signs_messages) add_schemes(rows_.signatures);
  add(rows_.decoders, "DER", "provider=vhsm,input=pem", decoder_table<PemDecoder>());
  add(rows_.stores, "vhsm", kProperties, store_table());
  add_symmetric(rows_);
  for (auto* rows :
       {&rows_.key_management, &rows_.signatures, &rows_.exchanges, &rows_.ciphers, &rows_.kems,
        &rows_.encoders, &rows_.decoders, &rows_.stores, &rows_.secret_management, &rows_.macs,
        &rows_.symmetric_ciphers, &rows_.derivations}) {
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
    case ossl::compat::kOpSkeymgmt: return rows_.secret_management.data();
    case OSSL_OP_MAC: return rows_.macs.data();
    case OSSL_OP_CIPHER: return rows_.symmetric_ciphers.data();
    case OSSL_OP_KDF: return rows_.derivations.data();
    default: return nullptr;
  }
}

}  // namespace vhsm::provider
