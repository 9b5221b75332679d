// SPDX-License-Identifier: Apache-2.0
//
// vhsm report: reads a report, and says whether it is genuine.
#include <fmt/format.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "cli/console.h"
#include "cli/report_text.h"
#include "snp/files.h"
#include "snp/verify.h"

namespace vhsm::cli {
namespace {

struct ReportArguments {
  std::string file;
  std::string certificates;
  std::string product;
  std::string at;
  std::string test_root;
};

Result<snp::UnverifiedReport> read_report(const std::string& path) {
  const auto bytes = VHSM_TRY(snp::read_file(path, snp::kReportBytes));
  const auto report = snp::UnverifiedReport::parse(bytes);
  if (!report.ok()) return report.error().about(path);
  return report.value();
}

Result<Exit> show(const Console& console, const ReportArguments& arguments) {
  const auto report = VHSM_TRY(read_report(arguments.file));
  VHSM_TRY(console.json ? print_json(report_json(report)) : print(report_text(report)));
  return Exit::kDone;
}

/// "2026-01-31T12:00:00Z", RFC 3339 in UTC.
Result<std::chrono::system_clock::time_point> parse_time(const std::string& text) {
  int year = 0;
  unsigned month = 0;
  unsigned day = 0;
  int hour = 0;
  int minute = 0;
  int second = 0;
  int used = 0;
  const int read = std::sscanf(text.c_str(), "%4d-%2u-%2uT%2d:%2d:%2dZ%n", &year, &month, &day,
                               &hour, &minute, &second, &used);
  const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(month),
                                         std::chrono::day(day)};
  if (read != 6 || static_cast<std::size_t>(used) != text.size() || !date.ok() || hour < 0 ||
      hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60) {
    return fail(Errc::kInvalidArgument, "a time is written like 2026-01-31T12:00:00Z", text);
  }
  const auto of_day = std::chrono::hours(hour) + std::chrono::minutes(minute);
  return std::chrono::system_clock::time_point(std::chrono::sys_days(date) + of_day +
                                               std::chrono::seconds(second));
}

Result<snp::VerifyOptions> options_of(const ReportArguments& arguments) {
  snp::VerifyOptions options;
  if (!arguments.at.empty()) options.at = VHSM_TRY(parse_time(arguments.at));
  if (!arguments.product.empty()) options.product = VHSM_TRY(snp::parse_product(arguments.product));
  return options;
}

Status print_verdict(const Console& console, const Result<snp::VerifiedReport>& verified) {
  if (!verified.ok()) {
    if (!console.json) return {};  // main() says it on standard error
    return print_json(Json{{"genuine", false},
                           {"reason", reason(verified.error().code)},
                           {"what", verified.error().what.c_str()}});
  }
  const snp::VerifiedReport& report = verified.value();
  const std::string product(snp::product_name(report.product()));
  const char* const signer = report.signer() == snp::CertificateKind::kVlek ? "VLEK" : "VCEK";
  if (console.json) {
    return print_json(Json{{"genuine", true},
                           {"product", product},
                           {"signing_key", signer},
                           {"development", report.development()},
                           {"report", report_json(snp::UnverifiedReport(report.raw()))}});
  }
  return print(fmt::format(
      "genuine: made by {}, signed by its {}{}\n"
      "What it says is not judged here: compare measurement, VMPL, policy and report data.\n",
      report.development() ? "an emulated " + product : "an AMD " + product + " processor", signer,
      report.development() ? " (for development: no hardware behind it)" : ""));
}

Result<Exit> verify(const Console& console, const ReportArguments& arguments) {
  const auto report = VHSM_TRY(read_report(arguments.file));
  const auto options = VHSM_TRY(options_of(arguments));
  const auto roots = VHSM_TRY(snp::read_roots(arguments.certificates, arguments.test_root));
  const auto verified = snp::verify({report.raw(), {}}, roots, options);
  VHSM_TRY(print_verdict(console, verified));
  if (!verified.ok()) return verified.error().about(arguments.file);
  return Exit::kDone;
}

CLI::App* add_command(CLI::App& parent, const char* name, const char* what, Console& console,
                      const std::shared_ptr<ReportArguments>& arguments,
                      Result<Exit> (*run)(const Console&, const ReportArguments&)) {
  CLI::App* const command = parent.add_subcommand(name, what);
  command->add_option("FILE", arguments->file, "A raw report, 1184 bytes")->required();
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
  CLI::App* const check =
      add_command(*report, "verify", "Say whether it is genuine", console, arguments, verify);
  check
      ->add_option("--certs", arguments->certificates,
                   "Folder with vcek or vlek, and if not built in ask, asvk, ark (.pem, .der)")
      ->required();
  check->add_option("--product", arguments->product, "Milan, Genoa or Turin");
  check->add_option("--at", arguments->at, "Time at which certificates must be valid (RFC 3339)");
  check->add_option("--trust-test-root", arguments->test_root,
                    "ARK of an emulator to trust: for development only");
}

}  // namespace vhsm::cli
