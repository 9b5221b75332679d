// SPDX-License-Identifier: Apache-2.0
//
// Key management: raw C arguments on one side, key handles and Results on the other. T names the
// key type; T::Key and T::Generator do the work.
// Source: provider-keymgmt(7), OpenSSL 3.0 and 3.2.
#pragma once

#include <algorithm>
#include <array>

#include "provider/ossl/boundary.h"
#include "provider/ossl/compat.h"
#include "provider/ossl/dispatch.h"

namespace vhsm::ossl {

template <>
struct Rules<OSSL_OP_KEYMGMT> {
  template <std::size_t N>
  static consteval bool complete(const std::array<int, N>& ids) {
    const auto has = [&](int id) { return std::ranges::find(ids, id) != ids.end(); };
    const bool lifecycle =
        has(OSSL_FUNC_KEYMGMT_NEW) && has(OSSL_FUNC_KEYMGMT_FREE) && has(OSSL_FUNC_KEYMGMT_HAS);
    const bool imports = has(OSSL_FUNC_KEYMGMT_IMPORT) == has(OSSL_FUNC_KEYMGMT_IMPORT_TYPES);
    const bool exports = has(OSSL_FUNC_KEYMGMT_EXPORT) == has(OSSL_FUNC_KEYMGMT_EXPORT_TYPES);
    const bool generates = has(OSSL_FUNC_KEYMGMT_GEN) == has(OSSL_FUNC_KEYMGMT_GEN_INIT) &&
                           has(OSSL_FUNC_KEYMGMT_GEN) == has(OSSL_FUNC_KEYMGMT_GEN_CLEANUP);
    return lifecycle && imports && exports && generates;
  }
};

namespace keymgmt {

template <class T>
struct New : Slot<OSSL_OP_KEYMGMT, OSSL_FUNC_KEYMGMT_NEW, OSSL_FUNC_keymgmt_new_fn> {
  static void* call(void* provctx) noexcept {
    auto& provider = *static_cast<typename T::Provider*>(provctx);
    return boundary_new(provider.core(), [&] { return T::empty(provider); });
  }
};

template <class T>
struct Free : Slot<OSSL_OP_KEYMGMT, OSSL_FUNC_KEYMGMT_FREE, OSSL_FUNC_keymgmt_free_fn> {
  static void call(void* key) noexcept { boundary_delete<typename T::Key>(key); }
};

template <class T>
struct Load : Slot<OSSL_OP_KEYMGMT, OSSL_FUNC_KEYMGMT_LOAD, OSSL_FUNC_keymgmt_load_fn> {
  static void* call(const void* reference, std::size_t size) noexcept {
    const typename T::Key* key = T::Key::from_reference(reference, size, T::type());
    if (key == nullptr) return nullptr;
    return boundary_new(key->core(), [&] { return key->share(); });
  }
};

template <class T>
struct Dup : Slot<OSSL_OP_KEYMGMT, OSSL_FUNC_KEYMGMT_DUP, OSSL_FUNC_keymgmt_dup_fn> {
  static void* call(const void* from, int selection) noexcept {
    const auto& key = *static_cast<const typename T::Key*>(from);
    return boundary_new(key.core(), [&] { return key.duplicate(selection); });
  }
};

template <class T>
struct Has : Slot<OSSL_OP_KEYMGMT, OSSL_FUNC_KEYMGMT_HAS, OSSL_FUNC_keymgmt_has_fn> {
  static int call(const void* key, int selection) noexcept {
    return key != nullptr && static_cast<const typename T::Key*>(key)->has(selection) ? 1 : 0;
  }
};

template <class T>
struct Match : Slot<OSSL_OP_KEYMGMT, OSSL_FUNC_KEYMGMT_MATCH, OSSL_FUNC_keymgmt_match_fn> {
  static int call(const void* one, const void* other, int selection) noexcept {
    const auto& key = *static_cast<const typename T::Key*>(one);
    return key.matches(*static_cast<const typename T::Key*>(other), selection) ? 1 : 0;
  }
};

template <class T>
struct Validate : Slot<OSSL_OP_KEYMGMT, OSSL_FUNC_KEYMGMT_VALIDATE, OSSL_FUNC_keymgmt_validate_fn> {
  static int call(const void* raw, int selection, int check) noexcept {
    const auto& key = *static_cast<const typename T::Key*>(raw);
    const bool quick = check == OSSL_KEYMGMT_VALIDATE_QUICK_CHECK;
    return boundary_status(key.core(), [&] { return key.validate(selection, quick); });
  }
};

template <class T>
struct Import : Slot<OSSL_OP_KEYMGMT, OSSL_FUNC_KEYMGMT_IMPORT, OSSL_FUNC_keymgmt_import_fn> {
  static int call(void* raw, int selection, const OSSL_PARAM params[]) noexcept {
    auto& key = *static_cast<typename T::Key*>(raw);
    return boundary_answer(key.core(), [&] { return key.import(selection, params); });
  }
};

template <class T>
struct ImportTypes
    : Slot<OSSL_OP_KEYMGMT, OSSL_FUNC_KEYMGMT_IMPORT_TYPES, OSSL_FUNC_keymgmt_import_types_fn> {
  static const OSSL_PARAM* call(int selection) noexcept { return T::import_types(selection); }
};

/// As ImportTypes, where the answer depends on the provider.
template <class T>
struct ImportTypesEx
    : Slot<OSSL_OP_KEYMGMT, compat::kKeymgmtImportTypesEx, compat::KeymgmtTypesExFn> {
  static const OSSL_PARAM* call(void* provctx, int selection) noexcept {
    return T::import_types(*static_cast<const typename T::Provider*>(provctx), selection);
  }
};

template <class T>
struct Export : Slot<OSSL_OP_KEYMGMT, OSSL_FUNC_KEYMGMT_EXPORT, OSSL_FUNC_keymgmt_export_fn> {
  static int call(void* raw, int selection, OSSL_CALLBACK* tell, void* arg) noexcept {
    const auto& key = *static_cast<const typename T::Key*>(raw);
    // libssl asks so before each signature: the answer is at hand and leaves no trace.
    if (!key.may_export(selection)) return 0;
    return boundary_answer(key.core(), [&] { return key.export_to(selection, tell, arg); });
  }
};

template <class T>
struct ExportTypes
    : Slot<OSSL_OP_KEYMGMT, OSSL_FUNC_KEYMGMT_EXPORT_TYPES, OSSL_FUNC_keymgmt_export_types_fn> {
  static const OSSL_PARAM* call(int selection) noexcept { return T::export_types(selection); }
};

template <class T>
struct ExportTypesEx
    : Slot<OSSL_OP_KEYMGMT, compat::kKeymgmtExportTypesEx, compat::KeymgmtTypesExFn> {
  static const OSSL_PARAM* call(void* /*provctx*/, int selection) noexcept {
    return T::export_types(selection);
  }
};

template <class T>
struct GetParams
    : Slot<OSSL_OP_KEYMGMT, OSSL_FUNC_KEYMGMT_GET_PARAMS, OSSL_FUNC_keymgmt_get_params_fn> {
  static int call(void* raw, OSSL_PARAM params[]) noexcept {
    const auto& key = *static_cast<const typename T::Key*>(raw);
    return boundary_answer(key.core(), [&] { return key.get_params(params); });
  }
};

template <class T>
struct GettableParams : Slot<OSSL_OP_KEYMGMT, OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS,
                             OSSL_FUNC_keymgmt_gettable_params_fn> {
  static const OSSL_PARAM* call(void* /*provctx*/) noexcept { return T::gettable_params(); }
};

template <class T>
struct SetParams
    : Slot<OSSL_OP_KEYMGMT, OSSL_FUNC_KEYMGMT_SET_PARAMS, OSSL_FUNC_keymgmt_set_params_fn> {
  static int call(void* raw, const OSSL_PARAM params[]) noexcept {
    auto& key = *static_cast<typename T::Key*>(raw);
    return boundary_status(key.core(), [&] { return key.set_params(params); });
  }
};

template <class T>
struct SettableParams : Slot<OSSL_OP_KEYMGMT, OSSL_FUNC_KEYMGMT_SETTABLE_PARAMS,
                             OSSL_FUNC_keymgmt_settable_params_fn> {
  static const OSSL_PARAM* call(void* /*provctx*/) noexcept { return T::settable_params(); }
};

template <class T>
struct GenInit : Slot<OSSL_OP_KEYMGMT, OSSL_FUNC_KEYMGMT_GEN_INIT, OSSL_FUNC_keymgmt_gen_init_fn> {
  static void* call(void* provctx, int selection, const OSSL_PARAM params[]) noexcept {
    auto& provider = *static_cast<typename T::Provider*>(provctx);
    return boundary_new(provider.core(), [&] {
      return T::Generator::create(provider, T::type(), selection, params);
    });
  }
};

template <class T>
struct GenSetTemplate : Slot<OSSL_OP_KEYMGMT, OSSL_FUNC_KEYMGMT_GEN_SET_TEMPLATE,
                             OSSL_FUNC_keymgmt_gen_set_template_fn> {
  static int call(void* genctx, void* key) noexcept {
    auto& self = *static_cast<typename T::Generator*>(genctx);
    return boundary_status(
        self.core(), [&] { return self.set_template(*static_cast<const typename T::Key*>(key)); });
  }
};

template <class T>
struct GenSetParams
    : Slot<OSSL_OP_KEYMGMT, OSSL_FUNC_KEYMGMT_GEN_SET_PARAMS, OSSL_FUNC_keymgmt_gen_set_params_fn> {
  static int call(void* genctx, const OSSL_PARAM params[]) noexcept {
    auto& self = *static_cast<typename T::Generator*>(genctx);
    return boundary_status(self.core(), [&] { return self.set_params(params); });
  }
};

template <class T>
struct GenSettableParams : Slot<OSSL_OP_KEYMGMT, OSSL_FUNC_KEYMGMT_GEN_SETTABLE_PARAMS,
                                OSSL_FUNC_keymgmt_gen_settable_params_fn> {
  static const OSSL_PARAM* call(void* genctx, void* /*provctx*/) noexcept {
    if (genctx == nullptr) return nullptr;
    auto& self = *static_cast<typename T::Generator*>(genctx);
    return boundary<const OSSL_PARAM*>(self.core(), nullptr, [&]() -> Result<const OSSL_PARAM*> {
      return self.settable_params();
    });
  }
};

template <class T>
struct Gen : Slot<OSSL_OP_KEYMGMT, OSSL_FUNC_KEYMGMT_GEN, OSSL_FUNC_keymgmt_gen_fn> {
  static void* call(void* genctx, OSSL_CALLBACK* /*progress*/, void* /*arg*/) noexcept {
    auto& self = *static_cast<typename T::Generator*>(genctx);
    return boundary_new(self.core(), [&] { return self.generate(); });
  }
};

template <class T>
struct GenCleanup
    : Slot<OSSL_OP_KEYMGMT, OSSL_FUNC_KEYMGMT_GEN_CLEANUP, OSSL_FUNC_keymgmt_gen_cleanup_fn> {
  static void call(void* genctx) noexcept { boundary_delete<typename T::Generator>(genctx); }
};

template <class T>
struct QueryOperationName : Slot<OSSL_OP_KEYMGMT, OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME,
                                 OSSL_FUNC_keymgmt_query_operation_name_fn> {
  static const char* call(int operation) noexcept { return T::operation_name(operation); }
};

}  // namespace keymgmt
}  // namespace vhsm::ossl
