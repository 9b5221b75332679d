// SPDX-License-Identifier: Apache-2.0
//
// A store loader: raw C arguments on one side, a loader class on the other.
// Source: provider-storemgmt(7), OpenSSL 3.0 and 3.2.
#pragma once

#include <algorithm>
#include <array>

#include "provider/ossl/boundary.h"
#include "provider/ossl/compat.h"
#include "provider/ossl/dispatch.h"

namespace vhsm::ossl {

template <>
struct Rules<OSSL_OP_STORE> {
  template <std::size_t N>
  static consteval bool complete(const std::array<int, N>& ids) {
    const auto has = [&](int id) { return std::ranges::find(ids, id) != ids.end(); };
    return has(OSSL_FUNC_STORE_OPEN) && has(OSSL_FUNC_STORE_LOAD) && has(OSSL_FUNC_STORE_EOF) &&
           has(OSSL_FUNC_STORE_CLOSE);
  }
};

namespace store {

template <class T>
struct Open : Slot<OSSL_OP_STORE, OSSL_FUNC_STORE_OPEN, OSSL_FUNC_store_open_fn> {
  static void* call(void* provctx, const char* uri) noexcept {
    auto& provider = *static_cast<typename T::Provider*>(provctx);
    return boundary_new(provider.core(), [&] { return T::open(provider, text(uri), nullptr); });
  }
};

template <class T>
struct OpenEx : Slot<OSSL_OP_STORE, compat::kStoreOpenEx, compat::StoreOpenExFn> {
  static void* call(void* provctx, const char* uri, const OSSL_PARAM params[],
                    OSSL_PASSPHRASE_CALLBACK* /*passphrase*/, void* /*arg*/) noexcept {
    auto& provider = *static_cast<typename T::Provider*>(provctx);
    return boundary_new(provider.core(), [&] { return T::open(provider, text(uri), params); });
  }
};

template <class T>
struct SettableCtxParams : Slot<OSSL_OP_STORE, OSSL_FUNC_STORE_SETTABLE_CTX_PARAMS,
                                OSSL_FUNC_store_settable_ctx_params_fn> {
  static const OSSL_PARAM* call(void* /*provctx*/) noexcept { return T::settable_params(); }
};

template <class T>
struct SetCtxParams
    : Slot<OSSL_OP_STORE, OSSL_FUNC_STORE_SET_CTX_PARAMS, OSSL_FUNC_store_set_ctx_params_fn> {
  static int call(void* loader, const OSSL_PARAM params[]) noexcept {
    auto& self = *static_cast<T*>(loader);
    return boundary_status(self.core(), [&] { return self.set_params(params); });
  }
};

template <class T>
struct Load : Slot<OSSL_OP_STORE, OSSL_FUNC_STORE_LOAD, OSSL_FUNC_store_load_fn> {
  static int call(void* loader, OSSL_CALLBACK* tell, void* arg,
                  OSSL_PASSPHRASE_CALLBACK* /*passphrase*/, void* /*passphrase_arg*/) noexcept {
    auto& self = *static_cast<T*>(loader);
    return boundary_answer(self.core(), [&] { return self.load(tell, arg); });
  }
};

template <class T>
struct Eof : Slot<OSSL_OP_STORE, OSSL_FUNC_STORE_EOF, OSSL_FUNC_store_eof_fn> {
  static int call(void* loader) noexcept { return static_cast<const T*>(loader)->eof() ? 1 : 0; }
};

template <class T>
struct Close : Slot<OSSL_OP_STORE, OSSL_FUNC_STORE_CLOSE, OSSL_FUNC_store_close_fn> {
  static int call(void* loader) noexcept {
    boundary_delete<T>(loader);
    return 1;
  }
};

template <class T>
struct Delete : Slot<OSSL_OP_STORE, compat::kStoreDelete, compat::StoreDeleteFn> {
  static int call(void* provctx, const char* uri, const OSSL_PARAM /*params*/[],
                  OSSL_PASSPHRASE_CALLBACK* /*passphrase*/, void* /*arg*/) noexcept {
    auto& provider = *static_cast<typename T::Provider*>(provctx);
    return boundary_status(provider.core(), [&] { return T::remove(provider, text(uri)); });
  }
};

}  // namespace store
}  // namespace vhsm::ossl
