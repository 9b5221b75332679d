// SPDX-License-Identifier: Apache-2.0
#include "keystore/sealed/layout.h"

#include <algorithm>

namespace vhsm::keystore::sealed {
namespace {

constexpr std::string_view kIndexPrefix = "index.";
constexpr std::string_view kRootPrefix = "root.";
constexpr std::string_view kDigits = "0123456789";
constexpr std::string_view kHex = "0123456789abcdef";
constexpr std::size_t kShownBytes = 16;  // of a name's digest

std::string numbered(std::string_view prefix, std::uint64_t number) {
  return std::string(prefix) + std::to_string(number);
}

bool is_made_of(std::string_view characters, std::string_view text) noexcept {
  return !text.empty() && text.find_first_not_of(characters) == std::string_view::npos;
}

bool is_numbered(std::string_view prefix, std::string_view file) noexcept {
  return file.starts_with(prefix) && is_made_of(kDigits, file.substr(prefix.size()));
}

}  // namespace

std::string index_name(const Head& head) { return numbered(kIndexPrefix, head.generation); }
std::string root_name(const Head& head) { return numbered(kRootPrefix, head.root_number); }

Bytes to_bytes(const Head& head) {
  return Writer()
      .number(head.generation)
      .number(head.root_number)
      .bytes(head.root)
      .bytes(head.index)
      .done();
}

Result<Head> parse_head(const Box& box) {
  Reader reader(box.header);
  Head head;
  head.generation = VHSM_TRY(reader.number<std::uint64_t>());
  head.root_number = VHSM_TRY(reader.number<std::uint64_t>());
  for (Digest* const digest : {&head.root, &head.index}) {
    const ByteView bytes = VHSM_TRY(reader.bytes(digest->size()));
    std::ranges::copy(bytes, digest->begin());
  }
  if (reader.rest().empty() && box.body.empty()) return head;
  return fail(Errc::kTampered, "the head of the keystore is none");
}

Bytes to_bytes(const KeyFile& file) {
  return Writer().number(file.generation).number(file.version).done();
}

Result<KeyFile> parse_key_file(const Box& box) {
  Reader reader(box.header);
  KeyFile file;
  file.generation = VHSM_TRY(reader.number<std::uint64_t>());
  file.version = VHSM_TRY(reader.number<std::uint32_t>());
  if (reader.rest().empty()) return file;
  return fail(Errc::kTampered, "a key's file has more in its header than it should");
}

Result<std::string> file_of(std::string_view name, std::uint32_t version) {
  const Digest digest = VHSM_TRY(digest_of(view(name)));
  std::string file;
  for (const std::uint8_t byte : std::span(digest).first<kShownBytes>()) {
    file.push_back(kHex[byte >> 4]);
    file.push_back(kHex[byte & 15]);
  }
  return file + "." + std::to_string(version);
}

bool is_key_file(std::string_view file) noexcept {
  constexpr std::size_t kDot = 2 * kShownBytes;
  return file.size() > kDot && file[kDot] == '.' && is_made_of(kHex, file.substr(0, kDot)) &&
         is_made_of(kDigits, file.substr(kDot + 1));
}

bool is_ours(std::string_view file) noexcept {
  return file == kNewHeadName || is_numbered(kIndexPrefix, file) ||
         is_numbered(kRootPrefix, file) || is_key_file(file);
}

}  // namespace vhsm::keystore::sealed
