// SPDX-License-Identifier: Apache-2.0
//
// Whether a root has revoked the intermediate of a chain. Leaves are not revoked: all have serial
// number 0, and minimum TCBs are what retires them.
// Source: RFC 5280, section 5; AMD 57230, section 4 ({vcek,vlek}/v1/{product}/crl).
#pragma once

#include <chrono>
#include <optional>
#include <span>

#include "base/handle.h"
#include "base/result.h"
#include "snp/chain.h"
#include "snp/x509.h"

namespace vhsm::snp {

/// What is asked of revocation lists.
struct RevocationRules {
  bool required = false;                        ///< a list that is valid now must be there
  std::optional<std::chrono::seconds> max_age;  ///< how long ago the root may have issued it
  std::chrono::system_clock::time_point at;
};

/// The revocation list that `data` is, in DER or PEM; null when it is none.
[[nodiscard]] ossl::X509Crl parse_crl(std::span<const std::uint8_t> data);

/// Lists that the root of `chain` has not signed count for nothing. One that names the intermediate
/// refuses it, however old the list is.
/// @errors kUntrusted.
[[nodiscard]] Status check_revocation(const Chain& chain, std::span<const ossl::X509Crl> lists,
                                      const RevocationRules& rules);

}  // namespace vhsm::snp
