// SPDX-License-Identifier: Apache-2.0
//
// What it takes to verify a report: certificates of AMD's sizes (RSA-4096 above P-384), made here,
// with everything parsed anew each time.
#include "snp/verify.h"

#include <vector>

#include "bench/host.h"
#include "snp/emulator_authority.h"
#include "snp/emulator_state.h"
#include "snp/policy.h"
#include "snp/report_signature.h"
#include "snp/x509.h"

namespace {

namespace snp = vhsm::snp;
using vhsm::Result;

struct Case {
  snp::Evidence evidence;
  snp::Roots roots;
};

Result<Case> make_case() {
  const auto ark = VHSM_TRY(snp::make_root(snp::kTestRootName, snp::kAuthorityKeyBits));
  const auto ask =
      VHSM_TRY(snp::make_intermediate(ark, snp::kTestIntermediateName, snp::kAuthorityKeyBits));
  const auto state = VHSM_TRY(snp::make_state({}));
  const auto leaf = VHSM_TRY(snp::make_leaf(
      ask, "SEV-VCEK", snp::vcek_extensions(state.product, state.tcb, state.chip_id)));
  Case made;
  made.evidence.report = snp::unsigned_report(state, {}, 0);
  VHSM_TRY(snp::sign_report(leaf.key.get(), made.evidence.report));
  auto leaf_der = VHSM_TRY(snp::to_der(leaf.certificate.get()));
  auto ask_der = VHSM_TRY(snp::to_der(ask.certificate.get()));
  made.evidence.certificates = {{snp::CertificateKind::kVcek, {}, std::move(leaf_der)},
                                {snp::CertificateKind::kAsk, {}, std::move(ask_der)}};
  made.roots.trust_test_root = VHSM_TRY(snp::to_der(ark.certificate.get()));
  return made;
}

/// Microseconds of one verification, with the standing rules behind it.
double verify_once(const Case& one) {
  const auto start = vhsm::bench::Clock::now();
  const auto report = snp::verify(one.evidence, one.roots, {});
  if (!report.ok() || !snp::judge(report.value(), snp::standing_rules()).ok()) {
    vhsm::bench::stop("the report does not verify");
  }
  return std::chrono::duration<double, std::micro>(vhsm::bench::Clock::now() - start).count();
}

}  // namespace

int main() {
  constexpr int kRounds = 1001;
  const auto made = make_case();
  if (!made.ok()) vhsm::bench::stop("no certificates");
  std::vector<double> times;
  for (int i = 0; i < kRounds; ++i) times.push_back(verify_once(made.value()));
  std::printf("report verified in %.0f us (median of %d)\n", vhsm::bench::median(times), kRounds);
  return 0;
}
