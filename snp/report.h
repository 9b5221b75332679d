// SPDX-License-Identifier: Apache-2.0
//
// The SEV-SNP attestation report: where its fields lie, and the bits of its bit fields. Bytes are
// read where they stand; nothing is ever re-encoded before it is hashed.
// Source: AMD 56860 "SEV-SNP Firmware ABI", table ATTESTATION_REPORT, versions 2 to 5.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"
#include "snp/platform.h"
#include "snp/product.h"

namespace vhsm::snp {

/// Where a field lies in the report: byte offset and size in bytes. Numbers are little-endian.
struct Field {
  std::size_t offset;
  std::size_t size;
};

namespace field {
inline constexpr Field kVersion{0x000, 4};
inline constexpr Field kGuestSvn{0x004, 4};
inline constexpr Field kPolicy{0x008, 8};
inline constexpr Field kFamilyId{0x010, 16};
inline constexpr Field kImageId{0x020, 16};
inline constexpr Field kVmpl{0x030, 4};
inline constexpr Field kSignatureAlgo{0x034, 4};
inline constexpr Field kCurrentTcb{0x038, 8};
inline constexpr Field kPlatformInfo{0x040, 8};
inline constexpr Field kKeyInfo{0x048, 4};
inline constexpr Field kReserved04c{0x04C, 4};
inline constexpr Field kReportData{0x050, 64};
inline constexpr Field kMeasurement{0x090, 48};
inline constexpr Field kHostData{0x0C0, 32};
inline constexpr Field kIdKeyDigest{0x0E0, 48};
inline constexpr Field kAuthorKeyDigest{0x110, 48};
inline constexpr Field kReportId{0x140, 32};
inline constexpr Field kReportIdMa{0x160, 32};
inline constexpr Field kReportedTcb{0x180, 8};
inline constexpr Field kCpuidFamily{0x188, 1};    ///< version 3 on; reserved before
inline constexpr Field kCpuidModel{0x189, 1};     ///< version 3 on
inline constexpr Field kCpuidStepping{0x18A, 1};  ///< version 3 on
inline constexpr Field kReserved18b{0x18B, 21};
inline constexpr Field kChipId{0x1A0, 64};
inline constexpr Field kCommittedTcb{0x1E0, 8};
inline constexpr Field kCurrentVersion{0x1E8, 3};  ///< build, minor, major
inline constexpr Field kReserved1eb{0x1EB, 1};
inline constexpr Field kCommittedVersion{0x1EC, 3};  ///< build, minor, major
inline constexpr Field kReserved1ef{0x1EF, 1};
inline constexpr Field kLaunchTcb{0x1F0, 8};
inline constexpr Field kLaunchMitigations{0x1F8, 8};   ///< version 5; version 4: opaque
inline constexpr Field kCurrentMitigations{0x200, 8};  ///< version 5; version 4: opaque
inline constexpr Field kReserved208{0x208, 152};
inline constexpr Field kSignatureR{0x2A0, 72};
inline constexpr Field kSignatureS{0x2E8, 72};
inline constexpr Field kReserved330{0x330, 368};

/// Every field, in the order of their offsets.
inline constexpr std::array kAll{kVersion,
                                 kGuestSvn,
                                 kPolicy,
                                 kFamilyId,
                                 kImageId,
                                 kVmpl,
                                 kSignatureAlgo,
                                 kCurrentTcb,
                                 kPlatformInfo,
                                 kKeyInfo,
                                 kReserved04c,
                                 kReportData,
                                 kMeasurement,
                                 kHostData,
                                 kIdKeyDigest,
                                 kAuthorKeyDigest,
                                 kReportId,
                                 kReportIdMa,
                                 kReportedTcb,
                                 kCpuidFamily,
                                 kCpuidModel,
                                 kCpuidStepping,
                                 kReserved18b,
                                 kChipId,
                                 kCommittedTcb,
                                 kCurrentVersion,
                                 kReserved1eb,
                                 kCommittedVersion,
                                 kReserved1ef,
                                 kLaunchTcb,
                                 kLaunchMitigations,
                                 kCurrentMitigations,
                                 kReserved208,
                                 kSignatureR,
                                 kSignatureS,
                                 kReserved330};
}  // namespace field

/// The layout proves itself: in order, without a gap or an overlap, up to the last byte.
consteval bool tiles(std::span<const Field> fields, std::size_t total) {
  std::size_t next = 0;
  for (const Field& one : fields) {
    if (one.offset != next) return false;
    next += one.size;
  }
  return next == total;
}
static_assert(tiles(field::kAll, kReportBytes));

/// What the signature covers: the bytes before it.
inline constexpr std::size_t kSignedBytes = 0x2A0;
static_assert(kSignedBytes == field::kSignatureR.offset);

inline constexpr std::uint32_t kOldestVersion = 2;
inline constexpr std::uint32_t kNewestVersion = 5;
inline constexpr std::uint32_t kFirstVersionWithCpuid = 3;
inline constexpr std::uint32_t kFirstVersionWithMitigations = 5;
inline constexpr std::uint32_t kEcdsaP384Sha384 = 1;  ///< the only SIGNATURE_ALGO
inline constexpr std::uint32_t kMaxVmpl = 3;          ///< higher: the host asked for the report

/// Bits of POLICY. "Allowed" bits are a maximum of the guest's owner, "required" bits a minimum.
namespace policy_bit {
inline constexpr std::uint64_t kAbiMinorMask = 0xFF;
inline constexpr std::uint64_t kAbiMajorMask = 0xFF00;
inline constexpr std::uint64_t kSmtAllowed = 1ULL << 16;
inline constexpr std::uint64_t kAlwaysOne = 1ULL << 17;
inline constexpr std::uint64_t kMigrationAllowed = 1ULL << 18;
inline constexpr std::uint64_t kDebugAllowed = 1ULL << 19;
inline constexpr std::uint64_t kSingleSocketRequired = 1ULL << 20;
inline constexpr std::uint64_t kCxlAllowed = 1ULL << 21;
inline constexpr std::uint64_t kAes256XtsRequired = 1ULL << 22;
inline constexpr std::uint64_t kRaplDisabledRequired = 1ULL << 23;
inline constexpr std::uint64_t kCiphertextHidingRequired = 1ULL << 24;
inline constexpr std::uint64_t kPageSwapDisabled = 1ULL << 25;
inline constexpr std::uint64_t kReservedMask = ~0ULL << 26;
}  // namespace policy_bit

/// Bits of PLATFORM_INFO.
namespace platform_bit {
inline constexpr std::uint64_t kSmt = 1ULL << 0;
inline constexpr std::uint64_t kTsme = 1ULL << 1;
inline constexpr std::uint64_t kEcc = 1ULL << 2;
inline constexpr std::uint64_t kRaplDisabled = 1ULL << 3;
inline constexpr std::uint64_t kCiphertextHiding = 1ULL << 4;
inline constexpr std::uint64_t kAliasCheckComplete = 1ULL << 5;
inline constexpr std::uint64_t kTio = 1ULL << 7;
inline constexpr std::uint64_t kReservedMask = ~0ULL << 8 | 1ULL << 6;
}  // namespace platform_bit

/// Bits of KEY_INFO.
namespace key_bit {
inline constexpr std::uint32_t kAuthorKey = 1U << 0;
inline constexpr std::uint32_t kMaskChipKey = 1U << 1;
inline constexpr std::uint32_t kSigningKeyMask = 7U << 2;
inline constexpr std::uint32_t kSignedByVcek = 0U << 2;
inline constexpr std::uint32_t kSignedByVlek = 1U << 2;
inline constexpr std::uint32_t kReservedMask = ~0U << 5;
}  // namespace key_bit

/// N bytes that mean one thing. Tag keeps a Measurement from being passed as a HostData.
template <class Tag, std::size_t N>
struct Octets {
  std::array<std::uint8_t, N> value{};
  friend bool operator==(const Octets&, const Octets&) = default;
};
using Measurement = Octets<struct MeasurementTag, field::kMeasurement.size>;
using HostData = Octets<struct HostDataTag, field::kHostData.size>;
using IdKeyDigest = Octets<struct IdKeyDigestTag, field::kIdKeyDigest.size>;
using AuthorKeyDigest = Octets<struct AuthorKeyDigestTag, field::kAuthorKeyDigest.size>;
using FamilyId = Octets<struct FamilyIdTag, field::kFamilyId.size>;
using ImageId = Octets<struct ImageIdTag, field::kImageId.size>;
using ReportId = Octets<struct ReportIdTag, field::kReportId.size>;
using AgentReportId = Octets<struct AgentReportIdTag, field::kReportIdMa.size>;
using ChipId = Octets<struct ChipIdTag, field::kChipId.size>;

/// A report whose bytes have been measured, not judged: nothing here says it is genuine.
/// Owns a copy of the bytes.
class UnverifiedReport {
 public:
  explicit UnverifiedReport(const RawReport& raw) noexcept : raw_(raw) {}

