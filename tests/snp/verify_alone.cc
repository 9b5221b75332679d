// SPDX-License-Identifier: Apache-2.0
//
// verify_alone PLATFORM POLICY [TEST-ROOT]: a whole attestation by snp/ alone, as a program that
// knows nothing of keys, providers and KBSs writes it: a verifier's nonce, evidence, and its
// verdict.
#include <openssl/rand.h>

#include <cstdio>
#include <string>

#include "snp/platform.h"
#include "snp/policy.h"
#include "snp/policy_file.h"
#include "snp/verify.h"

namespace {

namespace snp = vhsm::snp;
using vhsm::Result;
using vhsm::Status;

Result<snp::ReportData> fresh_nonce() {
  snp::ReportData nonce{};
  VHSM_TRY(vhsm::crypto(RAND_bytes(nonce.data(), static_cast<int>(nonce.size())), "no nonce"));
  return nonce;
}

Status attest_and_verify(const std::string& platform_name, const std::string& policy_file,
                         const std::string& test_root) {
  const auto nonce = VHSM_TRY(fresh_nonce());
  const auto platform = VHSM_TRY(snp::open_platform(platform_name, {}));
  const auto evidence = VHSM_TRY(platform->attest(nonce, snp::kNoDeadline));

  snp::VerifierPolicy policy = VHSM_TRY(snp::read_policy(policy_file));
  policy.report.report_data = nonce;
  policy.report.any_report_data = false;
  const auto roots = VHSM_TRY(snp::read_roots("", test_root));
  const auto report = VHSM_TRY(snp::verify(evidence, roots, policy.genuine));
  return snp::judge(report, policy.report);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3 && argc != 4) return 2;
  const Status verdict = attest_and_verify(argv[1], argv[2], argc == 4 ? argv[3] : "");
  std::puts(verdict.ok() ? "genuine and accepted" : vhsm::describe(verdict.error()).c_str());
  return verdict.ok() ? 0 : 1;
}
