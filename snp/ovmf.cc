// SPDX-License-Identifier: Apache-2.0
#include "snp/ovmf.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "snp/guid.h"
#include "snp/little_endian.h"

namespace vhsm::snp {
namespace {

using Bytes = std::span<const std::uint8_t>;

constexpr std::size_t kPageBytes = 4096;
constexpr std::uint64_t kEndGpa = std::uint64_t{1} << 32;

// ---- the footer table: entries that end with their size and GUID, read from the last one on ----

constexpr std::size_t kAfterTableBytes = 32;
constexpr std::size_t kSizeBytes = 2;
constexpr std::size_t kTailBytes = kSizeBytes + sizeof(Guid);

constexpr std::string_view kFooter = "96b582de-1fb2-45f7-baea-a366c55a082d";
constexpr std::string_view kMetadataOffset = "dc886566-984a-4798-a75e-5585a7bf67cc";
constexpr std::string_view kHashTable = "7255371f-3a3b-4b04-927b-1da6efa8d454";
constexpr std::string_view kResetBlock = "00f771de-1a7e-4fcb-890e-68c77e2fb44e";

/// An entry at the end of `table`: its name, its size with the tail, its data.
struct Entry {
  std::string guid;
  std::size_t bytes;
  Bytes data;
};

Result<Entry> last_entry(Bytes table) {
  if (table.size() < kTailBytes) return fail(Errc::kBadFormat, "the firmware's table is cut off");
  const Bytes tail = table.last(kTailBytes);
  const std::size_t bytes = read_number(tail.first(kSizeBytes));
  if (bytes < kTailBytes || bytes > table.size()) {
    return fail(Errc::kBadFormat, "an entry of the firmware's table has a wrong size");
  }
  Guid guid{};
  std::ranges::copy(tail.subspan(kSizeBytes), guid.begin());
  return Entry{to_text(swap_groups(guid)), bytes, table.last(bytes).first(bytes - kTailBytes)};
}

/// The table without its footer.
Result<Bytes> find_table(Bytes image) {
  const Bytes before = image.first(image.size() - kAfterTableBytes);
  const auto footer = last_entry(before);
  if (!footer.ok() || footer.value().guid != kFooter) {
    return fail(Errc::kBadFormat, "the firmware has no table of an OVMF image at its end");
  }
  return footer.value().data;
}

/// What is told of the image by the table: 32-bit numbers, at the start of an entry.
struct Places {
  std::optional<std::uint32_t> metadata;  ///< bytes before the image's end
  std::optional<std::uint32_t> hash_table;
  std::optional<std::uint32_t> reset_vector;
};

struct Known {
  std::string_view guid;
  std::optional<std::uint32_t> Places::*place;
};
constexpr std::array<Known, 3> kKnown{{{kMetadataOffset, &Places::metadata},
                                       {kHashTable, &Places::hash_table},
                                       {kResetBlock, &Places::reset_vector}}};

Result<Places> read_table(Bytes table) {
  Places places;
  while (!table.empty()) {
    const Entry entry = VHSM_TRY(last_entry(table));
    table = table.first(table.size() - entry.bytes);
    const auto known = std::ranges::find(kKnown, entry.guid, &Known::guid);
    if (known == kKnown.end()) continue;
    if (entry.data.size() < sizeof(std::uint32_t)) {
      return fail(Errc::kBadFormat, "an entry of the firmware's table is too short", entry.guid);
    }
    places.*(known->place) = read_u32(entry.data);
  }
  return places;
}

// ---- the SEV metadata: {"ASEV", u32 size, u32 version, u32 count}, {u32 gpa, size, type}...
// -------

constexpr std::size_t kHeaderBytes = 16;
constexpr std::size_t kSectionBytes = 12;
constexpr std::array<std::uint8_t, 4> kSignature{'A', 'S', 'E', 'V'};

std::uint32_t word(Bytes bytes, std::size_t index) { return read_u32(bytes.subspan(4 * index)); }

bool is_known(SectionType type) {
  return (type >= SectionType::kSecretMemory && type <= SectionType::kSvsmCaa) ||
         type == SectionType::kKernelHashes;
}

Result<OvmfSection> section_of(Bytes bytes) {
  const OvmfSection section{word(bytes, 0), word(bytes, 1),
                            static_cast<SectionType>(word(bytes, 2))};
  if (!is_known(section.type)) {
    return fail(Errc::kBadFormat, "the firmware asks for pages of an unknown type");
  }
  const bool one_page =
      section.type != SectionType::kSecretMemory && section.type != SectionType::kSvsmCaa;
  if (section.gpa % kPageBytes != 0 || section.bytes % kPageBytes != 0 || section.bytes == 0 ||
      (one_page && section.bytes != kPageBytes)) {
    return fail(Errc::kBadFormat, "the firmware asks for pages that are not aligned, or not one");
  }
  return section;
}

Result<Bytes> find_metadata(Bytes image, std::optional<std::uint32_t> before_end) {
  if (!before_end.has_value()) {
    return fail(Errc::kBadFormat, "the firmware has no SEV metadata: it is not made for SEV-SNP");
  }
  if (*before_end < kHeaderBytes || *before_end > image.size()) {
    return fail(Errc::kBadFormat, "the firmware's SEV metadata lies outside it");
  }
  return image.last(*before_end);
}

Result<std::vector<OvmfSection>> read_sections(Bytes metadata) {
  if (!std::ranges::equal(metadata.first(kSignature.size()), kSignature) ||
      word(metadata, 2) != 1) {
    return fail(Errc::kBadFormat, "the firmware's SEV metadata is not of version 1");
  }
  const std::size_t count = word(metadata, 3);
  if (count > kMaxOvmfSections || kHeaderBytes + count * kSectionBytes > metadata.size() ||
      kHeaderBytes + count * kSectionBytes > word(metadata, 1)) {
    return fail(Errc::kBadFormat, "the firmware's SEV metadata has too many sections");
  }
  std::vector<OvmfSection> sections;
  std::uint64_t total = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const OvmfSection section =
        VHSM_TRY(section_of(metadata.subspan(kHeaderBytes + i * kSectionBytes, kSectionBytes)));
    total += section.bytes;
    sections.push_back(section);
  }
  if (total <= kMaxSectionBytes) return sections;
  return fail(Errc::kBadFormat, "the firmware asks for more than 256 MiB of pages");
}

}  // namespace

Result<Ovmf> parse_ovmf(Bytes image) {
  if (image.empty() || image.size() % kPageBytes != 0 || image.size() > kMaxOvmfBytes) {
    return fail(Errc::kBadLength, "a firmware image is whole pages of 4 KiB, up to 64 MiB");
  }
  const Bytes table = VHSM_TRY(find_table(image));
  const Places places = VHSM_TRY(read_table(table));
  const Bytes metadata = VHSM_TRY(find_metadata(image, places.metadata));
  auto sections = VHSM_TRY(read_sections(metadata));
  return Ovmf{image, kEndGpa - image.size(), std::move(sections), places.reset_vector,
              places.hash_table};
}

}  // namespace vhsm::snp
