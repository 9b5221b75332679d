// SPDX-License-Identifier: Apache-2.0
//
// The ID block of a guest, by which its owner signs what may be launched, and the keys behind it.
// Source: AMD 56860, section 8.18 (SNP_LAUNCH_FINISH): tables "Structure of the ID Block",
// "Structure of the ID Authentication Information Structure", "ECDSA P-384 Public Key".
#pragma once

#include <openssl/evp.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "snp/report.h"

namespace vhsm::snp {

using IdBlock = std::array<std::uint8_t, 96>;
using IdAuthentication = std::array<std::uint8_t, 4096>;
using KeyDigest = std::array<std::uint8_t, field::kIdKeyDigest.size>;

/// What an ID block says of a guest.
struct GuestIdentity {
  Measurement measurement;
  FamilyId family_id;
  ImageId image_id;
  std::uint32_t guest_svn = 0;
  std::uint64_t policy = 0;  ///< POLICY
};

/// What firmware knows of a guest that was launched with an ID block.
struct SignedIdentity {
  GuestIdentity guest;
  KeyDigest id_key{};
  std::optional<KeyDigest> author_key;  ///< who signed the ID key, if anybody
};

/// @errors kInvalidArgument for a POLICY whose reserved bits are wrong.
[[nodiscard]] Result<IdBlock> make_id_block(const GuestIdentity& identity);

/// Signs `block` with the ID key, and the ID key with the author key.
/// @param id_key,author_key  private P-384 keys; a null `author_key`: none. Where they are in
///                           protected memory, call this in a scope.
/// @errors kInvalidArgument for other keys, kCrypto.
[[nodiscard]] Result<IdAuthentication> authenticate(const IdBlock& block, EVP_PKEY* id_key,
                                                    EVP_PKEY* author_key);

/// Judges a block as firmware does at a launch.
/// @errors kBadFormat for another version, algorithm, curve or POLICY; kBadSignature.
[[nodiscard]] Result<SignedIdentity> check_id_block(const IdBlock& block,
                                                    const IdAuthentication& authentication);

/// The same, of two files: the block, and its authentication.
/// @errors kIo; kBadFormat; those of check_id_block(). The subject is the file.
[[nodiscard]] Result<SignedIdentity> read_id_block(const std::string& block_path,
                                                   const std::string& authentication_path);

/// What a report calls ID_KEY_DIGEST or AUTHOR_KEY_DIGEST: SHA-384 of the public key as the
/// firmware writes it.
/// @errors kInvalidArgument for a key that is not on P-384, kCrypto.
[[nodiscard]] Result<KeyDigest> key_digest(const EVP_PKEY* key);

/// The same, of a PEM file with a public key.
/// @errors kIo, kBadFormat, and those of key_digest().
[[nodiscard]] Result<KeyDigest> read_key_digest(const std::string& path);

}  // namespace vhsm::snp
