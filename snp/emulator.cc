// SPDX-License-Identifier: Apache-2.0
#include "snp/emulator.h"

#include <sys/stat.h>
#include <unistd.h>

#include <openssl/pem.h>

#include <cerrno>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "base/handle.h"
#include "snp/emulator_authority.h"
#include "snp/emulator_state.h"
#include "snp/files.h"
#include "snp/report_signature.h"
#include "snp/x509.h"

namespace vhsm::snp {
namespace {

constexpr mode_t kFolderMode = 0755;
constexpr mode_t kPublicMode = 0644;
constexpr mode_t kSecretMode = 0600;
constexpr std::size_t kMaxStateBytes = 0x10000;

struct FileName {
  CertificateKind kind;
  const char* name;
};
constexpr std::array<FileName, 3> kCertificateFiles{{{CertificateKind::kVcek, "/vcek.pem"},
                                                     {CertificateKind::kAsk, "/ask.pem"},
                                                     {CertificateKind::kArk, "/ark.pem"}}};
constexpr const char* kKeyFile = "/vcek.key";
constexpr const char* kStateFile = "/emulator.json";

Status make_folder(const std::string& folder) {
  if (::mkdir(folder.c_str(), kFolderMode) != 0 && errno != EEXIST) {
    return fail(Errc::kIo, "this folder cannot be made", folder);
  }
  if (::access((folder + kStateFile).c_str(), F_OK) == 0) {
    return fail(Errc::kWrongState, "this folder holds an emulator already", folder);
  }
  return {};
}

std::span<const std::uint8_t> contents(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return {reinterpret_cast<const std::uint8_t*>(data), static_cast<std::size_t>(size)};
}

Status write_certificate(const std::string& path, X509* certificate) {
  const auto bio = VHSM_TRY(made(ossl::Bio(BIO_new(BIO_s_mem())), "no memory BIO"));
  VHSM_TRY(crypto(PEM_write_bio_X509(bio.get(), certificate), "a certificate has no PEM form"));
  return write_new_file(path, contents(bio.get()), kPublicMode);
}

// BIO_s_secmem would need a secure heap; BIO_s_mem cleanses its buffer when freed.
Status write_key(const std::string& path, EVP_PKEY* key) {
  const auto bio = VHSM_TRY(made(ossl::Bio(BIO_new(BIO_s_mem())), "no memory BIO"));
  VHSM_TRY(
      crypto(PEM_write_bio_PKCS8PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr),
             "the emulator's key has no PEM form"));
  return write_new_file(path, contents(bio.get()), kSecretMode);
}

Status write_state(const std::string& path, const EmulatorState& state) {
  constexpr int kIndent = 2;
  const std::string text = to_json(state).dump(kIndent) + "\n";
  return write_new_file(path, {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()},
                        kPublicMode);
}

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

class Emulator final : public Platform {
 public:
  Emulator(EmulatorState state, ossl::PKey key, std::vector<Certificate> certificates,
           unsigned vmpl)
      : state_(state), key_(std::move(key)), certificates_(std::move(certificates)), vmpl_(vmpl) {}

  [[nodiscard]] PlatformInfo info() const override { return {"emulator", true, vmpl_}; }

  Result<Evidence> attest(const ReportData& data) override {
    if (vmpl_ < state_.vmpl || vmpl_ > kMaxVmpl) {
      return fail(Errc::kPlatform,
                  "the firmware refuses the request: its VMPL is not between the guest's and 3",
                  "emulator");
    }
    Evidence evidence;
    evidence.report = unsigned_report(state_, data, vmpl_);
    VHSM_TRY(sign_report(key_.get(), evidence.report));
    evidence.certificates = certificates_;
    return evidence;
  }

 private:
  EmulatorState state_;
  ossl::PKey key_;
  std::vector<Certificate> certificates_;
  unsigned vmpl_;
};

}  // namespace

Status init_emulator(const std::string& folder, const EmulatorOptions& options) {
  const EmulatorState state = VHSM_TRY(make_state(options));
  VHSM_TRY(make_folder(folder));
  const Issuer ark = VHSM_TRY(make_root(kTestRootName, kAuthorityKeyBits));
  const Issuer ask = VHSM_TRY(make_intermediate(ark, kTestIntermediateName, kAuthorityKeyBits));
  const Issuer vcek = VHSM_TRY(
      make_leaf(ask, "SEV-VCEK", vcek_extensions(state.product, state.tcb, state.chip_id)));
  VHSM_TRY(write_key(folder + kKeyFile, vcek.key.get()));
  for (const auto& [kind, name] : kCertificateFiles) {
    const Issuer& issuer = kind == CertificateKind::kVcek  ? vcek
                           : kind == CertificateKind::kAsk ? ask
                                                           : ark;
    VHSM_TRY(write_certificate(folder + name, issuer.certificate.get()));
  }
  return write_state(folder + kStateFile, state);
}

Result<std::unique_ptr<Platform>> open_emulator(const std::string& folder,
                                                std::optional<unsigned> vmpl) {
  const EmulatorState state = VHSM_TRY(read_state(folder + kStateFile));
  auto key = VHSM_TRY(read_key(folder + kKeyFile));
  std::vector<Certificate> certificates;
  for (const auto& [kind, name] : kCertificateFiles) {
    Certificate certificate = VHSM_TRY(read_certificate(folder + name, kind));
    certificates.push_back(std::move(certificate));
  }
  return std::unique_ptr<Platform>(std::make_unique<Emulator>(
      state, std::move(key), std::move(certificates), vmpl.value_or(state.vmpl)));
}

}  // namespace vhsm::snp
