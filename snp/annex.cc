// SPDX-License-Identifier: Apache-2.0
#include "snp/annex.h"

#include <nlohmann/json.hpp>
#include <openssl/evp.h>

#include <algorithm>

#include "base/handle.h"
#include "snp/hex.h"
#include "snp/report.h"

namespace vhsm::snp {
namespace {

using Bytes = std::span<const std::uint8_t>;

constexpr std::size_t kSha256Bytes = 32;

/// SHA-256 and zeros.
Result<ReportData> claims_report_data(Bytes claims) {
  ReportData expected{};
  unsigned size = 0;
  VHSM_TRY(crypto(
      EVP_Digest(claims.data(), claims.size(), expected.data(), &size, EVP_sha256(), nullptr),
      "no SHA-256"));
  if (size != kSha256Bytes) return fail(Errc::kInternal, "SHA-256 has another size");
  return expected;
}

Result<ReportData> expected_report_data(const Annex& annex, const ReportData& data) {
  switch (annex.kind) {
    case AnnexKind::kSvsmManifest: return svsm_report_data(data, annex.data);
    case AnnexKind::kAzureClaims: return claims_report_data(annex.data);
    case AnnexKind::kNone: break;
  }
  return data;
}

}  // namespace

Status check_binding(const Evidence& evidence, const ReportData& data, const char* platform) {
  const ReportData expected = VHSM_TRY(expected_report_data(evidence.annex, data));
  const UnverifiedReport report(evidence.report);
  if (!std::ranges::equal(report.bytes<field::kReportData>(), expected)) {
    return fail(Errc::kPlatform, "the firmware's report is for other REPORT_DATA", platform);
  }
  if (evidence.annex.kind != AnnexKind::kAzureClaims) return {};
  return claims_bind(evidence.annex.data, data, platform);
}

Status claims_bind(Bytes claims, const ReportData& data, const char* platform) {
  const auto json = nlohmann::json::parse(claims.begin(), claims.end(), nullptr, false);
  const auto found = json.is_object() ? json.find("user-data") : json.end();
  if (found == json.end() || !found->is_string()) {
    return fail(Errc::kBadFormat, "the vTPM's claims have no user-data", platform);
  }
  ReportData bound{};
  if (!from_hex(found->get_ref<const std::string&>(), bound).ok()) {
    return fail(Errc::kBadFormat, "the vTPM's user-data is not 64 bytes in hex", platform);
  }
  if (bound == data) return {};
  return fail(Errc::kPlatform, "the vTPM's report binds other user-data than was asked for",
              platform);
}

Result<ReportData> svsm_report_data(const ReportData& data, Bytes manifest) {
  const auto ctx = VHSM_TRY(made(ossl::MdCtx(EVP_MD_CTX_new()), "no digest context"));
  ReportData digest{};
  unsigned size = 0;
  VHSM_TRY(crypto(EVP_DigestInit_ex(ctx.get(), EVP_sha512(), nullptr), "no SHA-512"));
  VHSM_TRY(crypto(EVP_DigestUpdate(ctx.get(), data.data(), data.size()), "no SHA-512"));
  VHSM_TRY(crypto(EVP_DigestUpdate(ctx.get(), manifest.data(), manifest.size()), "no SHA-512"));
  VHSM_TRY(crypto(EVP_DigestFinal_ex(ctx.get(), digest.data(), &size), "no SHA-512"));
  if (size != digest.size()) return fail(Errc::kInternal, "SHA-512 has another size");
  return digest;
}

}  // namespace vhsm::snp
