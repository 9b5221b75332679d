// SPDX-License-Identifier: Apache-2.0
//
// What a token says of a VM.
#include "kbs/claims.h"

#include "snp/hex.h"
#include "snp/report.h"

namespace vhsm::kbs {
namespace {

using jose::Json;

constexpr const char* kEvidence = "ear.veraison.annotated-evidence";

// Trustworthiness claims of draft-ietf-rats-ar4si, section 2.3.
constexpr int kAffirming = 2;
constexpr int kUnsafeConfiguration = 32;
constexpr int kUnrecognisedHardware = 97;
constexpr int kApprovedExecutables = 3;

Json snp_claims(const snp::VerifiedReport& report) {
  namespace field = snp::field;
  namespace bit = snp::policy_bit;
  const auto policy = report.number<field::kPolicy>();
  const auto platform = report.number<field::kPlatformInfo>();
  Json claims{
      {"policy_abi_major", (policy & bit::kAbiMajorMask) >> 8},
      {"policy_abi_minor", policy & bit::kAbiMinorMask},
      {"policy_smt_allowed", (policy & bit::kSmtAllowed) != 0},
      {"policy_migrate_ma", (policy & bit::kMigrationAllowed) != 0},
      {"policy_debug_allowed", (policy & bit::kDebugAllowed) != 0},
      {"policy_single_socket", (policy & bit::kSingleSocketRequired) != 0},
      {"platform_tsme_enabled", (platform & snp::platform_bit::kTsme) != 0},
      {"platform_smt_enabled", (platform & snp::platform_bit::kSmt) != 0},
      {"measurement", snp::to_hex(report.bytes<field::kMeasurement>())},
      {"chip_id", snp::to_hex(report.bytes<field::kChipId>())},
  };
  const auto tcb = report.tcb<field::kReportedTcb>();
  if (tcb.ok()) {
    claims["reported_tcb_bootloader"] = tcb.value().bootloader;
    claims["reported_tcb_tee"] = tcb.value().tee;
    claims["reported_tcb_snp"] = tcb.value().snp;
    claims["reported_tcb_microcode"] = tcb.value().microcode;
  }
  return claims;
}

bool may_be_read_by_host(const snp::VerifiedReport& report) {
  constexpr auto kOpen = snp::policy_bit::kDebugAllowed | snp::policy_bit::kMigrationAllowed;
  return (report.number<snp::field::kPolicy>() & kOpen) != 0;
}

Json trust_vector(const snp::VerifiedReport& report) {
  return Json{{"instance-identity", 0},
              {"configuration", may_be_read_by_host(report) ? kUnsafeConfiguration : kAffirming},
              {"executables", kApprovedExecutables},
              {"file-system", 0},
              {"hardware", report.development() ? kUnrecognisedHardware : kAffirming},
              {"runtime-opaque", 0},
              {"storage-opaque", 0},
              {"sourced-data", 0}};
}

/// The worst tier over the vector.
std::string_view status_of(const snp::VerifiedReport& report) {
  if (report.development()) return "contraindicated";
  return may_be_read_by_host(report) ? "warning" : "affirming";
}

const Json* evidence_of(const Json& claims) {
  const Json* at = &claims;
  for (const char* name : {"submods", "cpu0", kEvidence}) {
    at = jose::find_member(*at, name);
    if (at == nullptr) return nullptr;
  }
  return at;
}

std::string text_or_nothing(const Json& object, std::string_view name) {
  const auto text = jose::text_member(object, name);
  return text.ok() ? std::string(text.value()) : std::string();
}

}  // namespace

Json ear_claims(const snp::VerifiedReport& report, const Json& runtime) {
  Json evidence{{"init_data", snp::to_hex(report.bytes<snp::field::kHostData>())},
                {"init_data_claims", nullptr},
                {"report_data", snp::to_hex(report.bytes<snp::field::kReportData>())},
                {"runtime_data_claims", runtime},
                {"snp", snp_claims(report)}};
  Json cpu{{"ear.status", status_of(report)},
           {"ear.trustworthiness-vector", trust_vector(report)},
           {"ear.appraisal-policy-id", "default"},
           {kEvidence, std::move(evidence)}};
  return Json{{"eat_profile", "tag:github.com,2024:confidential-containers/Trustee"},
              {"ear.verifier-id", {{"developer", "vhsm"}, {"build", "vhsm-kbs " VHSM_VERSION}}},
              {"submods", {{"cpu0", std::move(cpu)}}},
              {"iss", "vhsm-kbs"}};
}

Result<AttestedVm> attested_vm(const Json& claims) {
  const Json* evidence = evidence_of(claims);
  const Json* runtime =
      evidence == nullptr ? nullptr : jose::find_member(*evidence, "runtime_data_claims");
  const Json* key = runtime == nullptr ? nullptr : jose::find_member(*runtime, "tee-pubkey");
  if (key == nullptr) return fail(Errc::kBadFormat, "a token without a TEE key");
  AttestedVm vm;
  vm.tee_key = VHSM_TRY(jose::tee_jwk_from_json(*key));
  if (const Json* snp = jose::find_member(*evidence, "snp"); snp != nullptr) {
    vm.measurement = text_or_nothing(*snp, "measurement");
    vm.chip_id = text_or_nothing(*snp, "chip_id");
  }
  return vm;
}

}  // namespace vhsm::kbs
