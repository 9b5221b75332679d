// SPDX-License-Identifier: Apache-2.0
#include "nitride/attester.h"

#include <algorithm>
#include <utility>

#include "jose/base64.h"
#include "snp/evidence_json.h"
#include "snp/hex.h"
#include "snp/report.h"

namespace vhsm::nitride {
namespace {

std::string hex_of(const snp::Evidence& evidence, snp::Field field) {
  return snp::to_hex(std::span(evidence.report).subspan(field.offset, field.size));
}

class SnpAttester final : public Attester {
 public:
  SnpAttester(std::shared_ptr<snp::Platform> platform, std::shared_ptr<Metrics> metrics) noexcept
      : platform_(std::move(platform)), metrics_(std::move(metrics)) {}

  [[nodiscard]] std::string_view tee() const noexcept override { return "snp"; }

  /// REPORT_DATA is the digest, then zeros.
  Result<Proof> prove(std::span<const std::uint8_t> digest, TimePoint deadline) override {
    snp::ReportData data{};
    if (digest.size() > data.size()) return fail(Errc::kBadLength, "a digest for REPORT_DATA");
    std::ranges::copy(digest, data.begin());
    metrics_->reports.fetch_add(1);
    const auto evidence = VHSM_TRY(platform_->attest(data, deadline));
    return Proof{snp::to_json(evidence), hex_of(evidence, snp::field::kMeasurement),
                 hex_of(evidence, snp::field::kReportedTcb)};
  }

 private:
  std::shared_ptr<snp::Platform> platform_;
  std::shared_ptr<Metrics> metrics_;
};

class SampleAttester final : public Attester {
 public:
  [[nodiscard]] std::string_view tee() const noexcept override { return "sample"; }

  Result<Proof> prove(std::span<const std::uint8_t> digest, TimePoint /*deadline*/) override {
    return Proof{jose::Json{{"svn", "1"}, {"report_data", jose::base64(digest)}}, {}, {}};
  }
};

}  // namespace

std::unique_ptr<Attester> make_snp_attester(std::shared_ptr<snp::Platform> platform,
                                            std::shared_ptr<Metrics> metrics) {
  return std::make_unique<SnpAttester>(std::move(platform), std::move(metrics));
}

std::unique_ptr<Attester> make_sample_attester() { return std::make_unique<SampleAttester>(); }

}  // namespace vhsm::nitride
