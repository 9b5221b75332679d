// SPDX-License-Identifier: Apache-2.0
#include "keystore/packed_params.h"

#include <algorithm>
#include <cstring>
#include <limits>

namespace vhsm::keystore {
namespace {

struct Header {
  std::uint16_t type;
  std::uint16_t name_bytes;
  std::uint16_t data_bytes;
  std::uint16_t reserved;
};

/// Up to the next multiple of 8, and one byte more at least: OpenSSL reads numbers where they lie,
/// and texts up to their zero.
constexpr std::size_t padded(std::size_t bytes) noexcept { return (bytes / 8 + 1) * 8; }

std::size_t part_bytes(const Header& header) noexcept {
  return sizeof header + padded(header.name_bytes) + padded(header.data_bytes);
}

std::size_t part_bytes(const OSSL_PARAM& param) noexcept {
  return sizeof(Header) + padded(std::strlen(param.key)) + padded(param.data_size);
}

Status pack_one(const OSSL_PARAM& param, std::span<std::uint8_t> out) noexcept {
  const std::size_t name_bytes = std::strlen(param.key);
  if (std::max(name_bytes, param.data_size) > std::numeric_limits<std::uint16_t>::max()) {
    return fail(Errc::kBadLength, "a part of the key is too long", param.key);
  }
  const Header header{static_cast<std::uint16_t>(param.data_type),
                      static_cast<std::uint16_t>(name_bytes),
                      static_cast<std::uint16_t>(param.data_size), 0};
  std::memcpy(out.data(), &header, sizeof header);
  std::memcpy(out.data() + sizeof header, param.key, name_bytes);
  if (param.data_size == 0) return {};
  std::memcpy(out.data() + sizeof header + padded(name_bytes), param.data, param.data_size);
  return {};
}

}  // namespace

std::size_t packed_bytes(const OSSL_PARAM params[]) noexcept {
  std::size_t sum = 0;
  for (const OSSL_PARAM* p = params; p->key != nullptr; ++p) sum += part_bytes(*p);
  return sum;
}

Status pack(const OSSL_PARAM params[], std::span<std::uint8_t> out) noexcept {
  std::ranges::fill(out, std::uint8_t{0});
  for (const OSSL_PARAM* p = params; p->key != nullptr; ++p) {
    VHSM_TRY(pack_one(*p, out));
    out = out.subspan(part_bytes(*p));
  }
  return {};
}

Result<UnpackedParams> UnpackedParams::of(std::span<std::uint8_t> packed) noexcept {
  UnpackedParams all;
  for (std::size_t i = 0; !packed.empty(); ++i) {
    Header header{};
    if (i == kMaxParts || packed.size() < sizeof header) {
      return fail(Errc::kBadFormat, "the packed key is not one");
    }
    std::memcpy(&header, packed.data(), sizeof header);
    if (packed.size() < part_bytes(header)) {
      return fail(Errc::kBadFormat, "the packed key ends too early");
    }
    std::uint8_t* const name = packed.data() + sizeof header;
    all.params_.at(i) = {reinterpret_cast<const char*>(name), header.type,
                         name + padded(header.name_bytes), header.data_bytes,
                         OSSL_PARAM_UNMODIFIED};
    packed = packed.subspan(part_bytes(header));
  }
  return all;
}

}  // namespace vhsm::keystore
