// SPDX-License-Identifier: Apache-2.0
#include "snp/verify.h"

#include <algorithm>
#include <span>

#include "snp/chain.h"
#include "snp/leaf.h"
#include "snp/report_signature.h"
#include "snp/revocation.h"
#include "snp/x509.h"

namespace vhsm::snp {
namespace {

constexpr std::size_t kMaxPool = 128;

/// What is known of a report so far: each step reads what those before it have found.
struct Examination {
  const Evidence& evidence;
  const Roots& roots;
  const VerifyOptions& options;
  std::chrono::system_clock::time_point at;
  UnverifiedReport report;

  CertificateKind signer = CertificateKind::kOther;
  std::vector<ossl::X509Cert> pool;
  X509* leaf = nullptr;
  LeafExtensions extensions;
  Product product = Product::kMilan;
  Chain chain;
};

/// An empty list accepts anything.
template <class T>
bool accepts(const std::vector<T>& list, const T& value) {
  return list.empty() || std::ranges::find(list, value) != list.end();
}

// ---- what the report says of its key -----------------------------------------------------------

Status check_report_form(Examination& of) { return check_form(of.report); }

Status check_version(Examination& of) {
  const auto version = static_cast<std::uint32_t>(of.report.number<field::kVersion>());
  if (accepts(of.options.versions, version)) return {};
  return fail(Errc::kUntrusted, "the report's version is not on the list", std::to_string(version));
}

Status choose_signer(Examination& of) {
  const std::uint64_t info = of.report.number<field::kKeyInfo>();
  if ((info & key_bit::kMaskChipKey) != 0) {
    return fail(Errc::kBadFormat, "the host has masked the chip's key, so the report is unsigned");
  }
  switch (info & key_bit::kSigningKeyMask) {
    case key_bit::kSignedByVcek:
      of.signer = CertificateKind::kVcek;
      if (of.options.allow_vcek) return {};
      return fail(Errc::kUntrusted, "the report is signed by the chip's own key (VCEK)");
    case key_bit::kSignedByVlek:
      of.signer = CertificateKind::kVlek;
      if (of.options.allow_vlek) return {};
      return fail(Errc::kUntrusted, "the report is signed by a cloud provider's key (VLEK)");
    default: return fail(Errc::kBadFormat, "the report is signed by no key that is known");
  }
}

// ---- its certificate ---------------------------------------------------------------------------

void add_to(std::vector<ossl::X509Cert>& pool, std::span<const Certificate> certificates) {
  for (const Certificate& one : certificates) {
    if (one.kind == CertificateKind::kCrl) continue;
    for (ossl::X509Cert& parsed : parse_certificates(one.data)) {
      if (pool.size() < kMaxPool) pool.push_back(std::move(parsed));
    }
  }
}

/// Whether a certificate says that it is for this report's firmware and chip. Only chooses: where a
/// folder has certificates of many machines, the checks are made later.
bool seems_to_fit(const X509* leaf, const Examination& of) {
  const auto extensions = read_leaf_extensions(leaf);
  if (!extensions.ok()) return false;
  const auto product = leaf_product(extensions.value());
  if (!product.ok()) return false;
  const auto tcb = leaf_tcb(extensions.value(), product.value());
  return tcb.ok() && std::ranges::equal(tcb.value(), of.report.bytes<field::kReportedTcb>()) &&
         (of.signer == CertificateKind::kVlek ||
          is_for_chip(extensions.value(), product.value(), of.report.bytes<field::kChipId>()));
}

/// The first that seems to fit, else the first: the evidence's come before the folder's.
Status choose_leaf(Examination& of) {
  add_to(of.pool, of.evidence.certificates);
  add_to(of.pool, of.roots.certificates);
  for (const ossl::X509Cert& one : of.pool) {
    if (kind_by_name(common_name(one.get())) != of.signer) continue;
    const bool fits = seems_to_fit(one.get(), of);
    if (fits || of.leaf == nullptr) of.leaf = one.get();
    if (fits) return {};
  }
  if (of.leaf != nullptr) return {};
  return fail(Errc::kUntrusted, "there is no certificate for the key that signed the report",
              of.signer == CertificateKind::kVcek ? "VCEK" : "VLEK");
}

Status check_leaf(Examination& of) {
  VHSM_TRY(check_leaf_shape(of.leaf));
  of.extensions = VHSM_TRY(read_leaf_extensions(of.leaf));
  return {};
}

Status choose_product(Examination& of) {
  of.product = VHSM_TRY(of.report.has_cpuid() ? of.report.product() : leaf_product(of.extensions));
  if (of.options.product.has_value() && *of.options.product != of.product) {
    return fail(Errc::kUntrusted, "the report comes from another product",
                product_name(of.product));
  }
  return {};
}

Status check_chain(Examination& of) {
  of.chain = VHSM_TRY(
      verify_chain(of.leaf, {of.signer, of.product, of.pool, of.roots.trust_test_root, of.at}));
  return {};
}

void add_lists(std::vector<ossl::X509Crl>& lists, std::span<const Certificate> certificates) {
  for (const Certificate& one : certificates) {
    if (one.kind != CertificateKind::kCrl || lists.size() == kMaxPool) continue;
    if (auto list = parse_crl(one.data); list != nullptr) lists.push_back(std::move(list));
  }
}

Status check_revoked(Examination& of) {
  std::vector<ossl::X509Crl> lists;
  add_lists(lists, of.evidence.certificates);
  add_lists(lists, of.roots.certificates);
  return check_revocation(of.chain, lists, {of.options.require_crl, of.options.crl_max_age, of.at});
}

// ---- the signature, and what it binds ----------------------------------------------------------

Status check_report_signature(Examination& of) {
  return check_signature(X509_get0_pubkey(of.leaf), of.report);
}

Status check_certified_tcb(Examination& of) {
  const TcbBytes certified = VHSM_TRY(leaf_tcb(of.extensions, of.product));
  if (std::ranges::equal(certified, of.report.bytes<field::kReportedTcb>())) return {};
  return fail(Errc::kUntrusted, "the certificate is for another TCB than REPORTED_TCB");
}

Status check_provider(const Examination& of) {
  if (!of.extensions.hw_id.empty() || of.extensions.csp_id.empty()) {
    return fail(Errc::kBadFormat, "the VLEK's certificate names a chip, or no cloud provider");
  }
  if (accepts(of.options.csp_ids, of.extensions.csp_id)) return {};
  return fail(Errc::kUntrusted, "the VLEK is of a cloud provider that is not on the list",
              of.extensions.csp_id);
}

Status check_chip(Examination& of) {
  if (of.signer == CertificateKind::kVlek) return check_provider(of);
  if (of.extensions.hw_id.empty() || !of.extensions.csp_id.empty()) {
    return fail(Errc::kBadFormat, "the VCEK's certificate names no chip, or a cloud provider");
  }
  const auto chip_id = of.report.bytes<field::kChipId>();
  const bool masked = std::ranges::all_of(chip_id, [](std::uint8_t byte) { return byte == 0; });
  if (masked && of.options.allow_masked_chip_id) return {};
  if (masked) return fail(Errc::kUntrusted, "the host has masked CHIP_ID");
  if (!is_for_chip(of.extensions, of.product, chip_id)) {
    return fail(Errc::kUntrusted, "the certificate is for another chip than CHIP_ID");
  }
  return {};
}

Status check_tcb_order(Examination& of) {
  const UnverifiedReport& report = of.report;
  const Tcb current = VHSM_TRY(decode_tcb(of.product, report.bytes<field::kCurrentTcb>()));
  const Tcb committed = VHSM_TRY(decode_tcb(of.product, report.bytes<field::kCommittedTcb>()));
  const Tcb reported = VHSM_TRY(decode_tcb(of.product, report.bytes<field::kReportedTcb>()));
  [[maybe_unused]] const Tcb launch =
      VHSM_TRY(decode_tcb(of.product, report.bytes<field::kLaunchTcb>()));
  if (!covers(current, committed)) {
    return fail(Errc::kBadFormat, "the report's COMMITTED_TCB is above its CURRENT_TCB");
  }
  if (!covers(current, reported)) {
    return fail(Errc::kBadFormat, "the report's REPORTED_TCB is above its CURRENT_TCB");
  }
  return {};
}

// ---- the order ---------------------------------------------------------------------------------

struct Step {
  std::string_view name;
  Status (*take)(Examination& of);
};

constexpr std::array kSteps{
    Step{"report form", check_report_form},
    Step{"report version", check_version},
    Step{"signing key", choose_signer},
    Step{"certificate", choose_leaf},
    Step{"certificate form", check_leaf},
    Step{"product", choose_product},
    Step{"certificate chain", check_chain},
    Step{"revocation", check_revoked},
    Step{"signature", check_report_signature},
    Step{"certified TCB", check_certified_tcb},
    Step{"chip", check_chip},
    Step{"TCB order", check_tcb_order},
};

/// Takes the steps up to the first that fails.
Status examine(Examination& of, Findings* findings) {
  Status verdict;
  for (const Step& step : kSteps) {
    if (!verdict.ok()) {
      note(findings, step.name, Outcome::kNotReached);
      continue;
    }
    verdict = step.take(of);
    note(findings, step.name, verdict);
  }
  return verdict;
}

}  // namespace

Result<VerifiedReport> verify(const Evidence& evidence, const Roots& roots,
                              const VerifyOptions& options, Findings* findings) {
  const auto at = options.at.value_or(std::chrono::system_clock::now());
  Examination of{.evidence = evidence,
                 .roots = roots,
                 .options = options,
                 .at = at,
                 .report = UnverifiedReport(evidence.report)};
  VHSM_TRY(examine(of, findings));
  return VerifiedReport(of.report, of.product, of.signer, of.chain.trust == Trust::kTestRoot);
}

}  // namespace vhsm::snp
