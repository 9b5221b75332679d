// SPDX-License-Identifier: Apache-2.0
#include "snp/chain.h"

#include <openssl/x509_vfy.h>

#include <string>

#include "snp/amd_pins.h"
#include "snp/emulator.h"
#include "snp/hex.h"
#include "snp/x509.h"

namespace vhsm::snp {
namespace {

constexpr int kChainLength = 3;

struct Anchors {
  X509* root;
  X509* intermediate;
};

X509* find_pinned(std::span<const ossl::X509Cert> pool, std::string_view pin) {
  for (const ossl::X509Cert& certificate : pool) {
    const auto digest = der_sha256(certificate.get());
    if (digest.ok() && to_hex(digest.value()) == pin) return certificate.get();
  }
  return nullptr;
}

Result<Anchors> amd_anchors(const ChainRequest& request) {
  const auto intermediate_kind =
      request.leaf_kind == CertificateKind::kVlek ? CertificateKind::kAsvk : CertificateKind::kAsk;
  const Anchors found{find_pinned(request.pool, pin_of(request.product, CertificateKind::kArk)),
                      find_pinned(request.pool, pin_of(request.product, intermediate_kind))};
  if (found.root == nullptr) {
    return fail(Errc::kUntrusted, "none of the certificates is AMD's root (ARK) for this product",
                product_name(request.product));
  }
  if (found.intermediate == nullptr) {
    return fail(
        Errc::kUntrusted,
        "none of the certificates is AMD's signing certificate (ASK or ASVK) for this product",
        product_name(request.product));
  }
  return found;
}

/// The intermediate that `root` really signed: a host may put others of that name before it.
X509* find_test_intermediate(std::span<const ossl::X509Cert> pool, X509* root) {
  for (const ossl::X509Cert& certificate : pool) {
    if (common_name(certificate.get()) == kTestIntermediateName &&
        X509_verify(certificate.get(), X509_get0_pubkey(root)) == 1) {
      return certificate.get();
    }
  }
  return nullptr;
}

Result<Anchors> test_anchors(const ChainRequest& request, std::span<const ossl::X509Cert> roots) {
  if (roots.size() != 1 || common_name(roots[0].get()) != kTestRootName) {
    return fail(Errc::kBadFormat, "the test root is not one certificate called ARK-VHSM-TEST");
  }
  X509* intermediate = find_test_intermediate(request.pool, roots[0].get());
  if (intermediate == nullptr) {
    return fail(Errc::kUntrusted, "the emulator's certificate is not under the test root given");
  }
  return Anchors{roots[0].get(), intermediate};
}

std::string failure_text(const X509_STORE_CTX* ctx) {
  return X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx));
}

Result<ossl::X509Store> store_of(X509* root) {
  auto store = VHSM_TRY(made(ossl::X509Store(X509_STORE_new()), "no certificate store"));
  VHSM_TRY(crypto(X509_STORE_add_cert(store.get(), root), "no certificate store"));
  return store;
}

Result<ossl::X509Stack> stack_of(X509* certificate) {
  auto stack = VHSM_TRY(made(ossl::X509Stack(sk_X509_new_null()), "no certificate stack"));
  if (sk_X509_push(stack.get(), certificate) != 1) {
    return fail(Errc::kCrypto, "no certificate stack");
  }
  return stack;
}

// Not X509_V_FLAG_X509_STRICT: AMD's leaves lack an authority key identifier. Not -partial_chain:
// the ASK must not be an anchor.
Status verify_path(X509* leaf, const Anchors& anchors, std::chrono::system_clock::time_point at) {
  const auto store = VHSM_TRY(store_of(anchors.root));
  const auto untrusted = VHSM_TRY(stack_of(anchors.intermediate));
  const auto ctx = VHSM_TRY(made(ossl::X509StoreCtx(X509_STORE_CTX_new()), "no store context"));
  VHSM_TRY(crypto(X509_STORE_CTX_init(ctx.get(), store.get(), leaf, untrusted.get()),
                  "no store context"));
  X509_VERIFY_PARAM_set_time(X509_STORE_CTX_get0_param(ctx.get()),
                             std::chrono::system_clock::to_time_t(at));
  if (X509_verify_cert(ctx.get()) != 1) {
    return fail(Errc::kUntrusted, "the certificate chain does not verify", failure_text(ctx.get()));
  }
  if (sk_X509_num(X509_STORE_CTX_get0_chain(ctx.get())) != kChainLength) {
    return fail(Errc::kUntrusted, "the certificate chain is not leaf, intermediate and root");
  }
  return {};
}

}  // namespace

Result<Trust> verify_chain(X509* leaf, const ChainRequest& request) {
  const ossl::ErrorMark mark;
  if (issuer_common_name(leaf) != kTestIntermediateName) {
    const Anchors anchors = VHSM_TRY(amd_anchors(request));
    VHSM_TRY(verify_path(leaf, anchors, request.at));
    return Trust::kAmd;
  }
  if (request.test_root.empty()) {
    return fail(Errc::kUntrusted, "the report comes from an emulator, and no test root is trusted");
  }
  const auto roots = parse_certificates(request.test_root);
  const Anchors anchors = VHSM_TRY(test_anchors(request, roots));
  VHSM_TRY(verify_path(leaf, anchors, request.at));
  return Trust::kTestRoot;
}

}  // namespace vhsm::snp
