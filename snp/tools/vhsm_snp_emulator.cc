// SPDX-License-Identifier: Apache-2.0
//
// vhsm-snp-emulator: makes the folder of an emulated SEV-SNP machine, and runs commands on one.
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <CLI/CLI.hpp>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "snp/emulated_firmware.h"
#include "snp/emulator.h"
#include "snp/hex.h"
#include "snp/tools/supervisor.h"

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
  std::string family_id;
  std::string image_id;
  std::string id_block;
  std::string id_auth;
  std::string chip_id;
  std::string tcb;
  std::string committed_tcb;
  std::string mitigations;
  std::string signer = "vcek";
  std::uint32_t guest_svn = 0;
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

Result<std::uint64_t> parse_number(std::string_view digits, std::uint64_t otherwise,
                                   const char* option) {
  if (digits.empty()) return otherwise;
  if (digits.starts_with("0x")) digits.remove_prefix(2);
  std::uint64_t number = 0;
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), number, 16);
  if (error != std::errc{} || end != digits.data() + digits.size()) {
    return vhsm::fail(vhsm::Errc::kInvalidArgument, "this is not a hexadecimal number", option);
  }
  return number;
}

/// As it stands in a report: 8 bytes.
Result<std::optional<vhsm::snp::Tcb>> parse_tcb(vhsm::snp::Product product,
                                                const std::string& digits, const char* option) {
  if (digits.empty()) return std::optional<vhsm::snp::Tcb>();
  vhsm::snp::TcbBytes bytes{};
  const Status parsed = vhsm::snp::from_hex(digits, bytes);
  if (!parsed.ok()) return parsed.error().about(option);
  const auto tcb = vhsm::snp::decode_tcb(product, bytes);
  if (!tcb.ok()) {
    return vhsm::fail(vhsm::Errc::kInvalidArgument, "no TCB of this product", option);
  }
  return std::optional(tcb.value());
}

vhsm::snp::EmulatedSigner signer_of(const std::string& name) {
  if (name == "vlek") return vhsm::snp::EmulatedSigner::kVlek;
  if (name == "masked") return vhsm::snp::EmulatedSigner::kMasked;
  return vhsm::snp::EmulatedSigner::kVcek;
}

Status init(const Arguments& arguments) {
  vhsm::snp::EmulatorOptions options;
  options.product = VHSM_TRY(vhsm::snp::parse_product(arguments.product));
  options.measurement =
      VHSM_TRY(parse_octets<vhsm::snp::Measurement>(arguments.measurement, "--measurement"));
  options.host_data =
      VHSM_TRY(parse_octets<vhsm::snp::HostData>(arguments.host_data, "--host-data"));
  options.policy = VHSM_TRY(parse_number(arguments.policy, options.policy, "--policy"));
  options.mitigations = VHSM_TRY(parse_number(arguments.mitigations, 0, "--mitigations"));
  options.family_id =
      VHSM_TRY(parse_octets<vhsm::snp::FamilyId>(arguments.family_id, "--family-id"));
  options.image_id = VHSM_TRY(parse_octets<vhsm::snp::ImageId>(arguments.image_id, "--image-id"));
  options.chip_id = VHSM_TRY(parse_octets<vhsm::snp::ChipId>(arguments.chip_id, "--chip-id"));
  options.tcb = VHSM_TRY(parse_tcb(options.product, arguments.tcb, "--tcb"));
  options.committed_tcb =
      VHSM_TRY(parse_tcb(options.product, arguments.committed_tcb, "--committed-tcb"));
  if (!arguments.id_block.empty()) {
    options.id_block = VHSM_TRY(vhsm::snp::read_id_block(arguments.id_block, arguments.id_auth));
  }
  options.signer = signer_of(arguments.signer);
  options.guest_svn = arguments.guest_svn;
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
  CLI::Option* const block = init->add_option("--id-block", arguments.id_block,
                                              "ID block to launch with (vhsm measure --id-block)");
  block->needs(
      init->add_option("--id-auth", arguments.id_auth, "Its authentication")->needs(block));
  init->add_option("--family-id", arguments.family_id, "FAMILY_ID, 32 hex digits")->excludes(block);
  init->add_option("--image-id", arguments.image_id, "IMAGE_ID, 32 hex digits")->excludes(block);
  init->add_option("--guest-svn", arguments.guest_svn, "GUEST_SVN")
      ->capture_default_str()
      ->excludes(block);
  init->add_option("--chip-id", arguments.chip_id, "CHIP_ID, 128 hex digits");
  init->add_option("--tcb", arguments.tcb, "Current TCB as in a report, 16 hex digits");
  init->add_option("--committed-tcb", arguments.committed_tcb, "The same, not above --tcb");
  init->add_option("--signer", arguments.signer, "vcek, vlek, or masked (no signature)")
      ->check(CLI::IsMember({"vcek", "vlek", "masked"}))
      ->capture_default_str();
  init->add_option("--mitigations", arguments.mitigations,
                   "Mitigation vectors of a version 5 report, hexadecimal");
  init->add_option("--vmpl", arguments.vmpl, "The guest's VMPL, 0 to 3")->capture_default_str();
  init->add_option("--report-version", arguments.report_version, "2 to 5")->capture_default_str();
}

// ---- DIR -- COMMAND --------------------------------------------------------------------------

