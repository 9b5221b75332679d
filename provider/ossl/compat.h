// SPDX-License-Identifier: Apache-2.0
//
// Function ids and types that are newer than OpenSSL 3.0's headers, so that a module built with 3.0
// offers a later host what it can. A host that does not know an id skips it.
// Source: provider-storemgmt(7), provider-keymgmt(7) and provider-kem(7), OpenSSL 3.2;
// provider-signature(7), EVP_SIGNATURE-ED25519(7) and EVP_ASYM_CIPHER-RSA(7), OpenSSL 3.4;
// provider-skeymgmt(7), provider-mac(7) and provider-cipher(7), OpenSSL 3.5; provider-kdf(7),
// OpenSSL 3.6.
#pragma once

#include <openssl/core.h>
#include <openssl/core_dispatch.h>

#include <cstddef>
#include <type_traits>

namespace vhsm::ossl::compat {

inline constexpr int kKeymgmtImportTypesEx = 45;
inline constexpr int kKeymgmtExportTypesEx = 46;
using KeymgmtTypesExFn = const OSSL_PARAM*(void* provctx, int selection);

inline constexpr int kStoreDelete = 9;
using StoreDeleteFn = int(void* provctx, const char* uri, const OSSL_PARAM params[],
                          OSSL_PASSPHRASE_CALLBACK* passphrase, void* passphrase_arg);

inline constexpr int kStoreOpenEx = 10;
using StoreOpenExFn = void*(void* provctx, const char* uri, const OSSL_PARAM params[],
                            OSSL_PASSPHRASE_CALLBACK* passphrase, void* passphrase_arg);

inline constexpr int kKemAuthEncapsulateInit = 12;
inline constexpr int kKemAuthDecapsulateInit = 13;
using KemAuthInitFn = int(void* ctx, void* key, void* auth_key, const OSSL_PARAM params[]);
inline constexpr int kSignatureQueryKeyTypes = 26;
inline constexpr int kSignatureSignMessageInit = 27;
inline constexpr int kSignatureSignMessageUpdate = 28;
inline constexpr int kSignatureSignMessageFinal = 29;
inline constexpr int kSignatureVerifyMessageInit = 30;
inline constexpr int kSignatureVerifyMessageUpdate = 31;
inline constexpr int kSignatureVerifyMessageFinal = 32;
using QueryKeyTypesFn = const char**();
using MessageInitFn = int(void* ctx, void* key, const OSSL_PARAM params[]);
using MessageUpdateFn = int(void* ctx, const unsigned char* in, std::size_t size);
using SignMessageFinalFn = int(void* ctx, unsigned char* out, std::size_t* written,
                               std::size_t capacity);
using VerifyMessageFinalFn = int(void* ctx);

inline constexpr const char* kSignature = "signature";
inline constexpr const char* kInstance = "instance";
inline constexpr const char* kContextString = "context-string";
inline constexpr const char* kImplicitRejection = "implicit-rejection";

// The capability TLS-SIGALG of provider-base(7), OpenSSL 3.2 and 3.5.
inline constexpr const char* kTlsSigalg = "TLS-SIGALG";
inline constexpr const char* kTlsSigalgIanaName = "tls-sigalg-iana-name";
inline constexpr const char* kTlsSigalgName = "tls-sigalg-name";
inline constexpr const char* kTlsSigalgOid = "tls-sigalg-oid";
inline constexpr const char* kTlsSigalgCodePoint = "tls-sigalg-code-point";
inline constexpr const char* kTlsSigalgSecurityBits = "tls-sigalg-sec-bits";
inline constexpr const char* kTlsSigalgMinTls = "tls-min-tls";
inline constexpr const char* kTlsSigalgMaxTls = "tls-max-tls";
inline constexpr const char* kTlsSigalgMinDtls = "tls-min-dtls";
inline constexpr const char* kTlsSigalgMaxDtls = "tls-max-dtls";

#ifdef OSSL_FUNC_STORE_OPEN_EX  // 3.2
static_assert(OSSL_FUNC_KEYMGMT_IMPORT_TYPES_EX == kKeymgmtImportTypesEx);
static_assert(OSSL_FUNC_KEYMGMT_EXPORT_TYPES_EX == kKeymgmtExportTypesEx);
static_assert(OSSL_FUNC_STORE_DELETE == kStoreDelete);
static_assert(OSSL_FUNC_STORE_OPEN_EX == kStoreOpenEx);
static_assert(std::is_same_v<OSSL_FUNC_keymgmt_import_types_ex_fn, KeymgmtTypesExFn>);
static_assert(std::is_same_v<OSSL_FUNC_keymgmt_export_types_ex_fn, KeymgmtTypesExFn>);
static_assert(std::is_same_v<OSSL_FUNC_store_delete_fn, StoreDeleteFn>);
static_assert(std::is_same_v<OSSL_FUNC_store_open_ex_fn, StoreOpenExFn>);
#endif
#ifdef OSSL_FUNC_KEM_AUTH_ENCAPSULATE_INIT
static_assert(OSSL_FUNC_KEM_AUTH_ENCAPSULATE_INIT == kKemAuthEncapsulateInit);
static_assert(OSSL_FUNC_KEM_AUTH_DECAPSULATE_INIT == kKemAuthDecapsulateInit);
static_assert(std::is_same_v<OSSL_FUNC_kem_auth_encapsulate_init_fn, KemAuthInitFn>);
#endif
#ifdef OSSL_FUNC_SIGNATURE_SIGN_MESSAGE_INIT
static_assert(OSSL_FUNC_SIGNATURE_QUERY_KEY_TYPES == kSignatureQueryKeyTypes);
static_assert(OSSL_FUNC_SIGNATURE_SIGN_MESSAGE_INIT == kSignatureSignMessageInit);
static_assert(OSSL_FUNC_SIGNATURE_SIGN_MESSAGE_UPDATE == kSignatureSignMessageUpdate);
static_assert(OSSL_FUNC_SIGNATURE_SIGN_MESSAGE_FINAL == kSignatureSignMessageFinal);
static_assert(OSSL_FUNC_SIGNATURE_VERIFY_MESSAGE_INIT == kSignatureVerifyMessageInit);
static_assert(OSSL_FUNC_SIGNATURE_VERIFY_MESSAGE_UPDATE == kSignatureVerifyMessageUpdate);
static_assert(OSSL_FUNC_SIGNATURE_VERIFY_MESSAGE_FINAL == kSignatureVerifyMessageFinal);
static_assert(std::is_same_v<OSSL_FUNC_signature_query_key_types_fn, QueryKeyTypesFn>);
static_assert(std::is_same_v<OSSL_FUNC_signature_sign_message_init_fn, MessageInitFn>);
static_assert(std::is_same_v<OSSL_FUNC_signature_sign_message_update_fn, MessageUpdateFn>);
static_assert(std::is_same_v<OSSL_FUNC_signature_sign_message_final_fn, SignMessageFinalFn>);
static_assert(std::is_same_v<OSSL_FUNC_signature_verify_message_init_fn, MessageInitFn>);
static_assert(std::is_same_v<OSSL_FUNC_signature_verify_message_update_fn, MessageUpdateFn>);
static_assert(std::is_same_v<OSSL_FUNC_signature_verify_message_final_fn, VerifyMessageFinalFn>);
#endif

// 3.5: symmetric keys as objects.
inline constexpr int kOpSkeymgmt = 15;
inline constexpr int kSkeymgmtFree = 1;
inline constexpr int kSkeymgmtImport = 2;
inline constexpr int kSkeymgmtExport = 3;
inline constexpr int kSkeymgmtGenerate = 4;
inline constexpr int kSkeymgmtGetKeyId = 5;
inline constexpr int kSkeymgmtImportSettable = 6;
inline constexpr int kSkeymgmtGenerateSettable = 7;
using SkeymgmtFreeFn = void(void* key);
using SkeymgmtImportFn = void*(void* provctx, int selection, const OSSL_PARAM params[]);
using SkeymgmtExportFn = int(void* key, int selection, OSSL_CALLBACK* tell, void* arg);
using SkeymgmtGenerateFn = void*(void* provctx, const OSSL_PARAM params[]);
using SkeymgmtGetKeyIdFn = const char*(void* key);
using SkeymgmtSettableFn = const OSSL_PARAM*(void* provctx);

inline constexpr int kMacInitSkey = 13;
using MacInitSkeyFn = int(void* ctx, void* key, const OSSL_PARAM params[]);

inline constexpr int kCipherEncryptSkeyInit = 19;
inline constexpr int kCipherDecryptSkeyInit = 20;
using CipherSkeyInitFn = int(void* ctx, void* key, const unsigned char* iv, std::size_t iv_size,
                             const OSSL_PARAM params[]);

#ifdef OSSL_OP_SKEYMGMT
static_assert(OSSL_OP_SKEYMGMT == kOpSkeymgmt);
static_assert(OSSL_FUNC_SKEYMGMT_FREE == kSkeymgmtFree);
static_assert(OSSL_FUNC_SKEYMGMT_IMPORT == kSkeymgmtImport);
static_assert(OSSL_FUNC_SKEYMGMT_EXPORT == kSkeymgmtExport);
static_assert(OSSL_FUNC_SKEYMGMT_GENERATE == kSkeymgmtGenerate);
static_assert(OSSL_FUNC_SKEYMGMT_GET_KEY_ID == kSkeymgmtGetKeyId);
static_assert(OSSL_FUNC_SKEYMGMT_IMP_SETTABLE_PARAMS == kSkeymgmtImportSettable);
static_assert(OSSL_FUNC_SKEYMGMT_GEN_SETTABLE_PARAMS == kSkeymgmtGenerateSettable);
static_assert(OSSL_FUNC_MAC_INIT_SKEY == kMacInitSkey);
static_assert(OSSL_FUNC_CIPHER_ENCRYPT_SKEY_INIT == kCipherEncryptSkeyInit);
static_assert(OSSL_FUNC_CIPHER_DECRYPT_SKEY_INIT == kCipherDecryptSkeyInit);
#endif

// 3.6: key derivations that begin or end with such objects.
inline constexpr int kKdfSetSkey = 12;
inline constexpr int kKdfDeriveSkey = 13;
using KdfSetSkeyFn = int(void* ctx, void* key, const char* param_name);
using KdfDeriveSkeyFn = void*(void* ctx, const char* key_type, void* provctx,
                              SkeymgmtImportFn* import, std::size_t size,
                              const OSSL_PARAM params[]);

#ifdef OSSL_FUNC_KDF_SET_SKEY
static_assert(OSSL_FUNC_KDF_SET_SKEY == kKdfSetSkey);
static_assert(OSSL_FUNC_KDF_DERIVE_SKEY == kKdfDeriveSkey);
#endif

}  // namespace vhsm::ossl::compat
