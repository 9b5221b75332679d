// SPDX-License-Identifier: Apache-2.0
//
// The launch digest of a guest: what its reports will call MEASUREMENT.
// Source: AMD 56860, section 8.17.2 (SNP_LAUNCH_UPDATE, table PAGE_INFO); qemu target/i386/sev.c
// for the order and the page of kernel hashes.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "snp/ovmf.h"
#include "snp/report.h"
#include "snp/vmsa.h"

namespace vhsm::snp {

using FileDigest = std::array<std::uint8_t, 32>;  ///< SHA-256

/// What QEMU's -kernel, -initrd and -append put into the guest, in the form that is measured.
struct KernelHashes {
  FileDigest kernel{};
  FileDigest initrd{};   ///< of nothing, if there is none
  FileDigest command{};  ///< with the zero byte at its end
};

/// @param kernel,initrd  files; an empty `initrd`: none.
/// @errors kIo, kCrypto.
[[nodiscard]] Result<KernelHashes> hash_kernel(const std::string& kernel, const std::string& initrd,
                                               std::string_view command_line);

inline constexpr std::uint32_t kMaxVcpus = 4096;

struct Launch {
  const Ovmf* firmware;  ///< never null
  std::optional<KernelHashes> kernel;
  std::uint32_t vcpus = 1;
  Vmm vmm = Vmm::kQemu;
  std::uint32_t cpu_signature = 0;
  std::uint64_t sev_features = 1;
};

/// @errors kInvalidArgument when the firmware cannot do what is asked: more than one vCPU without
///         a reset vector for the others, or a kernel without a place for its hashes; kCrypto.
[[nodiscard]] Result<Measurement> launch_digest(const Launch& launch);

}  // namespace vhsm::snp
