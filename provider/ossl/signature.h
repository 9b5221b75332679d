// SPDX-License-Identifier: Apache-2.0
//
// The signature operation: raw C arguments on one side, spans and Results on the other.
// Source: provider-signature(7), OpenSSL 3.0; the functions for messages, OpenSSL 3.4.
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
struct Rules<OSSL_OP_SIGNATURE> {
  template <std::size_t N>
  static consteval bool complete(const std::array<int, N>& ids) {
    const auto has = [&](int id) { return std::ranges::find(ids, id) != ids.end(); };
    const bool lifecycle = has(OSSL_FUNC_SIGNATURE_NEWCTX) && has(OSSL_FUNC_SIGNATURE_FREECTX);
    const bool signs = has(OSSL_FUNC_SIGNATURE_SIGN_INIT) == has(OSSL_FUNC_SIGNATURE_SIGN);
    const bool verifies = has(OSSL_FUNC_SIGNATURE_VERIFY_INIT) == has(OSSL_FUNC_SIGNATURE_VERIFY);
    const bool streams =
        has(OSSL_FUNC_SIGNATURE_DIGEST_SIGN_UPDATE) == has(OSSL_FUNC_SIGNATURE_DIGEST_SIGN_FINAL) &&
        has(OSSL_FUNC_SIGNATURE_DIGEST_VERIFY_UPDATE) ==
            has(OSSL_FUNC_SIGNATURE_DIGEST_VERIFY_FINAL);
    const bool one_shot =
        has(OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT) == has(OSSL_FUNC_SIGNATURE_DIGEST_SIGN) &&
        has(OSSL_FUNC_SIGNATURE_DIGEST_VERIFY_INIT) == has(OSSL_FUNC_SIGNATURE_DIGEST_VERIFY);
    const bool recovers =
        has(OSSL_FUNC_SIGNATURE_VERIFY_RECOVER_INIT) == has(OSSL_FUNC_SIGNATURE_VERIFY_RECOVER);
    const bool messages =
        (!has(compat::kSignatureSignMessageInit) || signs) &&
        (!has(compat::kSignatureVerifyMessageInit) || verifies) &&
        has(compat::kSignatureSignMessageUpdate) == has(compat::kSignatureSignMessageFinal) &&
        has(compat::kSignatureVerifyMessageUpdate) == has(compat::kSignatureVerifyMessageFinal);
    return lifecycle && signs && verifies && streams && one_shot && recovers && messages;
  }
};

