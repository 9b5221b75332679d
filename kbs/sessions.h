// SPDX-License-Identifier: Apache-2.0
//
// One session for each handshake: a nonce that serves one attestation, then the token it earned.
// Source: Trustee kbs/src/attestation/session.rs.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/guarded.h"
#include "base/result.h"

namespace vhsm::kbs {

using Time = std::chrono::system_clock::time_point;
using Clock = std::function<Time()>;

/// What a client gets to know of its session.
struct Challenge {
  std::string id;     ///< 32 lower-case hex digits, a version 4 UUID without dashes
  std::string nonce;  ///< standard base64 of 32 random bytes
  Time expires;
};

/// Thread-safe. A session lives `lifetime` from its start, whatever happens in it.
class Sessions {
 public:
  Sessions(std::chrono::seconds lifetime, std::size_t max, Clock now);

  /// @errors kDenied when there are `max` live ones; kCrypto.
  [[nodiscard]] Result<Challenge> start();

  /// Hands the nonce out, once: a second call fails, whatever came of the first.
  /// @errors kMissing (unknown or expired), kWrongState (used before).
  [[nodiscard]] Result<Challenge> use(std::string_view id);

  /// Remembers what the attestation earned.
  /// @errors kMissing when the session expired meanwhile.
  Status attested(std::string_view id, std::string token);

  /// @errors kMissing (unknown or expired), kNotAttested.
  [[nodiscard]] Result<std::string> token(std::string_view id);

 private:
  struct Session {
    Challenge challenge;
    bool used = false;
    std::string token;
  };
  using Table = std::map<std::string, Session, std::less<>>;

  Result<Session*> find(Table& table, std::string_view id) const;

  std::chrono::seconds lifetime_;
  std::size_t max_;
  Clock now_;
  std::unique_ptr<Guarded<Table>> table_;
};

}  // namespace vhsm::kbs
