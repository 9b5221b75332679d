// SPDX-License-Identifier: Apache-2.0
//
// Evidence of a key, made by hand.
#pragma once

#include <string_view>

#include "evidence/key_claims.h"
#include "evidence/key_evidence.h"

namespace vhsm::evidence {

inline Bytes bytes_of(std::string_view text) { return {text.begin(), text.end()}; }

inline keystore::KeyClaims sample_claims() {
  return {.nonce = bytes_of("a nonce of 16 by"),
          .public_key_info = bytes_of("a public key"),
          .name = "default/tls/www",
          .version = 3,
          .origin = keystore::KeyOrigin::kGenerated,
          .policy = "operations=sign",
          .others = {"kbs", "recovery"}};
}

}  // namespace vhsm::evidence
