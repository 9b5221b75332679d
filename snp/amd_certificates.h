// SPDX-License-Identifier: Apache-2.0
//
// AMD's signing certificates themselves, so that nothing of a chain but its leaf has to come from
// outside. They are believed because of their pins (amd_pins.h), like any other copy.
#pragma once

#include <string_view>

#include "snp/product.h"

namespace vhsm::snp {

/// ARK, ASK and ASVK of `product`, in PEM one after the other.
[[nodiscard]] std::string_view amd_certificates(Product product) noexcept;

}  // namespace vhsm::snp
