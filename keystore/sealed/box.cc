// SPDX-License-Identifier: Apache-2.0
#include "keystore/sealed/box.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <limits>
#include <string_view>

#include "base/handle.h"
#include "keystore/hot_set.h"

namespace vhsm::keystore::sealed {
namespace {

constexpr std::string_view kMagic = "VHSMSEAL";
constexpr std::uint8_t kForm = 1;
constexpr std::size_t kNonceBytes = 12;
constexpr std::array<std::uint8_t, kNonceBytes> kNonce{};  // each key serves once
constexpr std::string_view kLabel = "vhsm sealed folder 1";

int length(ByteView bytes) noexcept { return static_cast<int>(bytes.size()); }

OSSL_PARAM octets(const char* name, ByteView bytes) {
  return OSSL_PARAM_construct_octet_string(name, const_cast<std::uint8_t*>(bytes.data()),
                                           bytes.size());
}

/// In a scope.
Result<SecretBytes> derive(const SecretBytes& key, ByteView salt) {
  const auto kdf = VHSM_TRY(made(ossl::Kdf(EVP_KDF_fetch(nullptr, "HKDF", nullptr)), "no HKDF"));
  const auto ctx = VHSM_TRY(made(ossl::KdfCtx(EVP_KDF_CTX_new(kdf.get())), "no HKDF"));
  char digest[] = "SHA256";
  const std::array params{OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
                          octets(OSSL_KDF_PARAM_KEY, key.expose()),
                          octets(OSSL_KDF_PARAM_SALT, salt),
                          octets(OSSL_KDF_PARAM_INFO, view(kLabel)), OSSL_PARAM_construct_end()};
  auto derived = VHSM_TRY(SecretBytes::zeros(kKeyBytes));
  VHSM_TRY(crypto(EVP_KDF_derive(ctx.get(), derived.expose().data(), kKeyBytes, params.data()),
                  "HKDF failed"));
  return derived;
}

/// In a scope, with all that comes before the body.
Result<ossl::CipherCtx> start(const SecretBytes& key, ByteView salt, ByteView authenticated,
                              bool encrypts) {
  const SecretBytes once = VHSM_TRY(derive(key, salt));
  const auto cipher = VHSM_TRY(
      made(ossl::Cipher(EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr)), "no AES-256-GCM"));
  auto ctx = VHSM_TRY(made(ossl::CipherCtx(EVP_CIPHER_CTX_new()), "no cipher context"));
  int size = 0;
  const bool good =
      EVP_CipherInit_ex2(ctx.get(), cipher.get(), once.expose().data(), kNonce.data(),
                         encrypts ? 1 : 0, nullptr) == 1 &&
      EVP_CipherUpdate(ctx.get(), nullptr, &size, authenticated.data(), length(authenticated)) == 1;
  if (!good) return fail(Errc::kCrypto, "sealing does not start");
  return ctx;
}

/// All but salt, body and tag is fixed before.
Bytes front_of(BoxKind kind, ByteView salt, ByteView header, std::size_t body_bytes) {
  return Writer()
      .bytes(view(kMagic))
      .number(kForm)
      .number(static_cast<std::uint8_t>(kind))
      .number(std::uint16_t{0})
      .number(static_cast<std::uint32_t>(header.size()))
      .number(static_cast<std::uint32_t>(body_bytes))
      .bytes(salt)
      .bytes(header)
      .done();
}

/// In a scope.
Result<Bytes> seal(const SecretBytes& key, BoxKind kind, ByteView header, ByteView body) {
  constexpr std::size_t kMost = std::numeric_limits<int>::max();
  if (header.size() > kMost / 4 || body.size() > kMost / 4) {
    return fail(Errc::kBadLength, "this is too long for a sealed file");
  }
  std::array<std::uint8_t, kSaltBytes> salt{};
  VHSM_TRY(crypto(RAND_bytes(salt.data(), kSaltBytes), "no salt"));
  Bytes box = front_of(kind, salt, header, body.size());
  const auto ctx = VHSM_TRY(start(key, salt, box, true));
  const std::size_t front = box.size();
  box.resize(front + body.size() + kTagBytes);
  const std::span<std::uint8_t> text = std::span(box).subspan(front, body.size());
  std::uint8_t* const tag = box.data() + front + body.size();
  int size = 0;
  const bool good = (body.empty() || EVP_CipherUpdate(ctx.get(), text.data(), &size, body.data(),
                                                      length(body)) == 1) &&
                    EVP_CipherFinal_ex(ctx.get(), tag, &size) == 1 &&
                    EVP_CIPHER_CTX_ctrl(ctx.get(), EVP_CTRL_AEAD_GET_TAG, kTagBytes, tag) == 1;
  if (!good) return fail(Errc::kCrypto, "sealing failed");
  return box;
}

/// In a scope.
Status open(const SecretBytes& key, const Box& box, std::span<std::uint8_t> body) {
  const ossl::ErrorMark quiet;
  const auto ctx = VHSM_TRY(start(key, box.salt, box.authenticated, false));
  std::array<std::uint8_t, kTagBytes> tag{};  // the call wants it writable
  std::ranges::copy(box.tag, tag.begin());
  std::uint8_t none = 0;
  int size = 0;
  const bool genuine =
      (body.empty() ||
       EVP_CipherUpdate(ctx.get(), body.data(), &size, box.body.data(), length(box.body)) == 1) &&
      EVP_CIPHER_CTX_ctrl(ctx.get(), EVP_CTRL_AEAD_SET_TAG, kTagBytes, tag.data()) == 1 &&
      EVP_CipherFinal_ex(ctx.get(), &none, &size) == 1;
  if (genuine) return {};
  OPENSSL_cleanse(body.data(), body.size());
  return fail(Errc::kTampered, "a file of the keystore is not as it was sealed");
}

}  // namespace

