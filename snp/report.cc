// SPDX-License-Identifier: Apache-2.0
#include "snp/report.h"

namespace vhsm::snp {
namespace {

/// A number takes 48 of the 72 bytes; the rest is zero, or one signature would have many encodings.
constexpr std::size_t kScalarBytes = 48;

bool all_zero(std::span<const std::uint8_t> bytes) {
  return std::ranges::all_of(bytes, [](std::uint8_t byte) { return byte == 0; });
}

bool reserved_is_zero(const UnverifiedReport& report) {
  const bool always = all_zero(report.bytes<field::kReserved04c>()) &&
                      all_zero(report.bytes<field::kReserved18b>()) &&
                      all_zero(report.bytes<field::kReserved1eb>()) &&
                      all_zero(report.bytes<field::kReserved1ef>()) &&
                      all_zero(report.bytes<field::kReserved208>()) &&
                      all_zero(report.bytes<field::kReserved330>());
  if (!always) return false;
  const std::uint64_t version = report.number<field::kVersion>();
  // Version 4 is seen in the wild with mitigation bytes, which nothing describes: opaque there.
  if (version <= kFirstVersionWithCpuid && (report.number<field::kLaunchMitigations>() != 0 ||
                                            report.number<field::kCurrentMitigations>() != 0)) {
    return false;
  }
  return report.has_cpuid() ||
         (report.number<field::kCpuidFamily>() == 0 && report.number<field::kCpuidModel>() == 0 &&
          report.number<field::kCpuidStepping>() == 0);
}

bool policy_is_sane(std::uint64_t policy) {
  return (policy & policy_bit::kAlwaysOne) != 0 && (policy & policy_bit::kReservedMask) == 0;
}

bool signature_is_canonical(const UnverifiedReport& report) {
  return all_zero(report.bytes<field::kSignatureR>().subspan<kScalarBytes>()) &&
         all_zero(report.bytes<field::kSignatureS>().subspan<kScalarBytes>());
}

}  // namespace

Result<UnverifiedReport> UnverifiedReport::parse(std::span<const std::uint8_t> raw) {
  if (raw.size() != kReportBytes) return fail(Errc::kBadLength, "the report is not 1184 bytes");
  RawReport copy;
  std::ranges::copy(raw, copy.begin());
  return UnverifiedReport(copy);
}

Result<Product> UnverifiedReport::product() const {
  if (!has_cpuid()) {
    return fail(Errc::kUnsupported, "a version 2 report does not name its processor");
  }
  return product_of(static_cast<unsigned>(number<field::kCpuidFamily>()),
                    static_cast<unsigned>(number<field::kCpuidModel>()));
}

Status check_form(const UnverifiedReport& report) {
  const std::uint64_t version = report.number<field::kVersion>();
  if (version < kOldestVersion || version > kNewestVersion) {
    return fail(Errc::kBadFormat, "the report's version is not 2 to 5");
  }
  if (report.number<field::kSignatureAlgo>() != kEcdsaP384Sha384) {
    return fail(Errc::kBadFormat, "the report's SIGNATURE_ALGO is not ECDSA P-384 with SHA-384");
  }
  if ((report.number<field::kKeyInfo>() & key_bit::kReservedMask) != 0) {
    return fail(Errc::kBadFormat, "a reserved bit of the report's KEY_INFO is set");
  }
  if (!policy_is_sane(report.number<field::kPolicy>())) {
    return fail(Errc::kBadFormat, "the reserved bits of the report's POLICY are wrong");
  }
  if (!reserved_is_zero(report)) {
    return fail(Errc::kBadFormat, "a reserved byte of the report is not zero");
  }
  if (!signature_is_canonical(report)) {
    return fail(Errc::kBadFormat, "the report's signature is not in its canonical encoding");
  }
  return {};
}

}  // namespace vhsm::snp
