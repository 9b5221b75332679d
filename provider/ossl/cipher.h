// SPDX-License-Identifier: Apache-2.0
//
// Symmetric ciphers: raw C arguments on one side, spans and Results on the other. T is an
// algorithm, T::Context an operation with it. Source: provider-cipher(7), OpenSSL 3.0 and 3.5.
#pragma once

#include <algorithm>
#include <array>

#include "provider/ossl/boundary.h"
#include "provider/ossl/compat.h"
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
struct NewCtx : Slot<OSSL_OP_CIPHER, OSSL_FUNC_CIPHER_NEWCTX, OSSL_FUNC_cipher_newctx_fn> {
  static void* call(void* provctx) noexcept {
    auto& provider = *static_cast<typename T::Provider*>(provctx);
    return boundary_new(provider.core(), [&] { return T::create(provider); });
  }
};

template <class T>
struct FreeCtx : Slot<OSSL_OP_CIPHER, OSSL_FUNC_CIPHER_FREECTX, OSSL_FUNC_cipher_freectx_fn> {
  static void call(void* ctx) noexcept { boundary_delete<typename T::Context>(ctx); }
};

template <class T>
struct DupCtx : Slot<OSSL_OP_CIPHER, OSSL_FUNC_CIPHER_DUPCTX, OSSL_FUNC_cipher_dupctx_fn> {
  static void* call(void* ctx) noexcept {
    const auto& self = *static_cast<const typename T::Context*>(ctx);
    return boundary_new(self.core(), [&] { return self.clone(); });
  }
};

template <class T>
struct GettableParams
    : Slot<OSSL_OP_CIPHER, OSSL_FUNC_CIPHER_GETTABLE_PARAMS, OSSL_FUNC_cipher_gettable_params_fn> {
  static const OSSL_PARAM* call(void* /*provctx*/) noexcept { return T::gettable_params(); }
};

template <class T>
struct GetParams
    : Slot<OSSL_OP_CIPHER, OSSL_FUNC_CIPHER_GET_PARAMS, OSSL_FUNC_cipher_get_params_fn> {
  static int call(OSSL_PARAM params[]) noexcept { return T::get_params(params) ? 1 : 0; }
};

template <class T>
struct GettableCtxParams : Slot<OSSL_OP_CIPHER, OSSL_FUNC_CIPHER_GETTABLE_CTX_PARAMS,
                                OSSL_FUNC_cipher_gettable_ctx_params_fn> {
  static const OSSL_PARAM* call(void* /*ctx*/, void* /*provctx*/) noexcept {
    return T::gettable_ctx_params();
  }
};

template <class T>
struct GetCtxParams
    : Slot<OSSL_OP_CIPHER, OSSL_FUNC_CIPHER_GET_CTX_PARAMS, OSSL_FUNC_cipher_get_ctx_params_fn> {
  static int call(void* ctx, OSSL_PARAM params[]) noexcept {
    const auto& self = *static_cast<const typename T::Context*>(ctx);
    return boundary_status(self.core(), [&] { return self.get_params(params); });
  }
};

template <class T>
struct SettableCtxParams : Slot<OSSL_OP_CIPHER, OSSL_FUNC_CIPHER_SETTABLE_CTX_PARAMS,
                                OSSL_FUNC_cipher_settable_ctx_params_fn> {
  static const OSSL_PARAM* call(void* /*ctx*/, void* provctx) noexcept {
    return T::settable_ctx_params(*static_cast<const typename T::Provider*>(provctx));
  }
};

template <class T>
struct SetCtxParams
    : Slot<OSSL_OP_CIPHER, OSSL_FUNC_CIPHER_SET_CTX_PARAMS, OSSL_FUNC_cipher_set_ctx_params_fn> {
  static int call(void* ctx, const OSSL_PARAM params[]) noexcept {
    auto& self = *static_cast<typename T::Context*>(ctx);
    return boundary_status(self.core(), [&] { return self.set_params(params); });
  }
};

