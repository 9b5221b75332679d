// SPDX-License-Identifier: Apache-2.0
#include "snp/verify.h"

#include <algorithm>
#include <span>

#include "snp/chain.h"
#include "snp/leaf.h"
#include "snp/report_signature.h"
#include "snp/x509.h"

namespace vhsm::snp {
namespace {

using Pool = std::vector<ossl::X509Cert>;

constexpr std::size_t kMaxPool = 128;

void add_to(Pool& pool, std::span<const Certificate> certificates) {
  for (const Certificate& one : certificates) {
    if (one.kind == CertificateKind::kCrl) continue;
    for (ossl::X509Cert& parsed : parse_certificates(one.data)) {
      if (pool.size() < kMaxPool) pool.push_back(std::move(parsed));
    }
  }
}

/// Which kind of certificate KEY_INFO asks for.
Result<CertificateKind> signer_of(const UnverifiedReport& report, const VerifyOptions& options) {
  const std::uint64_t info = report.number<field::kKeyInfo>();
  if ((info & key_bit::kMaskChipKey) != 0) {
    return fail(Errc::kBadFormat, "the host has masked the chip's key, so the report is unsigned");
  }
  switch (info & key_bit::kSigningKeyMask) {
    case key_bit::kSignedByVcek: return CertificateKind::kVcek;
    case key_bit::kSignedByVlek:
      if (options.allow_vlek) return CertificateKind::kVlek;
      return fail(Errc::kUntrusted, "the report is signed by a cloud provider's key (VLEK)");
    default: return fail(Errc::kBadFormat, "the report is signed by no key that is known");
  }
}

/// The first of that kind: the evidence's come before the folder's.
Result<X509*> find_leaf(const Pool& pool, CertificateKind kind) {
  const auto found = std::ranges::find_if(pool, [kind](const ossl::X509Cert& certificate) {
    return kind_by_name(common_name(certificate.get())) == kind;
  });
  if (found == pool.end()) {
    return fail(Errc::kUntrusted, "there is no certificate for the key that signed the report",
                kind == CertificateKind::kVcek ? "VCEK" : "VLEK");
  }
  return found->get();
}

Result<Product> product_for(const UnverifiedReport& report, const LeafExtensions& extensions,
                            const VerifyOptions& options) {
  const Product product =
      VHSM_TRY(report.has_cpuid() ? report.product() : leaf_product(extensions));
  if (options.product.has_value() && *options.product != product) {
    return fail(Errc::kUntrusted, "the report comes from another product", product_name(product));
  }
  return product;
}

Status check_tcb(const UnverifiedReport& report, const LeafExtensions& extensions,
                 Product product) {
  const TcbBytes certified = VHSM_TRY(leaf_tcb(extensions, product));
  if (!std::ranges::equal(certified, report.bytes<field::kReportedTcb>())) {
    return fail(Errc::kUntrusted, "the certificate is for another TCB than REPORTED_TCB");
  }
  const Tcb current = VHSM_TRY(decode_tcb(product, report.bytes<field::kCurrentTcb>()));
  const Tcb committed = VHSM_TRY(decode_tcb(product, report.bytes<field::kCommittedTcb>()));
  const Tcb reported = VHSM_TRY(decode_tcb(product, report.bytes<field::kReportedTcb>()));
  [[maybe_unused]] const Tcb launch =
      VHSM_TRY(decode_tcb(product, report.bytes<field::kLaunchTcb>()));
  if (!covers(current, committed)) {
    return fail(Errc::kBadFormat, "the report's COMMITTED_TCB is above its CURRENT_TCB");
  }
  if (!covers(current, reported)) {
    return fail(Errc::kBadFormat, "the report's REPORTED_TCB is above its CURRENT_TCB");
  }
  return {};
}

Status check_chip(const UnverifiedReport& report, const LeafExtensions& extensions,
                  CertificateKind signer, Product product, const VerifyOptions& options) {
  if (signer == CertificateKind::kVlek) {
    if (extensions.hw_id.empty() && !extensions.csp_id.empty()) return {};
    return fail(Errc::kBadFormat, "the VLEK's certificate names a chip, or no cloud provider");
  }
  if (extensions.hw_id.empty() || !extensions.csp_id.empty()) {
    return fail(Errc::kBadFormat, "the VCEK's certificate names no chip, or a cloud provider");
  }
  const auto chip_id = report.bytes<field::kChipId>();
  const bool masked = std::ranges::all_of(chip_id, [](std::uint8_t byte) { return byte == 0; });
  if (masked && options.allow_masked_chip_id) return {};
  if (masked) return fail(Errc::kUntrusted, "the host has masked CHIP_ID");
  if (!is_for_chip(extensions, product, chip_id)) {
    return fail(Errc::kUntrusted, "the certificate is for another chip than CHIP_ID");
  }
  return {};
}

}  // namespace

Result<VerifiedReport> verify(const Evidence& evidence, const Roots& roots,
                              const VerifyOptions& options) {
  const UnverifiedReport report(evidence.report);
  VHSM_TRY(check_form(report));
  const CertificateKind signer = VHSM_TRY(signer_of(report, options));
  Pool pool;
  add_to(pool, evidence.certificates);
  add_to(pool, roots.certificates);
  X509* leaf = VHSM_TRY(find_leaf(pool, signer));
  VHSM_TRY(check_leaf_shape(leaf));
  const LeafExtensions extensions = VHSM_TRY(read_leaf_extensions(leaf));
  const Product product = VHSM_TRY(product_for(report, extensions, options));
  const ChainRequest request{signer, product, pool, roots.trust_test_root,
                             options.at.value_or(std::chrono::system_clock::now())};
  const Trust trust = VHSM_TRY(verify_chain(leaf, request));
  VHSM_TRY(check_signature(X509_get0_pubkey(leaf), report));
  VHSM_TRY(check_tcb(report, extensions, product));
  VHSM_TRY(check_chip(report, extensions, signer, product, options));
  return VerifiedReport(report, product, signer, trust == Trust::kTestRoot);
}

}  // namespace vhsm::snp
