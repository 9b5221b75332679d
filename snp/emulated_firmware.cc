// SPDX-License-Identifier: Apache-2.0
#include "snp/emulated_firmware.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>

#include <algorithm>
#include <array>
#include <utility>

#include "snp/emulator_files.h"
#include "snp/files.h"
#include "snp/report_signature.h"
#include "snp/x509.h"

namespace vhsm::snp {
namespace {

constexpr std::size_t kMaxStateBytes = 0x10000;

Result<ossl::PKey> read_key(const std::string& path) {
  const ossl::ErrorMark mark;
  const ossl::Bio bio(BIO_new_file(path.c_str(), "r"));
  if (bio == nullptr) return fail(Errc::kIo, "the emulator's key cannot be read", path);
  ossl::PKey key(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr));
  if (key == nullptr) return fail(Errc::kBadFormat, "this is not the emulator's key", path);
  return key;
}

Result<EmulatorState> read_state(const std::string& path) {
  const auto text = VHSM_TRY(read_file(path, kMaxStateBytes));
  const auto json = nlohmann::json::parse(text.begin(), text.end(), nullptr, false);
  if (json.is_discarded()) return fail(Errc::kBadFormat, "this is not JSON", path);
  return state_from_json(json);
}

/// In the table's form, i.e. DER.
Result<Certificate> read_certificate(const std::string& path, CertificateKind kind) {
  const auto data = VHSM_TRY(read_file(path, kMaxCertificateBytes));
  const auto parsed = parse_certificates(data);
  if (parsed.size() != 1) return fail(Errc::kBadFormat, "this is not one certificate", path);
  auto der = VHSM_TRY(to_der(parsed.front().get()));
  return Certificate{kind, {}, std::move(der)};
}

bool is_level(const EmulatorState& state, std::uint32_t vmpl) {
  return vmpl >= state.vmpl && vmpl <= kMaxVmpl;
}

/// The status for KEY_SEL: a machine has a VCEK, unless that is masked, or its host's VLEK.
std::uint32_t check_selection(const EmulatorState& state, std::uint32_t selection) {
  const bool has_vlek = state.signer == EmulatedSigner::kVlek;
  switch (selection) {
    case key_selection::kDefault: return firmware_status::kSuccess;
    case key_selection::kVcek:
      return has_vlek ? firmware_status::kInvalidKey : firmware_status::kSuccess;
    case key_selection::kVlek:
      return has_vlek ? firmware_status::kSuccess : firmware_status::kInvalidKey;
    default: return firmware_status::kInvalidParameter;
  }
}

template <std::size_t N>
bool is_zero(const std::array<std::uint8_t, N>& bytes) {
  return std::ranges::all_of(bytes, [](std::uint8_t byte) { return byte == 0; });
}

std::uint32_t check_request(const EmulatorState& state, const ReportRequest& request) {
  if (!is_level(state, request.vmpl) || !is_zero(request.reserved)) {
    return firmware_status::kInvalidParameter;
  }
  return check_selection(state, request.key_selection);
}

bool is_committed(const EmulatorState& state, const TcbBytes& version) {
  const auto tcb = decode_tcb(state.product, version);
  return tcb.ok() && covers(state.committed_tcb, tcb.value());
}

std::uint32_t check_request(const EmulatorState& state, const DerivedKeyRequest& request) {
  constexpr std::uint32_t kMigrationRootKey = 1;  // needs a migration agent, of which there is none
  if (!is_level(state, request.vmpl) || request.reserved != 0 ||
      (request.field_selection & ~derived_key_field::kAll) != 0 ||
      request.guest_svn > state.guest_svn || !is_committed(state, request.tcb_version)) {
    return firmware_status::kInvalidParameter;
  }
  const bool masked = state.signer == EmulatedSigner::kMasked;
  if (masked || (request.root_key_selection & kMigrationRootKey) != 0) {
    return firmware_status::kInvalidKey;
  }
  return check_selection(state, request.root_key_selection >> 1);
}

/// What the key depends on, in a fixed order.
class Context {
 public:
  Context(const EmulatorState& state, const DerivedKeyRequest& request)
      : report_(unsigned_report(state, {}, request.vmpl)) {
    add(std::span(reinterpret_cast<const std::uint8_t*>(&request.field_selection),
                  sizeof request.field_selection));
    add(field_of(field::kChipId));
    add(field_of(field::kHostData));
    add(field_of(field::kIdKeyDigest));
    add(field_of(field::kAuthorKeyDigest));
    add(field_of(field::kVmpl));
    if (selects(request, derived_key_field::kPolicy)) add(field_of(field::kPolicy));
    if (selects(request, derived_key_field::kImageId)) add(field_of(field::kImageId));
    if (selects(request, derived_key_field::kFamilyId)) add(field_of(field::kFamilyId));
    if (selects(request, derived_key_field::kMeasurement)) add(field_of(field::kMeasurement));
    if (selects(request, derived_key_field::kGuestSvn)) {
      add(std::span(reinterpret_cast<const std::uint8_t*>(&request.guest_svn),
                    sizeof request.guest_svn));
    }
    if (selects(request, derived_key_field::kTcbVersion)) add(request.tcb_version);
  }
  [[nodiscard]] std::span<const std::uint8_t> bytes() const noexcept { return bytes_; }

