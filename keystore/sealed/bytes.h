// SPDX-License-Identifier: Apache-2.0
//
// Reading and writing what stands in the files of a sealed folder: numbers are big-endian, and
// what varies in length has its length in front.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace vhsm::keystore::sealed {

using Bytes = std::vector<std::uint8_t>;
using ByteView = std::span<const std::uint8_t>;

[[nodiscard]] inline ByteView view(std::string_view text) noexcept {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}
[[nodiscard]] inline std::string_view text(ByteView bytes) noexcept {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Takes from the front; never beyond the end.
class Reader {
 public:
  explicit Reader(ByteView bytes) noexcept : rest_(bytes) {}

  /// @errors kTampered: fewer bytes are left.
  [[nodiscard]] Result<ByteView> bytes(std::size_t size) {
    if (size > rest_.size()) return fail(Errc::kTampered, "a file of the keystore ends too early");
    const ByteView taken = rest_.first(size);
    rest_ = rest_.subspan(size);
    return taken;
  }

  template <std::unsigned_integral Number>
  [[nodiscard]] Result<Number> number() {
    Number value = 0;
    const ByteView taken = VHSM_TRY(bytes(sizeof(Number)));
    for (const std::uint8_t byte : taken) {
      value = static_cast<Number>((std::uint64_t{value} << 8) | byte);
    }
    return value;
  }

  /// What follows its length.
  template <std::unsigned_integral Length>
  [[nodiscard]] Result<ByteView> counted() {
    const Length size = VHSM_TRY(number<Length>());
    return bytes(size);
  }

  [[nodiscard]] ByteView rest() const noexcept { return rest_; }

 private:
  ByteView rest_;
};

class Writer {
 public:
  template <std::unsigned_integral Number>
  Writer& number(Number value) {
    for (std::size_t i = sizeof(Number); i-- > 0;) {
      bytes_.push_back(static_cast<std::uint8_t>(std::uint64_t{value} >> (8 * i)));
    }
    return *this;
  }
  Writer& bytes(ByteView bytes) {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
    return *this;
  }
  /// `bytes` must not be longer than the number can say: what may be is the caller's to know.
  template <std::unsigned_integral Length>
  Writer& counted(ByteView bytes) {
    return number(static_cast<Length>(bytes.size())).bytes(bytes);
  }
  [[nodiscard]] const Bytes& done() const noexcept { return bytes_; }

 private:
  Bytes bytes_;
};

}  // namespace vhsm::keystore::sealed
