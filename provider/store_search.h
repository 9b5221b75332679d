// SPDX-License-Identifier: Apache-2.0
//
// What OSSL_STORE_find looks for among named keys and their certificates.
// Source: OSSL_STORE_SEARCH(3) and provider-storemgmt(7), OpenSSL 3.0.
#pragma once

#include <openssl/core.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/handle.h"
#include "base/result.h"
#include "keystore/keystore.h"

namespace vhsm::provider {

class StoreSearch {
 public:
  /// @return nothing when `params` ask for no search.
  /// @errors kInvalidArgument, kBadFormat (a name), kUnsupported (a digest); the subject is the
  ///         parameter.
  static Result<std::optional<StoreSearch>> parse(const OSSL_PARAM params[]);

  /// The last one, two or three segments of a name are its aliases.
  [[nodiscard]] bool may_be(const keystore::KeyName& name) const noexcept;
  /// The alias, if that is what is looked for: one key is meant then.
  [[nodiscard]] const std::optional<std::string>& alias() const noexcept { return alias_; }

  /// What of `entry` is looked for: certificates that match, and the key if it is theirs or matches
  /// itself (by its fingerprint).
  [[nodiscard]] keystore::Entry narrow(keystore::Entry entry) const;

 private:
  using Bytes = std::vector<std::uint8_t>;

  StoreSearch() = default;
  Status read(const OSSL_PARAM& param);
  Status finish();
  [[nodiscard]] bool is_by_certificate() const noexcept;
  [[nodiscard]] bool matches(X509* certificate, const Bytes& der) const;
  [[nodiscard]] bool is_fingerprint_of(const Bytes& der) const;

  std::optional<std::string> alias_;
  ossl::X509Name subject_;
  ossl::X509Name issuer_;
  ossl::Bignum serial_;
  std::string digest_name_;
  ossl::Md digest_;
  Bytes fingerprint_;  ///< of a certificate or of a SubjectPublicKeyInfo, DER
};

}  // namespace vhsm::provider
