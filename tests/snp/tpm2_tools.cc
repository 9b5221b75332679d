// SPDX-License-Identifier: Apache-2.0
//
// tpm2_nvdefine, tpm2_nvwrite and tpm2_nvread of an Azure VM whose machine is the emulated one:
// what the program does depends on its name. What was written lies beside it.
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "snp/emulated_firmware.h"
#include "tests/snp/support.h"

namespace {

namespace snp = vhsm::snp;
using std::filesystem::path;

bool define(const path& index) {
  if (exists(index)) return false;
  std::ofstream(index) << std::string(snp::kReportDataBytes, '\0');
  return true;
}

bool write(const path& index) {
  if (!exists(index)) return false;
  std::array<char, snp::kReportDataBytes> data{};
  if (std::fread(data.data(), 1, data.size(), stdin) != data.size()) return false;
  std::ofstream(index.string() + "." + std::to_string(::getpid())).write(data.data(), data.size());
  rename(index.string() + "." + std::to_string(::getpid()), index);
  return true;
}

/// The paravisor's part: a report over claims which hold what the guest wrote.
bool read(const path& index) {
  std::ifstream file(index, std::ios::binary);
  snp::ReportData user_data{};
  file.read(reinterpret_cast<char*>(user_data.data()), user_data.size());
  const auto firmware = snp::EmulatedFirmware::open(VHSM_TEST_EMULATOR);
  if (!file || !firmware.ok()) return false;
  const std::string claims = snp::claims_for(user_data);
  const auto response = firmware.value().report({.user_data = snp::sha256_of(claims)});
  const auto blob = snp::hcl_blob(response.report, claims);
  return std::fwrite(blob.data(), 1, blob.size(), stdout) == blob.size();
}

}  // namespace

int main(int argc, char** argv) {
  const path tool = argv[0];
  const path index = tool.parent_path() / "user-data";
  const std::string name = tool.filename();
  const std::string wanted = argv[argc - 1];
  if (name == "tpm2_nvdefine") return define(index) ? 0 : 1;
  if (name == "tpm2_nvwrite") return wanted == "0x01400002" && write(index) ? 0 : 1;
  return name == "tpm2_nvread" && wanted == "0x01400001" && read(index) ? 0 : 1;
}
