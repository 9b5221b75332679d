// SPDX-License-Identifier: Apache-2.0
#include "keystore/type_params.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <exception>
#include <span>
#include <vector>

#include "base/handle.h"
#include "keystore/name_list.h"
#include "memory/protected_memory.h"

namespace vhsm::keystore {
namespace {

using KeyManagement = ossl::Handle<EVP_KEYMGMT, EVP_KEYMGMT_free>;

constexpr std::size_t kMostTypes = 64;

std::size_t index_of(const KeyType& type) noexcept {
  const auto types = key_types();
  return static_cast<std::size_t>(std::ranges::find(types, &type) - types.begin());
}

/// Those of `all` that `wanted` takes; never freed, as OpenSSL keeps the pointer.
template <class Wanted>
const OSSL_PARAM* make_list(const OSSL_PARAM* all, Wanted&& wanted) {
  std::vector<OSSL_PARAM> found;
  for (; all != nullptr && all->key != nullptr; ++all) {
    if (wanted(all->key)) found.push_back(*all);
  }
  found.push_back({});
  auto* const list = new OSSL_PARAM[found.size()];
  std::ranges::copy(found, list);
  return list;
}

const OSSL_PARAM* make_gettable(const KeyType& type) {
  const KeyManagement management(EVP_KEYMGMT_fetch(nullptr, type.name, nullptr));
  if (management == nullptr) return nullptr;
  return make_list(EVP_KEYMGMT_gettable_params(management.get()),
                   [&](const char* name) { return one_of(type.public_params, name); });
}

const OSSL_PARAM* inner_import_params(const KeyType& type, int selection) {
  const ossl::PKeyCtx ctx(EVP_PKEY_CTX_new_from_name(nullptr, type.name, nullptr));
  return ctx == nullptr ? nullptr : EVP_PKEY_fromdata_settable(ctx.get(), selection);
}

const OSSL_PARAM* make_public(const KeyType& type) {
  return make_list(inner_import_params(type, EVP_PKEY_PUBLIC_KEY),
                   [&](const char* name) { return !one_of(type.private_params, name); });
}

/// A list for each type, made when it is first asked for.
class Lists {
 public:
  using Make = const OSSL_PARAM* (*)(const KeyType& type);
  explicit constexpr Lists(Make make) noexcept : make_(make) {}

  const OSSL_PARAM* of(const KeyType& type) {
    const ossl::ErrorMark quiet;
    std::atomic<const OSSL_PARAM*>& place = lists_.at(index_of(type));
    if (const OSSL_PARAM* list = place.load(std::memory_order_acquire)) return list;
    // Who asks for types has not come by the boundary, and a fetch may find what lies in the arena.
    const memory::Access access;
    const OSSL_PARAM* const made = make_(type);
    const OSSL_PARAM* none = nullptr;
    if (place.compare_exchange_strong(none, made)) return made;
    delete[] made;  // another thread was first
    return none;
  }

 private:
  Make make_;
  std::array<std::atomic<const OSSL_PARAM*>, kMostTypes> lists_{};
};

constinit Lists g_gettable(make_gettable);
constinit Lists g_public(make_public);

}  // namespace

const OSSL_PARAM* gettable_params(const KeyType& type) noexcept try {
  return g_gettable.of(type);
} catch (const std::exception&) {
  return nullptr;
}

const OSSL_PARAM* import_params(const KeyType& type, bool pair) noexcept try {
  const ossl::ErrorMark quiet;
  return pair ? inner_import_params(type, EVP_PKEY_KEYPAIR) : g_public.of(type);
} catch (const std::exception&) {
  return nullptr;
}

}  // namespace vhsm::keystore
