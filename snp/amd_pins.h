// SPDX-License-Identifier: Apache-2.0
//
// AMD's signing certificates, known by the SHA-256 of their DER. No root is ever taken from
// evidence for its name.
// Source: https://kdsintf.amd.com/{vcek,vlek}/v1/{Milan,Genoa,Turin}/cert_chain.
#pragma once

#include <string_view>

#include "snp/platform.h"
#include "snp/product.h"

namespace vhsm::snp {

/// SHA-256 of the DER of `product`'s certificate, 64 lower-case hex digits.
/// @param kind  kArk, kAsk (signs VCEKs) or kAsvk (signs VLEKs); empty for other kinds.
[[nodiscard]] std::string_view pin_of(Product product, CertificateKind kind) noexcept;

}  // namespace vhsm::snp
