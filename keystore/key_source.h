// SPDX-License-Identifier: Apache-2.0
//
// What the keystore asks of whoever can bring a missing key. Nitride is one; the keystore does not
// know it.
#pragma once

#include <chrono>

#include "base/result.h"
#include "keystore/key_name.h"
#include "memory/secret_bytes.h"

namespace vhsm::keystore {

class KeySource {
 public:
  KeySource() = default;
  KeySource(const KeySource&) = delete;
  KeySource& operator=(const KeySource&) = delete;
  virtual ~KeySource() = default;

  /// Brings the secret called `name` into protected memory: the stored bytes, unmodified.
  /// Blocks until `deadline` at most. Thread-safe. Never called inside a ProtectedScope.
  /// May be asked again at once after kUnreachable: a source spares a dead service on its own.
  /// @errors kNotAttested, kDenied, kMissing, kVersion, kUnreachable, kForged, kNoPlatform,
  ///         kPlatform, kMemoryLimit; the subject names the key or the endpoint.
  virtual Result<SecretBytes> fetch(const KeyName& name,
                                    std::chrono::steady_clock::time_point deadline) = 0;
};

}  // namespace vhsm::keystore
