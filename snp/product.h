// SPDX-License-Identifier: Apache-2.0
//
// Processor lines with SEV-SNP, and the security versions (TCB) of their firmware.
// Source: AMD 56860 "SEV-SNP Firmware ABI", TCB_VERSION; AMD 57230 "VCEK Certificate and KDS
// Interface Specification", table of SPL object identifiers.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "base/result.h"

namespace vhsm::snp {

/// A line of processors with certificates of its own. Bergamo and Siena belong to Genoa.
enum class Product : std::uint8_t { kMilan, kGenoa, kTurin };

/// "Milan", "Genoa" or "Turin".
[[nodiscard]] std::string_view product_name(Product product) noexcept;

/// The reverse of product_name().
/// @errors kInvalidArgument for another name.
[[nodiscard]] Result<Product> parse_product(std::string_view name);

/// @param family,model  combined family and model, as the report and CPUID leaf 1 give them.
/// @errors kUnsupported for a processor whose layout and roots are unknown.
[[nodiscard]] Result<Product> product_of(unsigned family, unsigned model);

/// Security patch levels of the firmware's parts. Not one number: compare with covers().
struct Tcb {
  std::uint8_t fmc = 0;  ///< Turin only, 0 elsewhere
  std::uint8_t bootloader = 0;
  std::uint8_t tee = 0;
  std::uint8_t snp = 0;
  std::uint8_t microcode = 0;
  friend bool operator==(const Tcb&, const Tcb&) = default;
};

inline constexpr std::size_t kTcbBytes = 8;
using TcbBytes = std::array<std::uint8_t, kTcbBytes>;

/// Whether every component of `tcb` is at least that of `floor`.
[[nodiscard]] bool covers(const Tcb& tcb, const Tcb& floor) noexcept;

/// @param bytes  TCB_VERSION as it stands in a report.
/// @errors kBadFormat when a reserved byte is not zero.
[[nodiscard]] Result<Tcb> decode_tcb(Product product,
                                     std::span<const std::uint8_t, kTcbBytes> bytes);

/// The reverse of decode_tcb(); fmc is dropped unless `product` is Turin.
[[nodiscard]] TcbBytes encode_tcb(Product product, const Tcb& tcb) noexcept;

}  // namespace vhsm::snp
