// SPDX-License-Identifier: Apache-2.0
#include "snp/emulator.h"

#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/pem.h>

#include <cerrno>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "base/handle.h"
#include "snp/emulated_firmware.h"
#include "snp/emulator_authority.h"
#include "snp/emulator_files.h"
#include "snp/emulator_state.h"
#include "snp/files.h"
#include "snp/guest_device.h"
#include "snp/x509.h"

namespace vhsm::snp {
namespace {

constexpr mode_t kFolderMode = 0755;
constexpr mode_t kPublicMode = 0644;
constexpr mode_t kSecretMode = 0600;

Status make_folder(const std::string& folder) {
  if (::mkdir(folder.c_str(), kFolderMode) != 0 && errno != EEXIST) {
    return fail(Errc::kIo, "this folder cannot be made", folder);
  }
  if (::access((folder + emulator_file::kState).c_str(), F_OK) == 0) {
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

std::vector<LeafExtension> leaf_extensions(const EmulatorState& state) {
  if (state.signer == EmulatedSigner::kVlek) {
    return vlek_extensions(state.product, state.tcb, kTestCloud);
  }
  return vcek_extensions(state.product, state.tcb, state.chip_id);
}

class Emulator final : public Platform {
 public:
  Emulator(EmulatedFirmware firmware, unsigned vmpl)
      : firmware_(std::move(firmware)), vmpl_(vmpl) {}

  [[nodiscard]] PlatformInfo info() const override { return {"emulator", true, vmpl_}; }

  Result<Evidence> attest(const ReportData& data, TimePoint) override {
    Evidence evidence;
    const ReportResponse response = firmware_.report({.user_data = data, .vmpl = vmpl_});
    evidence.report = VHSM_TRY(report_of(response, "emulator"));
    evidence.certificates.assign(firmware_.certificates().begin(), firmware_.certificates().end());
    return evidence;
  }

  Result<SecretBytes> derive_key(const DerivedKeyRequest& request, TimePoint) override {
    DerivedKeyRequest ours = request;
    ours.vmpl = vmpl_;
    DerivedKeyResponse response = firmware_.derive_key(ours);
    const Status derived = check_status(response, "emulator");
    auto key = SecretBytes::copy(response.key);
    OPENSSL_cleanse(&response, sizeof response);
    if (!derived.ok()) return derived.error();
    return key;
  }

 private:
  EmulatedFirmware firmware_;
  unsigned vmpl_;
};

}  // namespace

Status init_emulator(const std::string& folder, const EmulatorOptions& options) {
  const EmulatorState state = VHSM_TRY(make_state(options));
  VHSM_TRY(make_folder(folder));
  const Issuer ark = VHSM_TRY(make_root(kTestRootName, kAuthorityKeyBits));
  const Issuer ask = VHSM_TRY(make_intermediate(ark, kTestIntermediateName, kAuthorityKeyBits));
  const emulator_file::Leaf files = emulator_file::leaf_of(state.signer);
  const Issuer leaf = VHSM_TRY(make_leaf(ask, files.common_name, leaf_extensions(state)));
  VHSM_TRY(write_key(folder + files.key, leaf.key.get()));
  VHSM_TRY(write_certificate(folder + files.certificate, leaf.certificate.get()));
  for (const auto& [kind, name] : emulator_file::kAuthorities) {
    const Issuer& issuer = kind == CertificateKind::kAsk ? ask : ark;
    VHSM_TRY(write_certificate(folder + name, issuer.certificate.get()));
  }
  return write_state(folder + emulator_file::kState, state);
}

Result<std::unique_ptr<Platform>> open_emulator(const std::string& folder,
                                                std::optional<unsigned> vmpl) {
  EmulatedFirmware firmware = VHSM_TRY(EmulatedFirmware::open(folder));
  const unsigned level = vmpl.value_or(firmware.vmpl());
  return std::unique_ptr<Platform>(std::make_unique<Emulator>(std::move(firmware), level));
}

}  // namespace vhsm::snp
