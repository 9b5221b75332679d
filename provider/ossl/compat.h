// SPDX-License-Identifier: Apache-2.0
//
// Function ids and types that are newer than OpenSSL 3.0's headers, so that a module built with 3.0
// offers a later host what it can. A host that does not know an id skips it.
// Source: provider-storemgmt(7), OpenSSL 3.2.
#pragma once

#include <openssl/core.h>
#include <openssl/core_dispatch.h>

namespace vhsm::ossl::compat {

inline constexpr int kStoreOpenEx = 10;
using StoreOpenExFn = void*(void* provctx, const char* uri, const OSSL_PARAM params[],
                            OSSL_PASSPHRASE_CALLBACK* passphrase, void* passphrase_arg);

#ifdef OSSL_FUNC_STORE_OPEN_EX
static_assert(OSSL_FUNC_STORE_OPEN_EX == kStoreOpenEx);
#endif

}  // namespace vhsm::ossl::compat
