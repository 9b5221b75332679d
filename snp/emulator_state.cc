// SPDX-License-Identifier: Apache-2.0
#include "snp/emulator_state.h"

#include <openssl/evp.h>
#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <limits>
#include <span>
#include <string>
#include <string_view>

#include "snp/hex.h"

namespace vhsm::snp {
namespace {

using nlohmann::json;

constexpr std::size_t kTurinChipIdBytes = 8;
constexpr std::uint32_t kFormat = 3;  // of emulator.json

/// The stepping that a real machine of each product shows, and a TCB like that of a patched one.
struct Machine {
  std::uint8_t family;
  std::uint8_t model;
  std::uint8_t stepping;
  Tcb tcb;
};
constexpr std::array<Machine, 3> kMachines{{
    {0x19, 0x01, 0x01, {0, 4, 0, 0x18, 0xDB}},
    {0x19, 0x11, 0x01, {0, 10, 0, 0x17, 0x54}},
    {0x1A, 0x02, 0x01, {1, 1, 1, 4, 0x51}},
}};

const Machine& machine_of(Product product) { return kMachines[static_cast<std::size_t>(product)]; }

/// Digests `text` into `out`, which has the digest's size.
Status digest_of(std::string_view text, const char* algorithm, std::span<std::uint8_t> out) {
  std::size_t size = 0;
  VHSM_TRY(
      crypto(EVP_Q_digest(nullptr, algorithm, nullptr, text.data(), text.size(), out.data(), &size),
             "no digest for the emulator"));
  if (size != out.size()) return fail(Errc::kInternal, "a digest has another size than its field");
  return {};
}

Status fill_with_random(std::span<std::uint8_t> bytes) {
  return crypto(RAND_bytes(bytes.data(), static_cast<int>(bytes.size())), "no random bytes");
}

/// Each machine is one of its own: what it seals does not open on another.
Result<ChipId> random_chip_id(Product product) {
  ChipId chip_id;
  VHSM_TRY(fill_with_random(chip_id.value));
  if (product == Product::kTurin) {
    std::fill(chip_id.value.begin() + kTurinChipIdBytes, chip_id.value.end(), std::uint8_t{0});
  }
  return chip_id;
}

Result<Measurement> measurement_of(const EmulatorOptions& options) {
  if (options.measurement) return *options.measurement;
  if (options.id_block) return options.id_block->guest.measurement;
  Measurement measurement;
  VHSM_TRY(digest_of("vhsm emulator measurement", "SHA384", measurement.value));
  return measurement;
}

Status check(const EmulatorState& state) {
  if (state.report_version < kOldestVersion || state.report_version > kNewestVersion) {
    return fail(Errc::kInvalidArgument, "an emulated report's version is 2 to 5");
  }
  if (state.vmpl > kMaxVmpl) {
    return fail(Errc::kInvalidArgument, "an emulated guest's VMPL is 0 to 3");
  }
  if ((state.policy & policy_bit::kAlwaysOne) == 0 ||
      (state.policy & policy_bit::kReservedMask) != 0) {
    return fail(Errc::kInvalidArgument, "a guest's policy has bit 17 set and bits 26 to 63 clear");
  }
  const auto is_zero = [](std::uint8_t byte) { return byte == 0; };
  if (!covers(state.tcb, state.committed_tcb)) {
    return fail(Errc::kInvalidArgument, "an emulated machine's committed TCB is above its current");
  }
  if (state.product == Product::kTurin &&
      !std::all_of(state.chip_id.value.begin() + kTurinChipIdBytes, state.chip_id.value.end(),
                   is_zero)) {
    return fail(Errc::kInvalidArgument, "a Turin's chip id is 8 bytes, then zeros");
  }
  return {};
}

/// What SNP_LAUNCH_FINISH does with an ID block.
Status launch_with(const SignedIdentity& identity, EmulatorState& state) {
  if (identity.guest.measurement != state.measurement) {
    return fail(Errc::kInvalidArgument, "the ID block is for another measurement");
  }
  if (identity.guest.policy != state.policy) {
    return fail(Errc::kInvalidArgument, "the ID block is for another policy");
  }
  state.family_id = identity.guest.family_id;
  state.image_id = identity.guest.image_id;
  state.guest_svn = identity.guest.guest_svn;
  state.id_key_digest.value = identity.id_key;
  state.author_key_digest.value = identity.author_key.value_or(KeyDigest{});
  return {};
}

// ---- emulator.json ---------------------------------------------------------------------------

Error malformed(const char* name) {
  return fail(Errc::kBadFormat, "a member of emulator.json is missing or malformed", name);
}

Result<std::uint64_t> number(const json& object, const char* name, std::uint64_t maximum) {
  const auto found = object.find(name);
  if (found == object.end() || !found->is_number_unsigned()) return malformed(name);
  const auto value = found->get<std::uint64_t>();
  if (value > maximum) return malformed(name);
  return value;
}

Result<std::uint32_t> number32(const json& object, const char* name) {
  const auto value = VHSM_TRY(number(object, name, std::numeric_limits<std::uint32_t>::max()));
  return static_cast<std::uint32_t>(value);
}

Result<std::string> text(const json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end() || !found->is_string()) return malformed(name);
  return found->get_ref<const std::string&>();
}

constexpr std::array<std::string_view, 3> kSigners{"vcek", "vlek", "masked"};

Result<EmulatedSigner> signer(const json& object, const char* name) {
  const std::string wanted = VHSM_TRY(text(object, name));
  const auto found = std::ranges::find(kSigners, wanted);
  if (found == kSigners.end()) return malformed(name);
  return static_cast<EmulatedSigner>(found - kSigners.begin());
}

Status octets(const json& object, const char* name, std::span<std::uint8_t> into) {
  const std::string digits = VHSM_TRY(text(object, name));
  if (!from_hex(digits, into).ok()) return malformed(name);
  return {};
}

Result<Tcb> tcb(const json& object, const char* name, Product product) {
  TcbBytes bytes{};
  VHSM_TRY(octets(object, name, bytes));
  return decode_tcb(product, bytes);
}

// ---- reports ---------------------------------------------------------------------------------

void put(RawReport& report, const Field& field, std::span<const std::uint8_t> bytes) {
  std::ranges::copy(bytes, report.begin() + static_cast<std::ptrdiff_t>(field.offset));
}

void put(RawReport& report, const Field& field, std::uint64_t value) {
  for (std::size_t i = 0; i < field.size; ++i) {
    report[field.offset + i] = static_cast<std::uint8_t>(value >> (8 * i));
  }
}

std::uint32_t signing_key_of(EmulatedSigner signer) {
  constexpr std::uint32_t kNoKey = key_bit::kSigningKeyMask;
  switch (signer) {
    case EmulatedSigner::kVcek: return key_bit::kSignedByVcek;
    case EmulatedSigner::kVlek: return key_bit::kSignedByVlek;
    case EmulatedSigner::kMasked: break;
  }
  return key_bit::kMaskChipKey | kNoKey;
}

std::uint32_t key_info_of(const EmulatorState& state) {
  const bool has_author = state.author_key_digest != AuthorKeyDigest{};
  return signing_key_of(state.signer) | (has_author ? key_bit::kAuthorKey : 0U);
}

void put_machine(RawReport& report, const EmulatorState& state) {
  constexpr std::array<std::uint8_t, 3> kFirmware{29, 55, 1};  // build, minor, major
  const TcbBytes current = encode_tcb(state.product, state.tcb);
  for (const Field& where : {field::kCurrentTcb, field::kReportedTcb, field::kLaunchTcb}) {
    put(report, where, current);
  }
  put(report, field::kCommittedTcb, encode_tcb(state.product, state.committed_tcb));
  put(report, field::kCurrentVersion, kFirmware);
  put(report, field::kCommittedVersion, kFirmware);
  if (state.signer == EmulatedSigner::kVcek) put(report, field::kChipId, state.chip_id.value);
  put(report, field::kPlatformInfo, state.platform_info);
  if (state.report_version >= kFirstVersionWithCpuid) {
    const Machine& machine = machine_of(state.product);
    put(report, field::kCpuidFamily, machine.family);
    put(report, field::kCpuidModel, machine.model);
    put(report, field::kCpuidStepping, machine.stepping);
  }
  if (state.report_version >= kFirstVersionWithMitigations) {
    put(report, field::kLaunchMitigations, state.mitigations);
    put(report, field::kCurrentMitigations, state.mitigations);
  }
}

}  // namespace