struct Host {
  std::string folder;
  vhsm::snp::HostFaults faults;
  std::uint32_t busy_seconds = 0;
  std::uint32_t throttle_seconds = 0;
  std::string certificates = "all";
};

void declare(CLI::App& app, Host& host) {
  auto& faults = host.faults.device;
  auto& tsm = host.faults.tsm;
  app.add_option("DIR", host.folder, "Folder of an emulated machine")->required();
  app.add_option("--busy", host.busy_seconds, "The host is busy for so many seconds");
  app.add_option("--throttle", host.throttle_seconds, "The host takes one request in so long");
  app.add_option("--status", faults.status, "The firmware's answers have this status");
  app.add_option("--report-size", faults.report_bytes, "They say that a report has so many bytes");
  app.add_option("--tsm-provider", tsm.provider, "What configfs-tsm says it is; '' for none")
      ->capture_default_str();
  app.add_option("--tsm-other-writes", tsm.other_writes,
                 "So many reads of configfs-tsm find that somebody else wrote");
  app.add_option("--tsm-lost-stores", tsm.lost_stores,
                 "So many blobs written to configfs-tsm are lost");
  app.add_option("--firmware-error", faults.firmware_error, "The firmware fails with this code");
  app.add_flag("--tampered", faults.tampered, "The firmware's answers do not authenticate");
  app.add_flag("--vmpck-wiped", faults.wiped, "The guest's key is gone after an earlier failure");
  app.add_flag("--counter-exhausted", faults.exhausted, "The guest's messages are used up");
  app.add_option("--certificates", host.certificates,
                 "What the host gives: all, none, grown (more than it said first), growing (never "
                 "enough room), too-many, garbled")
      ->check(CLI::IsMember({"all", "none", "grown", "growing", "too-many", "garbled"}))
      ->capture_default_str();
  app.add_option("--after", faults.after, "Requests that go well before that")
      ->capture_default_str();
}

vhsm::snp::HostFaults faults_of(const Host& host) {
  vhsm::snp::HostFaults all = host.faults;
  vhsm::snp::Faults& faults = all.device;
  faults.busy = std::chrono::seconds(host.busy_seconds);
  faults.no_certificates = host.certificates == "none";
  faults.growing_certificates = host.certificates == "growing";
  faults.too_many_certificates = host.certificates == "too-many";
  faults.grown_certificates = host.certificates == "grown";
  faults.garbled_certificates = host.certificates == "garbled";
  faults.throttle = std::chrono::seconds(host.throttle_seconds);
  return all;
}

/// Beside the program: in a build, or where CMake installs it.
Result<std::string> find_shim() {
  const auto program = std::filesystem::read_symlink("/proc/self/exe").parent_path();
  for (const char* folder : {"../lib", VHSM_LIBDIR_FROM_BINDIR}) {
    const auto shim = (program / folder / "libvhsm-snp-emulator.so").lexically_normal();
    if (std::filesystem::exists(shim)) return shim.string();
  }
  return vhsm::fail(vhsm::Errc::kIo, "libvhsm-snp-emulator.so is not where it belongs",
                    program.string());
}

void preload(const std::string& shim) {
  const char* const others = std::getenv("LD_PRELOAD");
  const std::string all = others == nullptr || *others == 0 ? shim : shim + ":" + others;
  ::setenv("LD_PRELOAD", all.c_str(), 1);
}

/// Where the caller has closed standard input, output or error, nothing else may take its number.
void hold_standard_descriptors() {
  int number = 0;
  do {
    number = ::open("/dev/null", O_RDWR);
  } while (number >= 0 && number <= STDERR_FILENO);
  ::close(number);
}

Status prepare(const Host& host) {
  hold_standard_descriptors();
  const auto shim = VHSM_TRY(find_shim());
  const auto firmware = VHSM_TRY(vhsm::snp::EmulatedFirmware::open(host.folder));
  VHSM_TRY(vhsm::snp::supervise(firmware, faults_of(host)));
  preload(shim);
  return {};
}

/// @return what a shell does for a command that it cannot run.
int execute(char** command) {
  constexpr int kNoCommand = 127;
  ::execvp(command[0], command);
  std::fprintf(stderr, "vhsm-snp-emulator: %s: %s\n", command[0], std::strerror(errno));
  return kNoCommand;
}

int run_on_machine(int argc, char** argv, char** command) {
  CLI::App app(
      "vhsm-snp-emulator DIR [OPTIONS] -- COMMAND [ARGUMENT...]\n"
      "Runs COMMAND with a /dev/sev-guest and a configfs-tsm that answer as the kernel does.");
  Host host;
  declare(app, host);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kUsage;
  }
  if (*command == nullptr) {
    std::fputs("vhsm-snp-emulator: a command belongs after --\n", stderr);
    return kUsage;
  }
  const Status ready = prepare(host);
  return ready.ok() ? execute(command) : report(ready);
}

int run(int argc, char** argv) {
  char** const dashes = std::find_if(
      argv, argv + argc, [](const char* word) { return std::string_view(word) == "--"; });
  if (dashes != argv + argc) {
    return run_on_machine(static_cast<int>(dashes - argv), argv, dashes + 1);
  }
  CLI::App app("Makes the folder of an emulated SEV-SNP machine, for platform = emulator:DIR.");
  app.footer(
      "vhsm-snp-emulator DIR [OPTIONS] -- COMMAND runs a command on that machine, where\n"
      "/dev/sev-guest answers (platform = sev-guest); its options: DIR --help --");
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
