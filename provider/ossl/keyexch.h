// SPDX-License-Identifier: Apache-2.0
//
// Key exchange: raw C arguments on one side, spans and Results on the other.
// Source: provider-keyexch(7), OpenSSL 3.0.
#pragma once

#include <algorithm>
#include <array>

#include "keystore/key.h"
#include "provider/ossl/boundary.h"
#include "provider/ossl/dispatch.h"

namespace vhsm::ossl {

template <>
struct Rules<OSSL_OP_KEYEXCH> {
  template <std::size_t N>
  static consteval bool complete(const std::array<int, N>& ids) {
    const auto has = [&](int id) { return std::ranges::find(ids, id) != ids.end(); };
    return has(OSSL_FUNC_KEYEXCH_NEWCTX) && has(OSSL_FUNC_KEYEXCH_FREECTX) &&
           has(OSSL_FUNC_KEYEXCH_INIT) && has(OSSL_FUNC_KEYEXCH_DERIVE);
  }
};

namespace keyexch {

using keystore::OperationKind;

template <class T>
struct NewCtx : Slot<OSSL_OP_KEYEXCH, OSSL_FUNC_KEYEXCH_NEWCTX, OSSL_FUNC_keyexch_newctx_fn> {
  static void* call(void* provctx) noexcept {
    auto& provider = *static_cast<typename T::Provider*>(provctx);
    return boundary_new(provider.core(), [&] { return T::create(provider); });
  }
};

template <class T>
struct FreeCtx : Slot<OSSL_OP_KEYEXCH, OSSL_FUNC_KEYEXCH_FREECTX, OSSL_FUNC_keyexch_freectx_fn> {
  static void call(void* ctx) noexcept { boundary_delete<T>(ctx); }
};

template <class T>
struct DupCtx : Slot<OSSL_OP_KEYEXCH, OSSL_FUNC_KEYEXCH_DUPCTX, OSSL_FUNC_keyexch_dupctx_fn> {
  static void* call(void* ctx) noexcept {
    const auto& self = *static_cast<const T*>(ctx);
    return boundary_new(self.core(), [&] { return self.clone(); });
  }
};

template <class T>
struct GetCtxParams
    : Slot<OSSL_OP_KEYEXCH, OSSL_FUNC_KEYEXCH_GET_CTX_PARAMS, OSSL_FUNC_keyexch_get_ctx_params_fn> {
  static int call(void* ctx, OSSL_PARAM params[]) noexcept {
    const auto& self = *static_cast<const T*>(ctx);
    return boundary_status(self.core(), [&] { return self.get_params(params); });
  }
};

template <class T>
struct GettableCtxParams : Slot<OSSL_OP_KEYEXCH, OSSL_FUNC_KEYEXCH_GETTABLE_CTX_PARAMS,
                                OSSL_FUNC_keyexch_gettable_ctx_params_fn> {
  static const OSSL_PARAM* call(void* ctx, void* /*provctx*/) noexcept {
    return ctx != nullptr ? static_cast<const T*>(ctx)->gettable_params() : nullptr;
  }
};

template <class T>
struct SetCtxParams
    : Slot<OSSL_OP_KEYEXCH, OSSL_FUNC_KEYEXCH_SET_CTX_PARAMS, OSSL_FUNC_keyexch_set_ctx_params_fn> {
  static int call(void* ctx, const OSSL_PARAM params[]) noexcept {
    auto& self = *static_cast<T*>(ctx);
    return boundary_status(self.core(), [&] { return self.set_params(params); });
  }
};

template <class T>
struct SettableCtxParams : Slot<OSSL_OP_KEYEXCH, OSSL_FUNC_KEYEXCH_SETTABLE_CTX_PARAMS,
                                OSSL_FUNC_keyexch_settable_ctx_params_fn> {
  static const OSSL_PARAM* call(void* ctx, void* /*provctx*/) noexcept {
    return ctx != nullptr ? static_cast<const T*>(ctx)->settable_params() : nullptr;
  }
};

template <class T>
struct Init : Slot<OSSL_OP_KEYEXCH, OSSL_FUNC_KEYEXCH_INIT, OSSL_FUNC_keyexch_init_fn> {
  static int call(void* ctx, void* key, const OSSL_PARAM params[]) noexcept {
    auto& self = *static_cast<T*>(ctx);
    return boundary_status(self.core(), [&] {
      return self.begin(OperationKind::kDerive, static_cast<const typename T::Key*>(key), params);
    });
  }
};

template <class T>
struct SetPeer : Slot<OSSL_OP_KEYEXCH, OSSL_FUNC_KEYEXCH_SET_PEER, OSSL_FUNC_keyexch_set_peer_fn> {
  static int call(void* ctx, void* key) noexcept {
    auto& self = *static_cast<T*>(ctx);
    return boundary_status(self.core(),
                           [&] { return self.set_peer(static_cast<const typename T::Key*>(key)); });
  }
};

template <class T>
struct Derive : Slot<OSSL_OP_KEYEXCH, OSSL_FUNC_KEYEXCH_DERIVE, OSSL_FUNC_keyexch_derive_fn> {
  static int call(void* ctx, unsigned char* out, std::size_t* written,
                  std::size_t capacity) noexcept {
    auto& self = *static_cast<T*>(ctx);
    return boundary_status(self.core(), [&] {
      return fill(out, written, capacity,
                  [&](std::span<std::uint8_t> to) { return self.run({}, to); });
    });
  }
};

}  // namespace keyexch
}  // namespace vhsm::ossl