 private:
  static bool selects(const DerivedKeyRequest& request, std::uint64_t field) {
    return (request.field_selection & field) != 0;
  }
  [[nodiscard]] std::span<const std::uint8_t> field_of(const Field& field) const {
    return std::span(report_).subspan(field.offset, field.size);
  }
  void add(std::span<const std::uint8_t> part) {
    bytes_.insert(bytes_.end(), part.begin(), part.end());
  }

  RawReport report_;
  std::vector<std::uint8_t> bytes_;
};

/// HMAC-SHA-256 under the VCEK's private scalar: a secret of this machine that nothing else uses
/// for this.
bool derive(EVP_PKEY* vcek, std::span<const std::uint8_t> context,
            std::array<std::uint8_t, kDerivedKeyBytes>& key) {
  constexpr int kScalarBytes = 48;
  std::array<std::uint8_t, kScalarBytes> scalar{};
  ossl::Bignum number;
  if (EVP_PKEY_get_bn_param(vcek, OSSL_PKEY_PARAM_PRIV_KEY, ossl::Receive(number)) != 1) {
    return false;
  }
  unsigned size = 0;
  const bool derived = BN_bn2binpad(number.get(), scalar.data(), kScalarBytes) == kScalarBytes &&
                       HMAC(EVP_sha256(), scalar.data(), kScalarBytes, context.data(),
                            context.size(), key.data(), &size) != nullptr;
  OPENSSL_cleanse(scalar.data(), scalar.size());
  return derived && size == key.size();
}

}  // namespace

EmulatedFirmware::EmulatedFirmware(EmulatorState state, ossl::PKey key,
                                   std::vector<Certificate> certificates)
    : state_(state), key_(std::move(key)), certificates_(std::move(certificates)) {}

Result<EmulatedFirmware> EmulatedFirmware::open(const std::string& folder) {
  const EmulatorState state = VHSM_TRY(read_state(folder + emulator_file::kState));
  const emulator_file::Leaf leaf = emulator_file::leaf_of(state.signer);
  auto key = VHSM_TRY(read_key(folder + leaf.key));
  std::vector<Certificate> certificates;
  Certificate of_key = VHSM_TRY(read_certificate(folder + leaf.certificate, leaf.kind));
  certificates.push_back(std::move(of_key));
  for (const auto& [kind, name] : emulator_file::kAuthorities) {
    Certificate certificate = VHSM_TRY(read_certificate(folder + name, kind));
    certificates.push_back(std::move(certificate));
  }
  return EmulatedFirmware(state, std::move(key), std::move(certificates));
}

ReportResponse EmulatedFirmware::report(const ReportRequest& request) const {
  const std::uint32_t status = check_request(state_, request);
  if (status != firmware_status::kSuccess) return {.status = status};
  return sign(unsigned_report(state_, request.user_data, request.vmpl));
}

ReportResponse EmulatedFirmware::report_of_svsm(const ReportData& data) const {
  return sign(unsigned_report(state_, data, 0));
}

/// A masked key leaves the signature zero.
ReportResponse EmulatedFirmware::sign(RawReport report) const {
  const bool masked = state_.signer == EmulatedSigner::kMasked;
  if (!masked && !sign_report(key_.get(), report).ok()) {
    return {.status = firmware_status::kInvalidKey};
  }
  return {.report_bytes = kReportBytes, .report = report};
}

DerivedKeyResponse EmulatedFirmware::derive_key(const DerivedKeyRequest& request) const {
  DerivedKeyResponse response;
  response.status = check_request(state_, request);
  if (response.status != firmware_status::kSuccess) return response;
  if (!derive(key_.get(), Context(state_, request).bytes(), response.key)) {
    return {.status = firmware_status::kInvalidKey};
  }
  return response;
}

}  // namespace vhsm::snp
