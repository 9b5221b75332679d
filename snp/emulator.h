// SPDX-License-Identifier: Apache-2.0
//
// A software SNP for development: byte-exact, really signed reports under a root of its own, whose
// names cannot be taken for AMD's. A verifier accepts them only with Roots::trust_test_root.
// Source: AMD 56860, section 7.3 (which VMPL may ask for which, and what the report carries).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "snp/id_block.h"
#include "snp/platform.h"
#include "snp/product.h"
#include "snp/report.h"

namespace vhsm::snp {

inline constexpr const char* kTestRootName = "ARK-VHSM-TEST";
inline constexpr const char* kTestIntermediateName = "SEV-VHSM-TEST";

/// Which of the machine's keys signs reports and is the root of derived keys.
enum class EmulatedSigner : std::uint8_t {
  kVcek,    ///< the chip's
  kVlek,    ///< the cloud provider's: no report tells the chip
  kMasked,  ///< none: the host has masked the chip's key, reports are not signed
};

/// What the emulated machine and guest are. Unset members have fixed defaults.
struct EmulatorOptions {
  Product product = Product::kMilan;
  std::uint32_t report_version = 3;  ///< 2..5
  std::uint32_t vmpl = 0;            ///< the level that the guest runs at
  std::uint64_t policy = policy_bit::kSmtAllowed | policy_bit::kAlwaysOne;
  std::uint32_t guest_svn = 0;
  std::optional<Measurement> measurement;
  std::optional<HostData> host_data;  ///< unset: zero
  std::optional<ChipId> chip_id;      ///< Turin: 8 bytes, then zeros
  std::optional<Tcb> tcb;             ///< current, reported and launch TCB
  std::optional<Tcb> committed_tcb;   ///< unset: the same
  std::optional<FamilyId> family_id;
  std::optional<ImageId> image_id;
  /// What the guest is launched with. Its measurement and policy must be the guest's (an unset
  /// `measurement` is its own); FAMILY_ID, IMAGE_ID and GUEST_SVN are what it says.
  std::optional<SignedIdentity> id_block;
  EmulatedSigner signer = EmulatedSigner::kVcek;
  std::uint64_t mitigations = 0;  ///< both vectors; reports of version 5 have them
};

inline constexpr const char* kTestCloud = "CN=vhsm-emulator.invalid";  ///< of a VLEK

/// Makes a folder with emulator.json (what the machine is; no secret), ark.pem, ask.pem, vcek.pem
/// and vcek.key (mode 0600), or vlek.pem and vlek.key. The private keys of ARK and ASK are thrown
/// away. Takes seconds: it makes two RSA-4096 keys.
/// @errors kIo; kWrongState when the folder holds an emulator already; kInvalidArgument; kCrypto.
Status init_emulator(const std::string& folder, const EmulatorOptions& options);

/// Opens what init_emulator() made; reads all files now and none later.
/// @param vmpl  level to ask reports for; unset: the level that the guest runs at. A level below
///              that, or above 3, makes each attest() fail, as the firmware does.
/// @errors kIo; kBadFormat for files that were not made by init_emulator().
[[nodiscard]] Result<std::unique_ptr<Platform>> open_emulator(const std::string& folder,
                                                              std::optional<unsigned> vmpl);

}  // namespace vhsm::snp
