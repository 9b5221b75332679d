// SPDX-License-Identifier: Apache-2.0
//
// The secret steps of a JWE.
#include "jose/key_wrap.h"

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rsa.h>

#include <algorithm>
#include <climits>
#include <string>
#include <vector>

namespace vhsm::jose {
namespace {

void append_be32(std::vector<std::uint8_t>& out, std::size_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) {
    out.push_back(static_cast<std::uint8_t>(value >> shift));
  }
}

/// A 32-bit length and the bytes: "Data" in RFC 7518, section 4.6.2.
void append_data(std::vector<std::uint8_t>& out, Bytes data) {
  append_be32(out, data.size());
  out.insert(out.end(), data.begin(), data.end());
}

Bytes octets(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

Result<int> as_int(std::size_t length) {
  if (length > INT_MAX) return fail(Errc::kBadLength, "more than 2 GiB in one piece");
  return static_cast<int>(length);
}

Result<ossl::CipherCtx> new_cipher_ctx() {
  return made(ossl::CipherCtx(EVP_CIPHER_CTX_new()), "EVP_CIPHER_CTX_new");
}

/// A context for AES key wrap, ready for one key.
Result<ossl::CipherCtx> wrap_ctx(const SecretBytes& kek, int encrypt) {
  if (kek.size() != kCekBytes) return fail(Errc::kBadLength, "a key-wrapping key of another size");
  auto ctx = VHSM_TRY(new_cipher_ctx());
  EVP_CIPHER_CTX_set_flags(ctx.get(), EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
  VHSM_TRY(crypto(EVP_CipherInit_ex(ctx.get(), EVP_aes_256_wrap(), nullptr, kek.expose().data(),
                                    nullptr, encrypt),
                  "AES key wrap"));
  return ctx;
}

Result<ossl::CipherCtx> gcm_ctx(const SecretBytes& key, std::span<const std::uint8_t, kIvBytes> iv,
                                std::string_view aad, int encrypt) {
  if (key.size() != kCekBytes) return fail(Errc::kBadLength, "a content key of another size");
  auto ctx = VHSM_TRY(new_cipher_ctx());
  VHSM_TRY(crypto(EVP_CipherInit_ex(ctx.get(), EVP_aes_256_gcm(), nullptr, key.expose().data(),
                                    iv.data(), encrypt),
                  "AES-256-GCM"));
  const int aad_bytes = VHSM_TRY(as_int(aad.size()));
  int written = 0;
  VHSM_TRY(crypto(EVP_CipherUpdate(ctx.get(), nullptr, &written, octets(aad).data(), aad_bytes),
                  "AES-256-GCM"));
  return ctx;
}

/// Not called for nothing: a null input means something else to libcrypto.
Status gcm_update(EVP_CIPHER_CTX* ctx, Bytes in, std::span<std::uint8_t> out) {
  if (in.empty()) return {};
  const int in_bytes = VHSM_TRY(as_int(in.size()));
  int written = 0;
  return crypto(EVP_CipherUpdate(ctx, out.data(), &written, in.data(), in_bytes), "AES-256-GCM");
}

using Init = int(EVP_PKEY_CTX*);

Result<ossl::PKeyCtx> oaep_ctx(EVP_PKEY* key, Init* init) {
  auto ctx =
      VHSM_TRY(made(ossl::PKeyCtx(EVP_PKEY_CTX_new_from_pkey(nullptr, key, nullptr)), "no RSA"));
  VHSM_TRY(crypto(init(ctx.get()), "RSA-OAEP"));
  VHSM_TRY(crypto(EVP_PKEY_CTX_set_rsa_padding(ctx.get(), RSA_PKCS1_OAEP_PADDING), "RSA-OAEP"));
  VHSM_TRY(crypto(EVP_PKEY_CTX_set_rsa_oaep_md_name(ctx.get(), "SHA2-256", nullptr), "RSA-OAEP"));
  VHSM_TRY(crypto(EVP_PKEY_CTX_set_rsa_mgf1_md_name(ctx.get(), "SHA2-256", nullptr), "RSA-OAEP"));
  return ctx;
}

}  // namespace

Result<std::vector<std::uint8_t>> transport(EVP_PKEY* peer, const SecretBytes& key) {
  const auto ctx = VHSM_TRY(oaep_ctx(peer, EVP_PKEY_encrypt_init));
  std::vector<std::uint8_t> wrapped(static_cast<std::size_t>(EVP_PKEY_get_size(peer)));
  std::size_t size = wrapped.size();
  VHSM_TRY(
      crypto(EVP_PKEY_encrypt(ctx.get(), wrapped.data(), &size, key.expose().data(), key.size()),
             "RSA-OAEP"));
  wrapped.resize(size);
  return wrapped;
}

Result<SecretBytes> receive(EVP_PKEY* own, Bytes wrapped) {
  const ossl::ErrorMark quiet;
  const auto ctx = VHSM_TRY(oaep_ctx(own, EVP_PKEY_decrypt_init));
  std::size_t size = static_cast<std::size_t>(EVP_PKEY_get_size(own));
  auto key = VHSM_TRY(SecretBytes::zeros(size));
  if (EVP_PKEY_decrypt(ctx.get(), key.expose().data(), &size, wrapped.data(), wrapped.size()) !=
          1 ||
      size != kCekBytes) {
    return fail(Errc::kForged, "the content key of a JWE does not authenticate");
  }
  key.truncate(size);
  return key;
}

Result<SecretBytes> shared_secret(EVP_PKEY* own, EVP_PKEY* peer) {
  const auto ctx =
      VHSM_TRY(made(ossl::PKeyCtx(EVP_PKEY_CTX_new_from_pkey(nullptr, own, nullptr)), "no ECDH"));
  VHSM_TRY(crypto(EVP_PKEY_derive_init(ctx.get()), "EVP_PKEY_derive_init"));
  VHSM_TRY(crypto(EVP_PKEY_derive_set_peer(ctx.get(), peer), "EVP_PKEY_derive_set_peer"));
  std::size_t length = 0;
  VHSM_TRY(crypto(EVP_PKEY_derive(ctx.get(), nullptr, &length), "EVP_PKEY_derive"));
  auto z = VHSM_TRY(SecretBytes::zeros(length));
  VHSM_TRY(crypto(EVP_PKEY_derive(ctx.get(), z.expose().data(), &length), "EVP_PKEY_derive"));
  z.truncate(length);
  return z;
}

Result<SecretBytes> concat_kdf(const SecretBytes& z, std::string_view algorithm, Bytes party_u,
                               Bytes party_v, std::size_t key_bytes) {
  std::vector<std::uint8_t> info;
  append_data(info, octets(algorithm));
  append_data(info, party_u);
  append_data(info, party_v);
  append_be32(info, key_bytes * CHAR_BIT);

  // OpenSSL's name for the Concat KDF of SP 800-56A.
  const auto kdf = VHSM_TRY(made(ossl::Kdf(EVP_KDF_fetch(nullptr, "SSKDF", nullptr)), "no SSKDF"));
  const auto ctx = VHSM_TRY(made(ossl::KdfCtx(EVP_KDF_CTX_new(kdf.get())), "EVP_KDF_CTX_new"));
  std::string digest("SHA256");
  auto* secret = const_cast<std::uint8_t*>(z.expose().data());  // OSSL_PARAM is const-blind
  const OSSL_PARAM params[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest.data(), digest.size()),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, secret, z.size()),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info.data(), info.size()),
      OSSL_PARAM_construct_end()};
  auto key = VHSM_TRY(SecretBytes::zeros(key_bytes));
  VHSM_TRY(crypto(EVP_KDF_derive(ctx.get(), key.expose().data(), key.size(), params), "SSKDF"));
  return key;
}

