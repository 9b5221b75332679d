// SPDX-License-Identifier: Apache-2.0
//
// MACs: raw C arguments on one side, spans and Results on the other. T is an algorithm,
// T::Context an operation with it.
// Source: provider-mac(7), OpenSSL 3.0 and 3.5.
#pragma once

#include <algorithm>
#include <array>

#include "provider/ossl/boundary.h"
#include "provider/ossl/compat.h"
#include "provider/ossl/context.h"
#include "provider/ossl/dispatch.h"

namespace vhsm::ossl {

template <>
struct Rules<OSSL_OP_MAC> {
  template <std::size_t N>
  static consteval bool complete(const std::array<int, N>& ids) {
    const auto has = [&](int id) { return std::ranges::find(ids, id) != ids.end(); };
    return has(OSSL_FUNC_MAC_NEWCTX) && has(OSSL_FUNC_MAC_FREECTX) && has(OSSL_FUNC_MAC_INIT) &&
           has(OSSL_FUNC_MAC_UPDATE) && has(OSSL_FUNC_MAC_FINAL);
  }
};

namespace mac {

template <class T>
struct NewCtx : context::New<typename T::Provider, &T::create, OSSL_OP_MAC, OSSL_FUNC_MAC_NEWCTX,
                             OSSL_FUNC_mac_newctx_fn> {};

template <class T>
struct FreeCtx : context::Free<typename T::Context, OSSL_OP_MAC, OSSL_FUNC_MAC_FREECTX,
                               OSSL_FUNC_mac_freectx_fn> {};

template <class T>
struct DupCtx : context::Dup<typename T::Context, OSSL_OP_MAC, OSSL_FUNC_MAC_DUPCTX,
                             OSSL_FUNC_mac_dupctx_fn> {};

template <class T>
struct GettableParams
    : context::AlgorithmGettableParams<T, OSSL_OP_MAC, OSSL_FUNC_MAC_GETTABLE_PARAMS,
                                       OSSL_FUNC_mac_gettable_params_fn> {};

template <class T>
struct GetParams : context::AlgorithmGetParams<T, OSSL_OP_MAC, OSSL_FUNC_MAC_GET_PARAMS,
                                               OSSL_FUNC_mac_get_params_fn> {};

template <class T>
struct GettableCtxParams
    : context::AlgorithmGettableCtxParams<T, OSSL_OP_MAC, OSSL_FUNC_MAC_GETTABLE_CTX_PARAMS,
                                          OSSL_FUNC_mac_gettable_ctx_params_fn> {};

template <class T>
struct GetCtxParams
    : context::GetParams<typename T::Context, OSSL_OP_MAC, OSSL_FUNC_MAC_GET_CTX_PARAMS,
                         OSSL_FUNC_mac_get_ctx_params_fn> {};

template <class T>
struct SettableCtxParams
    : context::AlgorithmSettableCtxParams<T, OSSL_OP_MAC, OSSL_FUNC_MAC_SETTABLE_CTX_PARAMS,
                                          OSSL_FUNC_mac_settable_ctx_params_fn> {};

template <class T>
struct SetCtxParams
    : context::SetParams<typename T::Context, OSSL_OP_MAC, OSSL_FUNC_MAC_SET_CTX_PARAMS,
                         OSSL_FUNC_mac_set_ctx_params_fn> {};

template <class T>
struct Init : Slot<OSSL_OP_MAC, OSSL_FUNC_MAC_INIT, OSSL_FUNC_mac_init_fn> {
  static int call(void* ctx, const unsigned char* key, std::size_t /*size*/,
                  const OSSL_PARAM params[]) noexcept {
    auto& self = *static_cast<typename T::Context*>(ctx);
    return boundary_status(self.core(), [&]() -> Status {
      VHSM_TRY(refuse_clear_key(key));
      return self.begin({.params = params});
    });
  }
};

template <class T>
struct InitSkey : Slot<OSSL_OP_MAC, compat::kMacInitSkey, compat::MacInitSkeyFn> {
  static int call(void* ctx, void* key, const OSSL_PARAM params[]) noexcept {
    auto& self = *static_cast<typename T::Context*>(ctx);
    return boundary_status(self.core(), [&] {
      return self.begin({.key = static_cast<const typename T::Key*>(key), .params = params});
    });
  }
};

template <class T>
struct Update : Slot<OSSL_OP_MAC, OSSL_FUNC_MAC_UPDATE, OSSL_FUNC_mac_update_fn> {
  static int call(void* ctx, const unsigned char* in, std::size_t size) noexcept {
    auto& self = *static_cast<typename T::Context*>(ctx);
    return boundary_status(self.core(), [&]() -> Status {
      const auto input = VHSM_TRY(bytes(in, size));
      [[maybe_unused]] const std::size_t none = VHSM_TRY(self.update(input, {}));
      return {};
    });
  }
};

template <class T>
struct Final : context::Finish<typename T::Context, OSSL_OP_MAC, OSSL_FUNC_MAC_FINAL,
                               OSSL_FUNC_mac_final_fn, &T::Context::finish> {};

}  // namespace mac
}  // namespace vhsm::ossl
