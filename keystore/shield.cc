// SPDX-License-Identifier: Apache-2.0
#include "keystore/shield.h"

#include <openssl/evp.h>
#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <mutex>
#include <utility>

#include "base/handle.h"

namespace vhsm::keystore {
namespace {

constexpr std::size_t kKeyBytes = 32;
constexpr std::size_t kNonceBytes = 12;
constexpr std::size_t kTagBytes = 16;

/// Both members are made once and stay for the process's life: as protected memory itself, they
/// outlive every provider.
struct Shield {
  const EVP_CIPHER* cipher;
  const std::uint8_t* key;
};

Result<Shield> make_shield() {
  ossl::Cipher cipher(EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr));
  if (cipher == nullptr) return fail(Errc::kCrypto, "no AES-256-GCM");
  auto* key = static_cast<std::uint8_t*>(memory::allocate(kKeyBytes));
  if (key == nullptr) return fail(Errc::kMemoryLimit, "no protected memory for the shielding key");
  const Status drawn = crypto(RAND_priv_bytes(key, kKeyBytes), "no random key");
  if (!drawn.ok()) {
    memory::release(key);
    return drawn.error();
  }
  return Shield{cipher.release(), key};
}

Result<Shield> shield() {
  static constinit std::mutex mutex;
  static constinit Shield shield{nullptr, nullptr};
  const std::lock_guard lock(mutex);
  if (shield.key == nullptr) shield = VHSM_TRY(make_shield());
  return shield;
}

int length(std::span<const std::uint8_t> bytes) noexcept { return static_cast<int>(bytes.size()); }

/// The parts of a Sealed.
template <class Byte>
struct Parts {
  explicit Parts(std::span<Byte> sealed)
      : nonce(sealed.first(kNonceBytes)),
        text(sealed.subspan(kNonceBytes, sealed.size() - kNonceBytes - kTagBytes)),
        tag(sealed.last(kTagBytes)) {}
  std::span<Byte> nonce;
  std::span<Byte> text;
  std::span<Byte> tag;
};

Result<ossl::CipherCtx> start(std::span<const std::uint8_t> nonce, bool encrypts) {
  const Shield shield = VHSM_TRY(keystore::shield());
  auto ctx = VHSM_TRY(made(ossl::CipherCtx(EVP_CIPHER_CTX_new()), "no cipher context"));
  VHSM_TRY(crypto(EVP_CipherInit_ex2(ctx.get(), shield.cipher, shield.key, nonce.data(),
                                     encrypts ? 1 : 0, nullptr),
                  "the shield does not start"));
  return ctx;
}

}  // namespace

Result<Sealed> seal(std::span<const std::uint8_t> clear) {
  Sealed sealed(kNonceBytes + clear.size() + kTagBytes);
  const Parts<std::uint8_t> parts(sealed);
  VHSM_TRY(crypto(RAND_bytes(parts.nonce.data(), length(parts.nonce)), "no nonce"));
  const auto ctx = VHSM_TRY(start(parts.nonce, true));
  int size = 0;
  const bool good =
      EVP_CipherUpdate(ctx.get(), parts.text.data(), &size, clear.data(), length(clear)) == 1 &&
      EVP_CipherFinal_ex(ctx.get(), parts.tag.data(), &size) == 1 &&
      EVP_CIPHER_CTX_ctrl(ctx.get(), EVP_CTRL_AEAD_GET_TAG, kTagBytes, parts.tag.data()) == 1;
  if (!good) return fail(Errc::kCrypto, "the key cannot be shielded");
  return sealed;
}

Result<SecretBytes> unseal(std::span<const std::uint8_t> sealed) {
  const ossl::ErrorMark quiet;
  if (sealed.size() < kNonceBytes + kTagBytes) {
    return fail(Errc::kDamaged, "the shielded key is not whole");
  }
  const Parts<const std::uint8_t> parts(sealed);
  const auto ctx = VHSM_TRY(start(parts.nonce, false));
  auto clear = VHSM_TRY(SecretBytes::zeros(parts.text.size()));
  int size = 0;
  VHSM_TRY(crypto(EVP_CipherUpdate(ctx.get(), clear.expose().data(), &size, parts.text.data(),
                                   length(parts.text)),
                  "the shield does not open"));
  std::array<std::uint8_t, kTagBytes> tag{};  // the call wants it writable
  std::ranges::copy(parts.tag, tag.begin());
  const bool genuine =
      EVP_CIPHER_CTX_ctrl(ctx.get(), EVP_CTRL_AEAD_SET_TAG, kTagBytes, tag.data()) == 1 &&
      EVP_CipherFinal_ex(ctx.get(), tag.data(), &size) == 1;
  if (!genuine) return fail(Errc::kDamaged, "the shielded key has changed since it was shielded");
  return clear;
}

}  // namespace vhsm::keystore
