// SPDX-License-Identifier: Apache-2.0
#include "keystore/private_half.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <utility>

#include "keystore/packed_params.h"
#include "keystore/pair_check.h"

namespace vhsm::keystore {
namespace {

Result<Sealed> sealed_form(EVP_PKEY* pair) {
  OSSL_PARAM* raw = nullptr;
  VHSM_TRY(crypto(EVP_PKEY_todata(pair, EVP_PKEY_KEYPAIR, &raw), "the key cannot be read"));
  const OwnedParams params(raw);
  auto packed = VHSM_TRY(SecretBytes::zeros(packed_bytes(params.get())));
  VHSM_TRY(pack(params.get(), packed.expose()));
  return seal(packed.expose());
}

/// By its numbers: the DER decoders take twenty times as long.
Result<HeldPKey> rebuilt(const KeyType& type, SecretBytes packed) {
  auto params = VHSM_TRY(UnpackedParams::of(packed.expose()));
  const auto ctx = VHSM_TRY(made(
      ossl::PKeyCtx(EVP_PKEY_CTX_new_from_name(nullptr, type.name, nullptr)), "no such key type"));
  VHSM_TRY(crypto(EVP_PKEY_fromdata_init(ctx.get()), "unshielding does not start"));
  EVP_PKEY* raw = nullptr;
  const int rc = EVP_PKEY_fromdata(ctx.get(), &raw, EVP_PKEY_KEYPAIR, params.get());
  HeldPKey pair(raw);
  VHSM_TRY(crypto(rc, "the shielded key does not come back"));
  return pair;
}

HeldPKey counted(EVP_PKEY* pair) noexcept {
  EVP_PKEY_up_ref(pair);
  return HeldPKey(pair);
}

}  // namespace

Result<std::unique_ptr<PrivateHalf>> PrivateHalf::hold(HeldPKey pair) {
  const auto seal_pair = [&]() -> Result<Sealed> {
    VHSM_TRY(hot_set().make_room());
    return sealed_form(pair.get());
  };
  Sealed sealed = VHSM_TRY(run_with_room(seal_pair));
  std::unique_ptr<PrivateHalf> half(new PrivateHalf(std::move(sealed)));
  VHSM_TRY(memory::run_protected([&]() -> Status {
    half->keep(std::move(pair));
    return {};
  }));
  return half;
}

PrivateHalf::PrivateHalf(Sealed sealed) noexcept : sealed_(std::move(sealed)) {
  hot_set().count_key(true);
}

PrivateHalf::~PrivateHalf() {
  hot_set().count_key(false);
  // In a process without protected memory of its own neither the set nor the pair is touched.
  static_cast<void>(memory::run_protected([this]() -> Status {
    hot_set().remove(*this);
    clear();
    return {};
  }));
  memory::wipe_stacks();
}

void PrivateHalf::keep(HeldPKey pair) noexcept {
  pair_ = std::move(pair);
  hot_set().add(*this);
}

void PrivateHalf::clear() noexcept {
  idle_.drain();
  pair_.reset();
}

void PrivateHalf::wipe() noexcept {
  static_cast<void>(memory::run_protected([this]() -> Status {
    const std::lock_guard lock(mutex_);
    hot_set().remove(*this);
    clear();
    OPENSSL_cleanse(sealed_.data(), sealed_.size());
    sealed_.clear();
    return {};
  }));
  memory::wipe_stacks();
}

bool PrivateHalf::shield() noexcept {
  const std::unique_lock lock(mutex_, std::try_to_lock);
  if (lock.owns_lock()) clear();
  return lock.owns_lock();
}

Result<HeldPKey> PrivateHalf::unshielded(const PublicHalf& half) const {
  const ossl::ErrorMark quiet;
  hot_set().count_unshielding();
  auto packed = VHSM_TRY(unseal(sealed_));
  auto pair = VHSM_TRY(rebuilt(half.type(), std::move(packed)));
  const Status same = memory::run_protected([&] { return check_parts(half, pair.get()); });
  if (same.ok()) return pair;
  if (same.error().code != Errc::kCrypto) return same.error();
  return fail(Errc::kDamaged, "the shielded key and its public half do not belong together");
}

Result<HeldPKey> PrivateHalf::use(const PublicHalf& half) {
  touch();
  VHSM_TRY(hot_set().make_room());  // for the pair, or for the context that it is wanted for
  const std::lock_guard lock(mutex_);
  if (pair_ == nullptr) {
    auto pair = VHSM_TRY(unshielded(half));
    keep(std::move(pair));
  }
  return counted(pair_.get());
}

InnerContextPtr PrivateHalf::take(OperationKind kind, std::string_view digest,
                                  std::string_view settings) noexcept {
  touch();
  auto context = idle_.take(kind, digest, settings);
  // What did not fit was put back, perhaps after eviction had looked there.
  if (!hot()) idle_.drain();
  return context;
}

void PrivateHalf::put(InnerContextPtr context) noexcept {
  idle_.put(std::move(context));
  // Asked after it was put there, as eviction empties the pool after it has said so: one of the two
  // finds the context.
  if (!hot()) idle_.drain();
}

}  // namespace vhsm::keystore
