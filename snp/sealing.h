// SPDX-License-Identifier: Apache-2.0
//
// Keys that this guest on this chip can derive again, and nobody else: what is sealed under one
// opens nowhere else. What a key depends on is written down beside what is sealed, so that a
// machine which cannot derive it says why. Source: AMD 56860, section 7.2 (MSG_KEY_REQ); RFC 5869.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "base/guarded.h"
#include "base/result.h"
#include "memory/secret_bytes.h"
#include "snp/platform.h"
#include "snp/product.h"
#include "snp/report.h"

namespace vhsm::snp {

/// What a key depends on beside the chip, the guest's policy, HOST_DATA and the firmware's
/// versions. A guest that may be debugged has another policy, and so other keys. HOST_DATA cannot
/// be selected in a request: as Microsoft's CCF has it, firmware mixes it into each key.
enum class SealTo : std::uint8_t {
  kMeasurement,  ///< this very image
  kImage,        ///< FAMILY_ID and IMAGE_ID, at this GUEST_SVN or a later one
};

/// What must be the same (or not older) when the key is derived again. Not secret; whoever keeps it
/// authenticates it by the key, or another's change of it opens nothing.
struct SealingBinding {
  static constexpr std::size_t kSaltBytes = 32;

  SealTo selection = SealTo::kMeasurement;
  std::uint8_t vmpl = 0;
  std::uint32_t guest_svn = 0;
  TcbBytes tcb{};  ///< COMMITTED_TCB: a machine with older firmware cannot derive the key
  std::array<std::uint8_t, kSaltBytes> salt{};
  std::array<std::uint8_t, field::kPolicy.size> policy{};
  std::array<std::uint8_t, field::kHostData.size> host_data{};
  std::array<std::uint8_t, field::kChipId.size> chip_id{};  ///< zero where the host hides it
  std::array<std::uint8_t, field::kMeasurement.size> measurement{};
  std::array<std::uint8_t, field::kFamilyId.size> family_id{};
  std::array<std::uint8_t, field::kImageId.size> image_id{};

  friend bool operator==(const SealingBinding&, const SealingBinding&) = default;
};

/// For a file's header: always of one length.
[[nodiscard]] std::vector<std::uint8_t> to_bytes(const SealingBinding& binding);
/// @errors kBadFormat; kUnsupported for a newer form.
[[nodiscard]] Result<SealingBinding> binding_from_bytes(std::span<const std::uint8_t> bytes);

/// The platform's sealing keys. The firmware is asked once for each binding and the answer kept in
/// protected memory, as the host may refuse at any later time. Thread-safe.
class SealingKeys {
 public:
  static constexpr std::size_t kKeyBytes = 32;

  /// Asks for a report, which says what machine and guest this is.
  /// @errors as Platform::attest().
  [[nodiscard]] static Result<SealingKeys> open(std::shared_ptr<Platform> platform,
                                                TimePoint deadline);

  /// For something to seal now, with a salt of its own.
  /// @errors kPlatform.
  [[nodiscard]] Result<SealingBinding> binding(SealTo selection) const;

  /// Whether this machine and guest can derive the key.
  /// @errors kPlatform with a sentence for each cause: another level, chip, policy, HOST_DATA,
  ///         measurement or image, older image, older firmware.
  [[nodiscard]] Status check(const SealingBinding& binding) const;

  /// kKeyBytes: HKDF-SHA-256 of the firmware's key, with the binding's salt, for `label`.
  /// Not in a scope: it may ask the firmware.
  /// @param label  what the key is for; other labels give other keys.
  /// @errors as check() and Platform::derive_key(); kCrypto.
  Result<SecretBytes> sealing_key(const SealingBinding& binding, std::string_view label,
                                  TimePoint deadline);

 private:
  struct Derived {
    DerivedKeyRequest request;
    SecretBytes key;
  };
  using Cache = Guarded<std::vector<Derived>>;

  SealingKeys(std::shared_ptr<Platform> platform, const UnverifiedReport& report)
      : platform_(std::move(platform)),
        report_(report),
        cache_(std::make_unique<Cache>(std::in_place)) {}

  Status obtain(const DerivedKeyRequest& request, TimePoint deadline);

  std::shared_ptr<Platform> platform_;
  UnverifiedReport report_;  ///< ours, from the firmware: trusted as far as that is
  std::unique_ptr<Cache> cache_;
};

}  // namespace vhsm::snp
