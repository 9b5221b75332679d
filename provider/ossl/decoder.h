// SPDX-License-Identifier: Apache-2.0
//
// Decoders: raw C arguments on one side, a decoder class on the other.
// Source: provider-decoder(7), OpenSSL 3.0.
#pragma once

#include <algorithm>
#include <array>

#include "provider/ossl/boundary.h"
#include "provider/ossl/dispatch.h"

namespace vhsm::ossl {

template <>
struct Rules<OSSL_OP_DECODER> {
  template <std::size_t N>
  static consteval bool complete(const std::array<int, N>& ids) {
    const auto has = [&](int id) { return std::ranges::find(ids, id) != ids.end(); };
    return has(OSSL_FUNC_DECODER_NEWCTX) && has(OSSL_FUNC_DECODER_FREECTX) &&
           has(OSSL_FUNC_DECODER_DECODE);
  }
};

namespace decoder {

template <class T>
struct NewCtx : Slot<OSSL_OP_DECODER, OSSL_FUNC_DECODER_NEWCTX, OSSL_FUNC_decoder_newctx_fn> {
  static void* call(void* provctx) noexcept {
    auto& provider = *static_cast<typename T::Provider*>(provctx);
    return boundary_new(provider.core(), [&] { return T::create(provider); });
  }
};

template <class T>
struct FreeCtx : Slot<OSSL_OP_DECODER, OSSL_FUNC_DECODER_FREECTX, OSSL_FUNC_decoder_freectx_fn> {
  static void call(void* ctx) noexcept { boundary_delete<T>(ctx); }
};

template <class T>
struct DoesSelection
    : Slot<OSSL_OP_DECODER, OSSL_FUNC_DECODER_DOES_SELECTION, OSSL_FUNC_decoder_does_selection_fn> {
  static int call(void* /*provctx*/, int selection) noexcept {
    return T::does_selection(selection) ? 1 : 0;
  }
};

/// decode() answers true for "carry on", also when the input is not for it: false would end the
/// decoding of every other key on the machine.
template <class T>
struct Decode : Slot<OSSL_OP_DECODER, OSSL_FUNC_DECODER_DECODE, OSSL_FUNC_decoder_decode_fn> {
  static int call(void* ctx, OSSL_CORE_BIO* in, int /*selection*/, OSSL_CALLBACK* tell, void* arg,
                  OSSL_PASSPHRASE_CALLBACK* /*passphrase*/, void* /*passphrase_arg*/) noexcept {
    auto& self = *static_cast<T*>(ctx);
    return boundary_answer(self.core(), [&] { return self.decode(in, tell, arg); });
  }
};

}  // namespace decoder
}  // namespace vhsm::ossl
