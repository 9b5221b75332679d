// SPDX-License-Identifier: Apache-2.0
//
// vhsm report: reads a report, and says whether it is genuine and may be accepted.
#include <fmt/format.h>

#include <memory>
#include <optional>
#include <string>

#include "cli/console.h"
#include "cli/evidence_file.h"
#include "cli/fetch_certificates.h"
#include "cli/report_text.h"
#include "cli/verify_options.h"
#include "snp/verify.h"

namespace vhsm::cli {
namespace {

struct ReportArguments {
  std::string file;
  VerifyArguments verify;
  bool signature_only = false;
};

Result<Exit> show(const Console& console, const ReportArguments& arguments) {
  const auto evidence = VHSM_TRY(read_evidence(arguments.file));
  const snp::UnverifiedReport report(evidence.report);
  VHSM_TRY(console.json ? print_json(report_json(report)) : print(report_text(report)));
  return Exit::kDone;
}

// ---- verify ------------------------------------------------------------------------------------

/// What was asked, and what came of it.
struct Verdict {
  bool judged = false;  ///< the policy had its say, too
  snp::Findings findings;
  std::optional<snp::VerifiedReport> report;  ///< if it is genuine
  Status accepted;
};

Verdict verdict_on(const snp::Evidence& evidence, const snp::Roots& roots,
                   const snp::VerifierPolicy& policy, bool signature_only) {
  Verdict verdict{.judged = !signature_only, .findings = {}, .report = {}, .accepted = {}};
  const auto genuine = snp::verify(evidence, roots, policy.genuine, &verdict.findings);
  if (!genuine.ok()) {
    verdict.accepted = genuine.error();
    return verdict;
  }
  verdict.report = genuine.value();
  if (verdict.judged) {
    verdict.accepted = snp::judge(genuine.value(), policy.report, &verdict.findings);
  }
  return verdict;
}

const char* signer_of(const snp::VerifiedReport& report) {
  return report.signer() == snp::CertificateKind::kVlek ? "VLEK" : "VCEK";
}

Json verdict_json(const Verdict& verdict) {
  Json json{{"accepted", verdict.accepted.ok()}, {"genuine", verdict.report.has_value()}};
  if (!verdict.accepted.ok()) {
    json["reason"] = reason(verdict.accepted.error().code);
    json["what"] = verdict.accepted.error().what.c_str();
  }
  if (verdict.report) {
    json["product"] = std::string(snp::product_name(verdict.report->product()));
    json["signing_key"] = signer_of(*verdict.report);
    json["development"] = verdict.report->development();
  }
  json["checks"] = snp::to_json(verdict.findings);
  if (verdict.report) json["report"] = report_json(snp::UnverifiedReport(verdict.report->raw()));
  return json;
}

/// What was not compared is the reader's to compare.
const char* remark(const Verdict& verdict, bool has_policy) {
  if (!verdict.judged) return "What it says was not judged.\n";
  if (has_policy) return "";
  return "Not compared, for want of a policy: measurement, VMPL and report data.\n";
}

std::string verdict_text(const Verdict& verdict, bool has_policy) {
  const std::string checks = snp::to_text(verdict.findings);
  if (!verdict.report) return "not genuine\n" + checks;
  const snp::VerifiedReport& report = *verdict.report;
  const std::string product(snp::product_name(report.product()));
  return fmt::format(
      "genuine{}: made by {}, signed by its {}{}\n{}{}",
      verdict.judged ? verdict.accepted.ok() ? " and accepted" : ", but refused" : "",
      report.development() ? "an emulated " + product : "an AMD " + product + " processor",
      signer_of(report), report.development() ? " (for development: no hardware behind it)" : "",
      remark(verdict, has_policy), checks);
}

Result<Exit> verify(const Console& console, const ReportArguments& arguments) {
  const auto evidence = VHSM_TRY(read_evidence(arguments.file));
  const auto policy = VHSM_TRY(policy_of(arguments.verify));
  const auto roots = VHSM_TRY(roots_of(arguments.verify));
  const Verdict verdict = verdict_on(evidence, roots, policy, arguments.signature_only);
  VHSM_TRY(console.json ? print_json(verdict_json(verdict))
                        : print(verdict_text(verdict, !arguments.verify.policy.empty())));
  if (!verdict.accepted.ok()) return verdict.accepted.error().about(arguments.file);
  return Exit::kDone;
}

CLI::App* add_command(CLI::App& parent, const char* name, const char* what, Console& console,
                      const std::shared_ptr<ReportArguments>& arguments,
                      Result<Exit> (*run)(const Console&, const ReportArguments&)) {
  CLI::App* const command = parent.add_subcommand(name, what);
  command->add_option("FILE", arguments->file, "A raw report, or evidence as JSON")->required();
  add_json(*command, console);
  command->callback([&console, arguments, run] {
    console.action = [&console, arguments, run] { return run(console, *arguments); };
  });
  return command;
}

}  // namespace

void add_report(CLI::App& app, Console& console) {
  const auto arguments = std::make_shared<ReportArguments>();
  CLI::App* const report = app.add_subcommand("report", "Look at SEV-SNP reports");
  report->require_subcommand(1);
  add_command(*report, "show", "Print every field", console, arguments, show);
  CLI::App* const check = add_command(*report, "verify", "Say whether it is genuine and acceptable",
                                      console, arguments, verify);
  const VerifyOptions options = add_verify_options(*check, arguments->verify);
  options.certificates->required();
  check
      ->add_flag("--signature-only", arguments->signature_only, "Do not judge what the report says")
      ->excludes(options.policy);
  add_fetch_certificates(*report, console);
}

}  // namespace vhsm::cli
