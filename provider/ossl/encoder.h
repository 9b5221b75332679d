// SPDX-License-Identifier: Apache-2.0
//
// Encoders: raw C arguments on one side, key handles and Results on the other.
// Source: provider-encoder(7), OpenSSL 3.0.
#pragma once

#include <algorithm>
#include <array>

#include "provider/ossl/boundary.h"
#include "provider/ossl/dispatch.h"

namespace vhsm::ossl {

template <>
struct Rules<OSSL_OP_ENCODER> {
  template <std::size_t N>
  static consteval bool complete(const std::array<int, N>& ids) {
    const auto has = [&](int id) { return std::ranges::find(ids, id) != ids.end(); };
    // OpenSSL 3.0 calls import_object of a foreign encoder without looking whether it is there.
    return has(OSSL_FUNC_ENCODER_NEWCTX) && has(OSSL_FUNC_ENCODER_FREECTX) &&
           has(OSSL_FUNC_ENCODER_ENCODE) && has(OSSL_FUNC_ENCODER_IMPORT_OBJECT) &&
           has(OSSL_FUNC_ENCODER_FREE_OBJECT);
  }
};

namespace encoder {

template <class T>
struct NewCtx : Slot<OSSL_OP_ENCODER, OSSL_FUNC_ENCODER_NEWCTX, OSSL_FUNC_encoder_newctx_fn> {
  static void* call(void* provctx) noexcept {
    auto& provider = *static_cast<typename T::Provider*>(provctx);
    return boundary_new(provider.core(), [&] { return T::create(provider); });
  }
};

template <class T>
struct FreeCtx : Slot<OSSL_OP_ENCODER, OSSL_FUNC_ENCODER_FREECTX, OSSL_FUNC_encoder_freectx_fn> {
  static void call(void* ctx) noexcept { boundary_delete<T>(ctx); }
};

template <class T>
struct DoesSelection
    : Slot<OSSL_OP_ENCODER, OSSL_FUNC_ENCODER_DOES_SELECTION, OSSL_FUNC_encoder_does_selection_fn> {
  static int call(void* /*provctx*/, int selection) noexcept {
    return T::does_selection(selection) ? 1 : 0;
  }
};

template <class T>
struct Encode : Slot<OSSL_OP_ENCODER, OSSL_FUNC_ENCODER_ENCODE, OSSL_FUNC_encoder_encode_fn> {
  static int call(void* ctx, OSSL_CORE_BIO* out, const void* key, const OSSL_PARAM abstract[],
                  int selection, OSSL_PASSPHRASE_CALLBACK* /*passphrase*/, void* /*arg*/) noexcept {
    auto& self = *static_cast<T*>(ctx);
    return boundary_status(self.core(), [&]() -> Status {
      if (key == nullptr || abstract != nullptr) {
        return fail(Errc::kInvalidArgument, "only key handles can be encoded");
      }
      return self.encode(*static_cast<const typename T::Key*>(key), selection, out);
    });
  }
};

template <class T>
struct ImportObject
    : Slot<OSSL_OP_ENCODER, OSSL_FUNC_ENCODER_IMPORT_OBJECT, OSSL_FUNC_encoder_import_object_fn> {
  static void* call(void* ctx, int selection, const OSSL_PARAM params[]) noexcept {
    auto& self = *static_cast<T*>(ctx);
    return boundary_new(self.core(), [&] { return self.import_object(selection, params); });
  }
};

template <class T>
struct FreeObject
    : Slot<OSSL_OP_ENCODER, OSSL_FUNC_ENCODER_FREE_OBJECT, OSSL_FUNC_encoder_free_object_fn> {
  static void call(void* key) noexcept { boundary_delete<typename T::Key>(key); }
};

}  // namespace encoder
}  // namespace vhsm::ossl
