// SPDX-License-Identifier: Apache-2.0
//
// What the fuzzers of spelled keys ask of the readers: whatever comes of it is a pair with a policy
// that can be read, or a symmetric key of a length that vhsm holds.
#pragma once

#include <cstdlib>
#include <span>

#include "keystore/key_policy.h"
#include "keystore/material.h"
#include "keystore/secret_material.h"
#include "keystore/warm_up.h"
#include "memory/protected_memory.h"

namespace vhsm::keystore {

inline void expect(bool holds) {
  if (!holds) std::abort();
}

inline void read_spelled(std::span<const std::uint8_t> input) {
  static const bool ready = memory::initialise({.force_locked = true}).ok() && warm_up().ok();
  expect(ready);
  const auto stored = SecretBytes::copy(input);
  if (!stored.ok()) return;  // larger than protected memory
  const auto pair = parse_material(stored.value());
  if (pair.ok()) {
    expect(pair.value().pair != nullptr || !pair.value().certificates.empty());
    expect(KeyPolicy::parse(pair.value().policy).ok());
  }
  const auto symmetric = parse_secret(stored.value());
  if (!symmetric.ok()) return;
  expect(!pair.ok());
  const std::size_t bytes = symmetric.value().key.size();
  expect(bytes > 0 && bytes <= kMaxSecretKeyBytes);
  const auto policy = KeyPolicy::parse(policy_of(symmetric.value().uses));
  expect(policy.ok() && policy.value().check_fits(nullptr).ok());
}

}  // namespace vhsm::keystore
