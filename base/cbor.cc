// SPDX-License-Identifier: Apache-2.0
#include "base/cbor.h"

#include <cbor.h>

#include <array>

namespace vhsm {

void CborWriter::head(Encode encode, std::uint64_t value) {
  std::array<unsigned char, 9> head{};  // the longest: one byte and a 64-bit number
  const std::size_t size = encode(value, head.data(), head.size());
  out_.insert(out_.end(), head.begin(), head.begin() + size);
}

void CborWriter::number(std::uint64_t value) { head(cbor_encode_uint, value); }
void CborWriter::integer(std::int64_t value) {
  if (value >= 0) return number(static_cast<std::uint64_t>(value));
  head(cbor_encode_negint, static_cast<std::uint64_t>(-1 - value));
}
void CborWriter::array(std::size_t count) { head(cbor_encode_array_start, count); }
void CborWriter::map(std::size_t count) { head(cbor_encode_map_start, count); }

void CborWriter::bytes(ByteView value) {
  head(cbor_encode_bytestring_start, value.size());
  out_.insert(out_.end(), value.begin(), value.end());
}

void CborWriter::text(std::string_view value) {
  head(cbor_encode_string_start, value.size());
  out_.insert(out_.end(), value.begin(), value.end());
}

/// What libcbor tells of one item. The begin of an indefinite length leaves kIndefinite.
struct CborReader::Callbacks {
  template <Kind kKind, class Number>
  static void number(void* raw, Number value) {
    *static_cast<Item*>(raw) = {kKind, static_cast<std::uint64_t>(value), {}};
  }
  template <class... Value>
  static void other(void* raw, Value... /*value*/) {
    *static_cast<Item*>(raw) = {Kind::kOther, 0, {}};
  }
  template <Kind kKind>
  static void string(void* raw, cbor_data data, std::size_t size) {
    *static_cast<Item*>(raw) = {kKind, 0, {data, size}};
  }
  template <Kind kKind>
  static void collection(void* raw, std::size_t count) {
    *static_cast<Item*>(raw) = {kKind, count, {}};
  }

  static cbor_callbacks all() {
    cbor_callbacks callbacks = cbor_empty_callbacks;
    callbacks.uint8 = number<Kind::kNumber>;
    callbacks.uint16 = number<Kind::kNumber>;
    callbacks.uint32 = number<Kind::kNumber>;
    callbacks.uint64 = number<Kind::kNumber>;
    callbacks.negint8 = number<Kind::kNegative>;
    callbacks.negint16 = number<Kind::kNegative>;
    callbacks.negint32 = number<Kind::kNegative>;
    callbacks.negint64 = number<Kind::kNegative>;
    callbacks.tag = number<Kind::kTag>;
    callbacks.boolean = number<Kind::kTruth>;
    callbacks.float2 = other;
    callbacks.float4 = other;
    callbacks.float8 = other;
    callbacks.undefined = other;
    callbacks.null = other;
    callbacks.byte_string = string<Kind::kBytes>;
    callbacks.string = string<Kind::kText>;
    callbacks.array_start = collection<Kind::kArray>;
    callbacks.map_start = collection<Kind::kMap>;
    return callbacks;
  }
};

CborReader::Item CborReader::look(std::size_t& size) const noexcept {
  static const cbor_callbacks kCallbacks = Callbacks::all();
  Item item;
  const auto decoded = cbor_stream_decode(rest_.data(), rest_.size(), &kCallbacks, &item);
  size = decoded.status == CBOR_DECODER_FINISHED ? decoded.read : 0;
  return item;
}

bool CborReader::next_is(Kind kind) const noexcept {
  std::size_t size = 0;
  const Item item = look(size);
  return size != 0 && item.kind == kind;
}

Result<CborReader::Item> CborReader::next() {
  std::size_t size = 0;
  const Item item = look(size);
  if (size == 0 || item.kind == Kind::kIndefinite) {
    return fail(Errc::kBadFormat, "no CBOR item of a definite length");
  }
  rest_ = rest_.subspan(size);
  return item;
}

Result<CborReader::Item> CborReader::next(Kind wanted) {
  const Item item = VHSM_TRY(next());
  if (item.kind == wanted) return item;
  return fail(Errc::kBadFormat, "not the CBOR item that belongs here");
}

Result<std::uint64_t> CborReader::number() {
  const Item item = VHSM_TRY(next(Kind::kNumber));
  return item.number;
}

Result<std::int64_t> CborReader::integer() {
  const Item item = VHSM_TRY(next());
  const auto number = static_cast<std::int64_t>(item.number);
  if (number >= 0 && item.kind == Kind::kNumber) return number;
  if (number >= 0 && item.kind == Kind::kNegative) return -1 - number;
  return fail(Errc::kBadFormat, "not the CBOR integer that belongs here");
}

Result<bool> CborReader::truth() {
  const Item item = VHSM_TRY(next(Kind::kTruth));
  return item.number != 0;
}

/// Each item takes a byte at least, so a count beyond the buffer ends soon.
Status CborReader::skip_items(std::uint64_t count, int levels) {
  if (levels == 0) return fail(Errc::kBadFormat, "CBOR items within too many others");
  for (; count > 0; --count) {
    const Item item = VHSM_TRY(next());
    if (item.kind == Kind::kArray) VHSM_TRY(skip_items(item.number, levels - 1));
    if (item.kind == Kind::kMap) {
      VHSM_TRY(skip_items(item.number, levels - 1));
      VHSM_TRY(skip_items(item.number, levels - 1));
    }
    if (item.kind == Kind::kTag) VHSM_TRY(skip_items(1, levels - 1));
  }
  return {};
}

Result<ByteView> CborReader::skip() {
  constexpr int kMostLevels = 8;
  const ByteView from = rest_;
  VHSM_TRY(skip_items(1, kMostLevels));
  return from.first(from.size() - rest_.size());
}

Result<ByteView> CborReader::bytes() {
  const Item item = VHSM_TRY(next(Kind::kBytes));
  return item.bytes;
}

Result<std::string_view> CborReader::text() {
  const Item item = VHSM_TRY(next(Kind::kText));
  // Texts are names here, for which any byte string will do.
  return std::string_view(reinterpret_cast<const char*>(item.bytes.data()), item.bytes.size());
}

Result<std::size_t> CborReader::array() {
  const Item item = VHSM_TRY(next(Kind::kArray));
  if (item.number > rest_.size()) return fail(Errc::kBadFormat, "an array beyond the message");
  return item.number;
}

Result<std::size_t> CborReader::map() {
  const Item item = VHSM_TRY(next(Kind::kMap));
  if (item.number > rest_.size() / 2) return fail(Errc::kBadFormat, "a map beyond the message");
  return item.number;
}

}  // namespace vhsm
