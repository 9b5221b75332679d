// SPDX-License-Identifier: Apache-2.0
//
// The provider itself: what libcrypto asks a provider context.
// Source: provider-base(7), OpenSSL 3.0.
#pragma once

#include "provider/ossl/boundary.h"
#include "provider/ossl/dispatch.h"

namespace vhsm::ossl::base {

inline constexpr int kOperation = 0;

template <class T>
struct Teardown : Slot<kOperation, OSSL_FUNC_PROVIDER_TEARDOWN, OSSL_FUNC_provider_teardown_fn> {
  static void call(void* provctx) noexcept { boundary_delete<T>(provctx); }
};

template <class T>
struct GettableParams
    : Slot<kOperation, OSSL_FUNC_PROVIDER_GETTABLE_PARAMS, OSSL_FUNC_provider_gettable_params_fn> {
  static const OSSL_PARAM* call(void* /*provctx*/) noexcept { return T::gettable_params(); }
};

template <class T>
struct GetParams
    : Slot<kOperation, OSSL_FUNC_PROVIDER_GET_PARAMS, OSSL_FUNC_provider_get_params_fn> {
  static int call(void* provctx, OSSL_PARAM params[]) noexcept {
    const auto& self = *static_cast<const T*>(provctx);
    return boundary_status(self.core(), [&] { return self.get_params(params); });
  }
};

template <class T>
struct QueryOperation
    : Slot<kOperation, OSSL_FUNC_PROVIDER_QUERY_OPERATION, OSSL_FUNC_provider_query_operation_fn> {
  static const OSSL_ALGORITHM* call(void* provctx, int operation, int* no_cache) noexcept {
    *no_cache = 0;
    return static_cast<const T*>(provctx)->algorithms(operation);
  }
};

template <class T>
struct ReasonStrings : Slot<kOperation, OSSL_FUNC_PROVIDER_GET_REASON_STRINGS,
                            OSSL_FUNC_provider_get_reason_strings_fn> {
  static const OSSL_ITEM* call(void* provctx) noexcept {
    return static_cast<const T*>(provctx)->reasons();
  }
};

template <class T>
struct GetCapabilities : Slot<kOperation, OSSL_FUNC_PROVIDER_GET_CAPABILITIES,
                              OSSL_FUNC_provider_get_capabilities_fn> {
  static int call(void* /*provctx*/, const char* capability, OSSL_CALLBACK* tell,
                  void* arg) noexcept {
    return T::get_capabilities(text(capability), tell, arg) ? 1 : 0;
  }
};

}  // namespace vhsm::ossl::base
