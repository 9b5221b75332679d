// SPDX-License-Identifier: Apache-2.0
#include "evidence/key_verdict.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "base/words.h"
#include "evidence/key_claims.h"
#include "snp/annex.h"

namespace vhsm::evidence {
namespace {

using keystore::KeyClaims;
using keystore::KeyOrigin;

constexpr std::array<std::string_view, 8> kAllowable{
    "imported", "fetched", "restored", "kbs-receiver", "kbs", "recovery", "snp", "backup"};

Error refused(Literal what, std::string_view about) {
  return fail(Errc::kPolicyRefused, what, about);
}

bool allows(const Expectations& expected, std::string_view word) {
  return std::ranges::find(expected.allowed, word) != expected.allowed.end();
}

// ----- what is said of the key -------------------------------------------------------------------

Status is_the_carriers_key(const Presented& presented, const KeyClaims& claims) {
  if (presented.public_key_info == claims.public_key_info) return {};
  return refused("the evidence is about another key than it comes with", claims.name);
}

Status has_nonce(const Expectations& expected, const KeyClaims& claims) {
  if (claims.nonce == *expected.nonce) return {};
  return refused("the evidence has another nonce: it was made for somebody else, or before",
                 claims.name);
}

Status has_good_origin(const Expectations& expected, const KeyClaims& claims) {
  const std::string_view origin = name_of(claims.origin);
  if (claims.origin == KeyOrigin::kGenerated || allows(expected, origin)) return {};
  if (claims.origin == KeyOrigin::kKbsReceiver) {
    return refused(
        "the key is a KBS's, whose operator can read what is sent to it: to accept it, --allow "
        "kbs-receiver",
        origin);
  }
  return refused("the key was not generated in the keystore: to accept it, --allow its origin",
                 origin);
}

Status opens_for_nobody_else(const Expectations& expected, const KeyClaims& claims) {
  const auto other = std::ranges::find_if_not(
      claims.others, [&](const std::string& word) { return allows(expected, word); });
  if (other == claims.others.end()) return {};
  return refused("others than this VM can open the key: to accept it, --allow them", *other);
}

/// By the rule's name alone: what a later vhsm may let it say is refused, too.
Status stays_here(const Expectations& expected, const KeyClaims& claims) {
  const auto rules = words(claims.policy, " ");
  const bool may_leave =
      std::ranges::any_of(rules, [](std::string_view rule) { return rule.starts_with("backup="); });
  if (!may_leave || allows(expected, "backup")) return {};
  return refused("the key may be backed up to other machines: to accept it, --allow backup",
                 claims.name);
}

// ----- what is said of the machine ---------------------------------------------------------------

/// What REPORT_DATA must be follows from the claims; where it is a digest over an annex, the annex
/// is looked at instead.
Result<snp::ReportPolicy> with_report_data(const snp::ReportPolicy& asked,
                                           const KeyEvidence& from) {
  if (!asked.any_report_data) {
    return fail(Errc::kInvalidArgument, "evidence of a key has its own report data: say any",
                "report_data");
  }
  snp::ReportPolicy policy = asked;
  if (from.platform.annex.kind != snp::AnnexKind::kNone) return policy;
  policy.any_report_data = false;
  policy.report_data = report_data_of(from.claims);
  return policy;
}

/// Collects what the checks find; the first that fails is the verdict.
class Judge {
 public:
  void check(std::string_view name, const Status& status) {
    snp::note(&verdict_.findings, name, status);
    hear(status);
  }
  void check_if(bool asked, std::string_view name, const auto& status) {
    if (asked) return check(name, status());
    snp::note(&verdict_.findings, name, snp::Outcome::kNotAsked);
  }
  void hear(const Status& status) {
    if (verdict_.accepted.ok()) verdict_.accepted = status;
  }

  void judge_machine(const KeyEvidence& evidence, const snp::Roots& roots,
                     const Expectations& expected) {
    const auto report =
        snp::verify(evidence.platform, roots, expected.machine.genuine, &verdict_.findings);
    if (!report.ok()) return hear(report.error());
    const Status bound =
        snp::check_binding(evidence.platform, report_data_of(evidence.claims), "evidence");
    check("binds the claims", bound);
    if (bound.ok()) verdict_.report = report.value();
    const auto policy = with_report_data(expected.machine.report, evidence);
    if (!policy.ok()) return hear(policy.error());
    hear(snp::judge(report.value(), policy.value(), &verdict_.findings));
  }

  void judge_claims(const Presented& presented, const Expectations& expected) {
    const auto parsed = parse_claims(presented.evidence.claims);
    if (!parsed.ok()) return check("claims", parsed.error());
    const KeyClaims& claims = parsed.value();
    check_if(!presented.public_key_info.empty(), "public key",
             [&] { return is_the_carriers_key(presented, claims); });
    check_if(expected.nonce.has_value(), "nonce", [&] { return has_nonce(expected, claims); });
    check("origin", has_good_origin(expected, claims));
    check("others", opens_for_nobody_else(expected, claims));
    check("stays here", stays_here(expected, claims));
    verdict_.claims = claims;
  }

  KeyVerdict done() && { return std::move(verdict_); }

 private:
  KeyVerdict verdict_;
};

}  // namespace

bool can_be_allowed(std::string_view word) noexcept {
  return std::ranges::find(kAllowable, word) != kAllowable.end();
}

KeyVerdict judge_key(const Presented& presented, const snp::Roots& roots,
                     const Expectations& expected) {
  Judge judge;
  judge.check_if(presented.signature.has_value(), "own signature",
                 [&] { return *presented.signature; });
  judge.judge_machine(presented.evidence, roots, expected);
  judge.judge_claims(presented, expected);
  return std::move(judge).done();
}

}  // namespace vhsm::evidence
