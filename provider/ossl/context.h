// SPDX-License-Identifier: Apache-2.0
//
// What the operations' contexts do alike, each under ids and C types of its own. C is the class of
// the context; the rest is as in Slot.
// Source: provider-signature(7), provider-cipher(7) and their like, OpenSSL 3.0.
#pragma once

#include <functional>

#include "keystore/key.h"
#include "provider/ossl/boundary.h"
#include "provider/ossl/dispatch.h"

namespace vhsm::ossl::context {

/// @tparam kCreate  Result<std::unique_ptr<C>>(Provider&)
template <class Provider, auto kCreate, int kOperation, int kId, class Fn>
struct New : Slot<kOperation, kId, Fn> {
  static void* call(void* provctx) noexcept {
    auto& provider = *static_cast<Provider*>(provctx);
    return boundary_new(provider.core(), [&] { return kCreate(provider); });
  }
};

template <class C, int kOperation, int kId, class Fn>
struct Free : Slot<kOperation, kId, Fn> {
  static void call(void* ctx) noexcept { boundary_delete<C>(ctx); }
};

template <class C, int kOperation, int kId, class Fn>
struct Dup : Slot<kOperation, kId, Fn> {
  static void* call(void* ctx) noexcept {
    const auto& self = *static_cast<const C*>(ctx);
    return boundary_new(self.core(), [&] { return self.clone(); });
  }
};

template <class C, int kOperation, int kId, class Fn>
struct GetParams : Slot<kOperation, kId, Fn> {
  static int call(void* ctx, OSSL_PARAM params[]) noexcept {
    const auto& self = *static_cast<const C*>(ctx);
    return boundary_status(self.core(), [&] { return self.get_params(params); });
  }
};

template <class C, int kOperation, int kId, class Fn>
struct SetParams : Slot<kOperation, kId, Fn> {
  static int call(void* ctx, const OSSL_PARAM params[]) noexcept {
    auto& self = *static_cast<C*>(ctx);
    return boundary_status(self.core(), [&] { return self.set_params(params); });
  }
};

/// Which parameters there are depends on what the context does: without one there are none.
template <class C, int kOperation, int kId, class Fn>
struct GettableParams : Slot<kOperation, kId, Fn> {
  static const OSSL_PARAM* call(void* ctx, void* /*provctx*/) noexcept {
    return ctx != nullptr ? static_cast<const C*>(ctx)->gettable_params() : nullptr;
  }
};

template <class C, int kOperation, int kId, class Fn>
struct SettableParams : Slot<kOperation, kId, Fn> {
  static const OSSL_PARAM* call(void* ctx, void* /*provctx*/) noexcept {
    return ctx != nullptr ? static_cast<const C*>(ctx)->settable_params() : nullptr;
  }
};

template <class C, int kOperation, int kId, class Fn, keystore::OperationKind kKind>
struct Begin : Slot<kOperation, kId, Fn> {
  static int call(void* ctx, void* key, const OSSL_PARAM params[]) noexcept {
    auto& self = *static_cast<C*>(ctx);
    return boundary_status(self.core(), [&] {
      return self.begin(kKind, static_cast<const typename C::Key*>(key), params);
    });
  }
};

/// Input into output.
/// @tparam kMethod  Result<std::size_t> (C::*)(span of input, span for output)
template <class C, int kOperation, int kId, class Fn, auto kMethod>
struct Transform : Slot<kOperation, kId, Fn> {
  static int call(void* ctx, unsigned char* out, std::size_t* written, std::size_t capacity,
                  const unsigned char* in, std::size_t size) noexcept {
    auto& self = *static_cast<C*>(ctx);
    return boundary_status(self.core(), [&]() -> Status {
      const auto input = VHSM_TRY(bytes(in, size));
      return fill(out, written, capacity, [&](std::span<std::uint8_t> to) {
        return std::invoke(kMethod, self, input, to);
      });
    });
  }
};

/// Output of what has been put in before.
/// @tparam kMethod  Result<std::size_t> (C::*)(span for output)
template <class C, int kOperation, int kId, class Fn, auto kMethod>
struct Finish : Slot<kOperation, kId, Fn> {
  static int call(void* ctx, unsigned char* out, std::size_t* written,
                  std::size_t capacity) noexcept {
    auto& self = *static_cast<C*>(ctx);
    return boundary_status(self.core(), [&] {
      return fill(out, written, capacity,
                  [&](std::span<std::uint8_t> to) { return std::invoke(kMethod, self, to); });
    });
  }
};

// ----- of an algorithm T, whose parameters are known without a context -----

template <class T, int kOperation, int kId, class Fn>
struct AlgorithmGettableParams : Slot<kOperation, kId, Fn> {
  static const OSSL_PARAM* call(void* /*provctx*/) noexcept { return T::gettable_params(); }
};

template <class T, int kOperation, int kId, class Fn>
struct AlgorithmGetParams : Slot<kOperation, kId, Fn> {
  static int call(OSSL_PARAM params[]) noexcept { return T::get_params(params) ? 1 : 0; }
};

template <class T, int kOperation, int kId, class Fn>
struct AlgorithmGettableCtxParams : Slot<kOperation, kId, Fn> {
  static const OSSL_PARAM* call(void* /*ctx*/, void* /*provctx*/) noexcept {
    return T::gettable_ctx_params();
  }
};

template <class T, int kOperation, int kId, class Fn>
struct AlgorithmSettableCtxParams : Slot<kOperation, kId, Fn> {
  static const OSSL_PARAM* call(void* /*ctx*/, void* provctx) noexcept {
    return T::settable_ctx_params(*static_cast<const typename T::Provider*>(provctx));
  }
};

}  // namespace vhsm::ossl::context
