// SPDX-License-Identifier: Apache-2.0
#include "snp/launch_digest.h"

#include <openssl/evp.h>

#include <algorithm>
#include <cstdio>
#include <memory>

#include "base/handle.h"
#include "snp/guid.h"
#include "snp/little_endian.h"

namespace vhsm::snp {
namespace {

using Bytes = std::span<const std::uint8_t>;
using Page = std::array<std::uint8_t, 4096>;
using Digest = std::array<std::uint8_t, 48>;  // SHA-384

constexpr std::uint64_t kPageBytes = sizeof(Page);
constexpr std::uint64_t kPageMask = kPageBytes - 1;

Result<Digest> sha384(Bytes bytes) {
  Digest digest{};
  VHSM_TRY(
      crypto(EVP_Digest(bytes.data(), bytes.size(), digest.data(), nullptr, EVP_sha384(), nullptr),
             "no SHA-384"));
  return digest;
}

// ---- pages into the digest ---------------------------------------------------------------------

enum class PageType : std::uint8_t { kNormal = 1, kVmsa = 2, kZero = 3, kSecrets = 5, kCpuid = 6 };

/// The firmware's running digest: each page hashes the digest so far, what the page holds, and
/// where it goes.
class RunningDigest {
 public:
  /// A page whose content counts.
  Status add(PageType type, std::uint64_t gpa, Bytes page) {
    const Digest content = VHSM_TRY(sha384(page));
    return extend(type, gpa, content);
  }

  /// Pages of which only their kind counts.
  Status add_kind(PageType type, std::uint64_t gpa, std::uint64_t bytes) {
    for (std::uint64_t at = 0; at < bytes; at += kPageBytes) VHSM_TRY(extend(type, gpa + at, {}));
    return {};
  }

  [[nodiscard]] Measurement value() const noexcept { return {value_}; }

 private:
  /// PAGE_INFO.
  Status extend(PageType type, std::uint64_t gpa, const Digest& content) {
    constexpr std::size_t kInfoBytes = 0x70;
    std::array<std::uint8_t, kInfoBytes> info{};
    std::ranges::copy(value_, info.begin());
    std::ranges::copy(content, info.begin() + 48);
    write_number(std::span(info).subspan(96, 2), kInfoBytes);
    info[98] = static_cast<std::uint8_t>(type);  // then IMI_PAGE and the permissions of VMPL 3 to 1
    write_number(std::span(info).subspan(104, 8), gpa);
    value_ = VHSM_TRY(sha384(info));
    return {};
  }

