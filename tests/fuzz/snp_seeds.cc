// SPDX-License-Identifier: Apache-2.0
//
// Writes seeds for the fuzz targets of snp/ into CORPUS/{report,cert_table,evidence_json,
// leaf}: reports of emulated machines of each product and version.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "snp/certificate_table.h"
#include "snp/emulator_authority.h"
#include "snp/emulator_state.h"
#include "snp/evidence_json.h"
#include "snp/report_signature.h"
#include "snp/x509.h"
#include "tests/fuzz/leaf_input.h"

namespace {

namespace snp = vhsm::snp;
using vhsm::Status;

template <class Bytes>
void write(const std::filesystem::path& file, const Bytes& bytes) {
  std::filesystem::create_directories(file.parent_path());
  std::ofstream out(file, std::ios::binary);
  for (const auto byte : bytes) out.put(static_cast<char>(byte));
}

vhsm::Result<snp::Evidence> evidence_of(const snp::EmulatorState& state, const snp::Issuer& ark,
                                        const snp::Issuer& ask) {
  const auto leaf = VHSM_TRY(snp::make_leaf(
      ask, "SEV-VCEK", snp::vcek_extensions(state.product, state.tcb, state.chip_id)));
  snp::Evidence evidence;
  evidence.report = snp::unsigned_report(state, {}, 0);
  VHSM_TRY(snp::sign_report(leaf.key.get(), evidence.report));
  auto vcek_der = VHSM_TRY(snp::to_der(leaf.certificate.get()));
  auto ask_der = VHSM_TRY(snp::to_der(ask.certificate.get()));
  auto ark_der = VHSM_TRY(snp::to_der(ark.certificate.get()));
  evidence.certificates = {{snp::CertificateKind::kVcek, {}, std::move(vcek_der)},
                           {snp::CertificateKind::kAsk, {}, std::move(ask_der)},
                           {snp::CertificateKind::kArk, {}, std::move(ark_der)}};
  return evidence;
}

Status write_seeds(const std::filesystem::path& corpus, const std::string& name,
                   snp::Evidence evidence) {
  auto table = VHSM_TRY(snp::write_certificate_table(evidence.certificates));
  while (table.size() > 1 && table[table.size() - 1] == 0) table.pop_back();
  table.push_back(0);
  write(corpus / "cert_table" / name, table);
  table.insert(table.begin(), evidence.report.begin(), evidence.report.end());
  write(corpus / "report" / name, table);
  evidence.certificates.resize(1);
  evidence.certificates[0].data.resize(4);
  write(corpus / "evidence_json" / name, snp::to_json(evidence).dump());
  return {};
}

void write_leaf_seed(const std::filesystem::path& file, const snp::EmulatorState& state) {
  std::vector<std::uint8_t> input;
  for (const auto& one : snp::vcek_extensions(state.product, state.tcb, state.chip_id)) {
    const auto* const suffix = std::ranges::find(vhsm::fuzz::kSuffixes, one.suffix);
    input.push_back(static_cast<std::uint8_t>(suffix - vhsm::fuzz::kSuffixes.begin()));
    input.push_back(static_cast<std::uint8_t>(one.value.size()));
    input.insert(input.end(), one.value.begin(), one.value.end());
  }
  write(file, input);
}

Status run(const std::filesystem::path& corpus) {
  constexpr unsigned kBits = 2048;
  const auto ark = VHSM_TRY(snp::make_root(snp::kTestRootName, kBits));
  const auto ask = VHSM_TRY(snp::make_intermediate(ark, snp::kTestIntermediateName, kBits));
  for (const auto product : {snp::Product::kMilan, snp::Product::kTurin}) {
    for (std::uint32_t version = snp::kOldestVersion; version <= snp::kNewestVersion; ++version) {
      snp::EmulatorOptions options;
      options.product = product;
      options.report_version = version;
      const auto state = VHSM_TRY(snp::make_state(options));
      const auto evidence = VHSM_TRY(evidence_of(state, ark, ask));
      const std::string name = std::string(snp::product_name(product)) + std::to_string(version);
      VHSM_TRY(write_seeds(corpus, name, evidence));
      write_leaf_seed(corpus / "leaf" / name, state);
    }
  }
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const Status status = run(argv[1]);
  if (!status.ok()) std::fprintf(stderr, "%s\n", vhsm::describe(status.error()).c_str());
  return status.ok() ? 0 : 1;
}
