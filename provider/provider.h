// SPDX-License-Identifier: Apache-2.0
//
// One loaded instance of the provider; OpenSSL calls it provctx.
#pragma once

#include <openssl/core.h>

#include <memory>
#include <string_view>
#include <vector>

#include "provider/algorithms.h"
#include "provider/digests.h"
#include "provider/entry.h"
#include "provider/ossl/core.h"
#include "provider/symmetric_params.h"

namespace vhsm::provider {

/// Immutable after create(), so any thread may use it without a lock.
class Provider {
 public:
  /// @errors kCrypto when the private OpenSSL lacks a digest that every build has.
  static Result<std::unique_ptr<Provider>> create(const ossl::Core& core, Assembly assembly);

  [[nodiscard]] const ossl::Core& core() const noexcept { return core_; }
  [[nodiscard]] keystore::Keystore& keystore() const noexcept { return *assembly_.keystore; }
  [[nodiscard]] const Settings& settings() const noexcept { return assembly_.settings; }
  [[nodiscard]] const std::shared_ptr<Metrics>& metrics() const noexcept {
    return assembly_.metrics;
  }
  [[nodiscard]] const Digests& digests() const noexcept { return digests_; }

  static const OSSL_PARAM* gettable_params() noexcept;
  Status get_params(OSSL_PARAM params[]) const;
  [[nodiscard]] const OSSL_ALGORITHM* algorithms(int operation) const noexcept {
    return algorithms_.of(operation);
  }
  [[nodiscard]] const SettableParams& settable_params() const noexcept { return settable_; }
  [[nodiscard]] const OSSL_ITEM* reasons() const noexcept { return reasons_.data(); }
  /// Tells each TLS group that our key managements serve.
  static bool get_capabilities(std::string_view capability, OSSL_CALLBACK* tell,
                               void* arg) noexcept;

 private:
  Provider(const ossl::Core& core, Assembly assembly, Digests digests);

  ossl::Core core_;
  Assembly assembly_;
  Digests digests_;
  Algorithms algorithms_;
  SettableParams settable_;
  std::vector<OSSL_ITEM> reasons_;
};

}  // namespace vhsm::provider
