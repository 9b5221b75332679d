// SPDX-License-Identifier: Apache-2.0
//
// The root key of a sealed folder, and the slots that it stands in: one for each way to get at it.
// Source: docs/sealed-folder.md.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/deadline.h"
#include "keystore/sealed/box.h"

namespace vhsm::keystore::sealed {

/// As it stands in the file.
enum class SlotKind : std::uint8_t {
  kPlatform = 1,  ///< this chip and guest derive it (snp/sealing.h); terms: the binding
  kRecovery = 2,  ///< an owner keeps it elsewhere; terms: none
  kKbs = 3,       ///< a KBS releases it after an attestation; terms: the resource's path
};
[[nodiscard]] const char* name_of(SlotKind kind) noexcept;

/// What everyone may know of a slot.
struct SlotTerms {
  SlotKind kind = SlotKind::kPlatform;
  Bytes terms{};  ///< what its key depends on

  friend bool operator==(const SlotTerms&, const SlotTerms&) = default;
};

struct Slot {
  SlotTerms terms;
  Bytes box;  ///< the root key, under the slot's key
};

inline constexpr std::size_t kMaxSlots = 16;
inline constexpr std::size_t kMaxTermsBytes = 1024;
/// With fewer a key could be lost with one machine: none is made then.
inline constexpr std::size_t kSlotsForKeys = 2;

/// A slot that is to be made.
struct NewSlot {
  SlotTerms terms;
  SecretBytes key;
};

/// Who has the keys of slots. Not in a scope: it may ask firmware or network.
class SlotKeys {
 public:
  SlotKeys() = default;
  SlotKeys(const SlotKeys&) = delete;
  SlotKeys& operator=(const SlotKeys&) = delete;
  virtual ~SlotKeys() = default;

  /// kKeyBytes at least.
  /// @param terms  as the file has them: authenticated only when the key opens the slot.
  /// @errors kUnsupported for a slot that it has no key for; kPlatform and those of a fetch.
  virtual Result<SecretBytes> key_for(const SlotTerms& terms, TimePoint deadline) = 0;

  /// What a new slot of this machine and guest alone depends on, with its key.
  /// @errors as key_for().
  virtual Result<NewSlot> platform_slot(TimePoint deadline) {
    static_cast<void>(deadline);
    return fail(Errc::kNoPlatform, "there is no platform that makes keys for slots");
  }
};

/// @errors kCrypto, kMemoryLimit.
Result<Slot> make_slot(SlotTerms terms, const SecretBytes& slot_key, const SecretBytes& root);

/// The root key.  @errors kTampered: another key, or another slot.
Result<SecretBytes> open_slot(const Slot& slot, const SecretBytes& slot_key);

/// All slots as a file, authenticated by the root key that is in them.
Result<Bytes> seal_slots(const SecretBytes& root, const std::vector<Slot>& slots);
/// Not authenticated before check_slots().
/// @errors kTampered, kUnsupported.
Result<std::vector<Slot>> parse_slots(ByteView file);
Status check_slots(const SecretBytes& root, ByteView file);

}  // namespace vhsm::keystore::sealed
