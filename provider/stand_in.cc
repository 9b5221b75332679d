// SPDX-License-Identifier: Apache-2.0
#include "provider/stand_in.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>

#include "provider/der.h"

namespace vhsm::provider {
namespace {

constexpr std::uint8_t kVersion = 1;
constexpr std::array<std::uint8_t, 1> kVersionContents{kVersion};
// What the SEQUENCE of a stand-in begins with.
constexpr std::array<std::uint8_t, 4> kBegin{der::kInteger, 1, kVersion, der::kUtf8String};
constexpr std::size_t kPemLineBytes = 48;  // 64 characters

std::vector<std::uint8_t> bytes_of(std::string_view text) { return {text.begin(), text.end()}; }

Result<std::string> printable(std::span<const std::uint8_t> contents) {
  const auto bad = [](std::uint8_t byte) { return byte < ' ' || byte > '~'; };
  if (contents.empty() || std::ranges::any_of(contents, bad)) {
    return fail(Errc::kBadFormat, "a text of the stand-in is not printable ASCII");
  }
  return std::string(contents.begin(), contents.end());
}

}  // namespace

std::vector<std::uint8_t> encode_stand_in(const StandIn& stand_in) {
  std::vector<std::uint8_t> contents;
  der::append(contents, der::kInteger, kVersionContents);
  der::append(contents, der::kUtf8String, bytes_of(stand_in.uri));
  der::append(contents, der::kUtf8String, bytes_of(stand_in.type));
  contents.insert(contents.end(), stand_in.public_key_info.begin(), stand_in.public_key_info.end());
  std::vector<std::uint8_t> whole;
  der::append(whole, der::kSequence, contents);
  return whole;
}

Result<StandIn> parse_stand_in(std::span<const std::uint8_t> der) {
  if (der.size() > kMaxStandInBytes) return fail(Errc::kBadFormat, "the stand-in is too long");
  der::Reader outer(der);
  const auto contents = VHSM_TRY(outer.take(der::kSequence));
  der::Reader reader(contents);
  const auto version = VHSM_TRY(reader.take(der::kInteger));
  if (!std::ranges::equal(version, kVersionContents)) {
    return fail(Errc::kBadFormat, "the stand-in has another version than 1");
  }
  const auto uri = VHSM_TRY(reader.take(der::kUtf8String));
  const auto type = VHSM_TRY(reader.take(der::kUtf8String));
  const auto public_key = VHSM_TRY(reader.take_whole(der::kSequence));
  if (!reader.at_end() || !outer.at_end()) {
    return fail(Errc::kBadFormat, "the stand-in has bytes after its end");
  }
  StandIn stand_in;
  stand_in.uri = VHSM_TRY(printable(uri));
  stand_in.type = VHSM_TRY(printable(type));
  stand_in.public_key_info.assign(public_key.begin(), public_key.end());
  return stand_in;
}

bool looks_like_stand_in(std::span<const std::uint8_t> head) noexcept {
  if (head.size() < 2 || head.front() != der::kSequence) return false;
  const std::size_t header_bytes = head[1] < 0x80 ? 2 : 2 + (head[1] & 0x7fU);
  if (head.size() < header_bytes + kBegin.size()) return false;
  return std::ranges::equal(head.subspan(header_bytes, kBegin.size()), kBegin);
}

std::string to_pem(std::string_view label, std::span<const std::uint8_t> der) {
  std::string pem = "-----BEGIN " + std::string(label) + "-----\n";
  std::array<std::uint8_t, kPemLineBytes / 3 * 4 + 1> line{};
  while (!der.empty()) {
    const auto part = der.first(std::min(der.size(), kPemLineBytes));
    const int size = EVP_EncodeBlock(line.data(), part.data(), static_cast<int>(part.size()));
    pem.append(line.begin(), line.begin() + size).push_back('\n');
    der = der.subspan(part.size());
  }
  return pem.append("-----END ").append(label).append("-----\n");
}

Result<std::vector<std::uint8_t>> from_base64(std::string_view text) {
  std::string dense;
  std::ranges::copy_if(text, std::back_inserter(dense),
                       [](char c) { return c != '\n' && c != '\r' && c != ' ' && c != '\t'; });
  const std::size_t first_pad = std::min(dense.find('='), dense.size());
  const std::size_t padding = dense.size() - first_pad;
  const bool padded_inside = dense.find_first_not_of('=', first_pad) != std::string::npos;
  std::vector<std::uint8_t> data(dense.size() / 4 * 3);
  if (dense.empty() || dense.size() % 4 != 0 || dense.size() > 2 * kMaxStandInBytes ||
      padding > 2 || padded_inside ||
      EVP_DecodeBlock(data.data(), bytes_of(dense).data(), static_cast<int>(dense.size())) < 0) {
    return fail(Errc::kBadFormat, "not base64");
  }
  data.resize(data.size() - padding);
  return data;
}

}  // namespace vhsm::provider
