// SPDX-License-Identifier: Apache-2.0
//
// vhsm-snp-emulator: makes the folder of an emulated SEV-SNP machine.
#include <CLI/CLI.hpp>

#include <charconv>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <optional>
#include <string>
#include <string_view>

#include "snp/emulator.h"
#include "snp/hex.h"

namespace {

using vhsm::Error;
using vhsm::Result;
using vhsm::Status;

constexpr int kFailed = 1;
constexpr int kUsage = 2;

struct Arguments {
  std::string folder;
  std::string product = "Milan";
  std::string measurement;
  std::string host_data;
  std::string policy;
  std::uint32_t vmpl = 0;
  std::uint32_t report_version = 3;
};

template <class Octets>
Result<std::optional<Octets>> parse_octets(const std::string& digits, const char* option) {
  if (digits.empty()) return std::optional<Octets>();
  Octets octets;
  const Status parsed = vhsm::snp::from_hex(digits, octets.value);
  if (!parsed.ok()) return parsed.error().about(option);
  return std::optional(octets);
}

Result<std::uint64_t> parse_policy(std::string_view digits, std::uint64_t otherwise) {
  if (digits.empty()) return otherwise;
  if (digits.starts_with("0x")) digits.remove_prefix(2);
  std::uint64_t policy = 0;
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), policy, 16);
  if (error != std::errc{} || end != digits.data() + digits.size()) {
    return vhsm::fail(vhsm::Errc::kInvalidArgument, "this is not a hexadecimal number", "--policy");
  }
  return policy;
}

Status init(const Arguments& arguments) {
  vhsm::snp::EmulatorOptions options;
  options.product = VHSM_TRY(vhsm::snp::parse_product(arguments.product));
  options.measurement =
      VHSM_TRY(parse_octets<vhsm::snp::Measurement>(arguments.measurement, "--measurement"));
  options.host_data =
      VHSM_TRY(parse_octets<vhsm::snp::HostData>(arguments.host_data, "--host-data"));
  options.policy = VHSM_TRY(parse_policy(arguments.policy, options.policy));
  options.vmpl = arguments.vmpl;
  options.report_version = arguments.report_version;
  return vhsm::snp::init_emulator(arguments.folder, options);
}

int report(const Status& status) {
  if (status.ok()) return 0;
  std::fprintf(stderr, "vhsm-snp-emulator: %s\n", vhsm::describe(status.error()).c_str());
  return status.error().code == vhsm::Errc::kInvalidArgument ? kUsage : kFailed;
}

void declare(CLI::App& app, Arguments& arguments) {
  app.require_subcommand(1);
  CLI::App* init = app.add_subcommand("init", "Make DIR the state of an emulated machine");
  init->add_option("DIR", arguments.folder, "Folder to make")->required();
  init->add_option("--product", arguments.product, "Milan, Genoa or Turin")->capture_default_str();
  init->add_option("--measurement", arguments.measurement, "MEASUREMENT, 96 hex digits");
  init->add_option("--host-data", arguments.host_data, "HOST_DATA, 64 hex digits");
  init->add_option("--policy", arguments.policy, "POLICY, hexadecimal (0x30000)");
  init->add_option("--vmpl", arguments.vmpl, "The guest's VMPL, 0 to 3")->capture_default_str();
  init->add_option("--report-version", arguments.report_version, "2 to 5")->capture_default_str();
}

/// The form DIR -- COMMAND, which answers /dev/sev-guest for COMMAND.
bool asks_for_supervision(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    if (std::string_view(argv[i]) == "--") return true;
  }
  return false;
}

int run(int argc, char** argv) {
  if (asks_for_supervision(argc, argv)) {
    std::fputs(
        "vhsm-snp-emulator: DIR -- COMMAND is not supported yet; set platform = emulator:DIR "
        "in vhsm.cnf instead\n",
        stderr);
    return kUsage;
  }
  CLI::App app("Makes the folder of an emulated SEV-SNP machine, for platform = emulator:DIR.");
  Arguments arguments;
  declare(app, arguments);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kUsage;
  }
  return report(init(arguments));
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "vhsm-snp-emulator: %s\n", error.what());
    return kFailed;
  }
}
