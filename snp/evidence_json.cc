// SPDX-License-Identifier: Apache-2.0
#include "snp/evidence_json.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <span>
#include <string>

#include "snp/certificate_table.h"
#include "snp/guid.h"
#include "snp/report.h"
#include "snp/x509.h"

namespace vhsm::snp {
namespace {

using nlohmann::json;

enum class Form : std::uint8_t { kNumber, kBytes };

struct Member {
  const char* name;
  Field field;
  Form form;
};

constexpr std::array kMembers{
    Member{"version", field::kVersion, Form::kNumber},
    Member{"guest_svn", field::kGuestSvn, Form::kNumber},
    Member{"policy", field::kPolicy, Form::kNumber},
    Member{"family_id", field::kFamilyId, Form::kBytes},
    Member{"image_id", field::kImageId, Form::kBytes},
    Member{"vmpl", field::kVmpl, Form::kNumber},
    Member{"sig_algo", field::kSignatureAlgo, Form::kNumber},
    Member{"plat_info", field::kPlatformInfo, Form::kNumber},
    Member{"key_info", field::kKeyInfo, Form::kNumber},
    Member{"report_data", field::kReportData, Form::kBytes},
    Member{"measurement", field::kMeasurement, Form::kBytes},
    Member{"host_data", field::kHostData, Form::kBytes},
    Member{"id_key_digest", field::kIdKeyDigest, Form::kBytes},
    Member{"author_key_digest", field::kAuthorKeyDigest, Form::kBytes},
    Member{"report_id", field::kReportId, Form::kBytes},
    Member{"report_id_ma", field::kReportIdMa, Form::kBytes},
    Member{"chip_id", field::kChipId, Form::kBytes},
};

/// Null in reports older than `since`.
struct OptionalMember {
  Member member;
  std::uint64_t since;
};
constexpr std::array kOptionalMembers{
    OptionalMember{{"cpuid_fam_id", field::kCpuidFamily, Form::kNumber}, kFirstVersionWithCpuid},
    OptionalMember{{"cpuid_mod_id", field::kCpuidModel, Form::kNumber}, kFirstVersionWithCpuid},
    OptionalMember{{"cpuid_step", field::kCpuidStepping, Form::kNumber}, kFirstVersionWithCpuid},
    OptionalMember{{"launch_mit_vector", field::kLaunchMitigations, Form::kNumber},
                   kFirstVersionWithMitigations},
    OptionalMember{{"current_mit_vector", field::kCurrentMitigations, Form::kNumber},
                   kFirstVersionWithMitigations},
};

struct Named {
  const char* name;
  Field field;
};
constexpr std::array kTcbs{
    Named{"current_tcb", field::kCurrentTcb}, Named{"reported_tcb", field::kReportedTcb},
    Named{"committed_tcb", field::kCommittedTcb}, Named{"launch_tcb", field::kLaunchTcb}};
constexpr std::array kVersions{Named{"current", field::kCurrentVersion},
                               Named{"committed", field::kCommittedVersion}};
constexpr std::array kVersionParts{"build", "minor", "major"};
constexpr std::array kSignature{Named{"r", field::kSignatureR}, Named{"s", field::kSignatureS}};

/// The names of a TCB's bytes; null stands for a reserved byte.
using TcbNames = std::array<const char*, kTcbBytes>;
constexpr TcbNames kTcbNames{"bootloader", "tee",   nullptr, nullptr,
                             nullptr,      nullptr, "snp",   "microcode"};
constexpr TcbNames kTurinTcbNames{"fmc",   "bootloader", "tee",   "snp",
                                  nullptr, nullptr,      nullptr, "microcode"};

/// Version 2 has no CPUID: there Turin shows in a CHIP_ID of 8 bytes, as for Trustee.
bool is_turin(const UnverifiedReport& report) {
  if (report.has_cpuid()) {
    const auto product = report.product();
    return product.ok() && product.value() == Product::kTurin;
  }
  constexpr std::size_t kTurinChipIdBytes = 8;
  const auto zero = [](std::uint8_t byte) { return byte == 0; };
  const auto chip_id = report.bytes<field::kChipId>();
  return std::ranges::all_of(chip_id.subspan(kTurinChipIdBytes), zero) &&
         !std::ranges::all_of(chip_id.first(kTurinChipIdBytes), zero);
}

const TcbNames& tcb_names(const RawReport& raw) {
  return is_turin(UnverifiedReport(raw)) ? kTurinTcbNames : kTcbNames;
}

// ---- writing ---------------------------------------------------------------------------------

std::span<const std::uint8_t> slice(const RawReport& raw, const Field& where) {
  return std::span(raw).subspan(where.offset, where.size);
}

json byte_array(std::span<const std::uint8_t> bytes) {
  json array = json::array();
  for (const std::uint8_t byte : bytes) array.push_back(byte);
  return array;
}

json member_of(const RawReport& raw, const Member& member) {
  const auto bytes = slice(raw, member.field);
  if (member.form == Form::kBytes) return byte_array(bytes);
  std::uint64_t value = 0;
  for (std::size_t i = bytes.size(); i-- > 0;) value = value << 8 | bytes[i];
  return value;
}

json tcb_of(std::span<const std::uint8_t> bytes, const TcbNames& names) {
  json tcb = {{"fmc", nullptr}};
  for (std::size_t i = 0; i < kTcbBytes; ++i) {
    if (names[i] != nullptr) tcb[names[i]] = bytes[i];
  }
  return tcb;
}

json version_of(std::span<const std::uint8_t> bytes) {
  json version = json::object();
  for (std::size_t i = 0; i < kVersionParts.size(); ++i) version[kVersionParts[i]] = bytes[i];
  return version;
}

json report_json(const RawReport& raw) {
  json report = json::object();
  const std::uint64_t version = UnverifiedReport(raw).number<field::kVersion>();
  for (const Member& member : kMembers) report[member.name] = member_of(raw, member);
  for (const OptionalMember& optional : kOptionalMembers) {
    json value = version >= optional.since ? member_of(raw, optional.member) : json();
    report[optional.member.name] = std::move(value);
  }
  for (const Named& tcb : kTcbs) {
    report[tcb.name] = tcb_of(slice(raw, tcb.field), tcb_names(raw));
  }
  for (const Named& one : kVersions) report[one.name] = version_of(slice(raw, one.field));
  for (const Named& part : kSignature) {
    report["signature"][part.name] = byte_array(slice(raw, part.field));
  }
  return report;
}

json type_json(const Certificate& certificate) {
  switch (certificate.kind) {
    case CertificateKind::kArk: return "ARK";
    case CertificateKind::kAsk:
    case CertificateKind::kAsvk: return "ASK";  // one GUID, so one name, for both
    case CertificateKind::kVcek: return "VCEK";
    case CertificateKind::kVlek: return "VLEK";
    case CertificateKind::kCrl: return "CRL";
    case CertificateKind::kOther: break;
  }
  return {{"OTHER", certificate.guid}};
}

json chain_json(const std::vector<Certificate>& certificates) {
  if (certificates.empty()) return nullptr;
  json chain = json::array();
  for (const Certificate& one : certificates) {
    chain.push_back({{"cert_type", type_json(one)}, {"data", byte_array(one.data)}});
  }
  return chain;
}

// ---- reading ---------------------------------------------------------------------------------

Error malformed(const char* name) {
  return fail(Errc::kBadFormat, "a member of the evidence is missing or malformed", name);
}

/// The member, or null when absent or not in an object.
const json* find(const json& object, const char* name) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(name);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

Result<std::uint64_t> number_of(const json* value, std::uint64_t maximum, const char* name) {
  if (value == nullptr || !value->is_number_integer()) return malformed(name);
  if (!value->is_number_unsigned() && value->get<std::int64_t>() < 0) return malformed(name);
  const auto number = value->get<std::uint64_t>();
  if (number > maximum) return malformed(name);
  return number;
}

Result<std::uint8_t> byte_of(const json* value, const char* name) {
  const std::uint64_t number = VHSM_TRY(number_of(value, 0xFF, name));
  return static_cast<std::uint8_t>(number);
}

std::span<std::uint8_t> slice(RawReport& raw, const Field& where) {
  return std::span(raw).subspan(where.offset, where.size);
}

Status fill(std::span<std::uint8_t> into, const json* value, const char* name) {
  if (value == nullptr || !value->is_array() || value->size() != into.size()) {
    return malformed(name);
  }
  for (std::size_t i = 0; i < into.size(); ++i) {
    into[i] = VHSM_TRY(byte_of(&(*value)[i], name));
  }
  return {};
}

Status put_number(std::span<std::uint8_t> into, const json* value, const char* name) {
  const std::uint64_t maximum = std::numeric_limits<std::uint64_t>::max() >> (64 - 8 * into.size());
  std::uint64_t number = VHSM_TRY(number_of(value, maximum, name));
  for (std::uint8_t& byte : into) {
    byte = static_cast<std::uint8_t>(number);
    number >>= 8;
  }
  return {};
}

Status read_member(RawReport& raw, const json& object, const Member& member) {
  const json* value = find(object, member.name);
  const auto into = slice(raw, member.field);
  return member.form == Form::kBytes ? fill(into, value, member.name)
                                     : put_number(into, value, member.name);
}

Status read_optional(RawReport& raw, const json& object, const OptionalMember& optional) {
  if (UnverifiedReport(raw).number<field::kVersion>() >= optional.since) {
    return read_member(raw, object, optional.member);
  }
  if (find(object, optional.member.name) == nullptr) return {};
  return fail(Errc::kBadFormat, "the evidence has a member that its report's version lacks",
              optional.member.name);
}

Status read_tcb(RawReport& raw, const json& report, const Named& tcb) {
  const json* object = find(report, tcb.name);
  if (object == nullptr) return malformed(tcb.name);
  const TcbNames& names = tcb_names(raw);
  if (&names == &kTcbNames && find(*object, "fmc") != nullptr) return malformed(tcb.name);
  for (std::size_t i = 0; i < kTcbBytes; ++i) {
    if (names[i] == nullptr) continue;
    raw[tcb.field.offset + i] = VHSM_TRY(byte_of(find(*object, names[i]), tcb.name));
  }
  return {};
}

Status read_version(RawReport& raw, const json& report, const Named& version) {
  const json* object = find(report, version.name);
  if (object == nullptr) return malformed(version.name);
  for (std::size_t i = 0; i < kVersionParts.size(); ++i) {
    raw[version.field.offset + i] =
        VHSM_TRY(byte_of(find(*object, kVersionParts[i]), version.name));
  }
  return {};
}

Status read_signature(RawReport& raw, const json& report) {
  const json* object = find(report, "signature");
  if (object == nullptr) return malformed("signature");
  for (const Named& part : kSignature) {
    VHSM_TRY(fill(slice(raw, part.field), find(*object, part.name), "signature"));
  }
  return {};
}

// The TCBs come last: their layout hangs from version, CPUID and CHIP_ID.
Result<RawReport> report_from_json(const json& report) {
  RawReport raw{};
  for (const Member& member : kMembers) VHSM_TRY(read_member(raw, report, member));
  for (const OptionalMember& optional : kOptionalMembers) {
    VHSM_TRY(read_optional(raw, report, optional));
  }
  for (const Named& tcb : kTcbs) VHSM_TRY(read_tcb(raw, report, tcb));
  for (const Named& version : kVersions) VHSM_TRY(read_version(raw, report, version));
  VHSM_TRY(read_signature(raw, report));
  return raw;
}

struct KindName {
  const char* name;
  CertificateKind kind;
};
constexpr std::array kKindNames{
    KindName{"ARK", CertificateKind::kArk}, KindName{"ASK", CertificateKind::kAsk},
    KindName{"VCEK", CertificateKind::kVcek}, KindName{"VLEK", CertificateKind::kVlek},
    KindName{"CRL", CertificateKind::kCrl}};

Result<Certificate> certificate_of_type(const json* type) {
  if (type == nullptr) return malformed("cert_type");
  if (const json* guid = find(*type, "OTHER"); guid != nullptr && guid->is_string()) {
    const auto& text = guid->get_ref<const std::string&>();
    if (!parse_guid(text).ok()) return malformed("cert_type");
    return Certificate{CertificateKind::kOther, text, {}};
  }
  if (!type->is_string()) return malformed("cert_type");
  const auto& text = type->get_ref<const std::string&>();
  const auto known = std::ranges::find(kKindNames, text, &KindName::name);
  if (known == kKindNames.end()) return malformed("cert_type");
  return Certificate{known->kind, {}, {}};
}

Result<Certificate> certificate_from_json(const json& entry) {
  Certificate certificate = VHSM_TRY(certificate_of_type(find(entry, "cert_type")));
  const json* data = find(entry, "data");
  if (data == nullptr || !data->is_array() || data->empty() || data->size() > kMaxTableBytes) {
    return malformed("data");
  }
  certificate.data.resize(data->size());
  VHSM_TRY(fill(certificate.data, data, "data"));
  certificate.kind = true_kind(certificate.kind, certificate.data);
  return certificate;
}

bool is_empty_entry(const json& entry) {
  const json* type = find(entry, "cert_type");
  return type != nullptr && type->is_string() && type->get_ref<const std::string&>() == "Empty";
}

Result<std::vector<Certificate>> chain_from_json(const json* chain) {
  std::vector<Certificate> certificates;
  if (chain == nullptr) return certificates;
  if (!chain->is_array() || chain->empty() || chain->size() > kMaxTableEntries) {
    return malformed("cert_chain");
  }
  for (const json& entry : *chain) {
    if (is_empty_entry(entry)) continue;
    Certificate certificate = VHSM_TRY(certificate_from_json(entry));
    certificates.push_back(std::move(certificate));
  }
  return certificates;
}

}  // namespace

json to_json(const Evidence& evidence) {
  return {{"attestation_report", report_json(evidence.report)},
          {"cert_chain", chain_json(evidence.certificates)}};
}

Result<Evidence> evidence_from_json(const json& evidence) {
  const json* report = find(evidence, "attestation_report");
  if (report == nullptr) return malformed("attestation_report");
  Evidence result;
  result.report = VHSM_TRY(report_from_json(*report));
  result.certificates = VHSM_TRY(chain_from_json(find(evidence, "cert_chain")));
  return result;
}

}  // namespace vhsm::snp
