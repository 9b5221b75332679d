// SPDX-License-Identifier: Apache-2.0
//
// What every file of a sealed folder is, and every slot of the root key: a header that can be read,
// and a body that cannot, both authenticated. AES-256-GCM under a key for this one box:
// HKDF-SHA-256 of the key above, with the box's own salt. So no nonce serves twice, and it is
// constant. Source: docs/sealed-folder.md; NIST SP 800-38D; RFC 5869.
#pragma once

#include <cstdint>

#include "keystore/sealed/bytes.h"
#include "memory/secret_bytes.h"

namespace vhsm::keystore::sealed {

/// As it stands in the file. A box of one kind cannot be taken for one of another.
enum class BoxKind : std::uint8_t {
  kSlot = 1,  ///< the root key, under the key of somebody who may have it
  kRoot = 2,  ///< all slots
  kHead = 3,  ///< which files are the current ones
  kIndex = 4,
  kKey = 5,
};

inline constexpr std::size_t kKeyBytes = 32;  ///< of the root key, and of what wraps it
inline constexpr std::size_t kSaltBytes = 32;
inline constexpr std::size_t kTagBytes = 16;
inline constexpr std::size_t kMaxKeyFileBytes = std::size_t{1} << 20;

/// The parts of a box that has been read, in its bytes.
struct Box {
  ByteView authenticated;  ///< all before the body
  ByteView salt;
  ByteView header;
  ByteView body;  ///< ciphertext
  ByteView tag;
};

/// Finds the parts. Nothing is authenticated yet.
/// @errors kTampered; kUnsupported for a later form.
Result<Box> parse_box(ByteView bytes, BoxKind kind);

/// @errors kCrypto, kMemoryLimit.
Result<Bytes> seal_box(const SecretBytes& key, BoxKind kind, ByteView header, ByteView body);

/// Of a body that is secret; it is read in a scope.
Result<Bytes> seal_box(const SecretBytes& key, BoxKind kind, ByteView header,
                       const SecretBytes& body);

/// The body, into memory of its size: protected memory, or for what is no secret ordinary one.
/// @errors kTampered: under this key it is not genuine; then `body` is zero.
Status open_box(const SecretBytes& key, const Box& box, std::span<std::uint8_t> body);
Result<SecretBytes> open_secret_box(const SecretBytes& key, const Box& box);

/// In protected memory.
Result<SecretBytes> random_secret(std::size_t bytes);

/// A box without body: is it genuine?
inline Status check_box(const SecretBytes& key, const Box& box) { return open_box(key, box, {}); }

}  // namespace vhsm::keystore::sealed
