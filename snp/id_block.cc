// SPDX-License-Identifier: Apache-2.0
#include "snp/id_block.h"

#include <openssl/core_names.h>
#include <openssl/obj_mac.h>
#include <openssl/pem.h>

#include <algorithm>
#include <span>
#include <string_view>

#include "base/handle.h"
#include "snp/ecdsa_p384.h"
#include "snp/files.h"
#include "snp/little_endian.h"

namespace vhsm::snp {
namespace {

/// u32 curve, QX[72], QY[72], zeros.
constexpr std::size_t kKeyBytes = 0x404;
using KeyBytes = std::array<std::uint8_t, kKeyBytes>;

/// Where the parts of an ID authentication information structure lie.
namespace part {
constexpr Field kIdAlgorithm{0x000, 4};
constexpr Field kAuthorAlgorithm{0x004, 4};
constexpr Field kBlockSignature{0x040, 0x200};
constexpr Field kIdKey{0x240, kKeyBytes};
constexpr Field kIdKeySignature{0x680, 0x200};
constexpr Field kAuthorKey{0x880, kKeyBytes};
}  // namespace part

std::span<std::uint8_t> slice(IdAuthentication& whole, const Field& where) {
  return std::span(whole).subspan(where.offset, where.size);
}

bool is_p384(const EVP_PKEY* key) {
  std::array<char, 32> group{};
  std::size_t size = 0;
  return key != nullptr && EVP_PKEY_get_group_name(key, group.data(), group.size(), &size) == 1 &&
         std::string_view(group.data(), size) == SN_secp384r1;
}

Status put_coordinate(const EVP_PKEY* key, const char* name, std::span<std::uint8_t> into) {
  ossl::Bignum number;
  VHSM_TRY(crypto(EVP_PKEY_get_bn_param(key, name, ossl::Receive(number)),
                  "a public key without coordinates"));
  const int size = static_cast<int>(into.size());
  if (BN_bn2lebinpad(number.get(), into.data(), size) == size) return {};
  return fail(Errc::kCrypto, "a coordinate of a public key is too long");
}

Result<KeyBytes> key_bytes(const EVP_PKEY* key) {
  constexpr std::uint64_t kCurveP384 = 2;
  if (!is_p384(key)) return fail(Errc::kInvalidArgument, "ID and author keys are on P-384");
  KeyBytes bytes{};
  const std::span into(bytes);
  write_number(into.first(4), kCurveP384);
  VHSM_TRY(put_coordinate(key, OSSL_PKEY_PARAM_EC_PUB_X, into.subspan(4, kP384NumberBytes)));
  VHSM_TRY(put_coordinate(key, OSSL_PKEY_PARAM_EC_PUB_Y,
                          into.subspan(4 + kP384NumberBytes, kP384NumberBytes)));
  return bytes;
}

/// One key of the structure: its algorithm, its public half, and its signature over `message`.
struct Signer {
  Field algorithm;
  Field key;
  Field signature;
};

Status put_signer(IdAuthentication& into, const Signer& where, EVP_PKEY* key,
                  std::span<const std::uint8_t> message) {
  const KeyBytes bytes = VHSM_TRY(key_bytes(key));
  const P384Signature signature = VHSM_TRY(sign_p384(key, message));
  write_number(slice(into, where.algorithm), kEcdsaP384Sha384);
  std::ranges::copy(bytes, slice(into, where.key).begin());
  std::ranges::copy(signature, slice(into, where.signature).begin());
  return {};
}

}  // namespace

Result<IdBlock> make_id_block(const GuestIdentity& identity) {
  constexpr std::uint32_t kVersion = 1;
  if ((identity.policy & policy_bit::kAlwaysOne) == 0 ||
      (identity.policy & policy_bit::kReservedMask) != 0) {
    return fail(Errc::kInvalidArgument, "a guest's policy has bit 17 set and bits 26 to 63 clear");
  }
  IdBlock block{};
  const std::span into(block);
  std::ranges::copy(identity.measurement.value, into.begin());
  std::ranges::copy(identity.family_id.value, into.subspan(48).begin());
  std::ranges::copy(identity.image_id.value, into.subspan(64).begin());
  write_number(into.subspan(80, 4), kVersion);
  write_number(into.subspan(84, 4), identity.guest_svn);
  write_number(into.subspan(88, 8), identity.policy);
  return block;
}

Result<IdAuthentication> authenticate(const IdBlock& block, EVP_PKEY* id_key,
                                      EVP_PKEY* author_key) {
  IdAuthentication whole{};
  VHSM_TRY(
      put_signer(whole, {part::kIdAlgorithm, part::kIdKey, part::kBlockSignature}, id_key, block));
  if (author_key == nullptr) return whole;
  const KeyBytes id_bytes = VHSM_TRY(key_bytes(id_key));
  VHSM_TRY(put_signer(whole, {part::kAuthorAlgorithm, part::kAuthorKey, part::kIdKeySignature},
                      author_key, id_bytes));
  return whole;
}

Result<KeyDigest> key_digest(const EVP_PKEY* key) {
  const KeyBytes bytes = VHSM_TRY(key_bytes(key));
  KeyDigest digest{};
  VHSM_TRY(
      crypto(EVP_Digest(bytes.data(), bytes.size(), digest.data(), nullptr, EVP_sha384(), nullptr),
             "no SHA-384"));
  return digest;
}

Result<KeyDigest> read_key_digest(const std::string& path) {
  constexpr std::size_t kMaxPemBytes = 4096;
  const ossl::ErrorMark mark;
  const auto pem = VHSM_TRY(read_file(path, kMaxPemBytes));
  const auto bio = VHSM_TRY(
      made(ossl::Bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()))), "no buffer"));
  const ossl::PKey key(PEM_read_bio_PUBKEY(bio.get(), nullptr, nullptr, nullptr));
  if (key == nullptr) return fail(Errc::kBadFormat, "this file has no public key in PEM", path);
  const auto digest = key_digest(key.get());
  if (!digest.ok()) return digest.error().about(path);
  return digest;
}

}  // namespace vhsm::snp
