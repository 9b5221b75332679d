// SPDX-License-Identifier: Apache-2.0
//
// Loaded into the processes under the emulator's supervisor (LD_PRELOAD). The kernel can write a
// derived key into a page of memfd_secret; the supervisor, another process, cannot. So the answer
// comes into an ordinary buffer and is copied from there: only here, where the key is not a real
// one.
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <cstring>

#include "snp/guest_abi.h"

namespace {

using vhsm::snp::DerivedKeyRequest;
using vhsm::snp::DerivedKeyResponse;
using vhsm::snp::GuestRequest;

int system_ioctl(int descriptor, unsigned long code, void* argument) {
  return static_cast<int>(::syscall(SYS_ioctl, descriptor, code, argument));
}

template <class T>
T* at(std::uint64_t address) {
  return reinterpret_cast<T*>(address);
}

int get_derived_key(int descriptor, GuestRequest& call) {
  DerivedKeyRequest request = *at<const DerivedKeyRequest>(call.request_address);
  DerivedKeyResponse response;
  GuestRequest bounced = call;
  bounced.request_address = reinterpret_cast<std::uintptr_t>(&request);
  bounced.response_address = reinterpret_cast<std::uintptr_t>(&response);
  const int result = system_ioctl(descriptor, vhsm::snp::kGetDerivedKey, &bounced);
  const int error = errno;
  call.exit_info = bounced.exit_info;
  if (result == 0) std::memcpy(at<void>(call.response_address), &response, sizeof response);
  ::explicit_bzero(&response, sizeof response);
  errno = error;
  return result;
}

}  // namespace

extern "C" __attribute__((visibility("default"))) int ioctl(int descriptor, unsigned long code,
                                                            ...) noexcept {
  va_list arguments;
  va_start(arguments, code);
  void* const argument = va_arg(arguments, void*);
  va_end(arguments);
  auto* const call = static_cast<GuestRequest*>(argument);
  const bool complete = code == vhsm::snp::kGetDerivedKey && call != nullptr &&
                        call->request_address != 0 && call->response_address != 0;
  return complete ? get_derived_key(descriptor, *call) : system_ioctl(descriptor, code, argument);
}
