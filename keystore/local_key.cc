// SPDX-License-Identifier: Apache-2.0
#include "keystore/local_key.h"

#include <openssl/core_dispatch.h>
#include <openssl/encoder.h>
#include <openssl/x509.h>

#include <chrono>
#include <span>
#include <string_view>
#include <utility>

#include "keystore/fips.h"
#include "keystore/local_operation.h"
#include "keystore/pair_check.h"

namespace vhsm::keystore {
namespace {

using Pkcs8 = ossl::Handle<PKCS8_PRIV_KEY_INFO, PKCS8_PRIV_KEY_INFO_free>;

/// In a scope: what OpenSSL allocates lies in protected memory, and is wiped when it is freed.
Result<SecretBytes> encode(const EVP_PKEY* pair) {
  const auto info = VHSM_TRY(made(Pkcs8(EVP_PKEY2PKCS8(pair)), "the key has no PKCS#8 form"));
  unsigned char* der = nullptr;
  const int size = i2d_PKCS8_PRIV_KEY_INFO(info.get(), &der);
  if (size <= 0) return fail(Errc::kCrypto, "the key cannot be encoded");
  auto secret = SecretBytes::copy({der, static_cast<std::size_t>(size)});
  OPENSSL_clear_free(der, static_cast<std::size_t>(size));
  return secret;
}

/// OpenSSL keeps what it learns of its encoders at the first look; that has no place in protected
/// memory.
void know_encoders() {
  OSSL_ENCODER_free(OSSL_ENCODER_fetch(nullptr, "RSA", "output=der,structure=PrivateKeyInfo"));
}

}  // namespace

void LocalKey::count_operation() const noexcept {
  if (metrics_ != nullptr) metrics_->operations.fetch_add(1, std::memory_order_relaxed);
}

Result<std::shared_ptr<LocalKey>> LocalKey::hold(PublicHalf half, HeldPKey pair,
                                                 std::optional<KeyUri> uri,
                                                 std::shared_ptr<Metrics> metrics,
                                                 Keeping keeping) {
  auto secret = VHSM_TRY(PrivateHalf::hold(std::move(pair)));
  return std::make_shared<LocalKey>(std::move(half), std::move(secret), std::move(uri),
                                    std::move(metrics), keeping);
}

/// Of a key that was taken back meanwhile, whatever failed, that is the cause.
Error LocalKey::named(const Error& error) const noexcept {
  if (revoked()) return permit_->verdict().error();
  return uri() == nullptr ? error : error.about(uri()->name.uri());
}

Status LocalKey::ask_policies(OperationKind kind) const {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now).count();
  for (const KeyPolicy& policy : policies_) {
    const Status allowed = policy.allow(kind, static_cast<std::uint64_t>(seconds));
    if (!allowed.ok()) return named(allowed.error());
  }
  return {};
}

Status LocalKey::check_policies(const InnerContext& context) const {
  for (const KeyPolicy& policy : policies_) {
    const Status allowed = policy.allow(context);
    if (!allowed.ok()) return named(allowed.error());
  }
  return {};
}

Status LocalKey::validate(Selection selection, bool quick) const {
  VHSM_TRY(public_half().validate(quick));
  const bool wants_private = (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0;
  if (!wants_private) return {};
  if (!has_private()) return fail(Errc::kNoPrivateKey, "only the public half is here");
  if (permit_ != nullptr) VHSM_TRY(permit_->ask());
  const auto pair = run_with_room([this] { return private_->use(public_half()); });
  if (!pair.ok()) return named(pair.error());
  return check_pair(public_half(), pair.value().get());
}

InnerContextPtr LocalKey::take(OperationKind kind, std::string_view digest,
                               std::string_view settings) const noexcept {
  if (private_ != nullptr && needs_private(kind)) return private_->take(kind, digest, settings);
  return idle_.take(kind, digest, settings);
}

void LocalKey::put(InnerContextPtr context) const noexcept {
  needs_private(context->kind) ? private_->put(std::move(context)) : idle_.put(std::move(context));
}

Result<InnerContextPtr> LocalKey::begin_held(const OperationRequest& request) const {
  auto begun = run_with_room([&]() -> Result<InnerContextPtr> {
    const auto pair = VHSM_TRY(private_->use(public_half()));
    return begin_inner(pair.get(), true, request);
  });
  if (!begun.ok()) return named(begun.error());
  return begun;
}

/// An encapsulation has secrets of its own, such as an ephemeral key: it works in a scope. So does
/// what draws random numbers from a FIPS provider, whose generators lie in the arena.
Result<InnerContextPtr> LocalKey::begin_public(const OperationRequest& request) const {
  const bool scoped = request.kind == OperationKind::kEncapsulate ||
                      (request.kind == OperationKind::kEncrypt && fips_is_on());
  return begin_inner(public_half().get(), scoped, request);
}

Result<std::unique_ptr<Operation>> LocalKey::begin(const OperationRequest& request) const {
  const bool held = needs_private(request.kind);
  if (held && !has_private()) {
    return fail(Errc::kNoPrivateKey, "the operation needs a private key");
  }
  if (held) VHSM_TRY(ask(request.kind));
  auto inner = request.peer == nullptr ? take(request.kind, request.digest, {}) : nullptr;
  if (inner == nullptr) {
    inner = VHSM_TRY(held ? begin_held(request) : begin_public(request));
  }
  auto operation = std::make_unique<LocalOperation>(shared_from_this(), std::move(inner));
  VHSM_TRY(operation->set_params(request.params));
  return std::unique_ptr<Operation>(std::move(operation));
}

Result<SecretBytes> LocalKey::encoded() const {
  const ossl::ErrorMark quiet;
  know_encoders();
  auto encoded = run_with_room([this]() -> Result<SecretBytes> {
    const auto pair = VHSM_TRY(private_->use(public_half()));
    return encode(pair.get());
  });
  memory::wipe_stacks();
  if (!encoded.ok()) return named(encoded.error());
  return encoded;
}

Result<KeyPtr> Key::with_public(std::span<const std::uint8_t> encoded) const {
  if (has_private()) return fail(Errc::kNotExportable, "a held key's public half is never changed");
  auto half = VHSM_TRY(half_.with_public(encoded));
  return KeyPtr(std::make_shared<LocalKey>(std::move(half), nullptr));
}

}  // namespace vhsm::keystore
