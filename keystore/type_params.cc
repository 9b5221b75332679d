// SPDX-License-Identifier: Apache-2.0
#include "keystore/type_params.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <memory>
#include <new>
#include <string_view>
#include <vector>

#include "base/handle.h"

namespace vhsm::keystore {
namespace {

using KeyManagement = ossl::Handle<EVP_KEYMGMT, EVP_KEYMGMT_free>;

constexpr std::size_t kMostTypes = 64;

std::size_t index_of(const KeyType& type) noexcept {
  const auto types = key_types();
  return static_cast<std::size_t>(std::ranges::find(types, &type) - types.begin());
}

bool is_public(const KeyType& type, const char* name) noexcept {
  return std::ranges::any_of(type.public_params,
                             [name](const char* known) { return std::string_view(known) == name; });
}

std::vector<OSSL_PARAM> public_ones(const KeyType& type) {
  const KeyManagement management(EVP_KEYMGMT_fetch(nullptr, type.name, nullptr));
  std::vector<OSSL_PARAM> found;
  if (management == nullptr) return found;
  for (const OSSL_PARAM* p = EVP_KEYMGMT_gettable_params(management.get());
       p != nullptr && p->key != nullptr; ++p) {
    if (is_public(type, p->key)) found.push_back(*p);
  }
  found.push_back({});
  return found;
}

/// Made once for each type, and never freed: OpenSSL keeps the pointer.
const OSSL_PARAM* make_list(const KeyType& type) {
  const std::vector<OSSL_PARAM> found = public_ones(type);
  if (found.empty()) return nullptr;
  auto* const list = new OSSL_PARAM[found.size()];
  std::ranges::copy(found, list);
  return list;
}

}  // namespace

const OSSL_PARAM* gettable_params(const KeyType& type) noexcept try {
  static constinit std::array<std::atomic<const OSSL_PARAM*>, kMostTypes> lists{};
  const ossl::ErrorMark quiet;
  std::atomic<const OSSL_PARAM*>& place = lists.at(index_of(type));
  if (const OSSL_PARAM* list = place.load(std::memory_order_acquire)) return list;
  const OSSL_PARAM* const made = make_list(type);
  const OSSL_PARAM* none = nullptr;
  if (place.compare_exchange_strong(none, made)) return made;
  delete[] made;  // another thread was first
  return none;
} catch (const std::bad_alloc&) {
  return nullptr;
}

const OSSL_PARAM* import_params(const KeyType& type, bool pair) noexcept {
  const ossl::ErrorMark quiet;
  const ossl::PKeyCtx ctx(EVP_PKEY_CTX_new_from_name(nullptr, type.name, nullptr));
  return ctx == nullptr
             ? nullptr
             : EVP_PKEY_fromdata_settable(ctx.get(), pair ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY);
}

}  // namespace vhsm::keystore
