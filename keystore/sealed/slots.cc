// SPDX-License-Identifier: Apache-2.0
#include "keystore/sealed/slots.h"

#include <utility>

namespace vhsm::keystore::sealed {
namespace {

Result<Slot> parse_slot(ByteView bytes) {
  const Box box = VHSM_TRY(parse_box(bytes, BoxKind::kSlot));
  Reader reader(box.header);
  const auto kind = VHSM_TRY(reader.number<std::uint8_t>());
  if (kind < static_cast<std::uint8_t>(SlotKind::kPlatform) ||
      kind > static_cast<std::uint8_t>(SlotKind::kKbs)) {
    return fail(Errc::kUnsupported, "a newer vhsm has made a slot of this keystore: upgrade");
  }
  if (reader.rest().size() > kMaxTermsBytes || box.body.size() != kKeyBytes) {
    return fail(Errc::kTampered, "a slot of the keystore is not one");
  }
  return Slot{{static_cast<SlotKind>(kind), {reader.rest().begin(), reader.rest().end()}},
              {bytes.begin(), bytes.end()}};
}

}  // namespace

const char* name_of(SlotKind kind) noexcept {
  switch (kind) {
    case SlotKind::kPlatform: return "snp";
    case SlotKind::kRecovery: return "recovery";
    default: return "kbs";
  }
}

Result<Slot> make_slot(SlotTerms terms, const SecretBytes& slot_key, const SecretBytes& root) {
  const Bytes header =
      Writer().number(static_cast<std::uint8_t>(terms.kind)).bytes(terms.terms).done();
  Bytes box = VHSM_TRY(seal_box(slot_key, BoxKind::kSlot, header, root));
  return Slot{std::move(terms), std::move(box)};
}

Result<SecretBytes> open_slot(const Slot& slot, const SecretBytes& slot_key) {
  const Box box = VHSM_TRY(parse_box(slot.box, BoxKind::kSlot));
  return open_secret_box(slot_key, box);
}

Result<Bytes> seal_slots(const SecretBytes& root, const std::vector<Slot>& slots) {
  Writer header;
  header.number(static_cast<std::uint8_t>(slots.size()));
  for (const Slot& slot : slots) header.counted<std::uint32_t>(slot.box);
  return seal_box(root, BoxKind::kRoot, header.done(), ByteView());
}

Result<std::vector<Slot>> parse_slots(ByteView file) {
  const Box box = VHSM_TRY(parse_box(file, BoxKind::kRoot));
  Reader reader(box.header);
  const auto count = VHSM_TRY(reader.number<std::uint8_t>());
  std::vector<Slot> slots;
  for (std::size_t i = 0; i < count; ++i) {
    const ByteView bytes = VHSM_TRY(reader.counted<std::uint32_t>());
    Slot slot = VHSM_TRY(parse_slot(bytes));
    slots.push_back(std::move(slot));
  }
  if (count == 0 || count > kMaxSlots || !reader.rest().empty() || !box.body.empty()) {
    return fail(Errc::kTampered, "the slots of the keystore are none");
  }
  return slots;
}

Status check_slots(const SecretBytes& root, ByteView file) {
  const Box box = VHSM_TRY(parse_box(file, BoxKind::kRoot));
  return check_box(root, box);
}

}  // namespace vhsm::keystore::sealed
