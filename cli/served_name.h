// SPDX-License-Identifier: Apache-2.0
//
// What systemd wants of a socket, by the name that its side of the connection is bound to:
//
//   \0 RANDOM /cryptsetup/ VOLUME      crypttab(5), "AF_UNIX key files"
//   \0 RANDOM /unit/ UNIT / ID         systemd.exec(5), LoadCredential=
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace vhsm::cli {

struct ServedName {
  bool is_volume = false;  ///< else a credential
  std::string unit;        ///< of a credential
  std::string id;          ///< of the credential; the volume's name

  friend bool operator==(const ServedName&, const ServedName&) = default;
};

/// @param bound  the peer's address as it is, with its leading zero byte.
/// @return nothing for any other name.
[[nodiscard]] std::optional<ServedName> parse_served_name(std::string_view bound);

}  // namespace vhsm::cli
