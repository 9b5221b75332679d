// SPDX-License-Identifier: Apache-2.0
//
// Files of any size, encrypted in constant memory under a symmetric key that stays where it is: the
// key wraps a key of the file's own, and that one encrypts the file in chunks. A chunk that was
// changed, moved, doubled or left out is noticed before a byte of it is handed on.
// Source: docs/encrypted-files.md; the construction is STREAM (Hoang, Reyhanitabar, Rogaway, Vizar:
// Online Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance, CRYPTO 2015).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "base/result.h"
#include "keystore/keystore.h"

namespace vhsm::keystore {

inline constexpr std::size_t kStreamNonceBytes = 12;
inline constexpr std::size_t kStreamTagBytes = 16;
inline constexpr std::size_t kStreamKeyBytes = 32;
inline constexpr std::size_t kStreamChunkBytes = std::size_t{64} << 10;  ///< of plaintext

/// What stands before the chunks.
struct StreamHead {
  static constexpr std::size_t kBytes = 76;

  std::uint32_t key_version = 0;  ///< of the key that wraps; 0: it has none
  std::array<std::uint8_t, kStreamNonceBytes> nonce{};
  std::array<std::uint8_t, kStreamKeyBytes + kStreamTagBytes> wrapped{};  ///< the file's own key
};

[[nodiscard]] std::array<std::uint8_t, StreamHead::kBytes> to_bytes(const StreamHead& head);
/// @errors kBadFormat for other bytes; kUnsupported for a later form.
Result<StreamHead> parse_stream_head(std::span<const std::uint8_t> bytes);

/// Fills as much as there is: less than asked for is the end.  @errors kIo.
using Source = std::function<Result<std::size_t>(std::span<std::uint8_t>)>;
using Sink = std::function<Status(std::span<const std::uint8_t>)>;

/// @param uri  of a key of 32 bytes that may encrypt with AES-256-GCM.
/// @errors kBadLength for a key of another length; those of Keystore::open(), of
///         SymmetricOperation, of `source` and `sink`.
Status encrypt_stream(Keystore& keystore, const KeyUri& uri, const Source& source,
                      const Sink& sink);

/// `sink` gets chunks that are what was encrypted, in their places. That they are all is known only
/// when this succeeds.
/// @param uri  without a version: the one that the head names.
/// @errors as encrypt_stream(); kBadFormat; kTampered.
Status decrypt_stream(Keystore& keystore, const KeyUri& uri, const Source& source,
                      const Sink& sink);

}  // namespace vhsm::keystore
