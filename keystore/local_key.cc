// SPDX-License-Identifier: Apache-2.0
#include "keystore/local_key.h"

#include <openssl/core_dispatch.h>

#include <array>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "keystore/local_operation.h"

namespace vhsm::keystore {
namespace {

bool needs_private(OperationKind kind) noexcept {
  return kind != OperationKind::kVerify && kind != OperationKind::kVerifyMessage &&
         kind != OperationKind::kEncrypt;
}

/// OpenSSL's own check of an RSA pair tests primes for a tenth of a second; a signature that the
/// public half accepts says as much about the two belonging together.
Status check_by_signature(const PublicHalf& half, EVP_PKEY* pair) {
  constexpr std::array<std::uint8_t, EVP_MAX_MD_SIZE> kZeros{};
  std::array<std::uint8_t, 512> signature{};
  const std::string_view digest = half.default_digest().empty() ? "SHA256" : half.default_digest();
  const EVP_MD* md = EVP_get_digestbyname(std::string(digest).c_str());
  if (md == nullptr) return fail(Errc::kUnsupported, "the key's digest is not known");
  const auto input = std::span(kZeros).first(static_cast<std::size_t>(EVP_MD_get_size(md)));
  const OperationRequest sign{OperationKind::kSign, digest};
  const auto signer = VHSM_TRY(begin_inner(pair, true, sign));
  std::size_t size = signature.size();
  VHSM_TRY(memory::run_protected([&] {
    return crypto(EVP_PKEY_sign(signer->get(), signature.data(), &size, input.data(), input.size()),
                  "the private half does not sign");
  }));
  const OperationRequest verify{OperationKind::kVerify, digest};
  const auto verifier = VHSM_TRY(begin_inner(half.get(), false, verify));
  return crypto(
      EVP_PKEY_verify(verifier->get(), signature.data(), size, input.data(), input.size()),
      "the halves do not belong together");
}

Status check_by_library(EVP_PKEY* pair) {
  return memory::run_protected([pair]() -> Status {
    const auto ctx = VHSM_TRY(made(
        ossl::PKeyCtx(EVP_PKEY_CTX_new_from_pkey(nullptr, pair, nullptr)), "no check context"));
    return crypto(EVP_PKEY_pairwise_check(ctx.get()), "the halves do not belong together");
  });
}

}  // namespace

Status check_pair(const PublicHalf& half, EVP_PKEY* pair) {
  const ossl::ErrorMark quiet;
  const bool rsa = &half.type() == &kRsa || &half.type() == &kRsaPss;
  const Status checked = rsa ? check_by_signature(half, pair) : check_by_library(pair);
  if (checked.ok() || checked.error().code != Errc::kCrypto) return checked;
  return fail(Errc::kBadFormat,
              "the private and the public half of the key do not belong together");
}

void LocalKey::count_operation() const noexcept {
  if (metrics_ != nullptr) metrics_->operations.fetch_add(1, std::memory_order_relaxed);
}

Status LocalKey::validate(Selection selection, bool quick) const {
  VHSM_TRY(public_half().validate(quick));
  const bool wants_private = (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0;
  if (!wants_private) return {};
  if (pair_ == nullptr) return fail(Errc::kNoPrivateKey, "only the public half is here");
  return check_pair(public_half(), pair_.get());
}

Result<std::unique_ptr<Operation>> LocalKey::begin(const OperationRequest& request) const {
  const bool held = needs_private(request.kind);
  if (held && pair_ == nullptr) {
    return fail(Errc::kNoPrivateKey, "the operation needs a private key");
  }
  auto inner = pool_.take(request.kind, request.digest, {});
  if (inner == nullptr) {
    inner = VHSM_TRY(begin_inner(held ? pair_.get() : public_half().get(), held, request));
  }
  auto operation = std::make_unique<LocalOperation>(shared_from_this(), std::move(inner));
  VHSM_TRY(operation->set_params(request.params));
  return std::unique_ptr<Operation>(std::move(operation));
}

Result<KeyPtr> Key::with_public(std::span<const std::uint8_t> encoded) const {
  if (has_private()) return fail(Errc::kNotExportable, "a held key's public half is never changed");
  auto half = VHSM_TRY(half_.with_public(encoded));
  return KeyPtr(std::make_shared<LocalKey>(std::move(half), nullptr));
}

}  // namespace vhsm::keystore
