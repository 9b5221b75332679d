// SPDX-License-Identifier: Apache-2.0
#include "snp/sev_guest.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <thread>
#include <utility>
#include <vector>

#include "base/descriptor.h"
#include "snp/annex.h"
#include "snp/certificate_table.h"
#include "snp/files.h"
#include "snp/guest_failure.h"
#include "snp/within.h"

namespace vhsm::snp {
namespace {

constexpr int kMaxAttempts = 3;

class KernelDevice final : public GuestDevice {
 public:
  explicit KernelDevice(Descriptor descriptor) : descriptor_(std::move(descriptor)) {}

  int ioctl(unsigned long code, GuestRequest& request) override {
    return ::ioctl(descriptor_.get(), code, &request) == 0 ? 0 : errno;
  }

 private:
  Descriptor descriptor_;
};

std::uint64_t address_of(const void* object) { return reinterpret_cast<std::uintptr_t>(object); }

/// A page-aligned buffer would spare the kernel nothing: it copies. Only the length must be whole
/// pages.
using Table = std::vector<std::uint8_t>;

Error to_error(const Failure& failure) {
  return fail(Errc::kPlatform, failure.what, kSevGuestPath);
}

ReportRequest request_for(const ReportData& data, unsigned vmpl) {
  ReportRequest request;
  request.user_data = data;
  request.vmpl = vmpl;
  return request;
}

/// One extended request: the report, or that `need` bytes of room are wanted, or that the host's
/// certificates cannot be had.
struct Extended {
  enum class Outcome : std::uint8_t { kReport, kMoreRoom, kNotToBeHad } outcome;
  ReportResponse response;
  std::uint32_t need = 0;
};

Extended without_room(std::uint32_t need, std::size_t room) {
  const bool fits = need > room && need <= kMaxTableBytes;
  return {fits ? Extended::Outcome::kMoreRoom : Extended::Outcome::kNotToBeHad, {}, need};
}

std::size_t whole_pages(std::size_t bytes) {
  return (bytes + kPageBytes - 1) / kPageBytes * kPageBytes;
}

Result<Evidence> evidence_of(const ReportResponse& response, const Table& table) {
  Evidence evidence;
  evidence.report = VHSM_TRY(report_of(response, kSevGuestPath));
  evidence.certificates = VHSM_TRY(parse_certificate_table(table));
  return evidence;
}

}  // namespace

/// The way to the firmware. Without a lock: the kernel has one, and a fork must not find ours
/// taken by a thread that waits for the host.
class SevGuest::Channel {
 public:
  Channel(std::unique_ptr<GuestDevice> device, Pace::Limits pace)
      : device_(std::move(device)), pace_(pace) {}

  Result<Evidence> get_evidence(const ReportRequest& request, TimePoint deadline) {
    for (int attempt = 0; attempt < kMaxAttempts; ++attempt) {
      Table table(whole_pages(certificates_bytes_.load()));
      const Extended answer = VHSM_TRY(get_extended(request, table, deadline));
      if (answer.outcome == Extended::Outcome::kReport) return evidence_of(answer.response, table);
      if (answer.outcome == Extended::Outcome::kNotToBeHad) break;
      certificates_bytes_ = answer.need;
    }
    return get_report(request, deadline);
  }

  /// The kernel writes the key where it stays: into protected memory.
  Result<SecretBytes> get_key(const DerivedKeyRequest& request, TimePoint deadline) {
    const memory::Access access;
    auto answer = VHSM_TRY(SecretBytes::zeros(sizeof(DerivedKeyResponse)));
    auto* const response = reinterpret_cast<DerivedKeyResponse*>(answer.expose().data());
    GuestRequest call;
    call.request_address = address_of(&request);
    call.response_address = address_of(response);
    if (const Failure* failure = VHSM_TRY(ask(kGetDerivedKey, call, deadline))) {
      return to_error(*failure);
    }
    VHSM_TRY(check_status(*response, kSevGuestPath));
    return SecretBytes::copy(response->key);
  }

 private:
  Result<Evidence> get_report(const ReportRequest& request, TimePoint deadline) {
    ReportResponse response;
    GuestRequest call;
    call.request_address = address_of(&request);
    call.response_address = address_of(&response);
    if (const Failure* failure = VHSM_TRY(ask(kGetReport, call, deadline))) {
      return to_error(*failure);
    }
    return evidence_of(response, {});
  }

  Result<Extended> get_extended(const ReportRequest& report, Table& table, TimePoint deadline) {
    Extended answer{Extended::Outcome::kReport, {}, 0};
    ExtendedReportRequest request{report, table.empty() ? 0 : address_of(table.data()),
                                  static_cast<std::uint32_t>(table.size())};
    GuestRequest call;
    call.request_address = address_of(&request);
    call.response_address = address_of(&answer.response);
    const Failure* failure = VHSM_TRY(ask(kGetExtendedReport, call, deadline));
    if (failure == nullptr) return answer;
    switch (failure->kind) {
      case FailureKind::kMoreRoom: return without_room(request.certificates_bytes, table.size());
      case FailureKind::kMalformed: return without_room(0, 0);
      default: return to_error(*failure);
    }
  }

  /// Waits for a turn and asks the device, unless that has failed for good.
  /// @return null when the device answered.
  Result<const Failure*> ask(unsigned long code, GuestRequest& call, TimePoint deadline) {
    if (const Failure* failure = failed_.get()) return failure;
    const auto turn = pace_.take(Clock::now(), deadline);
    if (!turn) return fail(Errc::kPlatform, "too many requests in too short a time", kSevGuestPath);
    std::this_thread::sleep_until(*turn);
    const int error = device_->ioctl(code, call);
    if (error == 0) return nullptr;
    return &failed_.note(device_failure(error, call.exit_info));
  }

  std::unique_ptr<GuestDevice> device_;
  Pace pace_;
  std::atomic<std::uint32_t> certificates_bytes_{0};  ///< what the host needed last time
  FirstFinal failed_;
};

SevGuest::SevGuest(std::unique_ptr<GuestDevice> device, unsigned vmpl, Pace::Limits pace)
    : channel_(std::make_shared<Channel>(std::move(device), pace)), vmpl_(vmpl) {}

PlatformInfo SevGuest::info() const { return {"sev-guest", false, vmpl_}; }

Result<Evidence> SevGuest::attest(const ReportData& data, TimePoint deadline) {
  auto evidence = VHSM_TRY(within(
      deadline, kSevGuestPath, [channel = channel_, request = request_for(data, vmpl_), deadline] {
        return channel->get_evidence(request, deadline);
      }));
  VHSM_TRY(check_binding(evidence, data, kSevGuestPath));
  return evidence;
}

Result<SecretBytes> SevGuest::derive_key(const DerivedKeyRequest& request, TimePoint deadline) {
  DerivedKeyRequest ours = request;
  ours.vmpl = vmpl_;
  return within(deadline, kSevGuestPath,
                [channel = channel_, ours, deadline] { return channel->get_key(ours, deadline); });
}

Result<std::unique_ptr<GuestDevice>> open_guest_device(const std::string& path) {
  Descriptor descriptor(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (descriptor.valid()) {
    return std::unique_ptr<GuestDevice>(std::make_unique<KernelDevice>(std::move(descriptor)));
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
