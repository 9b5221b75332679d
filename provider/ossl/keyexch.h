// SPDX-License-Identifier: Apache-2.0
//
// Key exchange: raw C arguments on one side, spans and Results on the other.
// Source: provider-keyexch(7), OpenSSL 3.0.
#pragma once

#include <algorithm>
#include <array>

#include "keystore/key.h"
#include "provider/ossl/boundary.h"
#include "provider/ossl/context.h"
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
struct NewCtx : context::New<typename T::Provider, &T::create, OSSL_OP_KEYEXCH,
                             OSSL_FUNC_KEYEXCH_NEWCTX, OSSL_FUNC_keyexch_newctx_fn> {};

template <class T>
struct FreeCtx
    : context::Free<T, OSSL_OP_KEYEXCH, OSSL_FUNC_KEYEXCH_FREECTX, OSSL_FUNC_keyexch_freectx_fn> {};

template <class T>
struct DupCtx
    : context::Dup<T, OSSL_OP_KEYEXCH, OSSL_FUNC_KEYEXCH_DUPCTX, OSSL_FUNC_keyexch_dupctx_fn> {};

template <class T>
struct GetCtxParams : context::GetParams<T, OSSL_OP_KEYEXCH, OSSL_FUNC_KEYEXCH_GET_CTX_PARAMS,
                                         OSSL_FUNC_keyexch_get_ctx_params_fn> {};

template <class T>
struct GettableCtxParams
    : context::GettableParams<T, OSSL_OP_KEYEXCH, OSSL_FUNC_KEYEXCH_GETTABLE_CTX_PARAMS,
                              OSSL_FUNC_keyexch_gettable_ctx_params_fn> {};

template <class T>
struct SetCtxParams : context::SetParams<T, OSSL_OP_KEYEXCH, OSSL_FUNC_KEYEXCH_SET_CTX_PARAMS,
                                         OSSL_FUNC_keyexch_set_ctx_params_fn> {};

template <class T>
struct SettableCtxParams
    : context::SettableParams<T, OSSL_OP_KEYEXCH, OSSL_FUNC_KEYEXCH_SETTABLE_CTX_PARAMS,
                              OSSL_FUNC_keyexch_settable_ctx_params_fn> {};

template <class T>
struct Init : context::Begin<T, OSSL_OP_KEYEXCH, OSSL_FUNC_KEYEXCH_INIT, OSSL_FUNC_keyexch_init_fn,
                             OperationKind::kDerive> {};

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