Result<SecretBytes> random_secret(std::size_t bytes) {
  return run_with_room([&]() -> Result<SecretBytes> {
    auto secret = VHSM_TRY(SecretBytes::zeros(bytes));
    VHSM_TRY(crypto(RAND_priv_bytes(secret.expose().data(), length(secret.expose())),
                    "no random bytes"));
    return secret;
  });
}

Result<Box> parse_box(ByteView bytes, BoxKind kind) {
  Reader reader(bytes);
  const ByteView magic = VHSM_TRY(reader.bytes(kMagic.size()));
  const auto form = VHSM_TRY(reader.number<std::uint8_t>());
  const auto its_kind = VHSM_TRY(reader.number<std::uint8_t>());
  const auto reserved = VHSM_TRY(reader.number<std::uint16_t>());
  if (text(magic) != kMagic) {
    return fail(Errc::kTampered, "this is no file of a sealed folder");
  }
  if (form > kForm) return fail(Errc::kUnsupported, "a newer vhsm has sealed this: upgrade");
  if (form != kForm || its_kind != static_cast<std::uint8_t>(kind) || reserved != 0) {
    return fail(Errc::kTampered, "this is another kind of file than its name says");
  }
  const auto header_bytes = VHSM_TRY(reader.number<std::uint32_t>());
  const auto body_bytes = VHSM_TRY(reader.number<std::uint32_t>());
  Box box;
  box.salt = VHSM_TRY(reader.bytes(kSaltBytes));
  box.header = VHSM_TRY(reader.bytes(header_bytes));
  box.authenticated = bytes.first(bytes.size() - reader.rest().size());
  box.body = VHSM_TRY(reader.bytes(body_bytes));
  box.tag = VHSM_TRY(reader.bytes(kTagBytes));
  if (!reader.rest().empty()) {
    return fail(Errc::kTampered, "a file of the keystore is longer than it says");
  }
  return box;
}

Result<Bytes> seal_box(const SecretBytes& key, BoxKind kind, ByteView header, ByteView body) {
  return run_with_room([&] { return seal(key, kind, header, body); });
}

Result<Bytes> seal_box(const SecretBytes& key, BoxKind kind, ByteView header,
                       const SecretBytes& body) {
  return seal_box(key, kind, header, body.expose());
}

Status open_box(const SecretBytes& key, const Box& box, std::span<std::uint8_t> body) {
  if (body.size() != box.body.size()) {
    return fail(Errc::kTampered, "a sealed file has not the length that it should have");
  }
  return run_with_room([&] { return open(key, box, body); });
}

Result<SecretBytes> open_secret_box(const SecretBytes& key, const Box& box) {
  return run_with_room([&]() -> Result<SecretBytes> {
    auto body = VHSM_TRY(SecretBytes::zeros(box.body.size()));
    VHSM_TRY(open(key, box, body.expose()));
    return body;
  });
}

}  // namespace vhsm::keystore::sealed
