// SPDX-License-Identifier: Apache-2.0
#include "snp/report_signature.h"

#include <algorithm>

#include "snp/ecdsa_p384.h"

namespace vhsm::snp {

// r and s lie side by side in a report, as they do in a P384Signature.
static_assert(field::kSignatureR.offset + kP384NumberBytes == field::kSignatureS.offset);

Status check_signature(EVP_PKEY* key, const UnverifiedReport& report) {
  const std::span<const std::uint8_t, kReportBytes> bytes(report.raw());
  const Status verified =
      verify_p384(key, report.signed_bytes(), bytes.subspan<kSignedBytes, 2 * kP384NumberBytes>());
  if (verified.ok() || verified.error().code != Errc::kBadSignature) return verified;
  return fail(Errc::kBadSignature, "the report was not signed by the certificate's key");
}

Status sign_report(EVP_PKEY* key, RawReport& report) {
  const std::span<std::uint8_t> bytes(report);
  const P384Signature signature = VHSM_TRY(sign_p384(key, bytes.first(kSignedBytes)));
  std::ranges::fill(bytes.subspan(kSignedBytes), std::uint8_t{0});
  std::ranges::copy(signature, bytes.subspan(kSignedBytes).begin());
  return {};
}

}  // namespace vhsm::snp
