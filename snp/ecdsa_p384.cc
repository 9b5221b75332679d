// SPDX-License-Identifier: Apache-2.0
#include "snp/ecdsa_p384.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/obj_mac.h>
#include <openssl/params.h>

#include <vector>

namespace vhsm::snp {
namespace {

using Bytes = std::span<const std::uint8_t>;

constexpr const char* kDigest = "SHA384";

Result<ossl::Bignum> from_little_endian(Bytes bytes) {
  return made(ossl::Bignum(BN_lebin2bn(bytes.data(), static_cast<int>(bytes.size()), nullptr)),
              "no number for a signature");
}

/// r and s as the DER that libcrypto verifies. It refuses 0 and anything from the order on itself.
Result<std::vector<std::uint8_t>> to_der(Bytes r_bytes, Bytes s_bytes) {
  auto r = VHSM_TRY(from_little_endian(r_bytes));
  auto s = VHSM_TRY(from_little_endian(s_bytes));
  const auto signature = VHSM_TRY(made(ossl::EcdsaSig(ECDSA_SIG_new()), "no ECDSA_SIG"));
  VHSM_TRY(crypto(ECDSA_SIG_set0(signature.get(), r.release(), s.release()), "ECDSA_SIG_set0"));
  std::uint8_t* raw = nullptr;
  const int size = i2d_ECDSA_SIG(signature.get(), &raw);
  if (size <= 0) return fail(Errc::kCrypto, "an ECDSA signature cannot be encoded");
  std::vector<std::uint8_t> der(raw, raw + size);
  OPENSSL_free(raw);
  return der;
}

Status put(const BIGNUM* number, std::span<std::uint8_t> into) {
  const int size = static_cast<int>(into.size());
  if (BN_bn2lebinpad(number, into.data(), size) != size) {
    return fail(Errc::kCrypto, "a number of a signature is too long");
  }
  return {};
}

Result<std::vector<std::uint8_t>> sign(EVP_PKEY* key, Bytes message) {
  const auto ctx = VHSM_TRY(made(ossl::MdCtx(EVP_MD_CTX_new()), "no digest context"));
  VHSM_TRY(
      crypto(EVP_DigestSignInit_ex(ctx.get(), nullptr, kDigest, nullptr, nullptr, key, nullptr),
             "the key does not sign with ECDSA and SHA-384"));
  std::size_t size = 0;
  VHSM_TRY(crypto(EVP_DigestSign(ctx.get(), nullptr, &size, message.data(), message.size()),
                  "the key does not sign with ECDSA and SHA-384"));
  std::vector<std::uint8_t> der(size);
  VHSM_TRY(crypto(EVP_DigestSign(ctx.get(), der.data(), &size, message.data(), message.size()),
                  "the key does not sign with ECDSA and SHA-384"));
  der.resize(size);
  return der;
}

constexpr std::size_t kCoordinateBytes = 48;

/// As X9.62 writes it.
Status put_coordinate(Bytes little_endian, std::span<std::uint8_t> into) {
  const auto number = VHSM_TRY(from_little_endian(little_endian));
  const int size = static_cast<int>(into.size());
  if (BN_bn2binpad(number.get(), into.data(), size) == size) return {};
  return fail(Errc::kBadFormat, "a coordinate of a public key is too long");
}

}  // namespace

Result<ossl::PKey> public_p384(std::span<const std::uint8_t, kP384NumberBytes> x,
                               std::span<const std::uint8_t, kP384NumberBytes> y) {
  const ossl::ErrorMark mark;
  std::array<std::uint8_t, 1 + 2 * kCoordinateBytes> point{POINT_CONVERSION_UNCOMPRESSED};
  VHSM_TRY(put_coordinate(x, std::span(point).subspan(1, kCoordinateBytes)));
  VHSM_TRY(put_coordinate(y, std::span(point).last(kCoordinateBytes)));
  char group[] = SN_secp384r1;
  OSSL_PARAM parts[]{
      OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
      OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size()),
      OSSL_PARAM_construct_end()};
  const auto ctx = VHSM_TRY(
      made(ossl::PKeyCtx(EVP_PKEY_CTX_new_from_name(nullptr, "EC", nullptr)), "no EC keys"));
  ossl::PKey key;
  if (EVP_PKEY_fromdata_init(ctx.get()) != 1 ||
      EVP_PKEY_fromdata(ctx.get(), ossl::Receive(key), EVP_PKEY_PUBLIC_KEY, parts) != 1) {
    return fail(Errc::kBadFormat, "a public key is no point of P-384");
  }
  return key;
}

Status verify_p384(EVP_PKEY* key, Bytes message,
                   std::span<const std::uint8_t, 2 * kP384NumberBytes> signature) {
  const ossl::ErrorMark mark;
  const auto der =
      VHSM_TRY(to_der(signature.first<kP384NumberBytes>(), signature.last<kP384NumberBytes>()));
  const auto ctx = VHSM_TRY(made(ossl::MdCtx(EVP_MD_CTX_new()), "no digest context"));
  VHSM_TRY(
      crypto(EVP_DigestVerifyInit_ex(ctx.get(), nullptr, kDigest, nullptr, nullptr, key, nullptr),
             "this key does not verify"));
  if (EVP_DigestVerify(ctx.get(), der.data(), der.size(), message.data(), message.size()) != 1) {
    return fail(Errc::kBadSignature, "the signature is not by this key");
  }
  return {};
}

Result<P384Signature> sign_p384(EVP_PKEY* key, Bytes message) {
  const auto der = VHSM_TRY(sign(key, message));
  const std::uint8_t* cursor = der.data();
  const auto numbers =
      VHSM_TRY(made(ossl::EcdsaSig(d2i_ECDSA_SIG(nullptr, &cursor, static_cast<long>(der.size()))),
                    "an ECDSA signature cannot be read"));
  P384Signature signature{};
  const std::span into(signature);
  VHSM_TRY(put(ECDSA_SIG_get0_r(numbers.get()), into.first<kP384NumberBytes>()));
  VHSM_TRY(put(ECDSA_SIG_get0_s(numbers.get()), into.last<kP384NumberBytes>()));
  return signature;
}

}  // namespace vhsm::snp
