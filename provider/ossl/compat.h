// SPDX-License-Identifier: Apache-2.0
//
// Function ids and types that are newer than OpenSSL 3.0's headers, so that a module built with 3.0
// offers a later host what it can. A host that does not know an id skips it.
// Source: provider-storemgmt(7) and provider-kem(7), OpenSSL 3.2.
#pragma once

#include <openssl/core.h>
#include <openssl/core_dispatch.h>

#include <type_traits>

namespace vhsm::ossl::compat {

inline constexpr int kStoreOpenEx = 10;
using StoreOpenExFn = void*(void* provctx, const char* uri, const OSSL_PARAM params[],
                            OSSL_PASSPHRASE_CALLBACK* passphrase, void* passphrase_arg);

inline constexpr int kKemAuthEncapsulateInit = 12;
inline constexpr int kKemAuthDecapsulateInit = 13;
using KemAuthInitFn = int(void* ctx, void* key, void* auth_key, const OSSL_PARAM params[]);

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

#ifdef OSSL_FUNC_STORE_OPEN_EX
static_assert(OSSL_FUNC_STORE_OPEN_EX == kStoreOpenEx);
#endif
#ifdef OSSL_FUNC_KEM_AUTH_ENCAPSULATE_INIT
static_assert(OSSL_FUNC_KEM_AUTH_ENCAPSULATE_INIT == kKemAuthEncapsulateInit);
static_assert(OSSL_FUNC_KEM_AUTH_DECAPSULATE_INIT == kKemAuthDecapsulateInit);
static_assert(std::is_same_v<OSSL_FUNC_kem_auth_encapsulate_init_fn, KemAuthInitFn>);
#endif

}  // namespace vhsm::ossl::compat
