// SPDX-License-Identifier: Apache-2.0
//
// The certificate of the key that signs reports (VCEK or VLEK): its shape and AMD's extensions,
// which say for which chip and which firmware the key was derived.
// Source: AMD 57230, section 3, table of X.509v3 extensions (OID 1.3.6.1.4.1.3704.1).
#pragma once

#include <openssl/x509.h>

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "snp/product.h"
#include "snp/report.h"

namespace vhsm::snp {

/// What AMD's extensions of a leaf say.
struct LeafExtensions {
  std::string product_name;                         ///< "Milan-B0", "Genoa", ...
  std::array<std::optional<std::uint8_t>, 10> spl;  ///< 1.3.6.1.4.1.3704.1.3.N at index N
  std::vector<std::uint8_t> hw_id;                  ///< 64 bytes, Turin 8; empty in a VLEK's
  std::string csp_id;                               ///< only in a VLEK's
};

/// Reads them. Each may be present once; an unknown one in AMD's arc is an error.
/// @errors kBadFormat.
[[nodiscard]] Result<LeafExtensions> read_leaf_extensions(const X509* leaf);

/// Checks what every leaf has in common: X.509 v3, no CA, signed by RSASSA-PSS with SHA-384, key on
/// P-384.
/// @errors kBadFormat.
[[nodiscard]] Status check_leaf_shape(X509* leaf);

/// The product line that the leaf names, without the stepping.
/// @errors kBadFormat.
[[nodiscard]] Result<Product> leaf_product(const LeafExtensions& extensions);

/// The firmware that the leaf's key was derived for, as the report writes it.
/// @errors kBadFormat when a level is missing, or one that `product` lacks is there.
[[nodiscard]] Result<TcbBytes> leaf_tcb(const LeafExtensions& extensions, Product product);

/// Whether the leaf was issued to the chip `chip_id` (Turin: its first 8 bytes, the rest zero).
[[nodiscard]] bool is_for_chip(const LeafExtensions& extensions, Product product,
                               std::span<const std::uint8_t, field::kChipId.size> chip_id);

}  // namespace vhsm::snp
