// SPDX-License-Identifier: Apache-2.0
//
// Signs the tokens of this attestation service, and verifies those that come back: its own and
// those of services that it is told to trust.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/handle.h"
#include "base/result.h"
#include "jose/json.h"
#include "kbs/config.h"
#include "kbs/secret_file.h"
#include "kbs/sessions.h"

namespace vhsm::kbs {

/// Thread-safe once open.
class TokenAuthority {
 public:
  /// @errors kIo, kBadFormat, kWrongState (the key is not the certificate's), kUnsupported.
  static Result<TokenAuthority> open(const Config& config, Clock now);

  /// Adds iat and exp.
  /// @errors kCrypto.
  [[nodiscard]] Result<std::string> sign(jose::Json claims) const;

  /// The claims of a token that is genuine and has not expired.
  /// @errors as jose::verify_token().
  [[nodiscard]] Result<jose::Json> verify(std::string_view token) const;

 private:
  TokenAuthority(PrivateKey key, std::vector<ossl::X509Cert> chain, ossl::X509Store trusted,
                 std::chrono::seconds lifetime, Clock now)
      : key_(std::move(key)),
        chain_(std::move(chain)),
        trusted_(std::move(trusted)),
        lifetime_(lifetime),
        now_(std::move(now)) {}

  PrivateKey key_;
  std::vector<ossl::X509Cert> chain_;
  ossl::X509Store trusted_;
  std::chrono::seconds lifetime_;
  Clock now_;
};

}  // namespace vhsm::kbs
