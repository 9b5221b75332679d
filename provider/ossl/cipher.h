// SPDX-License-Identifier: Apache-2.0
//
// Symmetric ciphers: raw C arguments on one side, spans and Results on the other. T is an
// algorithm, T::Context an operation with it. Source: provider-cipher(7), OpenSSL 3.0 and 3.5.
#pragma once

#include <algorithm>
#include <array>

#include "provider/ossl/boundary.h"
#include "provider/ossl/compat.h"
#include "provider/ossl/context.h"
#include "provider/ossl/dispatch.h"

namespace vhsm::ossl {

template <>
struct Rules<OSSL_OP_CIPHER> {
  template <std::size_t N>
  static consteval bool complete(const std::array<int, N>& ids) {
    const auto has = [&](int id) { return std::ranges::find(ids, id) != ids.end(); };
    return has(OSSL_FUNC_CIPHER_NEWCTX) && has(OSSL_FUNC_CIPHER_FREECTX) &&
           has(OSSL_FUNC_CIPHER_ENCRYPT_INIT) && has(OSSL_FUNC_CIPHER_DECRYPT_INIT) &&
           has(OSSL_FUNC_CIPHER_UPDATE) && has(OSSL_FUNC_CIPHER_FINAL);
  }
};

namespace cipher {

template <class T>
struct NewCtx : context::New<typename T::Provider, &T::create, OSSL_OP_CIPHER,
                             OSSL_FUNC_CIPHER_NEWCTX, OSSL_FUNC_cipher_newctx_fn> {};

template <class T>
struct FreeCtx : context::Free<typename T::Context, OSSL_OP_CIPHER, OSSL_FUNC_CIPHER_FREECTX,
                               OSSL_FUNC_cipher_freectx_fn> {};

template <class T>
struct DupCtx : context::Dup<typename T::Context, OSSL_OP_CIPHER, OSSL_FUNC_CIPHER_DUPCTX,
                             OSSL_FUNC_cipher_dupctx_fn> {};

template <class T>
struct GettableParams
    : context::AlgorithmGettableParams<T, OSSL_OP_CIPHER, OSSL_FUNC_CIPHER_GETTABLE_PARAMS,
                                       OSSL_FUNC_cipher_gettable_params_fn> {};

template <class T>
struct GetParams : context::AlgorithmGetParams<T, OSSL_OP_CIPHER, OSSL_FUNC_CIPHER_GET_PARAMS,
                                               OSSL_FUNC_cipher_get_params_fn> {};

template <class T>
struct GettableCtxParams
    : context::AlgorithmGettableCtxParams<T, OSSL_OP_CIPHER, OSSL_FUNC_CIPHER_GETTABLE_CTX_PARAMS,
                                          OSSL_FUNC_cipher_gettable_ctx_params_fn> {};

template <class T>
struct GetCtxParams
    : context::GetParams<typename T::Context, OSSL_OP_CIPHER, OSSL_FUNC_CIPHER_GET_CTX_PARAMS,
                         OSSL_FUNC_cipher_get_ctx_params_fn> {};

template <class T>
struct SettableCtxParams
    : context::AlgorithmSettableCtxParams<T, OSSL_OP_CIPHER, OSSL_FUNC_CIPHER_SETTABLE_CTX_PARAMS,
                                          OSSL_FUNC_cipher_settable_ctx_params_fn> {};

template <class T>
struct SetCtxParams
    : context::SetParams<typename T::Context, OSSL_OP_CIPHER, OSSL_FUNC_CIPHER_SET_CTX_PARAMS,
                         OSSL_FUNC_cipher_set_ctx_params_fn> {};

/// Both directions, without a key and with one.
template <class T, int kId, class Fn, bool kForwards>
struct Begin : Slot<OSSL_OP_CIPHER, kId, Fn> {
  static int call(void* ctx, const unsigned char* key, std::size_t /*size*/,
                  const unsigned char* iv, std::size_t iv_size,
                  const OSSL_PARAM params[]) noexcept {
    auto& self = *static_cast<typename T::Context*>(ctx);
    return boundary_status(self.core(), [&]() -> Status {
      VHSM_TRY(refuse_clear_key(key));
      const auto vector = VHSM_TRY(bytes(iv, iv_size));
      return self.begin({.forwards = kForwards, .iv = vector, .params = params});
    });
  }
};

template <class T, int kId, bool kForwards>
struct BeginSkey : Slot<OSSL_OP_CIPHER, kId, compat::CipherSkeyInitFn> {
  static int call(void* ctx, void* key, const unsigned char* iv, std::size_t iv_size,
                  const OSSL_PARAM params[]) noexcept {
    auto& self = *static_cast<typename T::Context*>(ctx);
    return boundary_status(self.core(), [&]() -> Status {
      const auto vector = VHSM_TRY(bytes(iv, iv_size));
      return self.begin({.key = static_cast<const typename T::Key*>(key),
                         .forwards = kForwards,
                         .iv = vector,
                         .params = params});
    });
  }
};

template <class T>
struct EncryptInit
    : Begin<T, OSSL_FUNC_CIPHER_ENCRYPT_INIT, OSSL_FUNC_cipher_encrypt_init_fn, true> {};

template <class T>
struct EncryptSkeyInit : BeginSkey<T, compat::kCipherEncryptSkeyInit, true> {};

template <class T>
struct DecryptInit
    : Begin<T, OSSL_FUNC_CIPHER_DECRYPT_INIT, OSSL_FUNC_cipher_decrypt_init_fn, false> {};

template <class T>
struct DecryptSkeyInit : BeginSkey<T, compat::kCipherDecryptSkeyInit, false> {};

template <class T>
struct Update : context::Transform<typename T::Context, OSSL_OP_CIPHER, OSSL_FUNC_CIPHER_UPDATE,
                                   OSSL_FUNC_cipher_update_fn, &T::Context::update> {};

template <class T>
struct Final : context::Finish<typename T::Context, OSSL_OP_CIPHER, OSSL_FUNC_CIPHER_FINAL,
                               OSSL_FUNC_cipher_final_fn, &T::Context::finish> {};

}  // namespace cipher
}  // namespace vhsm::ossl
