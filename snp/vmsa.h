// SPDX-License-Identifier: Apache-2.0
//
// The first state of a virtual CPU, as hypervisors set it up: it is measured with the guest.
// Source: AMD 24593 (APM volume 2), table B-4 "VMSA Layout"; linux arch/x86/kvm/svm;
// virtee/sev-snp- measure for what EC2 does otherwise.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/result.h"

namespace vhsm::snp {

using VmsaPage = std::array<std::uint8_t, 4096>;

/// Who launches the guest. EC2 changed what a vCPU's RDX holds in 2026.
enum class Vmm : std::uint8_t { kQemu, kEc2, kEc2Before2026 };

/// "qemu", "ec2", "ec2-before-2026".
/// @errors kInvalidArgument.
[[nodiscard]] Result<Vmm> parse_vmm(std::string_view name);

/// Where the first vCPU starts.
inline constexpr std::uint32_t kResetVector = 0xFFFFFFF0;

struct VcpuStart {
  std::uint32_t eip = kResetVector;
  std::uint32_t cpu_signature = 0;  ///< EAX of CPUID leaf 1
  std::uint64_t sev_features = 1;   ///< SEV_FEATURES: bit 0 SNP, bit 5 DebugSwap, ...
};

[[nodiscard]] VmsaPage vmsa_page(Vmm vmm, const VcpuStart& start) noexcept;

/// QEMU's models.
struct CpuModel {
  std::string_view name;
  std::uint32_t signature;
};
[[nodiscard]] std::span<const CpuModel> cpu_models() noexcept;

/// @param name  "EPYC-Milan", with or without QEMU's version ("-v2").
/// @errors kInvalidArgument for another model.
[[nodiscard]] Result<std::uint32_t> cpu_signature(std::string_view name);

}  // namespace vhsm::snp
