// SPDX-License-Identifier: Apache-2.0
//
// Function ids and types that are newer than OpenSSL 3.0's headers, so that a module built with 3.0
// offers a later host what it can. A host that does not know an id skips it.
// Source: provider-storemgmt(7) and provider-keymgmt(7), OpenSSL 3.2.
#pragma once

#include <openssl/core.h>
#include <openssl/core_dispatch.h>

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

}  // namespace vhsm::ossl::compat
