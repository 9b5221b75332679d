// SPDX-License-Identifier: Apache-2.0
#include "cli/report_text.h"

#include <fmt/format.h>

#include "snp/hex.h"
#include "snp/named_bits.h"

namespace vhsm::cli {
namespace {

namespace field = snp::field;

Json names_of(std::uint64_t bits, std::span<const snp::NamedBit> known) {
  Json names = Json::array();
  for (const snp::NamedBit& bit : known) {
    if ((bits & bit.mask) != 0) names.push_back(bit.meaning);
  }
  return names;
}

template <snp::Field F>
std::string hex(const snp::UnverifiedReport& report) {
  return snp::to_hex(report.bytes<F>());
}

template <snp::Field F>
std::string hex_number(const snp::UnverifiedReport& report) {
  return fmt::format("0x{:x}", report.number<F>());
}

/// "1.55.21": the report has build, minor, major.
template <snp::Field F>
std::string firmware(const snp::UnverifiedReport& report) {
  const auto bytes = report.bytes<F>();
  return fmt::format("{}.{}.{}", bytes[2], bytes[1], bytes[0]);
}

/// The parts of a TCB where the product, and so the layout, is known; else its bytes.
template <snp::Field F>
Json tcb(const snp::UnverifiedReport& report) {
  const auto product = report.product();
  if (!product.ok()) return hex<F>(report);
  const auto parts = snp::decode_tcb(product.value(), report.bytes<F>());
  if (!parts.ok()) return hex<F>(report);
  const snp::Tcb& value = parts.value();
  Json json;
  if (product.value() == snp::Product::kTurin) json["fmc"] = value.fmc;
  json["bootloader"] = value.bootloader;
  json["tee"] = value.tee;
  json["snp"] = value.snp;
  json["microcode"] = value.microcode;
  return json;
}

const char* signing_key(std::uint64_t key_info) {
  switch (key_info & snp::key_bit::kSigningKeyMask) {
    case snp::key_bit::kSignedByVcek: return "VCEK";
    case snp::key_bit::kSignedByVlek: return "VLEK";
    case snp::key_bit::kSigningKeyMask: return "none";
    default: return "reserved";
  }
}

void add_guest(const snp::UnverifiedReport& report, Json& json) {
  json["guest_svn"] = report.number<field::kGuestSvn>();
  json["policy"] = hex_number<field::kPolicy>(report);
  json["policy_bits"] = names_of(report.number<field::kPolicy>(), snp::policy_bits());
  json["family_id"] = hex<field::kFamilyId>(report);
  json["image_id"] = hex<field::kImageId>(report);
  json["vmpl"] = report.number<field::kVmpl>();
  json["report_data"] = hex<field::kReportData>(report);
  json["measurement"] = hex<field::kMeasurement>(report);
  json["host_data"] = hex<field::kHostData>(report);
  json["id_key_digest"] = hex<field::kIdKeyDigest>(report);
  json["author_key_digest"] = hex<field::kAuthorKeyDigest>(report);
  json["report_id"] = hex<field::kReportId>(report);
  json["report_id_ma"] = hex<field::kReportIdMa>(report);
}

void add_machine(const snp::UnverifiedReport& report, Json& json) {
  const auto product = report.product();
  if (product.ok()) json["product"] = std::string(snp::product_name(product.value()));
  if (report.has_cpuid()) {
    json["cpuid"] = fmt::format(
        "family 0x{:x}, model 0x{:x}, stepping {}", report.number<field::kCpuidFamily>(),
        report.number<field::kCpuidModel>(), report.number<field::kCpuidStepping>());
  }
  json["chip_id"] = hex<field::kChipId>(report);
  json["platform_info"] = hex_number<field::kPlatformInfo>(report);
  json["platform_bits"] = names_of(report.number<field::kPlatformInfo>(), snp::platform_bits());
  json["current_tcb"] = tcb<field::kCurrentTcb>(report);
  json["reported_tcb"] = tcb<field::kReportedTcb>(report);
  json["committed_tcb"] = tcb<field::kCommittedTcb>(report);
  json["launch_tcb"] = tcb<field::kLaunchTcb>(report);
  json["current_firmware"] = firmware<field::kCurrentVersion>(report);
  json["committed_firmware"] = firmware<field::kCommittedVersion>(report);
  if (report.number<field::kVersion>() >= snp::kFirstVersionWithMitigations) {
    json["launch_mitigations"] = hex_number<field::kLaunchMitigations>(report);
    json["current_mitigations"] = hex_number<field::kCurrentMitigations>(report);
  }
}

void add_signature(const snp::UnverifiedReport& report, Json& json) {
  const std::uint64_t key_info = report.number<field::kKeyInfo>();
  json["signature_algorithm"] = report.number<field::kSignatureAlgo>();
  json["signing_key"] = signing_key(key_info);
  json["author_key"] = (key_info & snp::key_bit::kAuthorKey) != 0;
  json["mask_chip_key"] = (key_info & snp::key_bit::kMaskChipKey) != 0;
  json["signature_r"] = hex<field::kSignatureR>(report);
  json["signature_s"] = hex<field::kSignatureS>(report);
}

std::string value_text(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_structured()) return value.dump();
  std::string text;
  for (const auto& [name, part] : value.items()) {
    if (!text.empty()) text += ", ";
    text += value.is_array() ? part.get<std::string>() : name + " " + part.dump();
  }
  return text.empty() ? "none" : text;
}

}  // namespace

Json report_json(const snp::UnverifiedReport& report) {
  Json json;
  json["version"] = report.number<field::kVersion>();
  add_guest(report, json);
  add_machine(report, json);
  add_signature(report, json);
  return json;
}

std::string report_text(const snp::UnverifiedReport& report) {
  const Json json = report_json(report);  // outlives the loop
  std::string text;
  for (const auto& [name, value] : json.items()) {
    text += fmt::format("{:<20}  {}\n", name, value_text(value));
  }
  return text;
}

}  // namespace vhsm::cli
