// SPDX-License-Identifier: Apache-2.0
//
// libFuzzer target: a report and a host's certificate table behind it, through all of verify(). The
// first ARK in the table is trusted, so that the checks behind the chain are reached.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "snp/certificate_table.h"
#include "snp/policy.h"
#include "snp/verify.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

namespace snp = vhsm::snp;

void judge_all(const snp::VerifiedReport& report) {
  snp::ReportPolicy policy;
  policy.report_data.emplace();
  policy.vmpl = 0;
  policy.any_measurement = true;
  policy.minimum_tcb = {{report.product(), vhsm::snp::Tcb{}}};
  static_cast<void>(snp::judge(report, policy).ok());
  if (snp::judge(report, snp::ReportPolicy{}).ok()) std::abort();
}

snp::Roots roots_in(const snp::Evidence& evidence) {
  snp::Roots roots;
  const auto ark =
      std::ranges::find(evidence.certificates, snp::CertificateKind::kArk, &snp::Certificate::kind);
  if (ark != evidence.certificates.end()) roots.trust_test_root = ark->data;
  return roots;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < snp::kReportBytes) return 0;
  const std::span input(data, size);
  snp::Evidence evidence;
  std::ranges::copy(input.first(snp::kReportBytes), evidence.report.begin());
  auto table = snp::parse_certificate_table(input.subspan(snp::kReportBytes));
  if (!table.ok()) return 0;
  evidence.certificates = std::move(table).value();
  snp::VerifyOptions options;
  options.allow_vlek = true;
  options.allow_masked_chip_id = true;
  const auto report = snp::verify(evidence, roots_in(evidence), options);
  if (report.ok()) judge_all(report.value());
  if (snp::verify(evidence, snp::Roots{}, {}).ok()) std::abort();  // no AMD report is in the corpus
  return 0;
}
