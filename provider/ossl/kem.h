// SPDX-License-Identifier: Apache-2.0
//
// Key encapsulation: raw C arguments on one side, spans and Results on the other.
// Source: provider-kem(7), OpenSSL 3.0 and 3.2.
#pragma once

#include <algorithm>
#include <array>

#include "keystore/key.h"
#include "provider/ossl/boundary.h"
#include "provider/ossl/compat.h"
#include "provider/ossl/context.h"
#include "provider/ossl/dispatch.h"

namespace vhsm::ossl {

template <>
struct Rules<OSSL_OP_KEM> {
  template <std::size_t N>
  static consteval bool complete(const std::array<int, N>& ids) {
    const auto has = [&](int id) { return std::ranges::find(ids, id) != ids.end(); };
    return has(OSSL_FUNC_KEM_NEWCTX) && has(OSSL_FUNC_KEM_FREECTX) &&
           has(OSSL_FUNC_KEM_ENCAPSULATE_INIT) && has(OSSL_FUNC_KEM_ENCAPSULATE) &&
           has(OSSL_FUNC_KEM_DECAPSULATE_INIT) && has(OSSL_FUNC_KEM_DECAPSULATE);
  }
};

namespace kem {

using keystore::OperationKind;

template <class T>
struct NewCtx : context::New<typename T::Provider, &T::create, OSSL_OP_KEM, OSSL_FUNC_KEM_NEWCTX,
                             OSSL_FUNC_kem_newctx_fn> {};

template <class T>
struct FreeCtx : context::Free<T, OSSL_OP_KEM, OSSL_FUNC_KEM_FREECTX, OSSL_FUNC_kem_freectx_fn> {};

template <class T>
struct DupCtx : context::Dup<T, OSSL_OP_KEM, OSSL_FUNC_KEM_DUPCTX, OSSL_FUNC_kem_dupctx_fn> {};

template <class T>
struct GetCtxParams : context::GetParams<T, OSSL_OP_KEM, OSSL_FUNC_KEM_GET_CTX_PARAMS,
                                         OSSL_FUNC_kem_get_ctx_params_fn> {};

template <class T>
struct GettableCtxParams
    : context::GettableParams<T, OSSL_OP_KEM, OSSL_FUNC_KEM_GETTABLE_CTX_PARAMS,
                              OSSL_FUNC_kem_gettable_ctx_params_fn> {};

template <class T>
struct SetCtxParams : context::SetParams<T, OSSL_OP_KEM, OSSL_FUNC_KEM_SET_CTX_PARAMS,
                                         OSSL_FUNC_kem_set_ctx_params_fn> {};

template <class T>
struct SettableCtxParams
    : context::SettableParams<T, OSSL_OP_KEM, OSSL_FUNC_KEM_SETTABLE_CTX_PARAMS,
                              OSSL_FUNC_kem_settable_ctx_params_fn> {};

template <class T>
struct EncapsulateInit
    : context::Begin<T, OSSL_OP_KEM, OSSL_FUNC_KEM_ENCAPSULATE_INIT,
                     OSSL_FUNC_kem_encapsulate_init_fn, OperationKind::kEncapsulate> {};

template <class T>
struct DecapsulateInit
    : context::Begin<T, OSSL_OP_KEM, OSSL_FUNC_KEM_DECAPSULATE_INIT,
                     OSSL_FUNC_kem_decapsulate_init_fn, OperationKind::kDecapsulate> {};

/// The private key is the sender's, and the operation's; the recipient is its peer.
template <class T>
struct AuthEncapsulateInit
    : Slot<OSSL_OP_KEM, compat::kKemAuthEncapsulateInit, compat::KemAuthInitFn> {
  static int call(void* ctx, void* recipient, void* sender, const OSSL_PARAM params[]) noexcept {
    auto& self = *static_cast<T*>(ctx);
    return boundary_status(self.core(), [&] {
      return self.begin_with(OperationKind::kAuthEncapsulate,
                             static_cast<const typename T::Key*>(sender),
                             static_cast<const typename T::Key*>(recipient), params);
    });
  }
};

template <class T>
struct AuthDecapsulateInit
    : Slot<OSSL_OP_KEM, compat::kKemAuthDecapsulateInit, compat::KemAuthInitFn> {
  static int call(void* ctx, void* recipient, void* sender, const OSSL_PARAM params[]) noexcept {
    auto& self = *static_cast<T*>(ctx);
    return boundary_status(self.core(), [&] {
      return self.begin_with(OperationKind::kDecapsulate,
                             static_cast<const typename T::Key*>(recipient),
                             static_cast<const typename T::Key*>(sender), params);
    });
  }
};

/// What the caller has room for; nothing when it asks for the size.
inline Result<std::span<std::uint8_t>> room(unsigned char* out, const std::size_t* capacity) {
  if (out == nullptr) return std::span<std::uint8_t>();
  if (capacity == nullptr) return fail(Errc::kInvalidArgument, "no place for the length");
  return std::span<std::uint8_t>{out, *capacity};
}

template <class T>
struct Encapsulate : Slot<OSSL_OP_KEM, OSSL_FUNC_KEM_ENCAPSULATE, OSSL_FUNC_kem_encapsulate_fn> {
  static int call(void* ctx, unsigned char* out, std::size_t* out_size, unsigned char* secret,
                  std::size_t* secret_size) noexcept {
    auto& self = *static_cast<T*>(ctx);
    return boundary_status(self.core(), [&]() -> Status {
      const auto wrapped = VHSM_TRY(room(out, out_size));
      const auto shared = VHSM_TRY(room(secret, secret_size));
      const keystore::Encapsulated done = VHSM_TRY(self.encapsulate(wrapped, shared));
      if (out_size != nullptr) *out_size = done.wrapped_bytes;
      if (secret_size != nullptr) *secret_size = done.secret_bytes;
      return {};
    });
  }
};

template <class T>
struct Decapsulate : Slot<OSSL_OP_KEM, OSSL_FUNC_KEM_DECAPSULATE, OSSL_FUNC_kem_decapsulate_fn> {
  static int call(void* ctx, unsigned char* out, std::size_t* out_size, const unsigned char* in,
                  std::size_t size) noexcept {
    auto& self = *static_cast<T*>(ctx);
    return boundary_status(self.core(), [&]() -> Status {
      const auto input = VHSM_TRY(bytes(in, size));
      const std::size_t capacity = out_size != nullptr ? *out_size : 0;
      return fill(out, out_size, capacity,
                  [&](std::span<std::uint8_t> to) { return self.run(input, to); });
    });
  }
};

}  // namespace kem
}  // namespace vhsm::ossl
