// SPDX-License-Identifier: Apache-2.0
//
// The chain from a leaf (VCEK or VLEK) to a root that is pinned, or explicitly trusted for tests.
// Source: AMD 57230, section 2 (ARK signs ASK and ASVK; ASK signs VCEKs, ASVK signs VLEKs).
#pragma once

#include <openssl/x509.h>

#include <chrono>
#include <cstdint>
#include <span>
#include <vector>

#include "base/handle.h"
#include "base/result.h"
#include "snp/platform.h"
#include "snp/product.h"

namespace vhsm::snp {

enum class Trust : std::uint8_t { kAmd, kTestRoot };

/// Who stands above a leaf.
struct Chain {
  Trust trust = Trust::kAmd;
  ossl::X509Cert root;
  ossl::X509Cert intermediate;
};

/// What a chain must fit.
struct ChainRequest {
  CertificateKind leaf_kind;  ///< kVcek or kVlek
  Product product;
  std::span<const ossl::X509Cert> pool;     ///< where an emulator's ASK is looked for
  std::span<const std::uint8_t> test_root;  ///< Roots::trust_test_root
  std::chrono::system_clock::time_point at;
};

/// AMD's ARK, ASK and ASVK are the built-in ones: what a host says of them does not count.
/// @return who vouches for `leaf`.
/// @errors kUntrusted: the chain does not verify at `at` (the subject says why); kBadFormat when
///         the test root is not an emulator's ARK.
[[nodiscard]] Result<Chain> verify_chain(X509* leaf, const ChainRequest& request);

}  // namespace vhsm::snp
