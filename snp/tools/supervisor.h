// SPDX-License-Identifier: Apache-2.0
//
// Answers calls on /dev/sev-guest and configfs-tsm below a process, as the kernel would: by
// seccomp's notifications of system calls. For development; it guards nothing. Source:
// seccomp_unotify(2), process_vm_readv(2).
#pragma once

#include "base/result.h"
#include "snp/tools/guest_driver.h"
#include "snp/tools/tsm_driver.h"

namespace vhsm::snp {

struct HostFaults {
  Faults device;
  TsmFaults tsm;
};

/// From here on the device and configfs-tsm are there for this process and all that descend from
/// it, through exec, setuid and chroot. Their owner is the user who calls, the device's mode 0600.
/// Answers come from a process in the background that ends with the last of them. Call it before
/// there are threads.
///
/// A response in a page of memfd_secret ends in EFAULT, since no other process can write there.
/// @errors kPlatform when the kernel lacks what is needed (5.14), or a supervisor is there already.
Status supervise(const EmulatedFirmware& firmware, const HostFaults& faults);

}  // namespace vhsm::snp
