// SPDX-License-Identifier: Apache-2.0
//
// The emulator's certificate authority: ARK, ASK and leaf of AMD's shape under names that are not
// AMD's.
// Source: AMD 57230, sections 2 and 3.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/handle.h"
#include "base/result.h"
#include "snp/product.h"
#include "snp/report.h"

namespace vhsm::snp {

inline constexpr unsigned kAuthorityKeyBits = 4096;

/// A certificate and its key.
struct Issuer {
  ossl::PKey key;
  ossl::X509Cert certificate;
};

/// A new RSA key and a self-signed CA certificate for it, valid for 25 years.
/// @errors kCrypto.
[[nodiscard]] Result<Issuer> make_root(const std::string& common_name, unsigned bits);

/// The same, signed by `root`.
/// @errors kCrypto.
[[nodiscard]] Result<Issuer> make_intermediate(const Issuer& root, const std::string& common_name,
                                               unsigned bits);

/// One extension of a leaf: what follows 1.3.6.1.4.1.3704.1. in its object identifier, and its DER
/// value.
struct LeafExtension {
  std::string suffix;
  std::vector<std::uint8_t> value;
};

/// AMD's extensions of a VCEK certificate, as KDS gives them for `product`.
[[nodiscard]] std::vector<LeafExtension> vcek_extensions(Product product, const Tcb& tcb,
                                                         const ChipId& chip_id);

/// The same of a VLEK certificate, which names a cloud provider in place of the chip.
[[nodiscard]] std::vector<LeafExtension> vlek_extensions(Product product, const Tcb& tcb,
                                                         const std::string& cloud);

/// A new P-384 key and its certificate, valid for 7 years, with serial number 0, signed by
/// `issuer`.
/// @param common_name  SEV-VCEK or SEV-VLEK.
/// @errors kCrypto.
[[nodiscard]] Result<Issuer> make_leaf(const Issuer& issuer, const std::string& common_name,
                                       const std::vector<LeafExtension>& extensions);

}  // namespace vhsm::snp
