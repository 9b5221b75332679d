// SPDX-License-Identifier: Apache-2.0
//
// What a symmetric key can be used for: a new algorithm is a line in symmetric_algorithm.cc.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace vhsm::keystore {

enum class SymmetricKind : std::uint8_t { kMac, kCipher, kKdf };

/// The operations of a JWK's `key_ops` (RFC 7517, section 4.3). MACs are compared by whoever asks
/// for them, so that to verify is to sign; wrapping is an operation of the WRAP ciphers. To release
/// is no operation of a key: what may come out is a secret, and never used in place.
enum class Use : std::uint8_t { kSign, kEncrypt, kDecrypt, kWrap, kUnwrap, kDerive, kRelease };

/// How a cipher goes from block to block.
enum class CipherMode : std::uint8_t { kNone, kGcm, kCbc, kCtr, kWrap };

struct SymmetricAlgorithm {
  SymmetricKind kind;
  CipherMode mode;
  const char* name;  ///< the private OpenSSL's: "HMAC", "AES-256-GCM"
  /// The host's. By OpenSSL's name anyone who asks without a property could get ours, which takes
  /// no key in the clear.
  const char* own_name;
  Use forwards;   ///< MAC, KDF, encryption
  Use backwards;  ///< decryption
};

extern const SymmetricAlgorithm kHmac;
extern const SymmetricAlgorithm kCmac;
extern const SymmetricAlgorithm kKmac128;
extern const SymmetricAlgorithm kKmac256;
extern const SymmetricAlgorithm kAes128Gcm;
extern const SymmetricAlgorithm kAes192Gcm;
extern const SymmetricAlgorithm kAes256Gcm;
extern const SymmetricAlgorithm kAes128Cbc;
extern const SymmetricAlgorithm kAes192Cbc;
extern const SymmetricAlgorithm kAes256Cbc;
extern const SymmetricAlgorithm kAes128Ctr;
extern const SymmetricAlgorithm kAes192Ctr;
extern const SymmetricAlgorithm kAes256Ctr;
extern const SymmetricAlgorithm kAes128Wrap;
extern const SymmetricAlgorithm kAes192Wrap;
extern const SymmetricAlgorithm kAes256Wrap;
extern const SymmetricAlgorithm kHkdf;
extern const SymmetricAlgorithm kTls13Kdf;

/// All of them.
[[nodiscard]] std::span<const SymmetricAlgorithm* const> symmetric_algorithms() noexcept;

/// The one of that name; null if none.
[[nodiscard]] const SymmetricAlgorithm* find_symmetric_algorithm(std::string_view name) noexcept;

}  // namespace vhsm::keystore
