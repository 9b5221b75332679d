// SPDX-License-Identifier: Apache-2.0
#include "snp/chain.h"

#include <openssl/x509_vfy.h>

#include <string>

#include "snp/amd_certificates.h"
#include "snp/amd_pins.h"
#include "snp/emulator.h"
#include "snp/hex.h"
#include "snp/x509.h"

namespace vhsm::snp {
namespace {

constexpr int kChainLength = 3;

/// The built-in certificate of that pin.
Result<ossl::X509Cert> built_in(Product product, CertificateKind kind) {
  const std::string_view pem = amd_certificates(product);
  const std::span bytes(reinterpret_cast<const std::uint8_t*>(pem.data()), pem.size());
  for (ossl::X509Cert& certificate : parse_certificates(bytes)) {
    const auto digest = VHSM_TRY(der_sha256(certificate.get()));
    if (to_hex(digest) == pin_of(product, kind)) return std::move(certificate);
  }
  return fail(Errc::kInternal, "a built-in certificate of AMD's does not have its pin",
              product_name(product));
}

Result<Chain> amd_chain(const ChainRequest& request) {
  const auto intermediate_kind =
      request.leaf_kind == CertificateKind::kVlek ? CertificateKind::kAsvk : CertificateKind::kAsk;
  auto root = VHSM_TRY(built_in(request.product, CertificateKind::kArk));
  auto intermediate = VHSM_TRY(built_in(request.product, intermediate_kind));
  return Chain{Trust::kAmd, std::move(root), std::move(intermediate)};
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

ossl::X509Cert shared(X509* certificate) {
  X509_up_ref(certificate);
  return ossl::X509Cert(certificate);
}

Result<Chain> test_chain(const ChainRequest& request) {
  if (request.test_root.empty()) {
    return fail(Errc::kUntrusted, "the report comes from an emulator, and no test root is trusted");
  }
  auto roots = parse_certificates(request.test_root);
  if (roots.size() != 1 || common_name(roots[0].get()) != kTestRootName) {
    return fail(Errc::kBadFormat, "the test root is not one certificate called ARK-VHSM-TEST");
  }
  X509* intermediate = find_test_intermediate(request.pool, roots[0].get());
  if (intermediate == nullptr) {
    return fail(Errc::kUntrusted, "the emulator's certificate is not under the test root given");
  }
  return Chain{Trust::kTestRoot, std::move(roots[0]), shared(intermediate)};
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
Status verify_path(X509* leaf, const Chain& chain, std::chrono::system_clock::time_point at) {
  const auto store = VHSM_TRY(store_of(chain.root.get()));
  const auto untrusted = VHSM_TRY(stack_of(chain.intermediate.get()));
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

Result<Chain> verify_chain(X509* leaf, const ChainRequest& request) {
  const ossl::ErrorMark mark;
  const bool emulated = issuer_common_name(leaf) == kTestIntermediateName;
  Chain chain = VHSM_TRY(emulated ? test_chain(request) : amd_chain(request));
  VHSM_TRY(verify_path(leaf, chain, request.at));
  return chain;
}

}  // namespace vhsm::snp
