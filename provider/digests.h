// SPDX-License-Identifier: Apache-2.0
//
// The private OpenSSL's digests, fetched once for each provider instance: hashing a message on the
// way to a signature costs no lookup and no lock.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

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
  static constexpr std::size_t kCount = 15;
  std::array<ossl::Md, kCount> digests_;
};

}  // namespace vhsm::provider