Result<EmulatorState> make_state(const EmulatorOptions& options) {
  EmulatorState state;
  state.product = options.product;
  state.report_version = options.report_version;
  state.vmpl = options.vmpl;
  state.policy = options.policy;
  state.guest_svn = options.guest_svn;
  state.platform_info = platform_bit::kSmt | platform_bit::kEcc | platform_bit::kAliasCheckComplete;
  state.measurement = VHSM_TRY(measurement_of(options));
  state.host_data = options.host_data.value_or(HostData{});
  state.chip_id = VHSM_TRY(options.chip_id ? *options.chip_id : random_chip_id(options.product));
  state.tcb = options.tcb.value_or(machine_of(options.product).tcb);
  state.committed_tcb = options.committed_tcb.value_or(state.tcb);
  state.family_id = options.family_id.value_or(FamilyId{});
  state.image_id = options.image_id.value_or(ImageId{});
  state.signer = options.signer;
  state.mitigations = options.mitigations;
  if (options.id_block) VHSM_TRY(launch_with(*options.id_block, state));
  VHSM_TRY(fill_with_random(state.report_id.value));
  VHSM_TRY(check(state));
  return state;
}

json to_json(const EmulatorState& state) {
  return {{"format", kFormat},
          {"product", product_name(state.product)},
          {"report_version", state.report_version},
          {"vmpl", state.vmpl},
          {"policy", state.policy},
          {"guest_svn", state.guest_svn},
          {"platform_info", state.platform_info},
          {"measurement", to_hex(state.measurement.value)},
          {"host_data", to_hex(state.host_data.value)},
          {"chip_id", to_hex(state.chip_id.value)},
          {"report_id", to_hex(state.report_id.value)},
          {"family_id", to_hex(state.family_id.value)},
          {"image_id", to_hex(state.image_id.value)},
          {"id_key_digest", to_hex(state.id_key_digest.value)},
          {"author_key_digest", to_hex(state.author_key_digest.value)},
          {"tcb", to_hex(encode_tcb(state.product, state.tcb))},
          {"committed_tcb", to_hex(encode_tcb(state.product, state.committed_tcb))},
          {"signer", kSigners[static_cast<std::size_t>(state.signer)]},
          {"mitigations", state.mitigations}};
}

