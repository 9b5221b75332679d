// SPDX-License-Identifier: Apache-2.0
//
// Certificates from outside, read with caps, and the names that AMD's hierarchy gives them.
// Source: AMD 57230, section 2 (common names of ARK, ASK, ASVK, VCEK, VLEK).
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/handle.h"
#include "base/result.h"
#include "snp/platform.h"

namespace vhsm::ossl {
using X509Crl = Handle<X509_CRL, X509_CRL_free>;
}  // namespace vhsm::ossl

namespace vhsm::snp {

inline constexpr std::size_t kMaxCertificateBytes = 0x10000;  ///< one blob, PEM chains included
inline constexpr std::size_t kMaxCertificatesInBlob = 8;

using Sha256 = std::array<std::uint8_t, 32>;

/// The X.509 certificates in `data`: one in DER, or up to kMaxCertificatesInBlob in PEM.
/// @return those before the first that does not parse; DER with bytes after it does not parse.
[[nodiscard]] std::vector<ossl::X509Cert> parse_certificates(std::span<const std::uint8_t> data);

/// The subject's (only) common name, or empty.
[[nodiscard]] std::string common_name(const X509* certificate);
[[nodiscard]] std::string issuer_common_name(const X509* certificate);

/// By common name: SEV-VCEK, SEV-VLEK, SEV-VLEK-*, SEV-*, ARK-*; kOther for anything else.
[[nodiscard]] CertificateKind kind_by_name(const std::string& common_name);

/// `kind` as the host said, corrected by the certificate's name when `data` is a certificate.
[[nodiscard]] CertificateKind true_kind(CertificateKind kind, std::span<const std::uint8_t> data);

/// @errors kCrypto.
[[nodiscard]] Result<Sha256> der_sha256(const X509* certificate);
[[nodiscard]] Result<std::vector<std::uint8_t>> to_der(const X509* certificate);

}  // namespace vhsm::snp
