// SPDX-License-Identifier: Apache-2.0
//
// What the keystore asks of whoever can bring a missing key, and prove this VM anew. Nitride is
// one; the keystore does not know it.
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
  /// May be asked again at once after kUnreachable and kInUse: a source spares a dead service on
  /// its own.
  /// @errors kNotAttested, kDenied, kMissing, kVersion, kUnreachable, kForged, kNoPlatform,
  ///         kPlatform, kMemoryLimit; kInUse when a proof for others takes too long; the subject
  ///         names the key or the endpoint.
  virtual Result<SecretBytes> fetch(const KeyName& name,
                                    std::chrono::steady_clock::time_point deadline) = 0;

  /// As fetch(), on a proof of this VM that was begun at `since` or later: whether its lease goes
  /// on is asked again, of whoever decides.
  virtual Result<SecretBytes> renew(const KeyName& name,
                                    std::chrono::steady_clock::time_point since,
                                    std::chrono::steady_clock::time_point deadline) {
    static_cast<void>(since);  // a source that asks for no proof
    return fetch(name, deadline);
  }

  /// Proves this VM without asking for a key, as renew() does.
  /// @return when the proof was begun: one that others had serves, too, if it is late enough.
  /// @errors as fetch() but kMissing and kDenied.
  virtual Result<std::chrono::steady_clock::time_point> prove(
      std::chrono::steady_clock::time_point since, std::chrono::steady_clock::time_point deadline) {
    static_cast<void>(since);
    static_cast<void>(deadline);
    return fail(Errc::kNoPlatform, "this source of keys proves nothing");
  }
};

/// The KBS itself was not to be had; what else failed is a verdict, or trouble of this VM.
[[nodiscard]] constexpr bool is_outage(Errc code) noexcept {
  return code == Errc::kUnreachable || code == Errc::kForged || code == Errc::kVersion;
}

/// The source's last word.
[[nodiscard]] constexpr bool takes_back(Errc code) noexcept {
  return code == Errc::kDenied || code == Errc::kMissing;
}

}  // namespace vhsm::keystore
