// SPDX-License-Identifier: Apache-2.0
//
// Function ids and types that are newer than OpenSSL 3.0's headers, so that a module built with 3.0
// offers a later host what it can. A host that does not know an id skips it.
// Source: provider-storemgmt(7), OpenSSL 3.2; provider-skeymgmt(7), provider-mac(7) and
// provider-cipher(7), OpenSSL 3.5; provider-kdf(7), OpenSSL 3.6.
#pragma once

#include <openssl/core.h>
#include <openssl/core_dispatch.h>

#include <cstddef>

namespace vhsm::ossl::compat {

inline constexpr int kStoreOpenEx = 10;
using StoreOpenExFn = void*(void* provctx, const char* uri, const OSSL_PARAM params[],
                            OSSL_PASSPHRASE_CALLBACK* passphrase, void* passphrase_arg);

#ifdef OSSL_FUNC_STORE_OPEN_EX
static_assert(OSSL_FUNC_STORE_OPEN_EX == kStoreOpenEx);
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
