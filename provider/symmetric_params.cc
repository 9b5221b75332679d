// SPDX-License-Identifier: Apache-2.0
#include "provider/symmetric_params.h"

#include <openssl/core_names.h>
#include <openssl/params.h>

#include <string_view>

#include "keystore/symmetric_operation.h"
#include "memory/protected_memory.h"
#include "provider/ossl/boundary.h"
#include "provider/provider.h"
#include "provider/secret_handle.h"

namespace vhsm::provider {

using keystore::SymmetricAlgorithm;

SettableParams::SettableParams() {
  for (const SymmetricAlgorithm* algorithm : keystore::symmetric_algorithms()) {
    auto& list = lists_[algorithm];
    const OSSL_PARAM* const inner = keystore::describe_params(*algorithm).settable;
    for (const OSSL_PARAM* p = inner; p != nullptr && p->key != nullptr; ++p) {
      if (std::string_view(p->key) != OSSL_KDF_PARAM_KEY) list.push_back(*p);
    }
    list.push_back({kSecretUriParam, OSSL_PARAM_UTF8_STRING, nullptr, 0, OSSL_PARAM_UNMODIFIED});
    list.push_back(OSSL_PARAM_construct_end());
  }
}

const OSSL_PARAM* SettableParams::of(const SymmetricAlgorithm& algorithm) const noexcept {
  const auto found = lists_.find(&algorithm);
  return found != lists_.end() ? found->second.data() : nullptr;
}

const OSSL_PARAM* settable_params(const Provider& provider,
                                  const SymmetricAlgorithm& algorithm) noexcept {
  return provider.settable_params().of(algorithm);
}

namespace {

/// What needs no key and raises no error.
template <class Ask>
auto quietly(Ask&& ask) noexcept {
  const memory::Access access;
  const ossl::InnerErrors emptied;
  return ask();
}

}  // namespace

const OSSL_PARAM* gettable_params(const SymmetricAlgorithm& algorithm) noexcept {
  return quietly([&] { return keystore::describe_params(algorithm).gettable; });
}

const OSSL_PARAM* gettable_algorithm_params(const SymmetricAlgorithm& algorithm) noexcept {
  return quietly([&] { return keystore::describe_params(algorithm).algorithm; });
}

bool answer_algorithm_params(const SymmetricAlgorithm& algorithm, OSSL_PARAM params[]) noexcept {
  return quietly([&] { return keystore::get_algorithm_params(algorithm, params).ok(); });
}

}  // namespace vhsm::provider
