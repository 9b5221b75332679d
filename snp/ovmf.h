// SPDX-License-Identifier: Apache-2.0
//
// What a UEFI firmware image for SEV-SNP says of itself: the table that ends 32 bytes before its
// end, and the pages that are to be measured beside it. Source: edk2
// OvmfPkg/ResetVector/Ia16/ResetVectorVtf0.asm, OvmfPkg/ResetVector/X64/ OvmfSevMetadata.asm.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"

namespace vhsm::snp {

inline constexpr std::size_t kMaxOvmfBytes = std::size_t{64} << 20;
inline constexpr std::size_t kMaxOvmfSections = 64;
inline constexpr std::uint64_t kMaxSectionBytes = std::uint64_t{256}
                                                  << 20;  ///< all of them together

enum class SectionType : std::uint32_t {
  kSecretMemory = 1,  ///< zero pages
  kSecrets = 2,
  kCpuid = 3,
  kSvsmCaa = 4,  ///< zero pages
  kKernelHashes = 0x10,
};

/// Guest pages that the hypervisor adds at launch.
struct OvmfSection {
  std::uint32_t gpa;
  std::uint32_t bytes;  ///< whole pages
  SectionType type;
};

struct Ovmf {
  std::span<const std::uint8_t> image;        ///< the caller's; whole pages, ends at 4 GiB
  std::uint64_t gpa = 0;                      ///< where it begins
  std::vector<OvmfSection> sections;          ///< in the image's order
  std::optional<std::uint32_t> reset_vector;  ///< where all vCPUs but the first start
  std::optional<std::uint32_t> hash_table;    ///< where the kernel's hashes go
};

/// @param image  must outlive the result.
/// @errors kBadLength for an image that is not whole pages up to kMaxOvmfBytes; kBadFormat for one
///         without SEV metadata, or whose table or metadata point outside it, are of another
///         version, or ask for pages that are not aligned, too many, or of an unknown type.
[[nodiscard]] Result<Ovmf> parse_ovmf(std::span<const std::uint8_t> image);

}  // namespace vhsm::snp
