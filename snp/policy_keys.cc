// SPDX-License-Identifier: Apache-2.0
#include "snp/policy_keys.h"

#include <algorithm>
#include <charconv>
#include <vector>

#include "base/words.h"
#include "snp/files.h"
#include "snp/hex.h"
#include "snp/id_block.h"
#include "snp/named_bits.h"

namespace vhsm::snp::detail {
namespace {

using Draft = PolicyDraft;
using Report = ReportPolicy;
using Genuine = VerifyOptions;

constexpr std::string_view kAny = "any";
constexpr std::string_view kNone = "none";

// ---- words and numbers -------------------------------------------------------------------------

Error malformed(Literal what) { return fail(Errc::kBadConfig, what); }

/// Decimal, or hexadecimal behind 0x.
Result<std::uint64_t> number(std::string_view text, std::uint64_t maximum) {
  const bool is_hex = text.starts_with("0x");
  if (is_hex) text.remove_prefix(2);
  std::uint64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, value, is_hex ? 16 : 10);
  if (parsed.ec == std::errc() && parsed.ptr == end && value <= maximum) return value;
  return malformed("not a number in its range");
}

Result<std::uint8_t> byte(std::string_view text) {
  constexpr std::uint64_t kMax = 0xFF;
  const std::uint64_t value = VHSM_TRY(number(text, kMax));
  return static_cast<std::uint8_t>(value);
}

/// "1.55.21" into `parts`, which has as many bytes.
Status dotted(std::string_view text, std::initializer_list<std::uint8_t*> parts) {
  const auto found = words(text, ".");
  if (found.size() != parts.size()) return malformed("not a version with that many numbers");
  auto* const* into = parts.begin();
  for (const std::string_view one : found) **into++ = VHSM_TRY(byte(one));
  return {};
}

// ---- one value ---------------------------------------------------------------------------------

template <auto Part, auto Member>
Status set_flag(Draft& draft, std::string_view value) {
  if (value != "yes" && value != "no") return malformed("neither yes nor no");
  draft.policy.*Part.*Member = value == "yes";
  return {};
}

template <auto Part, auto Member, std::uint64_t Max>
Status set_number(Draft& draft, std::string_view value) {
  const std::uint64_t parsed = VHSM_TRY(number(value, Max));
  using Value = std::remove_cvref_t<decltype(draft.policy.*Part.*Member)>;
  draft.policy.*Part.*Member = static_cast<Value>(parsed);
  return {};
}

Status set_report_data(Draft& draft, std::string_view value) {
  Report& report = draft.policy.report;
  report.any_report_data = value == kAny;
  if (report.any_report_data) return {};
  return from_hex(value, report.report_data.emplace());
}

Status set_vmpl(Draft& draft, std::string_view value) {
  Report& report = draft.policy.report;
  report.any_vmpl = value == kAny;
  if (report.any_vmpl) return {};
  const std::uint64_t vmpl = VHSM_TRY(number(value, kMaxVmpl));
  report.vmpl = static_cast<std::uint32_t>(vmpl);
  return {};
}

Status set_abi(Draft& draft, std::string_view value) {
  AbiVersion& abi = draft.policy.report.minimum_abi;
  return dotted(value, {&abi.major, &abi.minor});
}

Status set_firmware(Draft& draft, std::string_view value) {
  FirmwareVersion& firmware = draft.policy.report.minimum_firmware;
  return dotted(value, {&firmware.major, &firmware.minor, &firmware.build});
}

Status set_crl_age(Draft& draft, std::string_view value) {
  constexpr std::uint64_t kMaxDays = 3650;
  const std::uint64_t days = VHSM_TRY(number(value, kMaxDays));
  draft.policy.genuine.crl_max_age = std::chrono::days(days);
  return {};
}

// ---- lists -------------------------------------------------------------------------------------

template <auto Member>
Status add_octets(Draft& draft, std::string_view value) {
  for (const std::string_view word : words(value)) {
    VHSM_TRY(from_hex(word, (draft.policy.report.*Member).emplace_back().value));
  }
  return {};
}

Status add_measurements(Draft& draft, std::string_view value) {
  draft.policy.report.any_measurement = value == kAny;
  if (value == kAny) return {};
  return add_octets<&Report::measurements>(draft, value);
}

template <std::span<const NamedBit> (*Known)() noexcept, auto Member>
Status set_bits(Draft& draft, std::string_view value) {
  std::uint64_t bits = 0;
  if (value != kNone) {
    for (const std::string_view word : words(value)) bits |= VHSM_TRY(bit_of(Known(), word));
  }
  draft.policy.report.*Member = bits;
  return {};
}

/// Bits that nobody knows stay forbidden.
Status set_forbidden(Draft& draft, std::string_view value) {
  VHSM_TRY((set_bits<platform_bits, &Report::forbidden_platform_bits>(draft, value)));
  draft.policy.report.forbidden_platform_bits |= platform_bit::kReservedMask;
  return {};
}

Status add_products(Draft& draft, std::string_view value) {
  for (const std::string_view word : words(value)) {
    const Product product = VHSM_TRY(parse_product(word));
    draft.policy.report.products.push_back(product);
  }
  return {};
}

Status add_versions(Draft& draft, std::string_view value) {
  for (const std::string_view word : words(value)) {
    const std::uint64_t version = VHSM_TRY(number(word, kNewestVersion));
    if (version < kOldestVersion) return malformed("no such version of reports");
    draft.policy.genuine.versions.push_back(static_cast<std::uint32_t>(version));
  }
  return {};
}

Status set_signers(Draft& draft, std::string_view value) {
  Genuine& genuine = draft.policy.genuine;
  genuine.allow_vcek = false;
  genuine.allow_vlek = false;
  for (const std::string_view word : words(value)) {
    if (word != "vcek" && word != "vlek") return malformed("no such signing key");
    (word == "vcek" ? genuine.allow_vcek : genuine.allow_vlek) = true;
  }
  return {};
}

Status add_providers(Draft& draft, std::string_view value) {
  for (const std::string_view word : words(value)) {
    draft.policy.genuine.csp_ids.emplace_back(word);
  }
  return {};
}

/// The digests of public keys in PEM files.
template <auto Member>
Status add_keys(Draft& draft, std::string_view value) {
  for (const std::string_view word : words(value)) {
    const std::string path =
        word.starts_with('/') ? std::string(word) : draft.folder + std::string(word);
    const KeyDigest digest = VHSM_TRY(read_key_digest(path));
    (draft.policy.report.*Member).emplace_back().value = digest;
  }
  return {};
}

// ---- TCBs --------------------------------------------------------------------------------------

struct TcbPart {
  std::string_view name;
  std::uint8_t Tcb::*member;
};
constexpr TcbPart kTcbParts[] = {{"fmc", &Tcb::fmc},
                                 {"bootloader", &Tcb::bootloader},
                                 {"tee", &Tcb::tee},
                                 {"snp", &Tcb::snp},
                                 {"microcode", &Tcb::microcode}};

Status set_tcb_part(Tcb& tcb, std::string_view text) {
  const auto equals = std::min(text.find('='), text.size());
  const auto part = std::ranges::find(kTcbParts, text.substr(0, equals), &TcbPart::name);
  if (part == std::end(kTcbParts)) return malformed("no such component of a TCB");
  tcb.*(part->member) = VHSM_TRY(byte(text.substr(std::min(equals + 1, text.size()))));
  return {};
}

/// "Milan:bootloader=3:tee=0:snp=8:microcode=115".
Result<MinimumTcb> minimum_of(std::string_view word) {
  const auto parts = words(word, ":");
  MinimumTcb minimum{};
  minimum.product = VHSM_TRY(parse_product(parts.empty() ? word : parts.front()));
  for (std::size_t i = 1; i < parts.size(); ++i) VHSM_TRY(set_tcb_part(minimum.tcb, parts[i]));
  if (minimum.tcb == Tcb{}) return malformed("a minimum TCB without levels");
  return minimum;
}

template <auto Member>
Status add_minima(Draft& draft, std::string_view value) {
  auto& list = draft.policy.report.*Member;
  for (const std::string_view word : words(value)) {
    const MinimumTcb minimum = VHSM_TRY(minimum_of(word));
    if (std::ranges::find(list, minimum.product, &MinimumTcb::product) != list.end()) {
      return malformed("two minimum TCBs for one product");
    }
    list.push_back(minimum);
  }
  return {};
}

Status set_minimum_tcb(Draft& draft, std::string_view value) {
  draft.any_minimum_tcb = value == kAny;
  if (draft.any_minimum_tcb) return {};
  return add_minima<&Report::minimum_tcb>(draft, value);
}

// ---- the keys ----------------------------------------------------------------------------------

template <auto Member>
constexpr PolicyKey report_flag(std::string_view name) {
  return {name, "yes, no", set_flag<&VerifierPolicy::report, Member>};
}
template <auto Member>
constexpr PolicyKey genuine_flag(std::string_view name) {
  return {name, "yes, no", set_flag<&VerifierPolicy::genuine, Member>};
}

constexpr std::uint64_t kMax32 = 0xFFFFFFFF;
constexpr std::uint64_t kMax64 = ~0ULL;
constexpr std::string_view kTcbs = "PRODUCT:COMPONENT=N:... (fmc, bootloader, tee, snp, microcode)";
constexpr std::string_view kKeyFiles = "PEM files with public P-384 keys";

constexpr PolicyKey kKeys[] = {
    {"report_data", "128 hex digits, any", set_report_data},
    {"vmpl", "0 to 3, any", set_vmpl},
    {"measurement", "96 hex digits each, any", add_measurements},
    {"id_key_digest", "96 hex digits each", add_octets<&Report::id_key_digests>},
    {"author_key_digest", "96 hex digits each", add_octets<&Report::author_key_digests>},
    {"id_key", kKeyFiles, add_keys<&Report::id_key_digests>},
    {"author_key", kKeyFiles, add_keys<&Report::author_key_digests>},
    report_flag<&Report::require_id_block>("require_id_block"),
    report_flag<&Report::require_author_key>("require_author_key"),
    {"family_id", "32 hex digits each", add_octets<&Report::family_ids>},
    {"image_id", "32 hex digits each", add_octets<&Report::image_ids>},
    {"host_data", "64 hex digits each", add_octets<&Report::host_data>},
    {"report_id", "64 hex digits each", add_octets<&Report::report_ids>},
    {"report_id_ma", "64 hex digits each", add_octets<&Report::agent_report_ids>},
    {"minimum_guest_svn", "0 to 4294967295",
     set_number<&VerifierPolicy::report, &Report::minimum_guest_svn, kMax32>},
    report_flag<&Report::allow_debug>("allow_debug"),
    report_flag<&Report::allow_migration>("allow_migration"),
    report_flag<&Report::allow_cxl>("allow_cxl"),
    report_flag<&Report::allow_smt>("allow_smt"),
    {"policy_requires", "names of POLICY's bits, none",
     set_bits<policy_bits, &Report::required_policy_bits>},
    {"minimum_abi", "MAJOR.MINOR", set_abi},
    {"products", "Milan, Genoa, Turin", add_products},
    {"chip_id", "128 hex digits each", add_octets<&Report::chip_ids>},
    {"platform_requires", "names of PLATFORM_INFO's bits, none",
     set_bits<platform_bits, &Report::required_platform_bits>},
    {"platform_forbids", "names of PLATFORM_INFO's bits, none", set_forbidden},
    {"minimum_tcb", kTcbs, set_minimum_tcb},
    {"minimum_launch_tcb", kTcbs, add_minima<&Report::minimum_launch_tcb>},
    {"minimum_firmware", "MAJOR.MINOR.BUILD", set_firmware},
    report_flag<&Report::allow_provisional_firmware>("allow_provisional_firmware"),
    {"launch_mitigations", "a number",
     set_number<&VerifierPolicy::report, &Report::required_launch_mitigations, kMax64>},
    {"current_mitigations", "a number",
     set_number<&VerifierPolicy::report, &Report::required_current_mitigations, kMax64>},
    {"versions", "2, 3, 4, 5", add_versions},
    {"signing_keys", "vcek, vlek", set_signers},
    {"cloud_providers", "names in VLEK certificates", add_providers},
    genuine_flag<&Genuine::allow_masked_chip_id>("allow_masked_chip_id"),
    genuine_flag<&Genuine::require_crl>("require_crl"),
    {"crl_max_age", "0 to 3650 days", set_crl_age},
};

}  // namespace

std::span<const PolicyKey> policy_keys() noexcept { return kKeys; }

}  // namespace vhsm::snp::detail
