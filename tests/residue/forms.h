// SPDX-License-Identifier: Apache-2.0
//
// How a secret may lie in memory.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "tests/residue/values.h"

namespace vhsm::tests {

/// One way to write a value into bytes.
struct Form {
  const char* name;
  Bytes (*encode)(const Value& value);
  /// How many bytes of it are a finding: so many that they hold 64 secret bits and more.
  std::size_t window;
  /// Nearly all bits are the secret's: 8 bytes of it are a finding where words are searched.
  bool dense;
};

/// All of them. A form that a value does not have (digits of Curve25519 for an RSA key) is empty.
const std::vector<Form>& forms();

}  // namespace vhsm::tests