Result<std::array<std::uint8_t, kWrappedCekBytes>> wrap(const SecretBytes& kek,
                                                        const SecretBytes& key) {
  if (key.size() != kCekBytes) return fail(Errc::kBadLength, "a content key of another size");
  const auto ctx = VHSM_TRY(wrap_ctx(kek, 1));
  std::array<std::uint8_t, kWrappedCekBytes> wrapped{};
  int written = 0;
  VHSM_TRY(crypto(EVP_CipherUpdate(ctx.get(), wrapped.data(), &written, key.expose().data(),
                                   static_cast<int>(kCekBytes)),
                  "AES key wrap"));
  if (written != static_cast<int>(kWrappedCekBytes)) return fail(Errc::kCrypto, "AES key wrap");
  return wrapped;
}

Result<SecretBytes> unwrap(const SecretBytes& kek,
                           std::span<const std::uint8_t, kWrappedCekBytes> wrapped) {
  const ossl::ErrorMark quiet;
  const auto ctx = VHSM_TRY(wrap_ctx(kek, 0));
  auto key = VHSM_TRY(SecretBytes::zeros(kWrappedCekBytes));  // libcrypto writes a block too many
  int written = 0;
  if (EVP_CipherUpdate(ctx.get(), key.expose().data(), &written, wrapped.data(),
                       static_cast<int>(wrapped.size())) != 1 ||
      written != static_cast<int>(kCekBytes)) {
    return fail(Errc::kForged, "the content key of a JWE does not authenticate");
  }
  key.truncate(kCekBytes);
  return key;
}

