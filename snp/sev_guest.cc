// SPDX-License-Identifier: Apache-2.0
#include "snp/sev_guest.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>
#include <vector>

#include "snp/certificate_table.h"
#include "snp/files.h"
#include "snp/report.h"

namespace vhsm::snp {
namespace {

constexpr int kMaxAttempts = 3;

class KernelDevice final : public GuestDevice {
 public:
  explicit KernelDevice(int descriptor) : descriptor_(descriptor) {}
  KernelDevice(const KernelDevice&) = delete;
  KernelDevice& operator=(const KernelDevice&) = delete;
  ~KernelDevice() override { ::close(descriptor_); }

  int ioctl(unsigned long code, GuestRequest& request) override {
    return ::ioctl(descriptor_, code, &request) == 0 ? 0 : errno;
  }

 private:
  int descriptor_;
};

std::uint64_t address_of(const void* object) { return reinterpret_cast<std::uintptr_t>(object); }

/// A page-aligned buffer would spare the kernel nothing: it copies. Only the length must be whole
/// pages.
using Table = std::vector<std::uint8_t>;

std::uint64_t host_error_of(const GuestRequest& request) { return request.exit_info >> 32; }

/// The sentence for an errno. All but the first two are final until the guest reboots.
Error device_error(int error, const GuestRequest& request) {
  switch (error) {
    case EINVAL:
      return fail(Errc::kPlatform, "the kernel refuses the request as malformed", kSevGuestPath);
    case EFAULT: return fail(Errc::kPlatform, "the kernel cannot read the request", kSevGuestPath);
    case ETIMEDOUT:
      return fail(
          Errc::kPlatform,
          "the host was busy for a minute; the guest's key (VMPCK) is gone until it reboots",
          kSevGuestPath);
    case ENOTTY:
      return fail(Errc::kPlatform,
                  "the guest's key (VMPCK) is gone after an earlier failure; reboot the guest",
                  kSevGuestPath);
    case EBADMSG:
      return fail(Errc::kPlatform, "the firmware's answer does not authenticate; reboot the guest",
                  kSevGuestPath);
    default: break;
  }
  if (error == EIO && host_error_of(request) == host_error::kInvalidLength) {
    return fail(Errc::kPlatform, "the host's certificates grow with each request", kSevGuestPath);
  }
  return fail(Errc::kPlatform, "the firmware or the host failed; reboot the guest", kSevGuestPath);
}

ReportRequest request_for(const ReportData& data, unsigned vmpl) {
  ReportRequest request;
  request.user_data = data;
  request.vmpl = vmpl;
  return request;
}

Result<RawReport> get_report(GuestDevice& device, const ReportRequest& request) {
  ReportResponse response;
  GuestRequest call;
  call.request_address = address_of(&request);
  call.response_address = address_of(&response);
  const int error = device.ioctl(kGetReport, call);
  if (error != 0) return device_error(error, call);
  return report_of(response, kSevGuestPath);
}

/// One extended request: the report, or that `need` bytes of room are wanted, or that the host's
/// certificates cannot be had.
struct Extended {
  enum class Outcome : std::uint8_t { kReport, kMoreRoom, kNotToBeHad } outcome;
  ReportResponse response;
  std::uint32_t need = 0;
};

Result<Extended> get_extended(GuestDevice& device, const ReportRequest& report, Table& table) {
  Extended answer{Extended::Outcome::kReport, {}, 0};
  ExtendedReportRequest request{report, table.empty() ? 0 : address_of(table.data()),
                                static_cast<std::uint32_t>(table.size())};
  GuestRequest call;
  call.request_address = address_of(&request);
  call.response_address = address_of(&answer.response);
  const int error = device.ioctl(kGetExtendedReport, call);
  if (error == 0) return answer;
  if (error == EINVAL) {
    answer.outcome = Extended::Outcome::kNotToBeHad;
    return answer;
  }
  if (error != EIO || host_error_of(call) != host_error::kInvalidLength)
    return device_error(error, call);
  answer.need = request.certificates_bytes;
  const bool fits = answer.need > table.size() && answer.need <= kMaxTableBytes;
  answer.outcome = fits ? Extended::Outcome::kMoreRoom : Extended::Outcome::kNotToBeHad;
  return answer;
}

std::size_t whole_pages(std::size_t bytes) {
  return (bytes + kPageBytes - 1) / kPageBytes * kPageBytes;
}

Result<Evidence> evidence_of(const Extended& answer, const Table& table) {
  Evidence evidence;
  evidence.report = VHSM_TRY(report_of(answer.response, kSevGuestPath));
  evidence.certificates = VHSM_TRY(parse_certificate_table(table));
  return evidence;
}

/// What the report says must be what was asked for: the answer is authenticated, but cheap to
/// check.
Status check_answer(const RawReport& raw, const ReportData& data) {
  const UnverifiedReport report(raw);
  if (!std::ranges::equal(report.bytes<field::kReportData>(), data)) {
    return fail(Errc::kPlatform, "the firmware's report is for other REPORT_DATA", kSevGuestPath);
  }
  return {};
}

Result<Evidence> get_evidence(GuestDevice& device, const ReportRequest& request,
                              std::uint32_t& certificates_bytes) {
  for (int attempt = 0; attempt < kMaxAttempts; ++attempt) {
    Table table(whole_pages(certificates_bytes));
    const Extended answer = VHSM_TRY(get_extended(device, request, table));
    if (answer.outcome == Extended::Outcome::kReport) return evidence_of(answer, table);
    if (answer.outcome == Extended::Outcome::kNotToBeHad) break;
    certificates_bytes = answer.need;
  }
  Evidence evidence;
  evidence.report = VHSM_TRY(get_report(device, request));
  return evidence;
}

}  // namespace

SevGuest::SevGuest(std::unique_ptr<GuestDevice> device, unsigned vmpl)
    : state_(std::in_place, State{std::move(device), 0}), vmpl_(vmpl) {}

PlatformInfo SevGuest::info() const { return {"sev-guest", false, vmpl_}; }

Result<Evidence> SevGuest::attest(const ReportData& data) {
  const auto state = state_.lock();
  const ReportRequest request = request_for(data, vmpl_);
  Evidence evidence = VHSM_TRY(get_evidence(*state->device, request, state->certificates_bytes));
  VHSM_TRY(check_answer(evidence.report, data));
  return evidence;
}

Result<std::unique_ptr<GuestDevice>> open_guest_device(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (descriptor >= 0) {
    return std::unique_ptr<GuestDevice>(std::make_unique<KernelDevice>(descriptor));
  }
  if (errno == ENOENT) {
    return fail(Errc::kNoPlatform, "there is no SEV-SNP guest device here", path);
  }
  return fail(Errc::kIo, "the SEV-SNP guest device cannot be opened", path);
}

unsigned running_vmpl(const std::string& path) {
  constexpr std::size_t kMaxBytes = 16;
  const auto text = read_file(path, kMaxBytes);
  if (!text.ok() || text.value().empty()) return 0;
  const std::uint8_t digit = text.value().front();
  return digit >= '0' && digit <= '3' ? digit - unsigned{'0'} : 0;
}

}  // namespace vhsm::snp
