// SPDX-License-Identifier: Apache-2.0
#include "snp/guest_failure.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <span>

#include "snp/guest_abi.h"

namespace vhsm::snp {
namespace {

using enum FailureKind;

constexpr int kAnyError = -1;

/// What exit_info must be for a row to hold.
enum class Exit : std::uint8_t { kAny, kRoom, kHost, kNothingSent };

bool holds(Exit wanted, std::uint64_t exit_info) {
  constexpr std::uint64_t kInitial = 0xFF;  // the driver starts from this
  const std::uint64_t host = exit_info >> 32;
  switch (wanted) {
    case Exit::kRoom: return host == host_error::kInvalidLength;
    case Exit::kHost: return host != 0;
    case Exit::kNothingSent: return exit_info == kInitial;
    case Exit::kAny: break;
  }
  return true;
}

struct Row {
  int error;
  Exit exit;
  Failure failure;
};

constexpr Failure kBusy{
    kFinal, "the host was busy for a minute; the guest's key (VMPCK) is gone until it reboots"};
constexpr Failure kWiped{
    kFinal, "the guest's key (VMPCK) is gone after an earlier failure; reboot the guest"};
constexpr Failure kForged{kFinal, "the firmware's answer does not authenticate; reboot the guest"};

/// The first row that holds counts.
constexpr std::array<Row, 10> kDeviceRows{{
    {EINVAL, Exit::kAny, {kMalformed, "the kernel refuses the request as malformed"}},
    {EFAULT, Exit::kAny, {kPassing, "the kernel cannot read the request"}},
    {ETIMEDOUT, Exit::kAny, kBusy},
    {ENOTTY, Exit::kAny, kWiped},
    {EBADMSG, Exit::kAny, kForged},
    {EIO, Exit::kRoom, {kMoreRoom, "the host's certificates do not fit"}},
    {EIO, Exit::kHost, {kFinal, "the host failed; reboot the guest"}},
    {EIO,
     Exit::kNothingSent,
     {kFinal, "the numbers of this guest's messages are used up; reboot the guest"}},
    {EIO, Exit::kAny, {kFinal, "the firmware failed; reboot the guest"}},
    {kAnyError, Exit::kAny, {kPassing, "the guest device failed"}},
}};

constexpr std::array<Row, 9> kTsmRows{{
    {ENOENT, Exit::kAny, {kPassing, "there is no SVSM above this guest, or the kernel is too old"}},
    {EINVAL,
     Exit::kAny,
     {kPassing, "the firmware refuses the request: its VMPL is not between the guest's and 3"}},
    {ENXIO, Exit::kAny, {kPassing, "the firmware answers with an error status"}},
    {EBUSY, Exit::kAny, {kPassing, "the kernel's count of writes is about to start again"}},
    {ETIMEDOUT, Exit::kAny, kBusy},
    {ENOTTY, Exit::kAny, kWiped},
    {EBADMSG, Exit::kAny, kForged},
    {EIO,
     Exit::kAny,
     {kPassing,
      "the firmware or the host failed, or the host's certificates are too many for configfs-tsm "
      "(platform = sev-guest does without them)"}},
    {kAnyError, Exit::kAny, {kPassing, "configfs-tsm failed"}},
}};

const Failure& find(std::span<const Row> rows, int error, std::uint64_t exit_info) noexcept {
  return std::ranges::find_if(rows,
                              [&](const Row& row) {
                                const bool same = row.error == error || row.error == kAnyError;
                                return same && holds(row.exit, exit_info);
                              })
      ->failure;
}

}  // namespace

const Failure& device_failure(int error, std::uint64_t exit_info) noexcept {
  return find(kDeviceRows, error, exit_info);
}

const Failure& tsm_failure(int error) noexcept { return find(kTsmRows, error, 0); }

}  // namespace vhsm::snp