Status gcm_seal(const SecretBytes& key, std::span<const std::uint8_t, kIvBytes> iv,
                std::string_view aad, Bytes plaintext, std::span<std::uint8_t> ciphertext,
                std::span<std::uint8_t, kTagBytes> tag) {
  if (ciphertext.size() != plaintext.size()) return fail(Errc::kBadLength, "AES-256-GCM output");
  const auto ctx = VHSM_TRY(gcm_ctx(key, iv, aad, 1));
  VHSM_TRY(gcm_update(ctx.get(), plaintext, ciphertext));
  int written = 0;
  VHSM_TRY(crypto(EVP_CipherFinal_ex(ctx.get(), tag.data(), &written), "AES-256-GCM"));
  return crypto(EVP_CIPHER_CTX_ctrl(ctx.get(), EVP_CTRL_AEAD_GET_TAG, static_cast<int>(tag.size()),
                                    tag.data()),
                "AES-256-GCM tag");
}

Result<SecretBytes> gcm_open(const SecretBytes& key, std::span<const std::uint8_t, kIvBytes> iv,
                             std::string_view aad, Bytes ciphertext,
                             std::span<const std::uint8_t, kTagBytes> tag) {
  const ossl::ErrorMark quiet;
  const auto ctx = VHSM_TRY(gcm_ctx(key, iv, aad, 0));
  auto plaintext = VHSM_TRY(SecretBytes::zeros(ciphertext.size()));
  VHSM_TRY(gcm_update(ctx.get(), ciphertext, plaintext.expose()));
  std::array<std::uint8_t, kTagBytes> expected{};
  std::ranges::copy(tag, expected.begin());
  VHSM_TRY(crypto(EVP_CIPHER_CTX_ctrl(ctx.get(), EVP_CTRL_AEAD_SET_TAG,
                                      static_cast<int>(expected.size()), expected.data()),
                  "AES-256-GCM tag"));
  std::array<std::uint8_t, kTagBytes> nothing{};
  int written = 0;
  if (EVP_CipherFinal_ex(ctx.get(), nothing.data(), &written) != 1) {
    return fail(Errc::kForged, "the ciphertext of a JWE does not authenticate");
  }
  return plaintext;
}

}  // namespace vhsm::jose
