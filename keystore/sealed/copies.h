// SPDX-License-Identifier: Apache-2.0
//
// Sealed copies of keys that a KBS has released, for a start while it is away: a sealed folder of
// its own, which only this machine and guest can open. A copy serves for a time since the release,
// and through so many boots. Both bind the guest and are best effort against the host, which has
// the clock and the disk (docs/threat-model.md).
// Source: random(4), /proc/sys/kernel/random/boot_id; clock_gettime(2), CLOCK_BOOTTIME.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "keystore/sealed/folder.h"

namespace vhsm::keystore::sealed {

/// How long a copy serves, from the release on.
struct CopyLimits {
  std::chrono::seconds life{0};
  std::uint8_t boots = 0;  ///< how many it may live through
};

/// Now, on a clock that goes wrong and one that begins with the boot.
struct CopyTime {
  std::uint64_t wall = 0;    ///< seconds since 1970
  std::uint64_t uptime = 0;  ///< seconds since boot; nobody in the guest can set it
};
CopyTime copy_time_now() noexcept;

/// @errors kIo, kBadFormat.
Result<BootId> read_boot_id(const std::string& path = "/proc/sys/kernel/random/boot_id");

/// What a copy is, and for how long it may be used.
struct Lent {
  SecretBytes stored;
  std::chrono::seconds left;
};

/// Thread-safe; usable on both sides of a fork. Not in a scope. Calls that change the folder have
/// Folder's errors.
class Copies {
 public:
  using Now = CopyTime (*)() noexcept;

  Copies(std::unique_ptr<Files> files, std::shared_ptr<SlotKeys> keys, const CopyLimits& limits,
         const BootId& boot, Now now = copy_time_now) noexcept
      : keys_(keys),
        folder_(std::move(files), std::move(keys)),
        limits_(limits),
        boot_(boot),
        now_(now) {}

  /// The source has released this just now. It takes the place of an older copy. A folder that was
  /// never made, or that another machine or image has made, is made anew.
  Status keep(const std::string& name, NewVersion version, const SecretBytes& stored);

  /// The copy of this key; nothing when there is none. A boot that it has not lived through yet is
  /// counted on the disk before it is handed out.
  /// @errors kPolicy: its time is over, it has lived through too many boots, or the clock has been
  ///         set back.
  Result<std::optional<Lent>> lend(const std::string& name);

  /// Not being there is success.
  /// @return whether it was there.
  Result<bool> drop(const std::string& name);

  Result<std::vector<Record>> records();
  Result<bool> has(const std::string& name);

 private:
  Result<Version> put(const std::string& name, const NewVersion& version,
                      const SecretBytes& stored);
  [[nodiscard]] bool is_lost(const Error& error) const;
  Status recover();
  Status count_boot(const std::string& name, CopyTerms& counted);

  const std::shared_ptr<SlotKeys> keys_;
  Folder folder_;
  const CopyLimits limits_;
  const BootId boot_;
  const Now now_;
};

}  // namespace vhsm::keystore::sealed
