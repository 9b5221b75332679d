// SPDX-License-Identifier: Apache-2.0
#include "snp/tools/tsm_driver.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <string_view>
#include <utility>

#include "snp/annex.h"
#include "snp/certificate_table.h"
#include "snp/guid.h"
#include "snp/little_endian.h"
#include "snp/tools/own_memory.h"
#include "snp/tsm.h"

namespace vhsm::snp {
namespace {

using Bytes = std::vector<std::uint8_t>;

std::uint64_t address_of(const void* object) { return reinterpret_cast<std::uintptr_t>(object); }

Bytes as_line(std::string_view text) {
  Bytes line(text.begin(), text.end());
  line.push_back('\n');
  return line;
}

/// What is in the table, without the room after it.
Bytes trimmed(Bytes table) {
  constexpr std::size_t kRowBytes = 24;
  std::size_t end = 0;
  for (std::size_t at = 0; at + kRowBytes <= table.size(); at += kRowBytes) {
    const auto row = std::span(table).subspan(at, kRowBytes);
    const std::uint64_t offset = read_u32(row.subspan(16));
    const std::uint64_t length = read_u32(row.subspan(20));
    if (offset == 0 && length == 0) break;
    end = std::max<std::size_t>(end, offset + length);
  }
  table.resize(std::min(end, table.size()));
  return table;
}

/// All of SVSM's services: one, a vTPM, whose data are made up.
Bytes services_manifest() {
  constexpr std::size_t kRowBytes = 24;
  constexpr std::string_view kData = "vhsm emulator: no vTPM is behind this";
  Bytes manifest(2 * kRowBytes + kData.size());
  const auto put_row = [&](std::size_t at, const char* guid, std::size_t first,
                           std::size_t second) {
    const Guid bytes = swap_groups(parse_guid(guid).value());
    std::ranges::copy(bytes, manifest.begin() + static_cast<std::ptrdiff_t>(at));
    write_number(std::span(manifest).subspan(at + kGuidBytes, 4), first);
    write_number(std::span(manifest).subspan(at + kGuidBytes + 4, 4), second);
  };
  put_row(0, "63849ebb-3d92-4670-a1ff-58f9c94b87bb", manifest.size(), 1);
  put_row(kRowBytes, "c476f1eb-0123-45a5-9641-b4e7dde5bfe3", 2 * kRowBytes, kData.size());
  std::ranges::copy(kData, manifest.begin() + 2 * kRowBytes);
  return manifest;
}

/// The errno for a status of the firmware.
int error_of(std::uint32_t status) {
  switch (status) {
    case firmware_status::kSuccess: return 0;
    case firmware_status::kInvalidParameter:
    case firmware_status::kInvalidKey: return EINVAL;
    default: return ENXIO;
  }
}

}  // namespace

/// What a file is. Blobs are stored when they are closed, text when it is written.
struct TsmDriver::File {
  std::string_view name;
  bool readable;
  bool blob;
  bool of_svsm;  ///< there only with one
};

const TsmDriver::File* TsmDriver::find(std::string_view name) {
  static constexpr std::array<File, 11> kFiles{{
      {tsm_file::kInblob, false, true, false},
      {tsm_file::kOutblob, true, true, false},
      {tsm_file::kAuxblob, true, true, false},
      {tsm_file::kProvider, true, false, false},
      {tsm_file::kGeneration, true, false, false},
      {tsm_file::kPrivlevel, false, false, false},
      {tsm_file::kPrivlevelFloor, true, false, false},
      {tsm_file::kServiceProvider, false, false, true},
      {tsm_file::kServiceGuid, false, false, true},
      {tsm_file::kServiceManifestVersion, false, false, true},
      {tsm_file::kManifestblob, true, true, true},
  }};
  const auto* const found = std::ranges::find(kFiles, name, &File::name);
  return found == kFiles.end() ? nullptr : found;
}

TsmDriver::TsmDriver(GuestDriver& driver, const EmulatedFirmware& firmware, TsmFaults faults)
    : driver_(driver), firmware_(firmware), faults_(std::move(faults)) {}

int TsmDriver::make(const std::string& entry) {
  if (faults_.provider.empty()) return ENXIO;
  return entries_.try_emplace(entry).second ? 0 : EEXIST;
}

int TsmDriver::remove(const std::string& entry) { return entries_.erase(entry) == 1 ? 0 : ENOENT; }

int TsmDriver::open(const std::string& entry, const std::string& name, bool writes,
                    OpenFile& file) {
  const File* const found = find(name);
  if (!entries_.contains(entry) || found == nullptr) return ENOENT;
  if (found->of_svsm && !has_svsm()) return ENOENT;
  if (found->readable == writes) return EACCES;
  file = {entry, name, writes};
  return 0;
}

int TsmDriver::read(OpenFile& file, std::span<std::uint8_t> into, std::size_t& got) {
  const auto entry = entries_.find(file.entry);
  if (entry == entries_.end() || file.writes) return EBADF;
  if (!file.contents.has_value()) {
    Bytes contents;
    if (const int error = contents_of(entry->second, *find(file.name), contents)) return error;
    file.contents = std::move(contents);
  }
  const auto rest = std::span(*file.contents).subspan(file.offset);
  got = std::min(rest.size(), into.size());
  std::ranges::copy(rest.first(got), into.begin());
  file.offset += got;
  return 0;
}

int TsmDriver::write(OpenFile& file, std::span<const std::uint8_t> bytes) {
  const auto entry = entries_.find(file.entry);
  if (entry == entries_.end() || !file.writes) return EBADF;
  if (!find(file.name)->blob) {
    return store(entry->second, file.name,
                 {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  }
  Bytes& blob = file.contents ? *file.contents : file.contents.emplace();
  if (blob.size() + bytes.size() > kReportDataBytes) return EFBIG;
  blob.insert(blob.end(), bytes.begin(), bytes.end());
  return 0;
}

void TsmDriver::close(OpenFile& file) {
  const auto entry = entries_.find(file.entry);
  if (entry == entries_.end() || !file.writes || !file.contents.has_value()) return;
  if (faults_.lost_stores > 0) {
    --faults_.lost_stores;
    return;
  }
  ++entry->second.written;
  entry->second.inblob = *std::move(file.contents);
}

/// What is refused leaves the count of writes as it is.
int TsmDriver::store(Entry& entry, std::string_view name, std::string_view text) {
  while (text.ends_with('\n')) text.remove_suffix(1);
  if (name == tsm_file::kServiceGuid) {
    if (!parse_guid(text).ok()) return EINVAL;
  } else if (name == tsm_file::kServiceProvider) {
    if (text != "svsm") return EINVAL;
    entry.svsm = true;
  } else {
    unsigned number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{} || end != text.data() + text.size()) return EINVAL;
    if (name == tsm_file::kPrivlevel) {
      if (number < firmware_.vmpl() || number > kMaxVmpl) return EINVAL;
      entry.level = number;
    }
  }
  ++entry.written;
  return 0;
}

int TsmDriver::contents_of(Entry& entry, const File& file, Bytes& into) {
  if (file.name == tsm_file::kProvider) into = as_line(faults_.provider);
  if (file.name == tsm_file::kGeneration) into = as_line(std::to_string(entry.written));
  if (file.name == tsm_file::kPrivlevelFloor) into = as_line(std::to_string(firmware_.vmpl()));
  if (!file.blob) return 0;
  if (faults_.other_writes > 0) {
    --faults_.other_writes;
    ++entry.written;
    entry.inblob.assign(kReportDataBytes, 0xEE);
  }
  if (const int error = renew(entry)) return error;
  into = file.name == tsm_file::kOutblob   ? entry.outblob
         : file.name == tsm_file::kAuxblob ? entry.auxblob
                                           : entry.manifest;
  return 0;
}

/// One report answers all reads until the next write.
int TsmDriver::renew(Entry& entry) {
  if (faults_.provider.empty()) return ENXIO;
  if (entry.inblob.size() != kReportDataBytes) return EINVAL;
  if (entry.has_report && entry.reported == entry.written) return 0;
  ReportData data{};
  std::ranges::copy(entry.inblob, data.begin());
  if (const int error = entry.svsm ? ask_svsm(entry, data) : ask_guest(entry, data)) return error;
  entry.has_report = true;
  entry.reported = entry.written;
  return 0;
}

int TsmDriver::ask_guest(Entry& entry, const ReportData& data) {
  Bytes table(kMaxTableBytes);
  ReportResponse response;
  ExtendedReportRequest request;
  request.report.user_data = data;
  request.report.vmpl = entry.level;
  request.certificates_address = address_of(table.data());
  request.certificates_bytes = static_cast<std::uint32_t>(table.size());
  GuestRequest call;
  call.request_address = address_of(&request);
  call.response_address = address_of(&response);
  OwnMemory memory;
  if (const int error = driver_.ioctl(kGetExtendedReport, address_of(&call), memory)) return error;
  if (const int error = error_of(response.status)) return error;
  const std::size_t size = response.report_bytes;
  if (size == 0 || size > response.report.size() + response.padding.size()) return ENXIO;
  const auto* const bytes = reinterpret_cast<const std::uint8_t*>(&response) + 0x20;
  entry.outblob.assign(bytes, bytes + size);
  entry.auxblob = trimmed(std::move(table));
  return 0;
}

int TsmDriver::ask_svsm(Entry& entry, const ReportData& data) {
  entry.manifest = services_manifest();
  const auto bound = svsm_report_data(data, entry.manifest);
  if (!bound.ok()) return ENXIO;
  const ReportResponse response = firmware_.report_of_svsm(bound.value());
  if (const int error = error_of(response.status)) return error;
  entry.outblob.assign(response.report.begin(), response.report.end());
  const auto table = write_certificate_table(firmware_.certificates());
  entry.auxblob = table.ok() ? trimmed(table.value()) : Bytes();
  return 0;
}

}  // namespace vhsm::snp
