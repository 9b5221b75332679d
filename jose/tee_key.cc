// SPDX-License-Identifier: Apache-2.0
//
// The key pair of one attestation.
#include "jose/tee_key.h"

#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <utility>

#include "memory/protected_memory.h"

namespace vhsm::jose {
namespace {

constexpr unsigned kRsaBits = 2048;

struct Recipe {
  const char* type;
  const char* group;  ///< null: none
};

constexpr Recipe recipe_of(TeeKeyKind kind) {
  switch (kind) {
    case TeeKeyKind::kP521: return {"EC", "P-521"};
    case TeeKeyKind::kRsa: return {"RSA", nullptr};
    default: return {"EC", "P-256"};
  }
}

/// The search for RSA primes takes long enough to be in a fork's way.
int on_progress(EVP_PKEY_CTX* /*ctx*/) {
  memory::pause_for_fork();
  return 1;
}

/// In a scope.
Result<ossl::PKey> make_pair(const Recipe& recipe) {
  const auto ctx = VHSM_TRY(
      made(ossl::PKeyCtx(EVP_PKEY_CTX_new_from_name(nullptr, recipe.type, nullptr)), "no keys"));
  EVP_PKEY_CTX_set_cb(ctx.get(), on_progress);
  VHSM_TRY(crypto(EVP_PKEY_keygen_init(ctx.get()), "generating a TEE key"));
  VHSM_TRY(crypto(recipe.group != nullptr ? EVP_PKEY_CTX_set_group_name(ctx.get(), recipe.group)
                                          : EVP_PKEY_CTX_set_rsa_keygen_bits(ctx.get(), kRsaBits),
                  "generating a TEE key"));
  ossl::PKey key;
  VHSM_TRY(crypto(EVP_PKEY_generate(ctx.get(), ossl::Receive(key)), "generating a TEE key"));
  return key;
}

/// Frees in a scope; a process that may not enter one leaves the key to its owner.
void free_key(ossl::PKey& key) noexcept {
  if (key == nullptr) return;
  const Status freed = memory::run_protected([&]() -> Status {
    key.reset();
    return {};
  });
  if (!freed.ok()) static_cast<void>(key.release());
}

}  // namespace

Result<TeeKey> TeeKey::generate(TeeKeyKind kind) {
  auto key = memory::run_protected([&] { return make_pair(recipe_of(kind)); });
  if (!key.ok()) return key.error();
  return adopt(std::move(key).value());
}

Result<TeeKey> TeeKey::adopt(ossl::PKey key) {
  const memory::Access access;
  auto jwk = tee_jwk_of(key.get());
  if (!jwk.ok()) {
    free_key(key);
    return jwk.error();
  }
  return TeeKey(std::move(key), std::move(jwk).value());
}

Result<TeeKey> TeeKey::imported(const SecretBytes& exported) {
  ossl::PKey key = VHSM_TRY(memory::run_protected([&]() -> Result<ossl::PKey> {
    const ossl::ErrorMark quiet;
    const std::uint8_t* next = exported.expose().data();
    return made(ossl::PKey(d2i_AutoPrivateKey(nullptr, &next, static_cast<long>(exported.size()))),
                "reading a TEE key");
  }));
  return adopt(std::move(key));
}

Result<SecretBytes> TeeKey::exported() const {
  return memory::run_protected([&]() -> Result<SecretBytes> {
    const int size = i2d_PrivateKey(key_.get(), nullptr);
    if (size <= 0) return fail(Errc::kCrypto, "writing a TEE key");
    auto bytes = VHSM_TRY(SecretBytes::zeros(static_cast<std::size_t>(size)));
    std::uint8_t* next = bytes.expose().data();
    if (i2d_PrivateKey(key_.get(), &next) != size) return fail(Errc::kCrypto, "writing a TEE key");
    return bytes;
  });
}

TeeKey& TeeKey::operator=(TeeKey&& other) noexcept {
  std::swap(key_, other.key_);
  std::swap(jwk_, other.jwk_);
  return *this;
}

TeeKey::~TeeKey() { free_key(key_); }

}  // namespace vhsm::jose
