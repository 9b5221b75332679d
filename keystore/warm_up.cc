// SPDX-License-Identifier: Apache-2.0
#include "keystore/warm_up.h"

#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <array>
#include <mutex>

#include "keystore/fips.h"
#include "keystore/inner_context.h"
#include "keystore/key_type.h"
#include "keystore/pair_check.h"
#include "keystore/public_half.h"
#include "keystore/symmetric_operation.h"

namespace vhsm::keystore {
namespace {

// The key is thrown away: OpenSSL's smallest size will do, even if PSS then has no room to sign.
constexpr int kTrialRsaBits = 512;
constexpr int kTrialRsaBitsFips = 2048;  // and the FIPS provider's

Status set_trial_params(const KeyType& type, EVP_PKEY_CTX* ctx) {
  if (type.signing != Signing::kDigest) return {};
  if (&type == &kEc) return crypto(EVP_PKEY_CTX_set_group_name(ctx, "P-256"), "no trial group");
  const int bits = fips_is_on() ? kTrialRsaBitsFips : kTrialRsaBits;
  return crypto(EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, bits), "no trial size");
}

Result<ossl::PKey> trial_key(const KeyType& type) {
  const auto ctx = VHSM_TRY(made(
      ossl::PKeyCtx(EVP_PKEY_CTX_new_from_name(nullptr, type.name, nullptr)), "no such key type"));
  VHSM_TRY(crypto(EVP_PKEY_keygen_init(ctx.get()), "no trial key"));
  VHSM_TRY(set_trial_params(type, ctx.get()));
  ossl::PKey key;
  VHSM_TRY(crypto(EVP_PKEY_generate(ctx.get(), ossl::Receive(key)), "no trial key"));
  return key;
}

/// To make a key of these types takes long: their algorithms are looked up, no more.
Status look_up(const KeyType& type) {
  const ossl::Handle<EVP_KEYMGMT, EVP_KEYMGMT_free> management(
      EVP_KEYMGMT_fetch(nullptr, type.name, nullptr));
  const ossl::Handle<EVP_SIGNATURE, EVP_SIGNATURE_free> signature(
      EVP_SIGNATURE_fetch(nullptr, type.signature.common, nullptr));
  return crypto(management != nullptr && signature != nullptr ? 1 : 0, "no such key type");
}

/// One round through the DER coders, private and public.
void try_coders(EVP_PKEY* key) {
  unsigned char* der = nullptr;
  const int size = i2d_PrivateKey(key, &der);
  const unsigned char* next = der;
  if (size > 0) ossl::PKey(d2i_AutoPrivateKey(nullptr, &next, size));
  OPENSSL_free(der);
  der = nullptr;
  const int public_size = i2d_PUBKEY(key, &der);
  next = der;
  if (public_size > 0) ossl::PKey(d2i_PUBKEY(nullptr, &next, public_size));
  OPENSSL_free(der);
}

/// What unshielding needs besides.
void try_shielding(const KeyType& type, EVP_PKEY* key) {
  OSSL_PARAM* raw = nullptr;
  if (EVP_PKEY_todata(key, EVP_PKEY_KEYPAIR, &raw) != 1) return;
  const OwnedParams params(raw);
  const ossl::Cipher cipher(EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr));
  const auto half = PublicHalf::from_params(type, EVP_PKEY_PUBLIC_KEY, params.get());
  if (half.ok()) static_cast<void>(check_parts(half.value(), key));
}

void try_operation(EVP_PKEY* key, OperationKind kind, std::string_view digest) {
  const auto context = begin_inner(key, false, {kind, digest});
  if (!context.ok() || digest.empty()) return;
  constexpr std::array<std::uint8_t, EVP_MAX_MD_SIZE> kZeros{};
  std::array<std::uint8_t, 512> out{};
  std::size_t size = out.size();
  EVP_PKEY_sign(context.value()->get(), out.data(), &size, kZeros.data(), 32);
}

/// What symmetric keys need is looked up, and the digests of MACs and key derivations.
void try_symmetric() {
  for (const SymmetricAlgorithm* algorithm : symmetric_algorithms()) {
    static_cast<void>(describe_params(*algorithm));
  }
  constexpr std::array<std::uint8_t, EVP_MAX_MD_SIZE> kZeros{};
  std::array<std::uint8_t, EVP_MAX_MD_SIZE> out{};
  for (const char* digest : {"SHA1", "SHA2-256", "SHA2-384", "SHA2-512"}) {
    EVP_Q_mac(nullptr, "HMAC", nullptr, digest, nullptr, kZeros.data(), kZeros.size(),
              kZeros.data(), kZeros.size(), out.data(), out.size(), nullptr);
  }
}

Status warm_up_once() {
  const ossl::ErrorMark quiet;
  try_symmetric();
  for (const KeyType* type : key_types()) {
    if (fips_is_on() && !type->approved) continue;
    if (type->family == Family::kSlhDsa) {
      VHSM_TRY(look_up(*type));
      continue;
    }
    const auto key = VHSM_TRY(trial_key(*type));
    try_coders(key.get());
    try_shielding(*type, key.get());
    if (type->signing == Signing::kDigest) try_operation(key.get(), OperationKind::kSign, "SHA256");
    if (type->signing == Signing::kMessage) {
      try_operation(key.get(), OperationKind::kSignMessage, "");
    }
    if (type->cipher.exist()) try_operation(key.get(), OperationKind::kDecrypt, "");
    if (type->kem.exist()) try_operation(key.get(), OperationKind::kDecapsulate, "");
    if (type->exchange.exist()) try_operation(key.get(), OperationKind::kDerive, "");
  }
  return {};
}

}  // namespace

Status warm_up() {
  static constinit std::mutex mutex;
  static constinit bool warm = false;
  const std::lock_guard lock(mutex);
  if (warm) return {};
  VHSM_TRY(warm_up_once());
  warm = true;
  return {};
}

}  // namespace vhsm::keystore
