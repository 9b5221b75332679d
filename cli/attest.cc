// SPDX-License-Identifier: Apache-2.0
//
// vhsm attest: asks the platform for a report, for whoever wants to see one.
#include <unistd.h>

#include <openssl/sha.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "cli/console.h"
#include "cli/hex_option.h"
#include "memory/protected_memory.h"
#include "snp/hex.h"
#include "snp/platform.h"

namespace vhsm::cli {
namespace {

/// What is hashed for evidence of a key (evidence/key_claims.h) is longer: neither is ever taken
/// for the other.
constexpr std::size_t kMaxNonceBytes = 64;

struct AttestArguments {
  std::string nonce;
  std::string report_data;
  std::string out;
};

/// REPORT_DATA is SHA-512 of the nonce, or as given, or zero.
Result<snp::ReportData> report_data_of(const AttestArguments& arguments) {
  snp::ReportData data{};
  if (!arguments.report_data.empty()) {
    const Status parsed = snp::from_hex(arguments.report_data, data);
    if (!parsed.ok()) return parsed.error().about("--report-data");
  }
  if (!arguments.nonce.empty()) {
    const auto nonce = VHSM_TRY(parse_hex(arguments.nonce, "--nonce"));
    if (nonce.size() > kMaxNonceBytes) {
      return fail(Errc::kInvalidArgument, "a nonce has at most 64 bytes", "--nonce");
    }
    static_assert(snp::kReportDataBytes == SHA512_DIGEST_LENGTH);
    SHA512(nonce.data(), nonce.size(), data.data());
  }
  return data;
}

/// What a certificate's file is called; null for entries that are none.
const char* file_name(snp::CertificateKind kind) noexcept {
  switch (kind) {
    case snp::CertificateKind::kArk: return "ark";
    case snp::CertificateKind::kAsk: return "ask";
    case snp::CertificateKind::kAsvk: return "asvk";
    case snp::CertificateKind::kVcek: return "vcek";
    case snp::CertificateKind::kVlek: return "vlek";
    case snp::CertificateKind::kCrl: return "crl";
    case snp::CertificateKind::kOther: break;
  }
  return nullptr;
}

bool is_pem(std::span<const std::uint8_t> data) {
  return std::ranges::equal(data.first(std::min<std::size_t>(data.size(), 5)), as_bytes("-----"));
}

std::string suffix_of(const snp::Certificate& certificate) {
  return std::string(file_name(certificate.kind)) + (is_pem(certificate.data) ? ".pem" : ".der");
}

/// What the annex's file is called; null where there is none.
const char* file_name(snp::AnnexKind kind) noexcept {
  switch (kind) {
    case snp::AnnexKind::kSvsmManifest: return "manifest.bin";
    case snp::AnnexKind::kAzureClaims: return "claims.json";
    case snp::AnnexKind::kNone: break;
  }
  return nullptr;
}

Status write_evidence(const snp::Evidence& evidence, const std::string& path) {
  VHSM_TRY(write_file(path, evidence.report));
  if (const char* const annex = file_name(evidence.annex.kind)) {
    VHSM_TRY(write_file(path + "." + annex, evidence.annex.data));
  }
  for (const snp::Certificate& certificate : evidence.certificates) {
    if (file_name(certificate.kind) == nullptr) continue;
    VHSM_TRY(write_file(path + "." + suffix_of(certificate), certificate.data));
  }
  return {};
}

Status print_evidence(const snp::Evidence& evidence, const snp::PlatformInfo& info) {
  Json certificates = Json::object();
  for (const snp::Certificate& certificate : evidence.certificates) {
    if (file_name(certificate.kind) == nullptr) continue;
    certificates[suffix_of(certificate)] = snp::to_hex(certificate.data);
  }
  Json json{{"platform", info.kind},
            {"development", info.development},
            {"report", snp::to_hex(evidence.report)},
            {"certificates", std::move(certificates)}};
  if (const char* const annex = file_name(evidence.annex.kind)) {
    json["annex"] = Json{{annex, snp::to_hex(evidence.annex.data)}};
  }
  return print_json(json);
}

Result<Exit> run(const Console& console, const AttestArguments& arguments) {
  const bool raw_to_terminal = arguments.out.empty() && !console.json && isatty(STDOUT_FILENO) == 1;
  if (raw_to_terminal) {
    return fail(Errc::kInvalidArgument, "a report is binary: name a file with --out", "terminal");
  }
  const auto data = VHSM_TRY(report_data_of(arguments));
  const Settings settings = VHSM_TRY(load_settings(console.overrides()));
  VHSM_TRY(memory::initialise({.limit_bytes = settings.memory_limit, .protection_key = false}));
  const auto platform = VHSM_TRY(snp::open_platform(settings.platform, settings.vmpl));
  const auto evidence = VHSM_TRY(platform->attest(data, snp::kNoDeadline));
  if (!arguments.out.empty()) {
    VHSM_TRY(write_evidence(evidence, arguments.out));
  }
  if (console.json) {
    VHSM_TRY(print_evidence(evidence, platform->info()));
  } else if (arguments.out.empty()) {
    VHSM_TRY(print_bytes(evidence.report));
  }
  return Exit::kDone;
}

}  // namespace

void add_attest(CLI::App& app, Console& console) {
  const auto arguments = std::make_shared<AttestArguments>();
  CLI::App* const attest = app.add_subcommand("attest", "Ask the platform for a report");
  CLI::Option* const nonce =
      attest->add_option("--nonce", arguments->nonce, "At most 64 bytes, hex: hashed by SHA-512");
  attest->add_option("--report-data", arguments->report_data, "REPORT_DATA itself, 64 bytes, hex")
      ->excludes(nonce);
  attest->add_option("--out", arguments->out,
                     "File for the report; the host's certificates go beside it");
  add_json(*attest, console);
  attest->callback([&console, arguments] {
    console.action = [&console, arguments] { return run(console, *arguments); };
  });
}

}  // namespace vhsm::cli