  /// @errors kBadLength unless `raw` is exactly kReportBytes long.
  static Result<UnverifiedReport> parse(std::span<const std::uint8_t> raw);

  /// The bytes of field F; out of bounds does not compile.
  template <Field F>
  [[nodiscard]] std::span<const std::uint8_t, F.size> bytes() const noexcept {
    return Wire(raw_).subspan<F.offset, F.size>();
  }

  /// Field F as a number.
  template <Field F>
  [[nodiscard]] std::uint64_t number() const noexcept {
    static_assert(F.size <= sizeof(std::uint64_t), "the field is no number");
    std::uint64_t value = 0;
    for (std::size_t i = F.size; i-- > 0;) value = value << 8 | bytes<F>()[i];
    return value;
  }

  /// Field F under the type that keeps it from being mistaken, e.g. octets<Measurement, F>().
  template <class T, Field F>
  [[nodiscard]] T octets() const noexcept {
    T copy;
    std::ranges::copy(bytes<F>(), copy.value.begin());
    return copy;
  }

  /// The 0x2A0 bytes that the signature covers.
  [[nodiscard]] std::span<const std::uint8_t, kSignedBytes> signed_bytes() const noexcept {
    return Wire(raw_).first<kSignedBytes>();
  }

  [[nodiscard]] const RawReport& raw() const noexcept { return raw_; }

  [[nodiscard]] bool has_cpuid() const noexcept {
    return number<field::kVersion>() >= kFirstVersionWithCpuid;
  }

  /// The product that the report's CPUID bytes name.
  /// @errors kUnsupported for a version without them, or an unknown processor.
  [[nodiscard]] Result<Product> product() const;

 private:
  using Wire = std::span<const std::uint8_t, kReportBytes>;
  RawReport raw_;
};

/// Checks the form of a report: version 2 to 5, SIGNATURE_ALGO, the reserved bits of KEY_INFO and
/// POLICY, reserved bytes zero, and r and s in the one canonical encoding.
/// @errors kBadFormat.
[[nodiscard]] Status check_form(const UnverifiedReport& report);

}  // namespace vhsm::snp
