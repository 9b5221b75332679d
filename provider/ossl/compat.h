// SPDX-License-Identifier: Apache-2.0
//
// Function ids and types that are newer than OpenSSL 3.0's headers, so that a module built with 3.0
// offers a later host what it can. A host that does not know an id skips it.
// Source: provider-storemgmt(7), OpenSSL 3.2; provider-signature(7), OpenSSL 3.4.
#pragma once

#include <openssl/core.h>
#include <openssl/core_dispatch.h>

#include <cstddef>

namespace vhsm::ossl::compat {

inline constexpr int kStoreOpenEx = 10;
using StoreOpenExFn = void*(void* provctx, const char* uri, const OSSL_PARAM params[],
                            OSSL_PASSPHRASE_CALLBACK* passphrase, void* passphrase_arg);

inline constexpr int kSignMessageInit = 27;
inline constexpr int kVerifyMessageInit = 30;
using MessageInitFn = int(void* ctx, void* key, const OSSL_PARAM params[]);

#ifdef OSSL_FUNC_STORE_OPEN_EX
static_assert(OSSL_FUNC_STORE_OPEN_EX == kStoreOpenEx);
#endif
#ifdef OSSL_FUNC_SIGNATURE_SIGN_MESSAGE_INIT
static_assert(OSSL_FUNC_SIGNATURE_SIGN_MESSAGE_INIT == kSignMessageInit);
static_assert(OSSL_FUNC_SIGNATURE_VERIFY_MESSAGE_INIT == kVerifyMessageInit);
#endif

}  // namespace vhsm::ossl::compat
