// SPDX-License-Identifier: Apache-2.0
#include "evidence/key_evidence.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "evidence/key_claims.h"
#include "snp/report.h"
#include "snp/x509.h"

namespace vhsm::evidence {
namespace {

// A report of AMD 56860, table ATTESTATION_REPORT, and a manifest of AMD 58019 have no registered
// type.
constexpr std::string_view kClaims = "claims";
constexpr std::string_view kClaimsType = "application/eat-ucs+cbor";
constexpr std::string_view kReport = "report";
constexpr std::string_view kReportType = "application/x.vhsm.snp-report";
constexpr std::string_view kCertificateType = "application/pkix-cert";

struct CertificateLabel {
  snp::CertificateKind kind;
  std::string_view label;
};
/// All but the root, which whoever verifies has.
constexpr std::array<CertificateLabel, 4> kCertificates{{{snp::CertificateKind::kVcek, "vcek"},
                                                         {snp::CertificateKind::kVlek, "vlek"},
                                                         {snp::CertificateKind::kAsk, "ask"},
                                                         {snp::CertificateKind::kAsvk, "asvk"}}};

struct AnnexLabel {
  snp::AnnexKind kind;
  std::string_view label;
  std::string_view type;
};
constexpr std::array<AnnexLabel, 2> kAnnexes{
    {{snp::AnnexKind::kSvsmManifest, "manifest", "application/x.vhsm.svsm-manifest"},
     {snp::AnnexKind::kAzureClaims, "azure-claims", "application/json"}}};

std::string claims_type() {
  return std::string(kClaimsType) + "; eat_profile=\"" + std::string(kKeyProfile) + "\"";
}

Record make_record(std::string_view label, std::string_view type, ByteView value,
                   std::uint32_t indicator) {
  return {std::string(label), std::string(type), {value.begin(), value.end()}, indicator};
}

Error malformed(std::string_view what) {
  return fail(Errc::kBadFormat, "this is no evidence of a key", what);
}

/// In DER, whichever way the host gave it; what is no certificate is left out.
void add_certificate(const snp::Certificate& certificate, Collection& collection) {
  const auto kind = snp::true_kind(certificate.kind, certificate.data);
  const auto* const found = std::ranges::find(kCertificates, kind, &CertificateLabel::kind);
  if (found == kCertificates.end() || collection.find(found->label) != nullptr) return;
  const auto parsed = snp::parse_certificates(certificate.data);
  if (parsed.empty()) return;
  const auto der = snp::to_der(parsed.front().get());
  if (!der.ok()) return;
  collection.records.push_back(
      make_record(found->label, kCertificateType, der.value(), indicator::kEndorsements));
}

// ----- reading -----------------------------------------------------------------------------------

Status read_report(const Record& record, KeyEvidence& evidence) {
  const auto report = snp::UnverifiedReport::parse(record.value);
  if (!report.ok()) return report.error();
  evidence.platform.report = report.value().raw();
  return {};
}

Status read_annex(const AnnexLabel& annex, const Record& record, KeyEvidence& evidence) {
  if (evidence.platform.annex.kind != snp::AnnexKind::kNone) return malformed(record.label);
  evidence.platform.annex = {annex.kind, record.value};
  return {};
}

Status check_type(const Record& record, std::string_view type) {
  return record.type == type ? Status() : Status(malformed(record.label));
}

Status read_record(const Record& record, KeyEvidence& evidence) {
  if (record.label == kClaims) {
    evidence.claims = record.value;
    return check_type(record, claims_type());
  }
  if (record.label == kReport) {
    VHSM_TRY(check_type(record, kReportType));
    return read_report(record, evidence);
  }
  for (const CertificateLabel& certificate : kCertificates) {
    if (record.label != certificate.label) continue;
    evidence.platform.certificates.push_back({certificate.kind, {}, record.value});
    return check_type(record, kCertificateType);
  }
  for (const AnnexLabel& annex : kAnnexes) {
    if (record.label != annex.label) continue;
    VHSM_TRY(check_type(record, annex.type));
    return read_annex(annex, record, evidence);
  }
  return malformed(record.label);
}

}  // namespace

Collection KeyEvidence::collection() const {
  Collection collection{std::string(kKeyProfile), {}};
  collection.records.push_back(make_record(kClaims, claims_type(), claims, indicator::kEvidence));
  collection.records.push_back(
      make_record(kReport, kReportType, platform.report, indicator::kEvidence));
  for (const snp::Certificate& certificate : platform.certificates) {
    add_certificate(certificate, collection);
  }
  for (const AnnexLabel& annex : kAnnexes) {
    if (annex.kind != platform.annex.kind) continue;
    collection.records.push_back(
        make_record(annex.label, annex.type, platform.annex.data, indicator::kEvidence));
  }
  return collection;
}

Result<KeyEvidence> KeyEvidence::gather(const keystore::KeyClaims& claims, snp::Platform& platform,
                                        TimePoint deadline) {
  KeyEvidence evidence{.claims = encode(claims), .platform = {}};
  evidence.platform = VHSM_TRY(platform.attest(report_data_of(evidence.claims), deadline));
  return evidence;
}

Result<KeyEvidence> KeyEvidence::from(const Collection& collection) {
  if (collection.type != kKeyProfile) return malformed("its type");
  for (const std::string_view label : {kClaims, kReport}) {
    if (collection.find(label) == nullptr) return malformed(label);
  }
  KeyEvidence evidence;
  for (const Record& record : collection.records) VHSM_TRY(read_record(record, evidence));
  return evidence;
}

}  // namespace vhsm::evidence
