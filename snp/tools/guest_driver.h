// SPDX-License-Identifier: Apache-2.0
//
// The kernel's driver of /dev/sev-guest, emulated: what an ioctl of a process comes to, with an
// emulated firmware and a host that can misbehave. Knows nothing of how the calls arrive.
// Source: linux drivers/virt/coco/sev-guest, Documentation/virt/coco/sev-guest.rst.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "base/deadline.h"
#include "snp/emulated_firmware.h"
#include "snp/guest_device.h"

namespace vhsm::snp {

/// The memory of the process that calls. Addresses are that process's.
class UserMemory {
 public:
  UserMemory() = default;
  UserMemory(const UserMemory&) = delete;
  UserMemory& operator=(const UserMemory&) = delete;
  virtual ~UserMemory() = default;

  /// @return false unless all bytes could be read, as copy_from_user() would.
  virtual bool read(std::uint64_t address, std::span<std::uint8_t> bytes) = 0;
  /// @return false unless all bytes could be written.
  virtual bool write(std::uint64_t address, std::span<const std::uint8_t> bytes) = 0;
};

/// How host and firmware misbehave, from request number `after` (from 0) on.
struct Faults {
  std::uint32_t after = 0;
  std::chrono::seconds busy{0};        ///< the host says "busy" for so long
  std::uint32_t firmware_error = 0;    ///< the firmware fails with this code
  bool tampered = false;               ///< answers do not authenticate
  bool wiped = false;                  ///< the guest's key (VMPCK) is gone
  bool exhausted = false;              ///< the 32-bit counter of messages is used up
  bool no_certificates = false;        ///< the host has none
  bool growing_certificates = false;   ///< they never fit: the host wants a page more each time
  bool too_many_certificates = false;  ///< more than the kernel passes on
  bool grown_certificates = false;     ///< a page more than the host said the first time
  bool garbled_certificates = false;   ///< no table at all
  std::chrono::seconds throttle{0};    ///< the host takes one request in so long
  std::uint32_t status = 0;            ///< the firmware's answers have this status
  std::optional<std::uint32_t> report_bytes{};  ///< and say that the report has this size
};

class GuestDriver {
 public:
  /// Waits for as long as it is told; tests only count.
  using Pause = std::function<void(std::chrono::seconds)>;
  using Now = std::function<TimePoint()>;

  /// @param firmware  outlives this object.
  GuestDriver(
      const EmulatedFirmware& firmware, Faults faults, Pause pause,
      Now now = [] { return Clock::now(); });

  /// One at a time, as the driver's mutex has it.
  /// @param argument  address of a GuestRequest in `memory`.
  /// @return 0, or the errno.
  int ioctl(unsigned long code, std::uint64_t argument, UserMemory& memory);

 private:
  int dispatch(unsigned long code, GuestRequest& call, UserMemory& memory);
  int get_report(GuestRequest& call, UserMemory& memory);
  int get_derived_key(GuestRequest& call, UserMemory& memory);
  int get_extended_report(GuestRequest& call, UserMemory& memory);
  int exchange(GuestRequest& call);
  int wait_for_host(GuestRequest& call);
  [[nodiscard]] bool host_takes_one();
  [[nodiscard]] ReportResponse answer(const ReportRequest& request) const;
  int disable(int error);
  [[nodiscard]] bool faulty() const noexcept { return requests_ > faults_.after; }
  [[nodiscard]] std::uint32_t certificates_need(std::uint32_t room) const;

  const EmulatedFirmware& firmware_;
  Faults faults_;
  Pause pause_;
  std::vector<std::uint8_t> table_;  ///< the host's certificates, whole pages
  Now now_;
  TimePoint busy_until_{};  ///< as far as the host's own troubles go
  TimePoint next_turn_{};   ///< as far as it throttles this guest
  std::uint32_t requests_ = 0;
  bool told_need_ = false;
  bool disabled_ = false;
};

}  // namespace vhsm::snp
