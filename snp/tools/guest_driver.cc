// SPDX-License-Identifier: Apache-2.0
#include "snp/tools/guest_driver.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "snp/certificate_table.h"

namespace vhsm::snp {
namespace {

using std::chrono::seconds;

constexpr std::uint64_t kNoExitInfo = 0xFF;  // what the driver starts from
constexpr seconds kRetryDelay{2};
constexpr seconds kRetryDuration{60};
constexpr std::uint32_t kPage = kPageBytes;

template <class T>
bool read_object(UserMemory& memory, std::uint64_t address, T& object) {
  return memory.read(address, {reinterpret_cast<std::uint8_t*>(&object), sizeof object});
}

template <class T>
bool write_object(UserMemory& memory, std::uint64_t address, const T& object) {
  return memory.write(address, {reinterpret_cast<const std::uint8_t*>(&object), sizeof object});
}

std::uint64_t from_host(std::uint64_t error) { return error << 32; }

bool wants_certificates(const ExtendedReportRequest& request) {
  return request.certificates_bytes != 0 && request.certificates_address != 0;
}

std::vector<std::uint8_t> table_of(const EmulatedFirmware& firmware) {
  auto table = write_certificate_table(firmware.certificates());
  return table.ok() ? std::move(table).value() : std::vector<std::uint8_t>();
}

}  // namespace

GuestDriver::GuestDriver(const EmulatedFirmware& firmware, Faults faults, Pause pause, Now now)
    : firmware_(firmware),
      faults_(faults),
      pause_(std::move(pause)),
      table_(table_of(firmware)),
      now_(std::move(now)) {
  constexpr std::uint8_t kGarbage = 0xA5;
  if (faults_.garbled_certificates) std::ranges::fill(table_, kGarbage);
}

/// The argument is copied back only when there is something to say in it.
int GuestDriver::ioctl(unsigned long code, std::uint64_t argument, UserMemory& memory) {
  GuestRequest call;
  if (!read_object(memory, argument, call)) return EFAULT;
  call.exit_info = kNoExitInfo;
  if (call.message_version == 0) return EINVAL;
  if (disabled_ || (faults_.wiped && requests_ >= faults_.after)) return ENOTTY;
  const int error = dispatch(code, call, memory);
  if (call.exit_info != 0 && !write_object(memory, argument, call)) return EFAULT;
  return error;
}

int GuestDriver::dispatch(unsigned long code, GuestRequest& call, UserMemory& memory) {
  if (code != kGetReport && code != kGetDerivedKey && code != kGetExtendedReport) return ENOTTY;
  if (call.request_address == 0 || call.response_address == 0) return EINVAL;
  switch (code) {
    case kGetReport: return get_report(call, memory);
    case kGetDerivedKey: return get_derived_key(call, memory);
    default: return get_extended_report(call, memory);
  }
}

int GuestDriver::get_report(GuestRequest& call, UserMemory& memory) {
  ReportRequest request;
  if (!read_object(memory, call.request_address, request)) return EFAULT;
  if (const int error = exchange(call); error != 0) return error;
  return write_object(memory, call.response_address, answer(request)) ? 0 : EFAULT;
}

int GuestDriver::get_derived_key(GuestRequest& call, UserMemory& memory) {
  DerivedKeyRequest request;
  if (!read_object(memory, call.request_address, request)) return EFAULT;
  if (const int error = exchange(call); error != 0) return error;
  DerivedKeyResponse response = firmware_.derive_key(request);
  const bool written = write_object(memory, call.response_address, response);
  OPENSSL_cleanse(&response, sizeof response);
  return written ? 0 : EFAULT;
}

int GuestDriver::get_extended_report(GuestRequest& call, UserMemory& memory) {
  ExtendedReportRequest request;
  if (!read_object(memory, call.request_address, request)) return EFAULT;
  const std::uint32_t room = wants_certificates(request) ? request.certificates_bytes : 0;
  if (room > kMaxTableBytes || room % kPage != 0) return EINVAL;
  if (const int error = exchange(call); error != 0) return error;
  if (const std::uint32_t need = certificates_need(room); need > room) {
    call.exit_info = from_host(host_error::kInvalidLength);
    request.certificates_bytes = need;
    told_need_ = true;
    return write_object(memory, call.request_address, request) ? EIO : EFAULT;
  }
  // The rest of the room is zero, and all of it where the host has no certificates.
  std::vector<std::uint8_t> table(room);
  if (certificates_need(room) != 0) std::ranges::copy(table_, table.begin());
  if (room != 0 && !memory.write(request.certificates_address, table)) return EFAULT;
  return write_object(memory, call.response_address, answer(request.report)) ? 0 : EFAULT;
}

ReportResponse GuestDriver::answer(const ReportRequest& request) const {
  ReportResponse response = firmware_.report(request);
  if (!faulty()) return response;
  if (faults_.status != 0) response = {.status = faults_.status};
  if (faults_.report_bytes) response.report_bytes = *faults_.report_bytes;
  return response;
}

std::uint32_t GuestDriver::certificates_need(std::uint32_t room) const {
  constexpr std::uint32_t kTooMany = kMaxTableBytes + kPage;
  if (faulty() && faults_.no_certificates) return 0;
  if (faulty() && faults_.too_many_certificates) return kTooMany;
  if (faulty() && faults_.growing_certificates) return room + kPage;
  const auto need = static_cast<std::uint32_t>(table_.size());
  return faulty() && faults_.grown_certificates && told_need_ ? need + kPage : need;
}

/// The way to the firmware and back. An exchange that fails in between wipes the key, since its
/// nonce, the message's number, must not be used twice.
int GuestDriver::exchange(GuestRequest& call) {
  ++requests_;
  if (faulty() && faults_.exhausted) return EIO;
  if (faulty() && wait_for_host(call) != 0) return disable(ETIMEDOUT);
  if (faulty() && faults_.firmware_error != 0) {
    call.exit_info = faults_.firmware_error;
    return disable(EIO);
  }
  call.exit_info = 0;
  return faulty() && faults_.tampered ? disable(EBADMSG) : 0;
}

/// The driver asks a busy host again and again, but not for ever.
int GuestDriver::wait_for_host(GuestRequest& call) {
  if (busy_until_ == TimePoint()) busy_until_ = now_() + faults_.busy;
  for (seconds waited{0}; !host_takes_one(); waited += kRetryDelay) {
    if (waited > kRetryDuration) {
      call.exit_info = from_host(host_error::kBusy);
      return ETIMEDOUT;
    }
    pause_(kRetryDelay);
  }
  return 0;
}

bool GuestDriver::host_takes_one() {
  const TimePoint now = now_();
  if (now < busy_until_ || now < next_turn_) return false;
  next_turn_ = now + faults_.throttle;
  return true;
}

int GuestDriver::disable(int error) {
  disabled_ = true;
  return error;
}

}  // namespace vhsm::snp