Result<EmulatorState> state_from_json(const json& object) {
  if (!object.is_object()) return malformed("format");
  const std::uint32_t format = VHSM_TRY(number32(object, "format"));
  if (format != kFormat) {
    return fail(Errc::kBadFormat, "another version made this machine: make it anew (init)",
                "emulator.json");
  }
  EmulatorState state;
  const std::string product = VHSM_TRY(text(object, "product"));
  state.product = VHSM_TRY(parse_product(product));
  state.report_version = VHSM_TRY(number32(object, "report_version"));
  state.vmpl = VHSM_TRY(number32(object, "vmpl"));
  state.policy = VHSM_TRY(number(object, "policy", std::numeric_limits<std::uint64_t>::max()));
  state.guest_svn = VHSM_TRY(number32(object, "guest_svn"));
  state.platform_info =
      VHSM_TRY(number(object, "platform_info", std::numeric_limits<std::uint64_t>::max()));
  VHSM_TRY(octets(object, "measurement", state.measurement.value));
  VHSM_TRY(octets(object, "host_data", state.host_data.value));
  VHSM_TRY(octets(object, "chip_id", state.chip_id.value));
  VHSM_TRY(octets(object, "report_id", state.report_id.value));
  VHSM_TRY(octets(object, "family_id", state.family_id.value));
  VHSM_TRY(octets(object, "image_id", state.image_id.value));
  VHSM_TRY(octets(object, "id_key_digest", state.id_key_digest.value));
  VHSM_TRY(octets(object, "author_key_digest", state.author_key_digest.value));
  state.tcb = VHSM_TRY(tcb(object, "tcb", state.product));
  state.committed_tcb = VHSM_TRY(tcb(object, "committed_tcb", state.product));
  state.signer = VHSM_TRY(signer(object, "signer"));
  state.mitigations =
      VHSM_TRY(number(object, "mitigations", std::numeric_limits<std::uint64_t>::max()));
  if (!check(state).ok()) return malformed("policy");
  return state;
}

RawReport unsigned_report(const EmulatorState& state, const ReportData& data, std::uint32_t vmpl) {
  RawReport report{};
  put(report, field::kVersion, state.report_version);
  put(report, field::kGuestSvn, state.guest_svn);
  put(report, field::kPolicy, state.policy);
  put(report, field::kVmpl, vmpl);
  put(report, field::kSignatureAlgo, kEcdsaP384Sha384);
  put(report, field::kKeyInfo, key_info_of(state));
  put(report, field::kFamilyId, state.family_id.value);
  put(report, field::kImageId, state.image_id.value);
  put(report, field::kReportData, data);
  put(report, field::kMeasurement, state.measurement.value);
  put(report, field::kHostData, state.host_data.value);
  put(report, field::kIdKeyDigest, state.id_key_digest.value);
  put(report, field::kAuthorKeyDigest, state.author_key_digest.value);
  put(report, field::kReportId, state.report_id.value);
  std::fill_n(report.begin() + field::kReportIdMa.offset, field::kReportIdMa.size,
              std::uint8_t{0xFF});
  put_machine(report, state);
  return report;
}

}  // namespace vhsm::snp
