// SPDX-License-Identifier: Apache-2.0
#include "keystore/inner_context.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include <array>
#include <string>
#include <utility>

namespace vhsm::keystore {
namespace {

using PlainInit = int (*)(EVP_PKEY_CTX*, const OSSL_PARAM[]);

PlainInit plain_init(OperationKind kind) noexcept {
  switch (kind) {
    case OperationKind::kSign: return EVP_PKEY_sign_init_ex;
    case OperationKind::kVerify: return EVP_PKEY_verify_init_ex;
    case OperationKind::kDecrypt: return EVP_PKEY_decrypt_init_ex;
    case OperationKind::kEncrypt: return EVP_PKEY_encrypt_init_ex;
    case OperationKind::kDerive: return EVP_PKEY_derive_init_ex;
    case OperationKind::kEncapsulate:
    case OperationKind::kAuthEncapsulate: return EVP_PKEY_encapsulate_init;
    case OperationKind::kDecapsulate: return EVP_PKEY_decapsulate_init;
    case OperationKind::kVerifyRecover: return EVP_PKEY_verify_recover_init_ex;
    default: return nullptr;
  }
}

Status set_digest(EVP_PKEY_CTX* ctx, const std::string& digest) {
  if (digest.empty()) return {};
  std::string name = digest;
  const OSSL_PARAM params[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_SIGNATURE_PARAM_DIGEST, name.data(), 0),
      OSSL_PARAM_construct_end()};
  return crypto(EVP_PKEY_CTX_set_params(ctx, params), "this digest is not for this key");
}

Result<ossl::PKeyCtx> context_of(EVP_PKEY* key) {
  return made(ossl::PKeyCtx(EVP_PKEY_CTX_new_from_pkey(nullptr, key, nullptr)), "no inner context");
}

Status begin_plain(InnerContext& context, EVP_PKEY* key) {
  context.plain = VHSM_TRY(context_of(key));
  VHSM_TRY(crypto(plain_init(context.kind)(context.plain.get(), nullptr),
                  "the key's type has no such operation"));
  return set_digest(context.plain.get(), context.digest);
}

/// An encapsulation with a sender's key takes both keys at once, and begins on the recipient's.
Status begin_with_sender([[maybe_unused]] InnerContext& context, [[maybe_unused]] EVP_PKEY* key,
                         [[maybe_unused]] EVP_PKEY* peer) {
#if OPENSSL_VERSION_NUMBER >= 0x30200000L
  const bool sends = context.kind == OperationKind::kAuthEncapsulate;
  context.plain = VHSM_TRY(context_of(sends ? peer : key));
  const auto init = sends ? EVP_PKEY_auth_encapsulate_init : EVP_PKEY_auth_decapsulate_init;
  context.reusable = false;  // its settings do not tell the peer
  return crypto(init(context.plain.get(), sends ? key : peer, nullptr),
                "the keys have no such operation");
#else
  return fail(Errc::kUnsupported, "the private OpenSSL knows no sender of an encapsulation");
#endif
}

Status begin_message(InnerContext& context, EVP_PKEY* key) {
  context.message = VHSM_TRY(made(ossl::MdCtx(EVP_MD_CTX_new()), "no inner context"));
  const auto init =
      context.kind == OperationKind::kSignMessage ? EVP_DigestSignInit_ex : EVP_DigestVerifyInit_ex;
  return crypto(init(context.message.get(), nullptr, nullptr, nullptr, nullptr, key, nullptr),
                "the key's type does not sign messages");
}

/// A sender's encapsulation has a recipient; of the others only a decapsulation may have a peer.
Status check_peer(const OperationRequest& request) {
  const bool sends = request.kind == OperationKind::kAuthEncapsulate;
  if (sends && request.peer == nullptr) {
    return fail(Errc::kInvalidArgument, "an encapsulation as a sender needs a recipient");
  }
  if (request.peer != nullptr && !sends && request.kind != OperationKind::kDecapsulate) {
    return fail(Errc::kInvalidArgument, "the operation has no peer when it begins");
  }
  return {};
}

InnerContextPtr empty_like(const OperationRequest& request, bool held) {
  return InnerContextPtr(
      new InnerContext{request.kind, std::string(request.digest), held, nullptr, nullptr});
}

}  // namespace

void FreeInnerContext::operator()(InnerContext* context) const noexcept {
  static_cast<void>(scoped_if(context->held, [context]() -> Status {
    context->plain.reset();
    context->message.reset();
    return {};
  }));
  // In a process without protected memory of its own the members still point into the parent's:
  // they are leaked, not freed.
  static_cast<void>(context->plain.release());
  static_cast<void>(context->message.release());
  delete context;
}

Result<InnerContextPtr> begin_inner(EVP_PKEY* key, bool held, const OperationRequest& request) {
  VHSM_TRY(check_peer(request));
  auto context = empty_like(request, held);
  const bool whole = plain_init(request.kind) == nullptr;
  const auto begin = [&]() -> Status {
    if (request.peer != nullptr) {
      VHSM_TRY(begin_with_sender(*context, key, request.peer->public_half().get()));
    } else {
      VHSM_TRY(whole ? begin_message(*context, key) : begin_plain(*context, key));
    }
    context->settable = EVP_PKEY_CTX_settable_params(context->get());
    context->gettable = EVP_PKEY_CTX_gettable_params(context->get());
    return {};
  };
  VHSM_TRY(scoped_if(held, begin));
  return context;
}

Result<InnerContextPtr> clone_inner(const InnerContext& context) {
  auto copy = empty_like({context.kind, context.digest}, context.held);
  const auto duplicate = [&]() -> Status {
    if (context.plain != nullptr) {
      copy->plain = VHSM_TRY(
          made(ossl::PKeyCtx(EVP_PKEY_CTX_dup(context.plain.get())), "the context has no copy"));
      return {};
    }
    copy->message = VHSM_TRY(made(ossl::MdCtx(EVP_MD_CTX_new()), "no inner context"));
    return crypto(EVP_MD_CTX_copy_ex(copy->message.get(), context.message.get()),
                  "the context has no copy");
  };
  VHSM_TRY(scoped_if(context.held, duplicate));
  copy->message_used = context.message_used;
  copy->settable = context.settable;
  copy->gettable = context.gettable;
  copy->settings = context.settings;
  copy->reusable = context.reusable;
  return copy;
}

void ContextPool::drain() noexcept {
  for (auto& place : places_) InnerContextPtr(place.exchange(nullptr));
}

InnerContextPtr ContextPool::take(OperationKind kind, std::string_view digest,
                                  std::string_view settings) noexcept {
  for (auto& place : places_) {
    if (place.load(std::memory_order_relaxed) == nullptr) continue;
    InnerContextPtr found(place.exchange(nullptr));
    if (found == nullptr) continue;
    if (found->kind == kind && found->digest == digest && found->settings == settings) return found;
    put(std::move(found));
  }
  return nullptr;
}

void ContextPool::put(InnerContextPtr context) noexcept {
  if (!context->reusable) return;
  for (auto& place : places_) {
    InnerContext* none = nullptr;
    if (place.compare_exchange_strong(none, context.get())) {
      static_cast<void>(context.release());
      return;
    }
  }
  const std::size_t victim = next_victim_.fetch_add(1, std::memory_order_relaxed) % kPlaces;
  context.reset(places_[victim].exchange(context.release()));
}

}  // namespace vhsm::keystore
