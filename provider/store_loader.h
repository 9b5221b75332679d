// SPDX-License-Identifier: Apache-2.0
//
// OSSL_STORE for vhsm: URIs. One URI yields the private key, then its certificates, unless the
// URI's type= or else the caller's expectation narrows that down.
#pragma once

#include <openssl/core.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <string_view>

#include "base/result.h"
#include "keystore/keystore.h"
#include "provider/key_handle.h"

namespace vhsm::provider {

class StoreLoader {
 public:
  using Provider = vhsm::provider::Provider;

  /// Fetches what stands behind `uri`, so that a failure is a failure to open in every host.
  /// @errors kBadUri, kUnsupported (secrets), kNoPrivateKey, kMissing (type= names what is not
  ///         there), and those of Keystore::open().
  static Result<std::unique_ptr<StoreLoader>> open(Provider& provider, std::string_view uri,
                                                   const OSSL_PARAM params[]);

  [[nodiscard]] const ossl::Core& core() const noexcept;
  static const OSSL_PARAM* settable_params() noexcept;
  /// Takes `expect`, ignores the rest.
  Status set_params(const OSSL_PARAM params[]);

  /// Tells the next object.
  Result<bool> load(OSSL_CALLBACK* tell, void* arg);
  /// True at the end and after any failure.
  [[nodiscard]] bool eof() const noexcept;

 private:
  StoreLoader(Provider& provider, keystore::KeyUri uri, keystore::Entry entry) noexcept
      : provider_(&provider), uri_(std::move(uri)), entry_(std::move(entry)) {}

  [[nodiscard]] bool wants(keystore::ObjectType type, int info) const noexcept;
  [[nodiscard]] bool wants_key() const noexcept;
  [[nodiscard]] bool wants_certificates() const noexcept;
  [[nodiscard]] Result<std::unique_ptr<KeyHandle>> wanted_key() const;
  Result<bool> tell_next(OSSL_CALLBACK* tell, void* arg);

  Provider* provider_;
  keystore::KeyUri uri_;
  keystore::Entry entry_;
  int expect_ = 0;  ///< OSSL_STORE_INFO_*, 0 for any
  bool key_told_ = false;
  std::size_t certificates_told_ = 0;
  bool failed_ = false;
};

}  // namespace vhsm::provider
