// SPDX-License-Identifier: Apache-2.0
//
// Asymmetric ciphers: raw C arguments on one side, spans and Results on the other.
// Source: provider-asym_cipher(7), OpenSSL 3.0.
#pragma once

#include <algorithm>
#include <array>

#include "keystore/key.h"
#include "provider/ossl/boundary.h"
#include "provider/ossl/context.h"
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
struct NewCtx : context::New<typename T::Provider, &T::create, OSSL_OP_ASYM_CIPHER,
                             OSSL_FUNC_ASYM_CIPHER_NEWCTX, OSSL_FUNC_asym_cipher_newctx_fn> {};

template <class T>
struct FreeCtx : context::Free<T, OSSL_OP_ASYM_CIPHER, OSSL_FUNC_ASYM_CIPHER_FREECTX,
                               OSSL_FUNC_asym_cipher_freectx_fn> {};

template <class T>
struct DupCtx : context::Dup<T, OSSL_OP_ASYM_CIPHER, OSSL_FUNC_ASYM_CIPHER_DUPCTX,
                             OSSL_FUNC_asym_cipher_dupctx_fn> {};

template <class T>
struct GetCtxParams
    : context::GetParams<T, OSSL_OP_ASYM_CIPHER, OSSL_FUNC_ASYM_CIPHER_GET_CTX_PARAMS,
                         OSSL_FUNC_asym_cipher_get_ctx_params_fn> {};

template <class T>
struct GettableCtxParams
    : context::GettableParams<T, OSSL_OP_ASYM_CIPHER, OSSL_FUNC_ASYM_CIPHER_GETTABLE_CTX_PARAMS,
                              OSSL_FUNC_asym_cipher_gettable_ctx_params_fn> {};

template <class T>
struct SetCtxParams
    : context::SetParams<T, OSSL_OP_ASYM_CIPHER, OSSL_FUNC_ASYM_CIPHER_SET_CTX_PARAMS,
                         OSSL_FUNC_asym_cipher_set_ctx_params_fn> {};

template <class T>
struct SettableCtxParams
    : context::SettableParams<T, OSSL_OP_ASYM_CIPHER, OSSL_FUNC_ASYM_CIPHER_SETTABLE_CTX_PARAMS,
                              OSSL_FUNC_asym_cipher_settable_ctx_params_fn> {};

template <class T>
struct EncryptInit
    : context::Begin<T, OSSL_OP_ASYM_CIPHER, OSSL_FUNC_ASYM_CIPHER_ENCRYPT_INIT,
                     OSSL_FUNC_asym_cipher_encrypt_init_fn, OperationKind::kEncrypt> {};

template <class T>
struct DecryptInit
    : context::Begin<T, OSSL_OP_ASYM_CIPHER, OSSL_FUNC_ASYM_CIPHER_DECRYPT_INIT,
                     OSSL_FUNC_asym_cipher_decrypt_init_fn, OperationKind::kDecrypt> {};

template <class T>
struct Encrypt : context::Transform<T, OSSL_OP_ASYM_CIPHER, OSSL_FUNC_ASYM_CIPHER_ENCRYPT,
                                    OSSL_FUNC_asym_cipher_encrypt_fn, &T::run> {};

template <class T>
struct Decrypt : context::Transform<T, OSSL_OP_ASYM_CIPHER, OSSL_FUNC_ASYM_CIPHER_DECRYPT,
                                    OSSL_FUNC_asym_cipher_decrypt_fn, &T::decrypt> {};

}  // namespace asym_cipher
}  // namespace vhsm::ossl
