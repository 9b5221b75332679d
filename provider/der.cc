// SPDX-License-Identifier: Apache-2.0
#include "provider/der.h"

namespace vhsm::provider::der {
namespace {

constexpr std::size_t kMaxLengthBytes = 3;  // 16 MiB, more than anything here

struct Length {
  std::size_t value;
  std::size_t bytes;  // that the length itself takes
};

Error malformed() { return fail(Errc::kBadFormat, "not DER"); }

/// The length that starts at `data`.
Result<Length> read_length(std::span<const std::uint8_t> data) {
  if (data.empty()) return malformed();
  const std::uint8_t first = data.front();
  if (first < 0x80) return Length{first, 1};
  const std::size_t count = first & 0x7fU;
  if (count == 0 || count > kMaxLengthBytes || data.size() < 1 + count) return malformed();
  std::size_t value = 0;
  for (const std::uint8_t byte : data.subspan(1, count)) value = value << 8 | byte;
  const bool minimal = value >= 0x80 && data[1] != 0;
  if (!minimal) return malformed();
  return Length{value, 1 + count};
}

}  // namespace

Result<Reader::Header> Reader::header(std::uint8_t tag) const {
  if (rest_.empty() || rest_.front() != tag) return malformed();
  const Length length = VHSM_TRY(read_length(rest_.subspan(1)));
  const std::size_t header_bytes = 1 + length.bytes;
  if (length.value > rest_.size() - header_bytes) return malformed();
  return Header{header_bytes, length.value};
}

Result<std::span<const std::uint8_t>> Reader::take(std::uint8_t tag) {
  const Header found = VHSM_TRY(header(tag));
  const auto contents = rest_.subspan(found.header_bytes, found.content_bytes);
  rest_ = rest_.subspan(found.header_bytes + found.content_bytes);
  return contents;
}

Result<std::span<const std::uint8_t>> Reader::take_whole(std::uint8_t tag) {
  const Header found = VHSM_TRY(header(tag));
  const auto whole = rest_.first(found.header_bytes + found.content_bytes);
  rest_ = rest_.subspan(whole.size());
  return whole;
}

Result<std::size_t> whole_bytes(std::span<const std::uint8_t> head) {
  if (head.empty()) return malformed();
  const Length length = VHSM_TRY(read_length(head.subspan(1)));
  return 1 + length.bytes + length.value;
}

void append(std::vector<std::uint8_t>& out, std::uint8_t tag,
            std::span<const std::uint8_t> contents) {
  out.push_back(tag);
  const std::size_t size = contents.size();
  if (size < 0x80) {
    out.push_back(static_cast<std::uint8_t>(size));
  } else {
    std::size_t count = 1;
    while (size >> (8 * count) != 0) ++count;
    out.push_back(static_cast<std::uint8_t>(0x80 | count));
    while (count-- > 0) out.push_back(static_cast<std::uint8_t>(size >> (8 * count)));
  }
  out.insert(out.end(), contents.begin(), contents.end());
}

}  // namespace vhsm::provider::der
