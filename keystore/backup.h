// SPDX-License-Identifier: Apache-2.0
//
// A key on its way from one keystore to another: a JWE to a key that the other one has made for
// this and proved to have (operations=restore), so that it is nowhere in the clear.
// Source: docs/key-backup.md; RFC 7516, section 7.2.2; RFC 7518, sections 4.3, 4.6 and 5.3.
#pragma once

#include <openssl/types.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "keystore/key_name.h"
#include "keystore/witness.h"
#include "memory/secret_bytes.h"

namespace vhsm::keystore {

inline constexpr std::size_t kMaxBackupBytes = std::size_t{2} << 20;

/// Who a backup is for.
struct BackupReceiver {
  KeyClaims claims;           ///< of its key: from evidence that was found genuine
  std::string measurement{};  ///< of its VM, hex: for the audit log
  bool may_be_kbs = false;    ///< whether the key's owner accepts a KBS, whose operator reads it

  /// Whether the key was made in a keystore to open backups, and does nothing else: else whoever
  /// has it could open the backup in ordinary memory. Or in a KBS, where that is accepted.
  /// @errors kPolicyRefused (subject: the key).
  [[nodiscard]] Status check() const;
};

/// What a backup says of itself, in the clear and authenticated. By whom nobody can tell: whoever
/// has the receiver's public key can make one.
struct BackupClaims {
  KeyUri key;  ///< where it was, with its version; of a symmetric key with its type
  std::string policy;
  KeyUri receiver;           ///< the key that opens it, with its version
  std::string receiver_key;  ///< digest_of() its public half
};

/// SHA-256 of a SubjectPublicKeyInfo, base64url.
[[nodiscard]] Result<std::string> digest_of(std::span<const std::uint8_t> public_key_info);

/// @param stored  the key, as it is sealed.
/// @return a JWE in JSON.
/// @errors kUnsupported for a receiver's key that is neither EC on P-256 or P-521 nor RSA of 2048
///         to 4096 bits; kBadFormat, kCrypto, kMemoryLimit, kForked.
[[nodiscard]] Result<std::string> write_backup(const SecretBytes& stored, const KeyUri& key,
                                               std::string_view policy, const KeyClaims& receiver);

/// True only if open_backup() opens it.
/// @errors kBadFormat.
[[nodiscard]] Result<BackupClaims> read_backup(std::string_view backup);

/// Whether the key with this public half is the one that opens it.
/// @errors kCrypto.
[[nodiscard]] Result<bool> is_for(const BackupClaims& claims,
                                  std::span<const std::uint8_t> public_key_info);

/// @param receiver  the receiver's key, from protected memory.
/// @errors as jose::decrypt(), but kBadSignature when anything was changed, or it is for another
///         key.
[[nodiscard]] Result<SecretBytes> open_backup(std::string_view backup, EVP_PKEY* receiver);
/// @param receiver  PKCS#8 of the receiver's key.
[[nodiscard]] Result<SecretBytes> open_backup(std::string_view backup, const SecretBytes& receiver);

}  // namespace vhsm::keystore
