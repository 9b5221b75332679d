// SPDX-License-Identifier: Apache-2.0
//
// CBOR as vhsmd's protocol, COSE_Keys and evidence use it: definite lengths, integers, byte and
// text strings, arrays, maps, truth values. Nothing is allocated for what is read: answers point
// into the buffer. Source: RFC 8949; libcbor's streaming decoder and encoders.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace vhsm {

using ByteView = std::span<const std::uint8_t>;

/// Appends items to a buffer that it borrows.
class CborWriter {
 public:
  explicit CborWriter(std::vector<std::uint8_t>& out) noexcept : out_(out) {}

  void number(std::uint64_t value);
  void integer(std::int64_t value);
  void bytes(ByteView value);
  void text(std::string_view value);
  /// `count` items follow.
  void array(std::size_t count);
  /// `count` pairs of items follow.
  void map(std::size_t count);

 private:
  using Encode = std::size_t (*)(std::size_t, unsigned char*, std::size_t);
  void head(Encode encode, std::uint64_t value);

  std::vector<std::uint8_t>& out_;
};

/// Takes items off the front of a buffer that it borrows.
/// @errors kBadFormat for an item of another kind, an indefinite length, or one beyond the end.
class CborReader {
 public:
  explicit CborReader(ByteView data) noexcept : rest_(data) {}

  Result<std::uint64_t> number();
  /// Also one below zero.
  Result<std::int64_t> integer();
  Result<bool> truth();
  Result<ByteView> bytes();
  Result<std::string_view> text();
  /// @return how many items follow; each takes a byte at least, so it is bounded by the buffer.
  Result<std::size_t> array();
  /// @return how many pairs follow.
  Result<std::size_t> map();
  /// Any item with all that is within it, as it stands.
  /// @errors as the others; also for items within more than 8 others.
  Result<ByteView> skip();
  [[nodiscard]] bool next_is_text() const noexcept { return next_is(Kind::kText); }
  [[nodiscard]] bool next_is_array() const noexcept { return next_is(Kind::kArray); }
  [[nodiscard]] bool next_is_truth() const noexcept { return next_is(Kind::kTruth); }
  [[nodiscard]] bool at_end() const noexcept { return rest_.empty(); }

 private:
  enum class Kind : std::uint8_t {
    kIndefinite,
    kOther,  ///< null, a float, a simple value
    kNumber,
    kNegative,  ///< -1 - number
    kBytes,
    kText,
    kArray,
    kMap,
    kTag,
    kTruth,
  };
  struct Item {
    Kind kind = Kind::kIndefinite;
    std::uint64_t number = 0;
    ByteView bytes;
  };
  struct Callbacks;
  /// Looks, and takes nothing.
  [[nodiscard]] Item look(std::size_t& size) const noexcept;
  [[nodiscard]] bool next_is(Kind kind) const noexcept;
  Result<Item> next();
  Result<Item> next(Kind wanted);
  Status skip_items(std::uint64_t count, int levels);

  ByteView rest_;
};

}  // namespace vhsm
