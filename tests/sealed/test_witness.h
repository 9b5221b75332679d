// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

#include "keystore/witness.h"

namespace vhsm::keystore {

/// Remembers what it was told.
class TestWitness final : public Witness {
 public:
  Result<std::vector<std::uint8_t>> vouch(const KeyClaims& said,
                                          std::chrono::steady_clock::time_point) override {
    claims = said;
    return std::vector<std::uint8_t>{1};
  }
  KeyClaims claims;
};

}  // namespace vhsm::keystore