namespace signature {

using keystore::OperationKind;

/// A NewCtx of its own for each of many algorithms that share a class.
/// @tparam kCreate  Result<std::unique_ptr<T>>(Provider&)
template <auto kCreate>
struct CreatedBy {
  template <class T>
  struct NewCtx
      : Slot<OSSL_OP_SIGNATURE, OSSL_FUNC_SIGNATURE_NEWCTX, OSSL_FUNC_signature_newctx_fn> {
    static void* call(void* provctx, const char* /*propq*/) noexcept {
      auto& provider = *static_cast<typename T::Provider*>(provctx);
      return boundary_new(provider.core(), [&] { return kCreate(provider); });
    }
  };
};

/// @tparam kNames  names of the key types, ended by a null; static lifetime
template <const char** (*kNames)()>
struct TakesKeys {
  template <class T>
  struct QueryKeyTypes
      : Slot<OSSL_OP_SIGNATURE, compat::kSignatureQueryKeyTypes, compat::QueryKeyTypesFn> {
    static const char** call() noexcept { return kNames(); }
  };
};

template <class T>
struct NewCtx : CreatedBy<&T::create>::template NewCtx<T> {};

template <class T>
struct FreeCtx : context::Free<T, OSSL_OP_SIGNATURE, OSSL_FUNC_SIGNATURE_FREECTX,
                               OSSL_FUNC_signature_freectx_fn> {};

template <class T>
struct DupCtx : context::Dup<T, OSSL_OP_SIGNATURE, OSSL_FUNC_SIGNATURE_DUPCTX,
                             OSSL_FUNC_signature_dupctx_fn> {};

template <class T>
struct GetCtxParams : context::GetParams<T, OSSL_OP_SIGNATURE, OSSL_FUNC_SIGNATURE_GET_CTX_PARAMS,
                                         OSSL_FUNC_signature_get_ctx_params_fn> {};

template <class T>
struct GettableCtxParams
    : context::GettableParams<T, OSSL_OP_SIGNATURE, OSSL_FUNC_SIGNATURE_GETTABLE_CTX_PARAMS,
                              OSSL_FUNC_signature_gettable_ctx_params_fn> {};

template <class T>
struct SetCtxParams : context::SetParams<T, OSSL_OP_SIGNATURE, OSSL_FUNC_SIGNATURE_SET_CTX_PARAMS,
                                         OSSL_FUNC_signature_set_ctx_params_fn> {};

template <class T>
struct SettableCtxParams
    : context::SettableParams<T, OSSL_OP_SIGNATURE, OSSL_FUNC_SIGNATURE_SETTABLE_CTX_PARAMS,
                              OSSL_FUNC_signature_settable_ctx_params_fn> {};

template <class T, int kId, class Fn, OperationKind kKind>
using Begin = context::Begin<T, OSSL_OP_SIGNATURE, kId, Fn, kKind>;

template <class T, int kId, OperationKind kKind>
struct BeginMessage : Slot<OSSL_OP_SIGNATURE, kId, compat::MessageInitFn> {
  static int call(void* ctx, void* key, const OSSL_PARAM params[]) noexcept {
    auto& self = *static_cast<T*>(ctx);
    return boundary_status(self.core(), [&] {
      return self.begin_message(kKind, static_cast<const typename T::Key*>(key), params);
    });
  }
};

template <class T, int kId, class Fn, OperationKind kKind>
struct BeginDigest : Slot<OSSL_OP_SIGNATURE, kId, Fn> {
  static int call(void* ctx, const char* digest, void* key, const OSSL_PARAM params[]) noexcept {
    auto& self = *static_cast<T*>(ctx);
    return boundary_status(self.core(), [&] {
      return self.begin_digest(kKind, text(digest), static_cast<const typename T::Key*>(key),
                               params);
    });
  }
};

template <class T, int kId, class Fn>
struct Update : Slot<OSSL_OP_SIGNATURE, kId, Fn> {
  static int call(void* ctx, const unsigned char* in, std::size_t size) noexcept {
    auto& self = *static_cast<T*>(ctx);
    return boundary_status(self.core(), [&]() -> Status {
      const auto input = VHSM_TRY(bytes(in, size));
      return self.update(input);
    });
  }
};

template <class T, int kId, class Fn>
using FinishSign = context::Finish<T, OSSL_OP_SIGNATURE, kId, Fn, &T::finish_sign>;

template <class T>
struct SignInit : Begin<T, OSSL_FUNC_SIGNATURE_SIGN_INIT, OSSL_FUNC_signature_sign_init_fn,
                        OperationKind::kSign> {};

template <class T>
struct VerifyInit : Begin<T, OSSL_FUNC_SIGNATURE_VERIFY_INIT, OSSL_FUNC_signature_verify_init_fn,
                          OperationKind::kVerify> {};

template <class T>
struct VerifyRecoverInit
    : Begin<T, OSSL_FUNC_SIGNATURE_VERIFY_RECOVER_INIT, OSSL_FUNC_signature_verify_recover_init_fn,
            OperationKind::kVerifyRecover> {};

template <class T>
struct SignMessageInit : BeginMessage<T, compat::kSignatureSignMessageInit, OperationKind::kSign> {
};

template <class T>
struct VerifyMessageInit
    : BeginMessage<T, compat::kSignatureVerifyMessageInit, OperationKind::kVerify> {};

template <class T>
struct SignMessageUpdate : Update<T, compat::kSignatureSignMessageUpdate, compat::MessageUpdateFn> {
};

template <class T>
struct VerifyMessageUpdate
    : Update<T, compat::kSignatureVerifyMessageUpdate, compat::MessageUpdateFn> {};

template <class T>
struct SignMessageFinal
    : FinishSign<T, compat::kSignatureSignMessageFinal, compat::SignMessageFinalFn> {};

template <class T>
struct DigestSignInit : BeginDigest<T, OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT,
                                    OSSL_FUNC_signature_digest_sign_init_fn, OperationKind::kSign> {
};

template <class T>
struct DigestVerifyInit
    : BeginDigest<T, OSSL_FUNC_SIGNATURE_DIGEST_VERIFY_INIT,
                  OSSL_FUNC_signature_digest_verify_init_fn, OperationKind::kVerify> {};

template <class T>
struct DigestSignUpdate
    : Update<T, OSSL_FUNC_SIGNATURE_DIGEST_SIGN_UPDATE, OSSL_FUNC_signature_digest_sign_update_fn> {
};

template <class T>
struct DigestVerifyUpdate : Update<T, OSSL_FUNC_SIGNATURE_DIGEST_VERIFY_UPDATE,
                                   OSSL_FUNC_signature_digest_verify_update_fn> {};

template <class T>
struct DigestSignFinal : FinishSign<T, OSSL_FUNC_SIGNATURE_DIGEST_SIGN_FINAL,
                                    OSSL_FUNC_signature_digest_sign_final_fn> {};

template <class T>
struct Sign : context::Transform<T, OSSL_OP_SIGNATURE, OSSL_FUNC_SIGNATURE_SIGN,
                                 OSSL_FUNC_signature_sign_fn, &T::sign> {};

template <class T>
struct Verify : Slot<OSSL_OP_SIGNATURE, OSSL_FUNC_SIGNATURE_VERIFY, OSSL_FUNC_signature_verify_fn> {
  static int call(void* ctx, const unsigned char* sig, std::size_t sig_size,
                  const unsigned char* in, std::size_t size) noexcept {
    auto& self = *static_cast<T*>(ctx);
    return boundary_verdict(self.core(), [&]() -> Result<bool> {
      const auto signature = VHSM_TRY(bytes(sig, sig_size));
      const auto input = VHSM_TRY(bytes(in, size));
      return self.verify(input, signature);
    });
  }
};

template <class T>
struct VerifyRecover : context::Transform<T, OSSL_OP_SIGNATURE, OSSL_FUNC_SIGNATURE_VERIFY_RECOVER,
                                          OSSL_FUNC_signature_verify_recover_fn, &T::run> {};

template <class T>
struct VerifyMessageFinal
    : Slot<OSSL_OP_SIGNATURE, compat::kSignatureVerifyMessageFinal, compat::VerifyMessageFinalFn> {
  static int call(void* ctx) noexcept {
    auto& self = *static_cast<T*>(ctx);
    return boundary_verdict(self.core(), [&] { return self.finish_verify(); });
  }
};

template <class T>
struct DigestVerifyFinal : Slot<OSSL_OP_SIGNATURE, OSSL_FUNC_SIGNATURE_DIGEST_VERIFY_FINAL,
                                OSSL_FUNC_signature_digest_verify_final_fn> {
  static int call(void* ctx, const unsigned char* sig, std::size_t sig_size) noexcept {
    auto& self = *static_cast<T*>(ctx);
    return boundary_verdict(self.core(), [&]() -> Result<bool> {
      const auto signature = VHSM_TRY(bytes(sig, sig_size));
      return self.finish_verify(signature);
    });
  }
};

template <class T>
struct DigestSign : context::Transform<T, OSSL_OP_SIGNATURE, OSSL_FUNC_SIGNATURE_DIGEST_SIGN,
                                       OSSL_FUNC_signature_digest_sign_fn, &T::sign_message> {};

template <class T>
struct DigestVerify : Slot<OSSL_OP_SIGNATURE, OSSL_FUNC_SIGNATURE_DIGEST_VERIFY,
                           OSSL_FUNC_signature_digest_verify_fn> {
  static int call(void* ctx, const unsigned char* sig, std::size_t sig_size,
                  const unsigned char* in, std::size_t size) noexcept {
    auto& self = *static_cast<T*>(ctx);
    return boundary_verdict(self.core(), [&]() -> Result<bool> {
      const auto signature = VHSM_TRY(bytes(sig, sig_size));
      const auto input = VHSM_TRY(bytes(in, size));
      return self.verify_message(input, signature);
    });
  }
};

template <class T>
struct GetCtxMdParams : Slot<OSSL_OP_SIGNATURE, OSSL_FUNC_SIGNATURE_GET_CTX_MD_PARAMS,
                             OSSL_FUNC_signature_get_ctx_md_params_fn> {
  static int call(void* ctx, OSSL_PARAM params[]) noexcept {
    auto& self = *static_cast<T*>(ctx);
    return boundary_status(self.core(), [&] { return self.get_digest_params(params); });
  }
};

template <class T>
struct SetCtxMdParams : Slot<OSSL_OP_SIGNATURE, OSSL_FUNC_SIGNATURE_SET_CTX_MD_PARAMS,
                             OSSL_FUNC_signature_set_ctx_md_params_fn> {
  static int call(void* ctx, const OSSL_PARAM params[]) noexcept {
    auto& self = *static_cast<T*>(ctx);
    return boundary_status(self.core(), [&] { return self.set_digest_params(params); });
  }
};

template <class T>
struct GettableCtxMdParams : Slot<OSSL_OP_SIGNATURE, OSSL_FUNC_SIGNATURE_GETTABLE_CTX_MD_PARAMS,
                                  OSSL_FUNC_signature_gettable_ctx_md_params_fn> {
  static const OSSL_PARAM* call(void* ctx) noexcept {
    return ctx != nullptr ? static_cast<const T*>(ctx)->gettable_digest_params() : nullptr;
  }
};

template <class T>
struct SettableCtxMdParams : Slot<OSSL_OP_SIGNATURE, OSSL_FUNC_SIGNATURE_SETTABLE_CTX_MD_PARAMS,
                                  OSSL_FUNC_signature_settable_ctx_md_params_fn> {
  static const OSSL_PARAM* call(void* ctx) noexcept {
    return ctx != nullptr ? static_cast<const T*>(ctx)->settable_digest_params() : nullptr;
  }
};

}  // namespace signature
}  // namespace vhsm::ossl
