// SPDX-License-Identifier: Apache-2.0
//
// The two OpenSSLs that meet in a host program: the private copy here, and the machine's own.
#pragma once

#include <optional>
#include <string>

namespace vhsm::cli {

struct OpensslVersion {
  unsigned major = 0;
  unsigned minor = 0;
  unsigned patch = 0;
  std::string text;  ///< "OpenSSL 3.0.17 1 Jul 2025"

  /// Whether `other` is of the same series and has fixes that this one lacks.
  [[nodiscard]] bool is_behind(const OpensslVersion& other) const noexcept {
    return major == other.major && minor == other.minor && patch < other.patch;
  }
};

struct HostOpenssl {
  OpensslVersion version;
  std::string modules;  ///< folder in which it looks for providers
};

/// The private copy.
[[nodiscard]] OpensslVersion inner_openssl();

/// The libcrypto that programs on this machine load; none if there is none.
[[nodiscard]] std::optional<HostOpenssl> host_openssl();

}  // namespace vhsm::cli