template <class T>
struct EncryptInit
    : Slot<OSSL_OP_CIPHER, OSSL_FUNC_CIPHER_ENCRYPT_INIT, OSSL_FUNC_cipher_encrypt_init_fn> {
  static int call(void* ctx, const unsigned char* key, std::size_t /*size*/,
                  const unsigned char* iv, std::size_t iv_size,
                  const OSSL_PARAM params[]) noexcept {
    auto& self = *static_cast<typename T::Context*>(ctx);
    return boundary_status(self.core(), [&]() -> Status {
      VHSM_TRY(refuse_clear_key(key));
      const auto vector = VHSM_TRY(bytes(iv, iv_size));
      return self.begin({.forwards = true, .iv = vector, .params = params});
    });
  }
};

template <class T>
struct EncryptSkeyInit
    : Slot<OSSL_OP_CIPHER, compat::kCipherEncryptSkeyInit, compat::CipherSkeyInitFn> {
  static int call(void* ctx, void* key, const unsigned char* iv, std::size_t iv_size,
                  const OSSL_PARAM params[]) noexcept {
    auto& self = *static_cast<typename T::Context*>(ctx);
    return boundary_status(self.core(), [&]() -> Status {
      const auto vector = VHSM_TRY(bytes(iv, iv_size));
      return self.begin({.key = static_cast<const typename T::Key*>(key),
                         .forwards = true,
                         .iv = vector,
                         .params = params});
    });
  }
};

template <class T>
struct DecryptInit
    : Slot<OSSL_OP_CIPHER, OSSL_FUNC_CIPHER_DECRYPT_INIT, OSSL_FUNC_cipher_decrypt_init_fn> {
  static int call(void* ctx, const unsigned char* key, std::size_t /*size*/,
                  const unsigned char* iv, std::size_t iv_size,
                  const OSSL_PARAM params[]) noexcept {
    auto& self = *static_cast<typename T::Context*>(ctx);
    return boundary_status(self.core(), [&]() -> Status {
      VHSM_TRY(refuse_clear_key(key));
      const auto vector = VHSM_TRY(bytes(iv, iv_size));
      return self.begin({.forwards = false, .iv = vector, .params = params});
    });
  }
};

template <class T>
struct DecryptSkeyInit
    : Slot<OSSL_OP_CIPHER, compat::kCipherDecryptSkeyInit, compat::CipherSkeyInitFn> {
  static int call(void* ctx, void* key, const unsigned char* iv, std::size_t iv_size,
                  const OSSL_PARAM params[]) noexcept {
    auto& self = *static_cast<typename T::Context*>(ctx);
    return boundary_status(self.core(), [&]() -> Status {
      const auto vector = VHSM_TRY(bytes(iv, iv_size));
      return self.begin({.key = static_cast<const typename T::Key*>(key),
                         .forwards = false,
                         .iv = vector,
                         .params = params});
    });
  }
};

template <class T>
struct Update : Slot<OSSL_OP_CIPHER, OSSL_FUNC_CIPHER_UPDATE, OSSL_FUNC_cipher_update_fn> {
  static int call(void* ctx, unsigned char* out, std::size_t* written, std::size_t capacity,
                  const unsigned char* in, std::size_t size) noexcept {
    auto& self = *static_cast<typename T::Context*>(ctx);
    return boundary_status(self.core(), [&]() -> Status {
      const auto input = VHSM_TRY(bytes(in, size));
      return fill(out, written, capacity,
                  [&](std::span<std::uint8_t> to) { return self.update(input, to); });
    });
  }
};

template <class T>
struct Final : Slot<OSSL_OP_CIPHER, OSSL_FUNC_CIPHER_FINAL, OSSL_FUNC_cipher_final_fn> {
  static int call(void* ctx, unsigned char* out, std::size_t* written,
                  std::size_t capacity) noexcept {
    auto& self = *static_cast<typename T::Context*>(ctx);
    return boundary_status(self.core(), [&] {
      return fill(out, written, capacity,
                  [&](std::span<std::uint8_t> to) { return self.finish(to); });
    });
  }
};

}  // namespace cipher
}  // namespace vhsm::ossl
