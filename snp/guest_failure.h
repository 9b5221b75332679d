// SPDX-License-Identifier: Apache-2.0
//
// What the errors of the kernel's guest driver mean. A final one lasts until the guest reboots: the
// driver has wiped the guest's key (VMPCK), since its nonces are the messages' numbers and must not
// be used twice.
// Source: linux drivers/virt/coco/sev-guest; arch/x86/coco/sev/core.c.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/error.h"

namespace vhsm::snp {

enum class FailureKind : std::uint8_t {
  kMalformed,  ///< the kernel does not take the request in this form
  kMoreRoom,   ///< the host's certificates need more room than was given
  kPassing,    ///< another time it may go well
  kFinal,
};

struct Failure {
  FailureKind kind;
  Literal what;
};

/// @param error      the errno of the ioctl.
/// @param exit_info  looked at for EIO alone: older kernels leave other things in it.
[[nodiscard]] const Failure& device_failure(int error, std::uint64_t exit_info) noexcept;

/// @param error  the errno of reading a blob in configfs-tsm, which has no exit info.
[[nodiscard]] const Failure& tsm_failure(int error) noexcept;

/// The first final failure, after which nobody is asked any more. Thread-safe.
class FirstFinal {
 public:
  /// Null while there is none.
  [[nodiscard]] const Failure* get() const noexcept { return failure_.load(); }
  const Failure& note(const Failure& failure) noexcept {
    if (failure.kind == FailureKind::kFinal) failure_ = &failure;
    return failure;
  }

 private:
  std::atomic<const Failure*> failure_{nullptr};
};

}  // namespace vhsm::snp
