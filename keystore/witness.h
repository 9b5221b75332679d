// SPDX-License-Identifier: Apache-2.0
//
// What the keystore says of a key, and who vouches for it. The keystore knows what it says; the
// witness knows this VM and how such a statement is written (evidence/).
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace vhsm::keystore {

/// Where the private half of a key comes from.
enum class KeyOrigin : std::uint8_t {
  kGenerated = 1,  ///< it was made in a keystore
  kImported = 2,   ///< somebody brought it
  kFetched = 3,    ///< a KBS has it
  kRestored = 4,   ///< it came in a backup
  /// A KBS made it to receive keys, and has it in a file. No keystore says this of a key.
  kKbsReceiver = 5,
};
/// "generated", "imported", "fetched", "restored", "kbs-receiver".
[[nodiscard]] std::string_view name_of(KeyOrigin origin) noexcept;
/// Nothing for another name.
[[nodiscard]] std::optional<KeyOrigin> parse_origin(std::string_view name) noexcept;

/// A challenge has as many bytes (RFC 9711, section 4.1).
inline constexpr std::size_t kMinNonceBytes = 8;
inline constexpr std::size_t kMaxNonceBytes = 64;

/// What a keystore says of a key that it holds.
struct KeyClaims {
  std::vector<std::uint8_t> nonce{};            ///< of who wants to know; empty: nobody asked
  std::vector<std::uint8_t> public_key_info{};  ///< SubjectPublicKeyInfo, DER
  std::string name{};                           ///< KeyName::path()
  std::uint32_t version = 0;                    ///< 0: it has none
  KeyOrigin origin = KeyOrigin::kGenerated;
  std::string policy{};  ///< as key_policy.h writes it; empty: it may be used for everything
  /// Who but this VM can open what the key is sealed in, each once: "kbs", "recovery". Empty:
  /// nobody.
  std::vector<std::string> others{};

  friend bool operator==(const KeyClaims&, const KeyClaims&) = default;
};

/// Thread-safe.
class Witness {
 public:
  Witness() = default;
  Witness(const Witness&) = delete;
  Witness& operator=(const Witness&) = delete;
  virtual ~Witness() = default;

  /// Evidence that this VM's keystore says so: the bytes of docs/key-evidence.md. Never called
  /// inside a scope; returns by `deadline`.
  /// @errors kNoPlatform, kPlatform.
  virtual Result<std::vector<std::uint8_t>> vouch(
      const KeyClaims& claims, std::chrono::steady_clock::time_point deadline) = 0;
};

}  // namespace vhsm::keystore
