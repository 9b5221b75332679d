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

/// What libcbor tells of one item. A kind that the protocol does not use leaves kOther.
struct CborReader::Callbacks {
  template <Kind kKind, class Number>
  static void number(void* raw, Number value) {
    *static_cast<Item*>(raw) = {kKind, value, {}};
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
    callbacks.byte_string = string<Kind::kBytes>;
    callbacks.string = string<Kind::kText>;
    callbacks.array_start = collection<Kind::kArray>;
    callbacks.map_start = collection<Kind::kMap>;
    return callbacks;
  }
};

Result<CborReader::Item> CborReader::next() {
  static const cbor_callbacks kCallbacks = Callbacks::all();
  Item item;
  const auto decoded = cbor_stream_decode(rest_.data(), rest_.size(), &kCallbacks, &item);
  if (decoded.status != CBOR_DECODER_FINISHED) {
    return fail(Errc::kBadFormat, "CBOR ends in the middle of an item, or is none");
  }
  rest_ = rest_.subspan(decoded.read);
  return item;
}

Result<CborReader::Item> CborReader::next(Kind wanted) {
  const Item item = VHSM_TRY(next());
  if (item.kind == wanted) return item;
  return fail(Errc::kBadFormat, "not the CBOR item that stands here");
}

Result<std::uint64_t> CborReader::number() {
  const Item item = VHSM_TRY(next(Kind::kNumber));
  return item.number;
}

Result<std::int64_t> CborReader::integer() {
  const Item item = VHSM_TRY(next());
  const bool is_integer = item.kind == Kind::kNumber || item.kind == Kind::kNegative;
  if (!is_integer || item.number > INT64_MAX) {
    return fail(Errc::kBadFormat, "not the CBOR integer that stands here");
  }
  const auto value = static_cast<std::int64_t>(item.number);
  return item.kind == Kind::kNumber ? value : -1 - value;
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
