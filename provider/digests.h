// SPDX-License-Identifier: Apache-2.0
//
// The private OpenSSL's digests, fetched once for each provider instance: hashing a message on the
// way to a signature costs no lookup and no lock.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/handle.h"
#include "base/result.h"

namespace vhsm::provider {

class Digests {
 public:
  /// @errors kCrypto when not even SHA-256 is there.
  static Result<Digests> fetch();

  /// The digest with this name (no case; every alias that OpenSSL knows). Lives as long as this.
  /// @errors kUnsupported.
  [[nodiscard]] Result<const EVP_MD*> find(std::string_view name) const;

 private:
  struct Named {
    std::vector<std::string> names;
    ossl::Md digest;
  };
  std::vector<Named> digests_;  // the most used first: the search is linear
};

}  // namespace vhsm::provider
