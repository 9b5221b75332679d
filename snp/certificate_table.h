// SPDX-License-Identifier: Apache-2.0
//
// The table of certificates that a host gives beside a report. Everything in it is untrusted.
// Source: AMD 56421 "GHCB Specification", section 4.1.8.1 (SNP Extended Guest Request).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "snp/platform.h"

namespace vhsm::snp {

/// The kernel passes no larger table.
inline constexpr std::size_t kMaxTableBytes = 0x4000;
inline constexpr std::size_t kMaxTableEntries = 32;
inline constexpr std::size_t kPageBytes = 4096;

/// Reads entries {guid[16], u32 offset, u32 length} up to an all-zero one. GUIDs are accepted in
/// text order and in mixed-endian (EFI) order. VCEK and VLEK, ASK and ASVK are told apart by the
/// certificate's common name, since hosts file one under the other's GUID.
/// @param table  the whole table; empty or all zero: no certificates.
/// @errors kBadLength over kMaxTableBytes; kBadFormat for a table without an end, an entry outside
///         the table or inside its header, a GUID twice, or more than kMaxTableEntries.
[[nodiscard]] Result<std::vector<Certificate>> parse_certificate_table(
    std::span<const std::uint8_t> table);

/// Writes a table with GUIDs in text order, padded to whole pages.
/// @errors kBadLength over kMaxTableBytes; kInvalidArgument for a malformed GUID.
[[nodiscard]] Result<std::vector<std::uint8_t>> write_certificate_table(
    std::span<const Certificate> certificates);

}  // namespace vhsm::snp
