// SPDX-License-Identifier: Apache-2.0
#include "keystore/sealed/draft.h"

#include <algorithm>
#include <chrono>

namespace vhsm::keystore::sealed {
namespace {

std::uint64_t now_in_seconds() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(now).count());
}

Status put(Files& files, const std::string& name, ByteView bytes) {
  VHSM_TRY(files.write(name, bytes));
  return files.sync(name);
}

}  // namespace

Result<Draft> Draft::first(const std::vector<NewSlot>& slots) {
  if (slots.empty()) return fail(Errc::kInvalidArgument, "a keystore needs a slot");
  auto root = VHSM_TRY(random_secret(kKeyBytes));
  Draft draft{std::make_shared<const SecretBytes>(std::move(root)), {1, 1, {}, {}}, {}};
  for (const NewSlot& slot : slots) VHSM_TRY(draft.add_slot(slot));
  return draft;
}

// ----- keys --------------------------------------------------------------------------------------

Record* Draft::find(const std::string& name) {
  const auto found = std::ranges::find(records, name, &Record::name);
  return found == records.end() ? nullptr : &*found;
}

Result<std::vector<Version*>> Draft::select(const std::string& name,
                                            std::optional<std::uint32_t> number) {
  Record* const record = find(name);
  if (record == nullptr) return no_such_key(name);
  std::vector<Version*> selected;
  for (Version& version : record->versions) {
    if (!number.has_value() || version.number == *number) selected.push_back(&version);
  }
  if (!selected.empty()) return selected;
  return no_such_version(name);
}

Record& Draft::add(const std::string& name, std::uint32_t first_version) {
  return records.emplace_back(Record{name, first_version, {}});
}

Result<Version> Draft::append(Record& record, const NewVersion& version,
                              const SecretBytes& content) {
  if (version.origin != Origin::kCopy && slots.size() < kSlotsForKeys) {
    return fail(Errc::kTooFewSlots, "a key in a keystore with one slot would be lost with it",
                uri_of(record.name));
  }
  std::string file = VHSM_TRY(file_of(record.name, record.next));
  const Bytes header = to_bytes(KeyFile{head.generation, record.next});
  Bytes box = VHSM_TRY(seal_box(*root, BoxKind::kKey, header, content));
  if (box.size() > kMaxKeyFileBytes) {
    return fail(Errc::kBadLength, "this is too long for a key", uri_of(record.name));
  }
  const Digest digest = VHSM_TRY(digest_of(box));
  record.versions.push_back({record.next++, State::kEnabled, version.content, version.origin,
                             now_in_seconds(), digest, version.type, version.policy, version.uses,
                             version.copy});
  key_files.emplace_back(std::move(file), std::move(box));
  return record.versions.back();
}

Status Draft::erase(const std::string& name, std::optional<std::uint32_t> number) {
  const auto selected = VHSM_TRY(select(name, number));
  for (const Version* const version : selected) {
    std::string file = VHSM_TRY(file_of(name, version->number));
    obsolete.push_back(std::move(file));
  }
  std::erase_if(find(name)->versions, [&](const Version& version) {
    return !number.has_value() || version.number == *number;
  });
  std::erase_if(records, [](const Record& record) { return record.versions.empty(); });
  return {};
}

// ----- slots -------------------------------------------------------------------------------------

Status Draft::add_slot(const NewSlot& slot) {
  if (slots.size() == kMaxSlots) {
    return fail(Errc::kWrongState, "the keystore has 16 slots, and no more room")
        .cured_by("remove one first: vhsm keystore remove-slot");
  }
  Slot made = VHSM_TRY(make_slot(slot.terms, slot.key, *root));
  slots.push_back(std::move(made));
  changes_slots = true;
  return {};
}

Status Draft::remove_slot(std::size_t position) {
  if (position >= slots.size()) {
    return fail(Errc::kMissing, "the keystore has no such slot", std::to_string(position))
        .cured_by("vhsm keystore slots lists them");
  }
  const std::size_t least = records.empty() ? 1 : kSlotsForKeys;
  if (slots.size() <= least) {
    return fail(Errc::kTooFewSlots, "the keystore needs this slot: add another one first");
  }
  slots.erase(slots.begin() + static_cast<std::ptrdiff_t>(position));
  changes_slots = true;
  return {};
}

// ----- to the disk -------------------------------------------------------------------------------

Status Draft::write(Files& files) {
  VHSM_TRY(prepare(files));
  return commit(files);
}

/// Everything under new names, and on the disk: none of it counts yet.
Status Draft::prepare(Files& files) {
  for (const auto& [name, bytes] : key_files) VHSM_TRY(put(files, name, bytes));
  if (changes_slots) {
    head.root_number = head.generation;
    const Bytes root_file = VHSM_TRY(seal_slots(*root, slots));
    head.root = VHSM_TRY(digest_of(root_file));
    VHSM_TRY(put(files, root_name(head), root_file));
  }
  const Bytes body = VHSM_TRY(Index::build(records));
  const Bytes index = VHSM_TRY(seal_box(*root, BoxKind::kIndex, {}, ByteView(body)));
  head.index = VHSM_TRY(digest_of(index));
  VHSM_TRY(put(files, index_name(head), index));
  const Bytes head_file = VHSM_TRY(seal_box(*root, BoxKind::kHead, to_bytes(head), ByteView()));
  VHSM_TRY(put(files, kNewHeadName, head_file));
  return files.sync_folder();
}

/// The replacement of the head is the change. What is obsolete goes only when that is on the disk.
Status Draft::commit(Files& files) const {
  VHSM_TRY(files.rename(kNewHeadName, kHeadName));
  VHSM_TRY(files.sync_folder());
  for (const std::string& name : obsolete) VHSM_TRY(files.remove(name));
  return {};
}

}  // namespace vhsm::keystore::sealed
