// SPDX-License-Identifier: Apache-2.0
//
// vhsm key attest and verify-attestation: where a key comes from, said and checked.
#include <unistd.h>

#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "cli/console.h"
#include "cli/hex_option.h"
#include "cli/report_text.h"
#include "cli/verify_options.h"
#include "evidence/cmw.h"
#include "evidence/key_claims.h"
#include "evidence/key_verdict.h"
#include "module/assembly.h"
#include "snp/files.h"

namespace vhsm::cli {
namespace {

// ---- attest ------------------------------------------------------------------------------------

struct AttestArguments {
  std::string name;
  std::string nonce;
  std::string format = "json";
  std::string out;
};

Result<Exit> attest(const Console& console, const AttestArguments& arguments) {
  const bool as_cbor = arguments.format == "cbor";
  if (as_cbor && arguments.out.empty() && isatty(STDOUT_FILENO) == 1) {
    return fail(Errc::kInvalidArgument, "CBOR is binary: name a file with --out", "terminal");
  }
  const auto nonce = VHSM_TRY(parse_hex(arguments.nonce, "--nonce"));
  const auto parts = VHSM_TRY(assemble(console.overrides()));
  const auto uri = VHSM_TRY(keystore::KeyUri::parse(arguments.name, parts.settings.kbs_path, true));
  auto bytes = VHSM_TRY(parts.keystore->attest(uri, nonce));
  if (!as_cbor) {
    const auto collection = VHSM_TRY(evidence::collection_from_cbor(bytes));
    const std::string text = to_json(collection).dump(2) + "\n";
    bytes.assign(text.begin(), text.end());
  }
  VHSM_TRY(arguments.out.empty() ? print_bytes(bytes) : write_file(arguments.out, bytes));
  return Exit::kDone;
}

void add_attest_command(CLI::App& key, Console& console) {
  const auto arguments = std::make_shared<AttestArguments>();
  CLI::App* const command =
      key.add_subcommand("attest", "Get evidence of where a key comes from and who can open it");
  command->add_option("NAME", arguments->name, "URI or path of the key")->required();
  command->add_option("--nonce", arguments->nonce, "Of who wants to know: 8 to 64 bytes, hex")
      ->required();
  command->add_option("--format", arguments->format, "json or cbor")
      ->check(CLI::IsMember({"json", "cbor"}));
  command->add_option("--out", arguments->out, "File to write instead of standard output");
  command->callback([&console, arguments] {
    console.action = [&console, arguments] { return attest(console, *arguments); };
  });
}

// ---- verify-attestation ------------------------------------------------------------------------

struct CheckArguments {
  std::string file;
  std::string nonce;
  std::vector<std::string> allowed;
  VerifyArguments verify;
};

Result<evidence::Expectations> expectations_of(const CheckArguments& arguments) {
  evidence::Expectations expected;
  expected.machine = VHSM_TRY(policy_of(arguments.verify));
  expected.allowed = arguments.allowed;
  if (!arguments.nonce.empty()) {
    expected.nonce = VHSM_TRY(parse_hex(arguments.nonce, "--nonce"));
  }
  return expected;
}

Json verdict_json(const evidence::KeyVerdict& verdict, evidence::Form form) {
  Json json{{"accepted", verdict.accepted.ok()},
            {"genuine", verdict.report.has_value()},
            {"form", evidence::name_of(form)}};
  if (!verdict.accepted.ok()) {
    json["reason"] = reason(verdict.accepted.error().code);
    json["what"] = verdict.accepted.error().what.c_str();
  }
  if (verdict.claims) json["key"] = evidence::to_json(*verdict.claims);
  if (verdict.report) json["development"] = verdict.report->development();
  json["checks"] = snp::to_json(verdict.findings);
  if (verdict.report) json["report"] = report_json(snp::UnverifiedReport(verdict.report->raw()));
  return json;
}

std::string others_text(const keystore::KeyClaims& claims) {
  if (claims.origin == keystore::KeyOrigin::kKbsReceiver) return "whoever has the KBS's files";
  if (claims.others.empty()) return "nobody else can open it";
  return fmt::format("{}", fmt::join(claims.others, ", "));
}

std::string claims_text(const keystore::KeyClaims& claims) {
  const std::string version = claims.version == 0 ? "" : fmt::format(" {}", claims.version);
  return fmt::format("key      vhsm:{}{}\norigin   {}\npolicy   {}\nothers   {}\n", claims.name,
                     version, name_of(claims.origin),
                     claims.policy.empty() ? "every use" : claims.policy, others_text(claims));
}

/// What was not compared is the reader's to compare.
std::string remarks(const CheckArguments& arguments) {
  std::string text;
  if (arguments.verify.policy.empty()) {
    text += "Not compared, for want of a policy: measurement, VMPL and TCB.\n";
  }
  if (arguments.nonce.empty()) text += "Not compared, for want of a nonce: when it was made.\n";
  return text;
}

std::string verdict_text(const evidence::KeyVerdict& verdict, const CheckArguments& arguments) {
  const char* const word = !verdict.report         ? "not genuine"
                           : verdict.accepted.ok() ? "genuine and accepted"
                                                   : "genuine, but refused";
  const bool development = verdict.report && verdict.report->development();
  return fmt::format("{}{}\n{}{}{}", word,
                     development ? " (for development: no hardware behind it)" : "",
                     verdict.claims ? claims_text(*verdict.claims) : "", remarks(arguments),
                     snp::to_text(verdict.findings));
}

Result<Exit> check(const Console& console, const CheckArguments& arguments) {
  const auto bytes = VHSM_TRY(snp::read_file(arguments.file, evidence::kMaxPresentedBytes));
  const auto expected = VHSM_TRY(expectations_of(arguments));
  const auto roots = VHSM_TRY(roots_of(arguments.verify));
  const auto presented = evidence::read_presented(bytes);
  if (!presented.ok()) return presented.error().about(arguments.file);
  const auto verdict = judge_key(presented.value(), roots, expected);
  VHSM_TRY(console.json ? print_json(verdict_json(verdict, presented.value().form))
                        : print(verdict_text(verdict, arguments)));
  if (!verdict.accepted.ok()) return verdict.accepted.error().about(arguments.file);
  return Exit::kDone;
}

std::string cannot_be_allowed(const std::string& word) {
  if (evidence::can_be_allowed(word)) return {};
  return "imported, fetched, restored, kbs-receiver, kbs, recovery, snp or backup";
}

void add_check_command(CLI::App& key, Console& console) {
  const auto arguments = std::make_shared<CheckArguments>();
  CLI::App* const command =
      key.add_subcommand("verify-attestation", "Say whether evidence of a key is acceptable");
  command
      ->add_option("FILE", arguments->file,
                   "Evidence (JSON, CBOR), or a certificate or request that has it (PEM, DER)")
      ->required();
  command->add_option("--nonce", arguments->nonce, "That the evidence must have, hex");
  command
      ->add_option("--allow", arguments->allowed,
                   "Accept keys that are imported, fetched, restored or a KBS's (kbs-receiver); "
                   "that a kbs, the holder of a recovery key or another guest (snp) can open, "
                   "too; that may leave (backup)")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(cannot_be_allowed);
  add_verify_options(*command, arguments->verify);
  add_json(*command, console);
  command->callback([&console, arguments] {
    console.action = [&console, arguments] { return check(console, *arguments); };
  });
}

}  // namespace

void add_key_proof(CLI::App& key, Console& console) {
  add_attest_command(key, console);
  add_check_command(key, console);
}

}  // namespace vhsm::cli
