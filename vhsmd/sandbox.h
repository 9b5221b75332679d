// SPDX-License-Identifier: Apache-2.0
//
// What vhsmd gives up before it serves its first client, so that whoever takes the process over
// finds little to do with it. In this order: raise_descriptor_limit, become, hide_memory, all that
// only a start needs (name service modules, threads may run already), install_syscall_filter.
// Sources: capabilities(7), prctl(2), seccomp(2).
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace vhsm::vhsmd {

/// No core dump, no ptrace, and /proc/PID belongs to root. After become(): the kernel makes a
/// process dumpable as it likes (fs.suid_dumpable) when its user changes. The SNP emulator's
/// supervisor then needs CAP_SYS_PTRACE to answer this process.
/// @errors kUnsupported.
[[nodiscard]] Status hide_memory();

/// Becomes `user`, with that user's groups, for good, and gives up all capabilities. A process
/// that is `user` already (systemd's User=) gives up only the latter. Before the first thread:
/// capabilities are a thread's own.
/// @errors kBadConfig for an unknown user, for root, or when only root could change to it; kIo for
/// an unreadable user database; kUnsupported when privileges are left or come back.
[[nodiscard]] Status become(const std::string& user);

/// As many descriptors as the administrator allows (RLIMIT_NOFILE's hard limit): the soft limit of
/// 1024 protects callers of select(2), and there is none here.
/// @errors kUnsupported.
[[nodiscard]] Status raise_descriptor_limit();

/// Whether a platform of this kind (snp::PlatformInfo) makes reports behind the filter, which lets
/// nothing start programs.
/// @errors kUnsupported.
[[nodiscard]] Status check_platform(std::string_view kind);

/// Leaves the system calls that serving needs, to all threads and for good. Others fail with EPERM;
/// those that only an exploit makes end the process (SIGSYS). There is no new executable memory, so
/// nothing can be loaded afterwards: name service modules beyond libc's own `files` and `dns`, and
/// the libgcc_s that pthread_exit(3) wants, are loaded before or not at all.
/// @errors kUnsupported.
[[nodiscard]] Status install_syscall_filter();

}  // namespace vhsm::vhsmd
