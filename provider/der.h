// SPDX-License-Identifier: Apache-2.0
//
// As much DER as a stand-in and a PKCS#1 public key need: definite lengths, single-byte tags.
// Source: X.690 (02/2021), sections 8.1.3 and 10.1.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"

namespace vhsm::provider::der {

inline constexpr std::uint8_t kInteger = 0x02;
inline constexpr std::uint8_t kBitString = 0x03;
inline constexpr std::uint8_t kUtf8String = 0x0c;
inline constexpr std::uint8_t kSequence = 0x30;

/// Takes values off the front of a buffer that it borrows.
class Reader {
 public:
  explicit Reader(std::span<const std::uint8_t> data) noexcept : rest_(data) {}

  /// The contents of the next value, which must have `tag`.
  /// @errors kBadFormat for another tag, a length that is not minimal, or one beyond the end.
  Result<std::span<const std::uint8_t>> take(std::uint8_t tag);
  /// The next value with its tag and length.  @errors kBadFormat.
  Result<std::span<const std::uint8_t>> take_whole(std::uint8_t tag);
  [[nodiscard]] bool at_end() const noexcept { return rest_.empty(); }

 private:
  struct Header {
    std::size_t header_bytes;
    std::size_t content_bytes;
  };
  [[nodiscard]] Result<Header> header(std::uint8_t tag) const;

  std::span<const std::uint8_t> rest_;
};

/// The size of tag, length and contents of the value that starts with `head` (at least 6 bytes).
/// @errors kBadFormat.
Result<std::size_t> whole_bytes(std::span<const std::uint8_t> head);

/// Appends a value with `tag` and `contents` to `out`.
void append(std::vector<std::uint8_t>& out, std::uint8_t tag,
            std::span<const std::uint8_t> contents);

}  // namespace vhsm::provider::der
