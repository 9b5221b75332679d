// SPDX-License-Identifier: Apache-2.0
#include "snp/vtpm.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "snp/annex.h"
#include "snp/child.h"
#include "snp/files.h"
#include "snp/little_endian.h"
#include "snp/report.h"

namespace vhsm::snp {
namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr const char* kSubject = "vtpm";
constexpr std::string_view kAzureTag = "7783-7084-3265-9085-8269-3286-77";
constexpr const char* kReportIndex = "0x01400001";
constexpr const char* kUserDataIndex = "0x01400002";

// ---- The blob --------------------------------------------------------------------------------

constexpr std::string_view kMagic = "HCLA";
constexpr std::size_t kReportOffset = 0x20;
/// Of the claims' header: five numbers of 32 bits.
constexpr std::size_t kHeaderOffset = kReportOffset + kReportBytes;
constexpr std::size_t kClaimsOffset = kHeaderOffset + 5 * sizeof(std::uint32_t);
static_assert(kHeaderOffset == 0x4C0);

constexpr std::uint32_t kSnpReport = 2;
constexpr std::uint32_t kSha256 = 1;

struct ClaimsHeader {
  std::uint32_t version;
  std::uint32_t report_type;
  std::uint32_t hash_type;
  std::uint32_t claims_bytes;
};

/// The first number, the size of all, is not needed.
ClaimsHeader read_header(std::span<const std::uint8_t> blob) {
  const auto number = [&](std::size_t index) {
    return read_u32(blob.subspan(kHeaderOffset + index * sizeof(std::uint32_t)));
  };
  return {number(1), number(2), number(3), number(4)};
}

Status check_header(const ClaimsHeader& header, std::size_t room) {
  if (header.version != 1) return fail(Errc::kUnsupported, "a newer form of HCL report", kSubject);
  if (header.report_type != kSnpReport) {
    return fail(Errc::kBadFormat, "the vTPM's report is not of SEV-SNP", kSubject);
  }
  if (header.hash_type != kSha256) {
    return fail(Errc::kUnsupported, "the vTPM's claims are not hashed by SHA-256", kSubject);
  }
  if (header.claims_bytes > room) {
    return fail(Errc::kBadFormat, "the vTPM's claims are longer than what it holds", kSubject);
  }
  return {};
}

bool is_hcl(std::span<const std::uint8_t> blob) {
  return blob.size() >= kClaimsOffset && std::ranges::equal(blob.first(kMagic.size()), kMagic);
}

// ---- The platforms ---------------------------------------------------------------------------

class VtpmFile final : public Platform {
 public:
  explicit VtpmFile(Evidence evidence) : evidence_(std::move(evidence)) {}

  [[nodiscard]] PlatformInfo info() const override {
    const UnverifiedReport report(evidence_.report);
    return {"vtpm", false, static_cast<unsigned>(report.number<field::kVmpl>())};
  }
  Result<Evidence> attest(const ReportData& data, TimePoint) override {
    VHSM_TRY(check_binding(evidence_, data, kSubject));
    return evidence_;
  }

 private:
  Evidence evidence_;
};

class Vtpm final : public Platform {
 public:
  explicit Vtpm(std::string tools) : tools_(std::move(tools)) {}

  [[nodiscard]] PlatformInfo info() const override { return {"vtpm", false, 0}; }

  Result<Evidence> attest(const ReportData& data, TimePoint deadline) override {
    const TimePoint by = std::min(deadline, Clock::now() + kPatience);
    for (;;) {
      VHSM_TRY(write_user_data(data, by));  // each time: there is one index for the whole machine
      const Bytes blob = VHSM_TRY(run("tpm2_nvread", {"-C", "o", kReportIndex}, {}, by));
      auto evidence = VHSM_TRY(parse_hcl_report(blob));
      const Status bound = check_binding(evidence, data, kSubject);
      if (bound.ok()) return evidence;
      if (bound.error().code != Errc::kPlatform || Clock::now() + kRest > by) return bound.error();
      std::this_thread::sleep_for(kRest);
    }
  }

 private:
  /// The paravisor renews the report when it is read, but at most every few seconds.
  static constexpr std::chrono::seconds kPatience{30};
  static constexpr std::chrono::seconds kRest{1};

  Result<Bytes> run(const char* tool, std::vector<std::string> words,
                    std::span<const std::uint8_t> input, TimePoint deadline) const {
    words.insert(words.begin(), tools_ + "/" + tool);
    return run_program(words, input, kMaxHclBytes, deadline);
  }

  /// The index is there after the first time.
  Status write_user_data(const ReportData& data, TimePoint deadline) const {
    const std::vector<std::string> words{"-C", "o", "-i", "-", kUserDataIndex};
    if (run("tpm2_nvwrite", words, data, deadline).ok()) return {};
    // Where that fails, somebody else may have done it.
    static_cast<void>(run("tpm2_nvdefine",
                          {"-C", "o", "-s", std::to_string(data.size()), "-a",
                           "ownerwrite|ownerread|authwrite|authread", kUserDataIndex},
                          {}, deadline));
    const auto written = run("tpm2_nvwrite", words, data, deadline);
    return written.ok() ? Status() : Status(written.error());
  }

  std::string tools_;
};

bool is_azure(const std::string& path) {
  constexpr std::size_t kMaxTagBytes = 256;
  const auto tag = read_file(path, kMaxTagBytes);
  return tag.ok() && tag.value().size() >= kAzureTag.size() &&
         std::ranges::equal(std::span(tag.value()).first(kAzureTag.size()), kAzureTag);
}

}  // namespace

Result<Evidence> parse_hcl_report(std::span<const std::uint8_t> blob) {
  if (!is_hcl(blob)) return fail(Errc::kBadFormat, "this is not an HCL report", kSubject);
  const ClaimsHeader header = read_header(blob);
  VHSM_TRY(check_header(header, blob.size() - kClaimsOffset));
  const auto claims = blob.subspan(kClaimsOffset, header.claims_bytes);
  Evidence evidence;
  std::ranges::copy(blob.subspan(kReportOffset, kReportBytes), evidence.report.begin());
  evidence.annex = {AnnexKind::kAzureClaims, {claims.begin(), claims.end()}};
  return evidence;
}

Result<std::unique_ptr<Platform>> open_vtpm_file(const std::string& path) {
  const Bytes blob = VHSM_TRY(read_file(path, kMaxHclBytes));
  auto evidence = VHSM_TRY(parse_hcl_report(blob));
  return std::unique_ptr<Platform>(std::make_unique<VtpmFile>(std::move(evidence)));
}

Result<std::unique_ptr<Platform>> open_vtpm(const VtpmPaths& paths) {
  if (!is_azure(paths.chassis_tag)) {
    return fail(Errc::kNoPlatform, "this is not an Azure VM", paths.chassis_tag);
  }
  if (::access(paths.device.c_str(), F_OK) != 0) {
    return fail(Errc::kNoPlatform, "this Azure VM has no vTPM", paths.device);
  }
  return std::unique_ptr<Platform>(std::make_unique<Vtpm>(paths.tools));
}

}  // namespace vhsm::snp
