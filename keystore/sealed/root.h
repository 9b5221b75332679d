// SPDX-License-Identifier: Apache-2.0
//
// How the root key of a sealed folder is got: from the first of its slots that opens here. It may
// take the firmware and a KBS, so nobody has the folder's lock meanwhile.
// Source: docs/sealed-folder.md, "Headers and bodies".
#pragma once

#include <memory>
#include <optional>
#include <variant>
#include <vector>

#include "base/deadline.h"
#include "keystore/sealed/files.h"
#include "keystore/sealed/slots.h"

namespace vhsm::keystore::sealed {

using RootPtr = std::shared_ptr<const SecretBytes>;

struct OpenedRoot {
  RootPtr key;
  std::shared_ptr<const Bytes> own_slot;  ///< the platform's box that it came from, or no bytes
};

/// Whether a slot opens here.
struct SlotState {
  SlotTerms terms;
  std::optional<Error> why_not;  ///< nothing: it does
};

/// The head as it stands there, or why it cannot be read. Two that are equal: nothing has changed.
using HeadSeen = std::variant<Bytes, Errc>;

[[nodiscard]] HeadSeen look_at_head(Files& files);
/// Not authenticated.  @errors kIo, with the cure, for a folder that was never made.
Result<Bytes> read_head(Files& files);

/// @errors kSealed when no slot opens here, with the reason of each; kTampered.
Result<OpenedRoot> open_root(Files& files, SlotKeys& keys, TimePoint deadline);
/// Of all slots. Not authenticated.
Result<std::vector<SlotState>> try_slots(Files& files, SlotKeys& keys, TimePoint deadline);

/// What stands for a file that the head names and that is not there.
[[nodiscard]] Error gone(const Error& missing);

}  // namespace vhsm::keystore::sealed
