// SPDX-License-Identifier: Apache-2.0
//
// Management of symmetric keys: raw C arguments on one side, Results on the other. T is the handle
// that OpenSSL holds as keydata.
// Source: provider-skeymgmt(7), OpenSSL 3.5.
#pragma once

#include <algorithm>
#include <array>

#include "provider/ossl/boundary.h"
#include "provider/ossl/compat.h"
#include "provider/ossl/dispatch.h"

namespace vhsm::ossl {

template <>
struct Rules<compat::kOpSkeymgmt> {
  template <std::size_t N>
  static consteval bool complete(const std::array<int, N>& ids) {
    const auto has = [&](int id) { return std::ranges::find(ids, id) != ids.end(); };
    return has(compat::kSkeymgmtFree) && has(compat::kSkeymgmtImport) &&
           has(compat::kSkeymgmtExport);
  }
};

namespace skeymgmt {

template <int Id, class Fn>
using SkeymgmtSlot = Slot<compat::kOpSkeymgmt, Id, Fn>;

template <class T>
struct Free : SkeymgmtSlot<compat::kSkeymgmtFree, compat::SkeymgmtFreeFn> {
  static void call(void* key) noexcept { boundary_delete<T>(key); }
};

template <class T>
struct Import : SkeymgmtSlot<compat::kSkeymgmtImport, compat::SkeymgmtImportFn> {
  static void* call(void* provctx, int /*selection*/, const OSSL_PARAM params[]) noexcept {
    auto& provider = *static_cast<typename T::Provider*>(provctx);
    return boundary_new(provider.core(), [&] { return T::import(provider, params); });
  }
};

template <class T>
struct Export : SkeymgmtSlot<compat::kSkeymgmtExport, compat::SkeymgmtExportFn> {
  static int call(void* key, int /*selection*/, OSSL_CALLBACK* /*tell*/, void* /*arg*/) noexcept {
    const auto& self = *static_cast<const T*>(key);
    return boundary_status(self.core(), [&] { return self.refuse_export(); });
  }
};

template <class T>
struct Generate : SkeymgmtSlot<compat::kSkeymgmtGenerate, compat::SkeymgmtGenerateFn> {
  static void* call(void* provctx, const OSSL_PARAM params[]) noexcept {
    auto& provider = *static_cast<typename T::Provider*>(provctx);
    return boundary_new(provider.core(), [&] { return T::generate(provider, params); });
  }
};

template <class T>
struct GetKeyId : SkeymgmtSlot<compat::kSkeymgmtGetKeyId, compat::SkeymgmtGetKeyIdFn> {
  static const char* call(void* key) noexcept { return static_cast<const T*>(key)->id(); }
};

template <class T>
struct ImportSettable : SkeymgmtSlot<compat::kSkeymgmtImportSettable, compat::SkeymgmtSettableFn> {
  static const OSSL_PARAM* call(void* /*provctx*/) noexcept { return T::import_params(); }
};

template <class T>
struct GenerateSettable
    : SkeymgmtSlot<compat::kSkeymgmtGenerateSettable, compat::SkeymgmtSettableFn> {
  static const OSSL_PARAM* call(void* /*provctx*/) noexcept { return T::generate_params(); }
};

}  // namespace skeymgmt
}  // namespace vhsm::ossl
