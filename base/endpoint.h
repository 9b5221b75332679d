// SPDX-License-Identifier: Apache-2.0
//
// Where a KBS listens: the URL syntax of the setting `kbs`.
// Source: RFC 3986, section 3, narrowed to scheme, host and port.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace vhsm {

struct Endpoint {
  std::string scheme;        ///< "https" or "http"
  std::string host;          ///< DNS name (lower case), IPv4 or IPv6 literal without brackets
  std::uint16_t port = 443;  ///< where the URL names none: 443 for https, 80 for http
  bool is_loopback = false;  ///< the host is an address literal of this machine: 127.0.0.0/8, ::1

  /// "https://[::1]:8443": the canonical form, for logs, errors and the Host header.
  [[nodiscard]] std::string url() const;
};

/// Reads `http[s]://host[:port][/]`. No user name, other path, query or fragment.
/// @errors kBadConfig; the subject is the URL, without what may be a password.
[[nodiscard]] Result<Endpoint> parse_endpoint(std::string_view url);

}  // namespace vhsm
