// SPDX-License-Identifier: Apache-2.0
//
// The key for which `vhsm key backup` wraps keys that are to come to this KBS. The KBS makes it and
// has it in a file; the VM that the KBS runs in says so.
// Source: docs/key-backup.md; docs/key-evidence.md.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "evidence/cmw.h"
#include "kbs/secret_file.h"
#include "keystore/backup.h"
#include "memory/secret_bytes.h"
#include "snp/platform.h"

namespace vhsm::kbs {

/// A key that came.
struct ReceivedKey {
  keystore::BackupClaims claims;
  SecretBytes content;  ///< what becomes the resource: as it was sealed there
};

class Receiver {
 public:
  /// A new key pair on P-256, in a new file of mode 0600.
  /// @errors kIo (subject: the path), also when the file is there; kCrypto, kMemoryLimit.
  static Status create(const std::string& path);

  /// @errors kIo, kBadFormat (subject: the path); kCrypto, kMemoryLimit.
  static Result<Receiver> open(const std::string& path);

  /// Evidence that the key is a KBS's, which is what it says: no keystore has such claims.
  /// @param nonce  of who wants to know, 8 to 64 bytes.
  /// @errors kInvalidArgument (the nonce); as snp::Platform::attest().
  [[nodiscard]] Result<evidence::Collection> attest(snp::Platform& platform,
                                                    std::span<const std::uint8_t> nonce) const;

  /// @param backup  what `vhsm key backup` made.
  /// @errors kBadFormat; kMissing when it is for another key; kPolicy when its key was never to
  ///         leave; kBadSignature when it was changed; kCrypto, kMemoryLimit.
  [[nodiscard]] Result<ReceivedKey> receive(std::string_view backup) const;

 private:
  Receiver(PrivateKey key, std::vector<std::uint8_t> public_key_info)
      : key_(std::move(key)), public_key_info_(std::move(public_key_info)) {}

  PrivateKey key_;
  std::vector<std::uint8_t> public_key_info_;
};

}  // namespace vhsm::kbs
