// SPDX-License-Identifier: Apache-2.0
//
// Key derivations: raw C arguments on one side, spans and Results on the other. T is an algorithm,
// T::Context an operation with it.
// Source: provider-kdf(7), OpenSSL 3.0 and 3.6.
#pragma once

#include <algorithm>
#include <array>

#include "provider/ossl/boundary.h"
#include "provider/ossl/compat.h"
#include "provider/ossl/context.h"
#include "provider/ossl/dispatch.h"

namespace vhsm::ossl {

template <>
struct Rules<OSSL_OP_KDF> {
  template <std::size_t N>
  static consteval bool complete(const std::array<int, N>& ids) {
    const auto has = [&](int id) { return std::ranges::find(ids, id) != ids.end(); };
    return has(OSSL_FUNC_KDF_NEWCTX) && has(OSSL_FUNC_KDF_FREECTX) && has(OSSL_FUNC_KDF_DERIVE);
  }
};

namespace kdf {

template <class T>
struct NewCtx : context::New<typename T::Provider, &T::create, OSSL_OP_KDF, OSSL_FUNC_KDF_NEWCTX,
                             OSSL_FUNC_kdf_newctx_fn> {};

template <class T>
struct FreeCtx : context::Free<typename T::Context, OSSL_OP_KDF, OSSL_FUNC_KDF_FREECTX,
                               OSSL_FUNC_kdf_freectx_fn> {};

template <class T>
struct DupCtx : context::Dup<typename T::Context, OSSL_OP_KDF, OSSL_FUNC_KDF_DUPCTX,
                             OSSL_FUNC_kdf_dupctx_fn> {};

template <class T>
struct GettableParams
    : context::AlgorithmGettableParams<T, OSSL_OP_KDF, OSSL_FUNC_KDF_GETTABLE_PARAMS,
                                       OSSL_FUNC_kdf_gettable_params_fn> {};

template <class T>
struct GetParams : context::AlgorithmGetParams<T, OSSL_OP_KDF, OSSL_FUNC_KDF_GET_PARAMS,
                                               OSSL_FUNC_kdf_get_params_fn> {};

template <class T>
struct GettableCtxParams
    : context::AlgorithmGettableCtxParams<T, OSSL_OP_KDF, OSSL_FUNC_KDF_GETTABLE_CTX_PARAMS,
                                          OSSL_FUNC_kdf_gettable_ctx_params_fn> {};

template <class T>
struct GetCtxParams
    : context::GetParams<typename T::Context, OSSL_OP_KDF, OSSL_FUNC_KDF_GET_CTX_PARAMS,
                         OSSL_FUNC_kdf_get_ctx_params_fn> {};

template <class T>
struct SettableCtxParams
    : context::AlgorithmSettableCtxParams<T, OSSL_OP_KDF, OSSL_FUNC_KDF_SETTABLE_CTX_PARAMS,
                                          OSSL_FUNC_kdf_settable_ctx_params_fn> {};

template <class T>
struct SetCtxParams
    : context::SetParams<typename T::Context, OSSL_OP_KDF, OSSL_FUNC_KDF_SET_CTX_PARAMS,
                         OSSL_FUNC_kdf_set_ctx_params_fn> {};

template <class T>
struct Reset : Slot<OSSL_OP_KDF, OSSL_FUNC_KDF_RESET, OSSL_FUNC_kdf_reset_fn> {
  static void call(void* ctx) noexcept {
    auto& self = *static_cast<typename T::Context*>(ctx);
    static_cast<void>(boundary_status(self.core(), [&] { return self.reset(); }));
  }
};

template <class T>
struct Derive : Slot<OSSL_OP_KDF, OSSL_FUNC_KDF_DERIVE, OSSL_FUNC_kdf_derive_fn> {
  static int call(void* ctx, unsigned char* out, std::size_t size,
                  const OSSL_PARAM params[]) noexcept {
    auto& self = *static_cast<typename T::Context*>(ctx);
    return boundary_status(self.core(), [&]() -> Status {
      if (out == nullptr) return fail(Errc::kInvalidArgument, "no place for the derived key");
      VHSM_TRY(self.begin({.params = params}));
      [[maybe_unused]] const std::size_t written = VHSM_TRY(self.finish({out, size}));
      return {};
    });
  }
};

template <class T>
struct SetSkey : Slot<OSSL_OP_KDF, compat::kKdfSetSkey, compat::KdfSetSkeyFn> {
  static int call(void* ctx, void* key, const char* param_name) noexcept {
    auto& self = *static_cast<typename T::Context*>(ctx);
    return boundary_status(self.core(), [&] {
      return self.set_key(static_cast<const typename T::Key*>(key), text(param_name));
    });
  }
};

template <class T>
struct DeriveSkey : Slot<OSSL_OP_KDF, compat::kKdfDeriveSkey, compat::KdfDeriveSkeyFn> {
  static void* call(void* ctx, const char* /*key_type*/, void* provctx,
                    compat::SkeymgmtImportFn* /*import*/, std::size_t size,
                    const OSSL_PARAM params[]) noexcept {
    auto& self = *static_cast<typename T::Context*>(ctx);
    return boundary_new(self.core(), [&] { return self.derive_key(provctx, size, params); });
  }
};

}  // namespace kdf
}  // namespace vhsm::ossl
