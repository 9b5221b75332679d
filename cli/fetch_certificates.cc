// SPDX-License-Identifier: Apache-2.0
//
// vhsm report fetch: the certificates of a report from AMD, into the folder that report verify
// takes.
#include "cli/fetch_certificates.h"

#include <algorithm>
#include <charconv>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "cli/evidence_file.h"
#include "cli/http_get.h"
#include "memory/protected_memory.h"
#include "snp/kds.h"

namespace vhsm::cli {
namespace {

struct FetchArguments {
  std::string file;
  std::string certificates;
  std::string product;
  std::string kds = snp::kKdsUrl;
  std::string kds_ca;
};

/// A date instead of a number of seconds counts as no header: the default delay does then.
std::optional<std::chrono::seconds> delay_of(const std::string& retry_after) {
  constexpr unsigned kMaxSeconds = 86400;
  unsigned value = 0;
  const char* const end = retry_after.data() + retry_after.size();
  const auto parsed = std::from_chars(retry_after.data(), end, value);
  if (retry_after.empty() || parsed.ec != std::errc() || parsed.ptr != end) return std::nullopt;
  return std::chrono::seconds(std::min(value, kMaxSeconds));
}

Result<Endpoint> endpoint_of(const FetchArguments& arguments) {
  const auto endpoint = parse_endpoint(arguments.kds);
  if (!endpoint.ok()) return fail(Errc::kInvalidArgument, endpoint.error().what, "--kds");
  if (endpoint.value().scheme == "https" || endpoint.value().is_loopback) return endpoint;
  return fail(Errc::kInvalidArgument, "plain http reaches this machine alone", "--kds");
}

Result<std::unique_ptr<nitride::TlsContext>> tls_of(const FetchArguments& arguments) {
  Settings settings;
  settings.kbs = {arguments.kds};  // an https one: the system's roots are read
  settings.kbs_ca = arguments.kds_ca;
  const auto material = VHSM_TRY(nitride::TlsMaterial::load(settings));
  return nitride::TlsContext::create(material);
}

snp::KdsAccess access_by(const Endpoint& endpoint, const nitride::TlsContext& tls) {
  constexpr std::chrono::seconds kPatience{30};
  return {
      .get = [&](const std::string& target) -> Result<snp::KdsAnswer> {
        auto answer = VHSM_TRY(http_get(endpoint, tls, target, Clock::now() + kPatience));
        return snp::KdsAnswer{answer.status, std::move(answer.body), delay_of(answer.retry_after)};
      },
      .wait = [](std::chrono::seconds delay) { std::this_thread::sleep_for(delay); }};
}

/// A version 2 report does not name its processor.
Result<snp::Product> product_of(const snp::UnverifiedReport& report,
                                const FetchArguments& arguments) {
  if (!arguments.product.empty()) return snp::parse_product(arguments.product);
  const auto product = report.product();
  if (!product.ok() && !report.has_cpuid()) {
    return fail(Errc::kInvalidArgument, "a version 2 report does not name its processor: name it",
                "--product");
  }
  return product;
}

Result<Exit> run(const Console& console, const FetchArguments& arguments) {
  const Endpoint endpoint = VHSM_TRY(endpoint_of(arguments));
  const auto evidence = VHSM_TRY(read_evidence(arguments.file));
  const snp::UnverifiedReport report(evidence.report);
  const snp::Product product = VHSM_TRY(product_of(report, arguments));
  VHSM_TRY(memory::initialise({.protection_key = false}));
  const auto tls = VHSM_TRY(tls_of(arguments));
  const auto files = VHSM_TRY(
      snp::fetch_certificates(report, product, arguments.certificates, access_by(endpoint, *tls)));
  if (console.json) {
    VHSM_TRY(print_json(Json{{"files", files}}));
    return Exit::kDone;
  }
  for (const std::string& file : files) VHSM_TRY(print(file + "\n"));
  return Exit::kDone;
}

}  // namespace

void add_fetch_certificates(CLI::App& report, Console& console) {
  const auto arguments = std::make_shared<FetchArguments>();
  CLI::App* const fetch = report.add_subcommand("fetch", "Fetch its certificates from AMD");
  fetch->add_option("FILE", arguments->file, "A raw report, or evidence as JSON")->required();
  fetch->add_option("--certs", arguments->certificates, "Folder for them")->required();
  fetch->add_option("--product", arguments->product, "Milan, Genoa or Turin");
  fetch->add_option("--kds", arguments->kds, "URL of a service that speaks as AMD's does");
  fetch->add_option("--kds-ca", arguments->kds_ca, "PEM file with the roots of its TLS");
  add_json(*fetch, console);
  fetch->callback([&console, arguments] {
    console.action = [&console, arguments] { return run(console, *arguments); };
  });
}

}  // namespace vhsm::cli
