// SPDX-License-Identifier: Apache-2.0
//
// The address of a Unix socket, for the calls that take one.
// Source: unix(7).
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <string>
#include <utility>

namespace vhsm::keystore {

/// @param path  at most 107 bytes, which the setting `keystore` sees to; more are cut.
/// @return what `call(const sockaddr*, socklen_t)` returns.
template <class Call>
int with_unix_address(const std::string& path, Call&& call) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  return std::forward<Call>(call)(reinterpret_cast<const sockaddr*>(&address),
                                  socklen_t{sizeof address});
}

}  // namespace vhsm::keystore
