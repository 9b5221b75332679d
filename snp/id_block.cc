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
constexpr std::uint64_t kCurveP384 = 2;
using KeyBytes = std::array<std::uint8_t, kKeyBytes>;

/// Where the parts of an ID block lie.
namespace block_part {
constexpr Field kMeasurement{0, 48};
constexpr Field kFamilyId{48, 16};
constexpr Field kImageId{64, 16};
constexpr Field kVersion{80, 4};
constexpr Field kGuestSvn{84, 4};
constexpr Field kPolicy{88, 8};
}  // namespace block_part

constexpr std::uint32_t kBlockVersion = 1;

/// Where the parts of an ID authentication information structure lie.
namespace part {
constexpr Field kIdAlgorithm{0x000, 4};
constexpr Field kAuthorAlgorithm{0x004, 4};
constexpr Field kBlockSignature{0x040, 0x200};
constexpr Field kIdKey{0x240, kKeyBytes};
constexpr Field kIdKeySignature{0x680, 0x200};
constexpr Field kAuthorKey{0x880, kKeyBytes};
}  // namespace part

template <class Whole>
auto slice(Whole& whole, const Field& where) {
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
constexpr Signer kIdSigner{part::kIdAlgorithm, part::kIdKey, part::kBlockSignature};
constexpr Signer kAuthorSigner{part::kAuthorAlgorithm, part::kAuthorKey, part::kIdKeySignature};

Status put_signer(IdAuthentication& into, const Signer& where, EVP_PKEY* key,
                  std::span<const std::uint8_t> message) {
  const KeyBytes bytes = VHSM_TRY(key_bytes(key));
  const P384Signature signature = VHSM_TRY(sign_p384(key, message));
  write_number(slice(into, where.algorithm), kEcdsaP384Sha384);
  std::ranges::copy(bytes, slice(into, where.key).begin());
  std::ranges::copy(signature, slice(into, where.signature).begin());
  return {};
}

// ---- what firmware makes of them ---------------------------------------------------------------

bool is_policy(std::uint64_t policy) {
  return (policy & policy_bit::kAlwaysOne) != 0 && (policy & policy_bit::kReservedMask) == 0;
}

Result<GuestIdentity> read_identity(const IdBlock& block) {
  GuestIdentity identity;
  std::ranges::copy(slice(block, block_part::kMeasurement), identity.measurement.value.begin());
  std::ranges::copy(slice(block, block_part::kFamilyId), identity.family_id.value.begin());
  std::ranges::copy(slice(block, block_part::kImageId), identity.image_id.value.begin());
  identity.guest_svn = read_u32(slice(block, block_part::kGuestSvn));
  identity.policy = read_number(slice(block, block_part::kPolicy));
  if (read_u32(slice(block, block_part::kVersion)) != kBlockVersion ||
      !is_policy(identity.policy)) {
    return fail(Errc::kBadFormat, "the ID block is of another version, or no guest has its policy");
  }
  return identity;
}

Result<KeyDigest> digest_of(std::span<const std::uint8_t> key) {
  KeyDigest digest{};
  VHSM_TRY(crypto(EVP_Digest(key.data(), key.size(), digest.data(), nullptr, EVP_sha384(), nullptr),
                  "no SHA-384"));
  return digest;
}

Result<ossl::PKey> parse_key(std::span<const std::uint8_t> bytes) {
  if (read_u32(bytes) != kCurveP384) {
    return fail(Errc::kBadFormat, "ID and author keys are on P-384");
  }
  return public_p384(bytes.subspan<4, kP384NumberBytes>(),
                     bytes.subspan<4 + kP384NumberBytes, kP384NumberBytes>());
}

/// @return the digest of the key that signed `message`.
Result<KeyDigest> check_signer(const IdAuthentication& whole, const Signer& where,
                               std::span<const std::uint8_t> message, Literal what) {
  if (read_u32(slice(whole, where.algorithm)) != kEcdsaP384Sha384) {
    return fail(Errc::kBadFormat, "ID blocks are signed by ECDSA with SHA-384");
  }
  const auto bytes = slice(whole, where.key);
  const auto key = VHSM_TRY(parse_key(bytes));
  const auto signature = slice(whole, where.signature);
  if (!verify_p384(key.get(), message, signature.first<2 * kP384NumberBytes>()).ok()) {
    return fail(Errc::kBadSignature, what);
  }
  return digest_of(bytes);
}

bool has_author(const IdAuthentication& whole) {
  return read_u32(slice(whole, part::kAuthorAlgorithm)) != 0;
}

template <std::size_t N>
Result<std::array<std::uint8_t, N>> read_exactly(const std::string& path) {
  const auto bytes = VHSM_TRY(read_file(path, N));
  if (bytes.size() != N) return fail(Errc::kBadFormat, "this file has another size", path);
  std::array<std::uint8_t, N> whole{};
  std::ranges::copy(bytes, whole.begin());
  return whole;
}

}  // namespace

Result<IdBlock> make_id_block(const GuestIdentity& identity) {
  if (!is_policy(identity.policy)) {
    return fail(Errc::kInvalidArgument, "a guest's policy has bit 17 set and bits 26 to 63 clear");
  }
  IdBlock block{};
  std::ranges::copy(identity.measurement.value, slice(block, block_part::kMeasurement).begin());
  std::ranges::copy(identity.family_id.value, slice(block, block_part::kFamilyId).begin());
  std::ranges::copy(identity.image_id.value, slice(block, block_part::kImageId).begin());
  write_number(slice(block, block_part::kVersion), kBlockVersion);
  write_number(slice(block, block_part::kGuestSvn), identity.guest_svn);
  write_number(slice(block, block_part::kPolicy), identity.policy);
  return block;
}

Result<IdAuthentication> authenticate(const IdBlock& block, EVP_PKEY* id_key,
                                      EVP_PKEY* author_key) {
  IdAuthentication whole{};
  VHSM_TRY(put_signer(whole, kIdSigner, id_key, block));
  if (author_key == nullptr) return whole;
  const KeyBytes id_bytes = VHSM_TRY(key_bytes(id_key));
  VHSM_TRY(put_signer(whole, kAuthorSigner, author_key, id_bytes));
  return whole;
}

Result<SignedIdentity> check_id_block(const IdBlock& block,
                                      const IdAuthentication& authentication) {
  SignedIdentity identity;
  identity.guest = VHSM_TRY(read_identity(block));
  identity.id_key = VHSM_TRY(
      check_signer(authentication, kIdSigner, block, "the ID block was not signed by the ID key"));
  if (has_author(authentication)) {
    identity.author_key =
        VHSM_TRY(check_signer(authentication, kAuthorSigner, slice(authentication, part::kIdKey),
                              "the ID key was not signed by the author key"));
  }
  return identity;
}

Result<SignedIdentity> read_id_block(const std::string& block_path,
                                     const std::string& authentication_path) {
  const auto block = VHSM_TRY(read_exactly<std::tuple_size_v<IdBlock>>(block_path));
  const auto authentication =
      VHSM_TRY(read_exactly<std::tuple_size_v<IdAuthentication>>(authentication_path));
  auto identity = check_id_block(block, authentication);
  if (!identity.ok()) return identity.error().about(authentication_path);
  return identity;
}

Result<KeyDigest> key_digest(const EVP_PKEY* key) {
  const KeyBytes bytes = VHSM_TRY(key_bytes(key));
  return digest_of(bytes);
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
