// SPDX-License-Identifier: Apache-2.0
//
// What the algorithms of symmetric keys can be set to and asked for. Nothing here needs a key.
#pragma once

#include <openssl/core.h>

#include <map>
#include <vector>

#include "keystore/symmetric_algorithm.h"

namespace vhsm::provider {

class Provider;

/// What each algorithm's contexts can be set to: the private OpenSSL's parameters, with the name of
/// a key in the place of its bytes.
class SettableParams {
 public:
  SettableParams();
  [[nodiscard]] const OSSL_PARAM* of(const keystore::SymmetricAlgorithm& algorithm) const noexcept;

 private:
  std::map<const keystore::SymmetricAlgorithm*, std::vector<OSSL_PARAM>> lists_;
};

const OSSL_PARAM* settable_params(const Provider& provider,
                                  const keystore::SymmetricAlgorithm& algorithm) noexcept;
const OSSL_PARAM* gettable_params(const keystore::SymmetricAlgorithm& algorithm) noexcept;
const OSSL_PARAM* gettable_algorithm_params(const keystore::SymmetricAlgorithm& algorithm) noexcept;
bool answer_algorithm_params(const keystore::SymmetricAlgorithm& algorithm,
                             OSSL_PARAM params[]) noexcept;

}  // namespace vhsm::provider