  Digest value_{};
};

// ---- the page of kernel hashes -----------------------------------------------------------------

constexpr std::string_view kTable = "9438d606-4f22-4cc9-b479-a793d411fd21";
constexpr std::string_view kCommand = "97d02dd8-bd20-4c94-aa78-e7714d36ab2a";
constexpr std::string_view kInitrd = "44baf731-3a2f-4bd7-9af1-41e29169781d";
constexpr std::string_view kKernel = "4de79437-abd2-427f-b835-d5b172d2045b";

constexpr std::size_t kHeadBytes = sizeof(Guid) + 2;  // GUID, u16 length
constexpr std::size_t kEntryBytes = kHeadBytes + sizeof(FileDigest);
constexpr std::size_t kTableBytes = kHeadBytes + 3 * kEntryBytes;
constexpr std::size_t kPaddedBytes = (kTableBytes + 15) / 16 * 16;

Status put_head(std::span<std::uint8_t> into, std::string_view guid, std::size_t bytes) {
  const Guid parsed = VHSM_TRY(parse_guid(guid));
  std::ranges::copy(swap_groups(parsed), into.begin());
  write_number(into.subspan(sizeof(Guid), 2), bytes);
  return {};
}

Result<Page> hashes_page(const KernelHashes& hashes, std::uint32_t gpa) {
  const struct {
    std::string_view guid;
    const FileDigest& digest;
  } entries[] = {{kCommand, hashes.command}, {kInitrd, hashes.initrd}, {kKernel, hashes.kernel}};
  Page page{};
  const std::size_t offset = gpa & kPageMask;
  if (offset + kPaddedBytes > page.size()) {
    return fail(Errc::kInvalidArgument, "the firmware's table of kernel hashes crosses its page");
  }
  std::span into = std::span(page).subspan(offset);
  VHSM_TRY(put_head(into, kTable, kTableBytes));
  into = into.subspan(kHeadBytes);
  for (const auto& entry : entries) {
    VHSM_TRY(put_head(into, entry.guid, kEntryBytes));
    std::ranges::copy(entry.digest, into.subspan(kHeadBytes).begin());
    into = into.subspan(kEntryBytes);
  }
  return page;
}

// ---- what a launch adds, in its order ----------------------------------------------------------

Status add_firmware(RunningDigest& digest, const Ovmf& firmware) {
  for (std::uint64_t at = 0; at < firmware.image.size(); at += kPageBytes) {
    VHSM_TRY(
        digest.add(PageType::kNormal, firmware.gpa + at, firmware.image.subspan(at, kPageBytes)));
  }
  return {};
}

Status add_hashes(RunningDigest& digest, const OvmfSection& section, const Launch& launch) {
  if (!launch.kernel.has_value()) {
    return digest.add_kind(PageType::kZero, section.gpa, section.bytes);
  }
  const Page page = VHSM_TRY(hashes_page(*launch.kernel, launch.firmware->hash_table.value_or(0)));
  return digest.add(PageType::kNormal, section.gpa, page);
}

Status add_section(RunningDigest& digest, const OvmfSection& section, const Launch& launch) {
  switch (section.type) {
    case SectionType::kSecrets:
      return digest.add_kind(PageType::kSecrets, section.gpa, section.bytes);
    case SectionType::kCpuid: return digest.add_kind(PageType::kCpuid, section.gpa, section.bytes);
    case SectionType::kKernelHashes: return add_hashes(digest, section, launch);
    case SectionType::kSecretMemory:
    case SectionType::kSvsmCaa: break;
  }
  return digest.add_kind(PageType::kZero, section.gpa, section.bytes);
}

/// EC2 adds the pages for CPUID behind all others.
Status add_sections(RunningDigest& digest, const Launch& launch) {
  const bool cpuid_last = launch.vmm != Vmm::kQemu;
  for (const bool late : {false, true}) {
    for (const OvmfSection& section : launch.firmware->sections) {
      const bool is_late = cpuid_last && section.type == SectionType::kCpuid;
      if (is_late == late) VHSM_TRY(add_section(digest, section, launch));
    }
  }
  return {};
}

Status add_vcpus(RunningDigest& digest, const Launch& launch) {
  constexpr std::uint64_t kVmsaGpa = 0xFFFFFFFFF000;
  VcpuStart start{kResetVector, launch.cpu_signature, launch.sev_features};
  for (std::uint32_t i = 0; i < launch.vcpus; ++i) {
    VHSM_TRY(digest.add(PageType::kVmsa, kVmsaGpa, vmsa_page(launch.vmm, start)));
    start.eip = launch.firmware->reset_vector.value_or(0);
  }
  return {};
}

Status check(const Launch& launch) {
  if (launch.vcpus == 0 || launch.vcpus > kMaxVcpus) {
    return fail(Errc::kInvalidArgument, "a guest has 1 to 4096 vCPUs");
  }
  if (launch.vcpus > 1 && launch.firmware->reset_vector.value_or(0) == 0) {
    return fail(Errc::kInvalidArgument, "the firmware has no reset vector for further vCPUs");
  }
  const bool takes_hashes = std::ranges::any_of(
      launch.firmware->sections,
      [](const OvmfSection& one) { return one.type == SectionType::kKernelHashes; });
  if (launch.kernel.has_value() &&
      (!takes_hashes || launch.firmware->hash_table.value_or(0) == 0)) {
    return fail(Errc::kInvalidArgument, "the firmware has no place for the hashes of a kernel");
  }
  return {};
}

// ---- files -------------------------------------------------------------------------------------

Result<FileDigest> sha256(Bytes bytes) {
  FileDigest digest{};
  VHSM_TRY(
      crypto(EVP_Digest(bytes.data(), bytes.size(), digest.data(), nullptr, EVP_sha256(), nullptr),
             "no SHA-256"));
  return digest;
}

/// In pieces: an initrd can be larger than memory has room for.
Result<FileDigest> sha256_of_file(const std::string& path) {
  const std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(path.c_str(), "re"), &std::fclose);
  if (file == nullptr) return fail(Errc::kIo, "this file cannot be opened", path);
  const auto ctx = VHSM_TRY(made(ossl::MdCtx(EVP_MD_CTX_new()), "no digest context"));
  VHSM_TRY(crypto(EVP_DigestInit_ex(ctx.get(), EVP_sha256(), nullptr), "no SHA-256"));
  std::array<std::uint8_t, 65536> piece;
  std::size_t size = 0;
  while ((size = std::fread(piece.data(), 1, piece.size(), file.get())) > 0) {
    VHSM_TRY(crypto(EVP_DigestUpdate(ctx.get(), piece.data(), size), "no SHA-256"));
  }
  if (std::ferror(file.get()) != 0) return fail(Errc::kIo, "this file cannot be read", path);
  FileDigest digest{};
  VHSM_TRY(crypto(EVP_DigestFinal_ex(ctx.get(), digest.data(), nullptr), "no SHA-256"));
  return digest;
}

}  // namespace

Result<KernelHashes> hash_kernel(const std::string& kernel, const std::string& initrd,
                                 std::string_view command_line) {
  const std::string command(command_line);
  KernelHashes hashes;
  hashes.kernel = VHSM_TRY(sha256_of_file(kernel));
  hashes.initrd = VHSM_TRY(initrd.empty() ? sha256({}) : sha256_of_file(initrd));
  hashes.command = VHSM_TRY(
      sha256({reinterpret_cast<const std::uint8_t*>(command.c_str()), command.size() + 1}));
  return hashes;
}

Result<Measurement> launch_digest(const Launch& launch) {
  VHSM_TRY(check(launch));
  RunningDigest digest;
  VHSM_TRY(add_firmware(digest, *launch.firmware));
  VHSM_TRY(add_sections(digest, launch));
  VHSM_TRY(add_vcpus(digest, launch));
  return digest.value();
}

}  // namespace vhsm::snp
