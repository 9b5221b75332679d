// SPDX-License-Identifier: Apache-2.0
//
// Whether a report is genuine: signed by an AMD processor whose certificate chain ends in one of
// AMD's pinned roots. What a genuine report is allowed to say is policy.h's business.
// Source: AMD 56860, section 7.3; AMD 57230, sections 2 and 3.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "snp/findings.h"
#include "snp/platform.h"
#include "snp/report.h"

namespace vhsm::snp {

/// Whom verify() trusts. The default trusts AMD's ARKs alone; those, ASKs and ASVKs are built in
/// and pinned by the SHA-256 of their DER.
struct Roots {
  /// Leaves and revocation lists, looked through beside the evidence's. None is trusted for being
  /// here.
  std::vector<Certificate> certificates;
  /// The ARK of an emulator, PEM or DER; its CN must be ARK-VHSM-TEST. Empty: none is trusted. For
  /// development only: whoever holds such a root makes any report they like.
  std::vector<std::uint8_t> trust_test_root;
};

/// @param folder     files *.pem, *.der, *.crt and *.crl to look through (vcek, vlek, revocation
///                   lists; ask, asvk and ark of an emulator); empty: none.
/// @param test_root  file with the ARK of an emulator; empty: none.
/// @errors kIo; kBadFormat when a file holds neither certificate nor revocation list.
[[nodiscard]] Result<Roots> read_roots(const std::string& folder, const std::string& test_root);

struct VerifyOptions {
  /// The time at which the certificates must be valid; unset: now.
  std::optional<std::chrono::system_clock::time_point> at;
  /// The product that the report must come from. Unset: what the report's CPUID bytes say, or, in a
  /// version 2 report, which has none, what the certificate says.
  std::optional<Product> product;
  bool allow_vcek = true;
  /// Accept a key that a cloud provider holds for all its machines: no chip identity then.
  bool allow_vlek = false;
  std::vector<std::string> csp_ids;  ///< whose VLEKs, as their certificates say; empty: anybody's
  /// Accept CHIP_ID zero, which hosts with MaskChipId give: the chip is then known by its key only.
  bool allow_masked_chip_id = false;
  std::vector<std::uint32_t> versions;  ///< of reports, within 2 to 5; empty: all of them
  /// Ask for a revocation list of the root that is valid at `at`. Without this, one that is there
  /// still refuses what it names.
  bool require_crl = false;
  std::optional<std::chrono::seconds> crl_max_age;  ///< since the list was issued
};

/// A report that verify() found genuine. Only verify() makes one.
class VerifiedReport {
 public:
  template <Field F>
  [[nodiscard]] std::span<const std::uint8_t, F.size> bytes() const noexcept {
    return report_.bytes<F>();
  }
  template <Field F>
  [[nodiscard]] std::uint64_t number() const noexcept {
    return report_.number<F>();
  }

  /// Field F under its own type, e.g. octets<HostData, field::kHostData>().
  template <class T, Field F>
  [[nodiscard]] T octets() const noexcept {
    return report_.octets<T, F>();
  }

  /// Field F, one of the four TCBs.
  /// @errors kBadFormat when a reserved byte is not zero.
  template <Field F>
  [[nodiscard]] Result<Tcb> tcb() const {
    return decode_tcb(product_, report_.bytes<F>());
  }

  [[nodiscard]] Measurement measurement() const noexcept {
    return report_.octets<Measurement, field::kMeasurement>();
  }
  [[nodiscard]] HostData host_data() const noexcept {
    return report_.octets<HostData, field::kHostData>();
  }
  [[nodiscard]] IdKeyDigest id_key_digest() const noexcept {
    return report_.octets<IdKeyDigest, field::kIdKeyDigest>();
  }
  [[nodiscard]] ChipId chip_id() const noexcept { return report_.octets<ChipId, field::kChipId>(); }
  [[nodiscard]] Product product() const noexcept { return product_; }

  /// kVcek, or kVlek for a key that a cloud provider's machines share.
  [[nodiscard]] CertificateKind signer() const noexcept { return signer_; }

  /// True when a test root vouches for it: made by an emulator, no hardware behind it.
  [[nodiscard]] bool development() const noexcept { return development_; }

  [[nodiscard]] const RawReport& raw() const noexcept { return report_.raw(); }

 private:
  friend Result<VerifiedReport> verify(const Evidence& evidence, const Roots& roots,
                                       const VerifyOptions& options, Findings* findings);
  VerifiedReport(const UnverifiedReport& report, Product product, CertificateKind signer,
                 bool development)
      : report_(report), product_(product), signer_(signer), development_(development) {}

  UnverifiedReport report_;
  Product product_;
  CertificateKind signer_;
  bool development_;
};

/// Judges whether `evidence` is genuine, in this order: form, signing key, certificate, chain to a
/// pinned root, revocation, signature, and the binding of certificate and report (TCB, chip).
/// Before the signature is known to be right the report only says which key to take. An ARK, ASK or
/// ASVK in the evidence is never used. Thread-safe.
/// @param findings  if not null, gets one line for each check.
/// @errors kBadFormat: the report or the certificate is malformed.
///         kUntrusted: no certificate for the signing key, or its chain does not end in a trusted
///         root, or it is for another chip, TCB or product. kBadSignature: the report was not
///         signed by that key.
[[nodiscard]] Result<VerifiedReport> verify(const Evidence& evidence, const Roots& roots,
                                            const VerifyOptions& options,
                                            Findings* findings = nullptr);

}  // namespace vhsm::snp
