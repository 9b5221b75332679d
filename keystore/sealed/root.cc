// SPDX-License-Identifier: Apache-2.0
#include "keystore/sealed/root.h"

#include <algorithm>
#include <string>
#include <utility>

#include "keystore/sealed/layout.h"

namespace vhsm::keystore::sealed {
namespace {

/// Of a folder in which nobody has made a keystore.
Error never_made(const Error& missing) {
  return fail(Errc::kIo, "no keystore was ever made here: vhsm keystore init", missing.subject);
}

/// Not authenticated.
Result<Bytes> read_root_file(Files& files) {
  for (bool again = false;; again = true) {
    const Bytes head_bytes = VHSM_TRY(read_head(files));
    const Box box = VHSM_TRY(parse_box(head_bytes, BoxKind::kHead));
    const Head head = VHSM_TRY(parse_head(box));
    auto file = files.read(root_name(head), kMaxRootBytes);
    if (file.ok() || file.error().code != Errc::kMissing) return file;
    if (again) return gone(file.error());  // else the slots have changed meanwhile
  }
}

Result<SecretBytes> open_by(SlotKeys& keys, const Slot& slot, TimePoint deadline) {
  const auto key = VHSM_TRY(keys.key_for(slot.terms, deadline));
  return open_slot(slot, key);
}

/// The first slot that opens; the KBS's come last, as it may be away and take all the time there
/// is. Why the others do not is told when none does.
Result<OpenedRoot> root_in(SlotKeys& keys, std::vector<Slot> slots, TimePoint deadline) {
  std::string reasons;
  // Not std::ranges': clang 14 cannot compile what g++ 12's library answers.
  std::stable_partition(slots.begin(), slots.end(),
                        [](const Slot& slot) { return slot.terms.kind != SlotKind::kKbs; });
  for (const Slot& slot : slots) {
    auto opened = open_by(keys, slot, deadline);
    if (opened.ok()) {
      const bool is_own = slot.terms.kind == SlotKind::kPlatform;
      return OpenedRoot{std::make_shared<const SecretBytes>(std::move(opened).value()),
                        std::make_shared<const Bytes>(is_own ? slot.box : Bytes())};
    }
    reasons.append(reasons.empty() ? "" : "; ")
        .append(name_of(slot.terms.kind))
        .append(": ")
        .append(opened.error().what.c_str());
  }
  return fail(Errc::kSealed, "no slot of the keystore opens here", reasons);
}

}  // namespace

Error gone(const Error& missing) {
  return fail(Errc::kTampered, "a file that the keystore needs is gone", missing.subject);
}

HeadSeen look_at_head(Files& files) {
  auto head = files.read(kHeadName, kMaxHeadBytes);
  if (head.ok()) return std::move(head).value();
  return head.error().code;
}

Result<Bytes> read_head(Files& files) {
  auto head = files.read(kHeadName, kMaxHeadBytes);
  if (head.ok() || head.error().code != Errc::kMissing) return head;
  return never_made(head.error());
}

Result<OpenedRoot> open_root(Files& files, SlotKeys& keys, TimePoint deadline) {
  const Bytes file = VHSM_TRY(read_root_file(files));
  auto slots = VHSM_TRY(parse_slots(file));
  auto opened = VHSM_TRY(root_in(keys, std::move(slots), deadline));
  VHSM_TRY(check_slots(*opened.key, file));
  return opened;
}

Result<std::vector<SlotState>> try_slots(Files& files, SlotKeys& keys, TimePoint deadline) {
  const Bytes file = VHSM_TRY(read_root_file(files));
  const auto slots = VHSM_TRY(parse_slots(file));
  std::vector<SlotState> states;
  for (const Slot& slot : slots) {
    const auto opened = open_by(keys, slot, deadline);
    states.push_back({slot.terms, opened.ok() ? std::nullopt : std::optional(opened.error())});
  }
  return states;
}

}  // namespace vhsm::keystore::sealed
