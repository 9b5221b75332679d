// SPDX-License-Identifier: Apache-2.0
//
// Asymmetric ciphers: raw C arguments on one side, spans and Results on the other.
// Source: provider-asym_cipher(7), OpenSSL 3.0.
#pragma once

#include <algorithm>
#include <array>

#include "keystore/key.h"
#include "provider/ossl/boundary.h"
#include "provider/ossl/dispatch.h"

namespace vhsm::ossl {

template <>
struct Rules<OSSL_OP_ASYM_CIPHER> {
  template <std::size_t N>
  static consteval bool complete(const std::array<int, N>& ids) {
    const auto has = [&](int id) { return std::ranges::find(ids, id) != ids.end(); };
    const bool lifecycle = has(OSSL_FUNC_ASYM_CIPHER_NEWCTX) && has(OSSL_FUNC_ASYM_CIPHER_FREECTX);
    const bool encrypts =
        has(OSSL_FUNC_ASYM_CIPHER_ENCRYPT_INIT) == has(OSSL_FUNC_ASYM_CIPHER_ENCRYPT);
    const bool decrypts =
        has(OSSL_FUNC_ASYM_CIPHER_DECRYPT_INIT) == has(OSSL_FUNC_ASYM_CIPHER_DECRYPT);
    return lifecycle && encrypts && decrypts;
  }
};

namespace asym_cipher {

using keystore::OperationKind;

template <class T>
struct NewCtx
    : Slot<OSSL_OP_ASYM_CIPHER, OSSL_FUNC_ASYM_CIPHER_NEWCTX, OSSL_FUNC_asym_cipher_newctx_fn> {
  static void* call(void* provctx) noexcept {
    auto& provider = *static_cast<typename T::Provider*>(provctx);
    return boundary_new(provider.core(), [&] { return T::create(provider); });
  }
};

template <class T>
struct FreeCtx
    : Slot<OSSL_OP_ASYM_CIPHER, OSSL_FUNC_ASYM_CIPHER_FREECTX, OSSL_FUNC_asym_cipher_freectx_fn> {
  static void call(void* ctx) noexcept { boundary_delete<T>(ctx); }
};

template <class T>
struct DupCtx
    : Slot<OSSL_OP_ASYM_CIPHER, OSSL_FUNC_ASYM_CIPHER_DUPCTX, OSSL_FUNC_asym_cipher_dupctx_fn> {
  static void* call(void* ctx) noexcept {
    const auto& self = *static_cast<const T*>(ctx);
    return boundary_new(self.core(), [&] { return self.clone(); });
  }
};

template <class T>
struct GetCtxParams : Slot<OSSL_OP_ASYM_CIPHER, OSSL_FUNC_ASYM_CIPHER_GET_CTX_PARAMS,
                           OSSL_FUNC_asym_cipher_get_ctx_params_fn> {
  static int call(void* ctx, OSSL_PARAM params[]) noexcept {
    const auto& self = *static_cast<const T*>(ctx);
    return boundary_status(self.core(), [&] { return self.get_params(params); });
  }
};

template <class T>
struct GettableCtxParams : Slot<OSSL_OP_ASYM_CIPHER, OSSL_FUNC_ASYM_CIPHER_GETTABLE_CTX_PARAMS,
                                OSSL_FUNC_asym_cipher_gettable_ctx_params_fn> {
  static const OSSL_PARAM* call(void* ctx, void* /*provctx*/) noexcept {
    return ctx != nullptr ? static_cast<const T*>(ctx)->gettable_params() : nullptr;
  }
};

template <class T>
struct SetCtxParams : Slot<OSSL_OP_ASYM_CIPHER, OSSL_FUNC_ASYM_CIPHER_SET_CTX_PARAMS,
                           OSSL_FUNC_asym_cipher_set_ctx_params_fn> {
  static int call(void* ctx, const OSSL_PARAM params[]) noexcept {
    auto& self = *static_cast<T*>(ctx);
    return boundary_status(self.core(), [&] { return self.set_params(params); });
  }
};

template <class T>
struct SettableCtxParams : Slot<OSSL_OP_ASYM_CIPHER, OSSL_FUNC_ASYM_CIPHER_SETTABLE_CTX_PARAMS,
                                OSSL_FUNC_asym_cipher_settable_ctx_params_fn> {
  static const OSSL_PARAM* call(void* ctx, void* /*provctx*/) noexcept {
    return ctx != nullptr ? static_cast<const T*>(ctx)->settable_params() : nullptr;
  }
};

template <class T>
struct EncryptInit : Slot<OSSL_OP_ASYM_CIPHER, OSSL_FUNC_ASYM_CIPHER_ENCRYPT_INIT,
                          OSSL_FUNC_asym_cipher_encrypt_init_fn> {
  static int call(void* ctx, void* key, const OSSL_PARAM params[]) noexcept {
    auto& self = *static_cast<T*>(ctx);
    return boundary_status(self.core(), [&] {
      return self.begin(OperationKind::kEncrypt, static_cast<const typename T::Key*>(key), params);
    });
  }
};

template <class T>
struct DecryptInit : Slot<OSSL_OP_ASYM_CIPHER, OSSL_FUNC_ASYM_CIPHER_DECRYPT_INIT,
                          OSSL_FUNC_asym_cipher_decrypt_init_fn> {
  static int call(void* ctx, void* key, const OSSL_PARAM params[]) noexcept {
    auto& self = *static_cast<T*>(ctx);
    return boundary_status(self.core(), [&] {
      return self.begin(OperationKind::kDecrypt, static_cast<const typename T::Key*>(key), params);
    });
  }
};

template <class T>
struct Encrypt
    : Slot<OSSL_OP_ASYM_CIPHER, OSSL_FUNC_ASYM_CIPHER_ENCRYPT, OSSL_FUNC_asym_cipher_encrypt_fn> {
  static int call(void* ctx, unsigned char* out, std::size_t* written, std::size_t capacity,
                  const unsigned char* in, std::size_t size) noexcept {
    auto& self = *static_cast<T*>(ctx);
    return boundary_status(self.core(), [&]() -> Status {
      const auto input = VHSM_TRY(bytes(in, size));
      return fill(out, written, capacity,
                  [&](std::span<std::uint8_t> to) { return self.run(input, to); });
    });
  }
};

template <class T>
struct Decrypt
    : Slot<OSSL_OP_ASYM_CIPHER, OSSL_FUNC_ASYM_CIPHER_DECRYPT, OSSL_FUNC_asym_cipher_decrypt_fn> {
  static int call(void* ctx, unsigned char* out, std::size_t* written, std::size_t capacity,
                  const unsigned char* in, std::size_t size) noexcept {
    auto& self = *static_cast<T*>(ctx);
    return boundary_status(self.core(), [&]() -> Status {
      const auto input = VHSM_TRY(bytes(in, size));
      return fill(out, written, capacity,
                  [&](std::span<std::uint8_t> to) { return self.decrypt(input, to); });
    });
  }
};

}  // namespace asym_cipher
}  // namespace vhsm::ossl
