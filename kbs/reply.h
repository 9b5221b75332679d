// SPDX-License-Identifier: Apache-2.0
//
// Answers as the protocol wants them, before they become HTTP.
// Source: Trustee kbs/src/error.rs.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "kbs/sessions.h"

namespace vhsm::kbs {

struct Reply {
  int status = 200;
  std::string body;    ///< JSON, or nothing
  std::string cookie;  ///< value for Set-Cookie, or nothing
};

/// An object of strings in the order in which Trustee emits its members.
[[nodiscard]] std::string ordered(
    std::initializer_list<std::pair<std::string_view, std::string_view>> members);

/// {"type","detail"} with the protocol's name for the error.
[[nodiscard]] Reply refusal(int status, std::string_view variant, std::string_view detail);

/// "kbs-session-id=ID; Expires=DATE".
[[nodiscard]] std::string session_cookie(const Challenge& challenge);

/// The session's id in a Cookie header; empty when there is none of the right form.
[[nodiscard]] std::string session_in(std::string_view cookie_header);

/// "what: subject", for audit rows and log lines.
[[nodiscard]] std::string reason_of(const Error& error);

}  // namespace vhsm::kbs
