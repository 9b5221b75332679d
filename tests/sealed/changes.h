// SPDX-License-Identifier: Apache-2.0
//
// Random changes of a sealed folder, of keys or of copies, and what it must hold after each of
// them.
#pragma once

#include <array>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "tests/sealed/sealed_folder.h"

namespace vhsm::keystore::sealed {

/// What a folder holds: for each key and version its content, or "disabled".
using Holding = std::map<std::string, std::map<std::uint32_t, std::string>>;

struct Change {
  enum class Kind {
    kAdd,
    kRotate,
    kDisable,
    kEnable,
    kRemove,
    kAddSlot,
    kPutCopy,
    kCountBoot
  } kind;
  std::string name{};
  std::string content{};
};

/// The first one makes a key.
inline std::vector<Change> random_changes(unsigned seed, std::size_t count) {
  std::mt19937 random(seed);
  std::vector<Change> changes;
  std::vector<std::string> names;
  for (std::size_t i = 0; i < count; ++i) {
    const std::string content = "key " + std::to_string(seed) + "." + std::to_string(i);
    auto kind = static_cast<Change::Kind>(random() % 6);
    if (names.empty()) kind = Change::Kind::kAdd;
    const std::string name = kind == Change::Kind::kAdd ? "a/b/" + std::to_string(i)
                             : names.empty()            ? ""
                                                        : names[random() % names.size()];
    if (kind == Change::Kind::kAdd) names.push_back(name);
    if (kind == Change::Kind::kRemove) std::erase(names, name);
    changes.push_back({kind, name, content});
  }
  return changes;
}

/// Copies come, are used in another boot, come again, and go. The first one comes.
inline std::vector<Change> random_copy_changes(unsigned seed, std::size_t count) {
  constexpr std::array kKinds{Change::Kind::kPutCopy, Change::Kind::kCountBoot,
                              Change::Kind::kRemove};
  std::mt19937 random(seed);
  std::vector<Change> changes;
  std::map<std::string, bool> here;
  for (std::size_t i = 0; i < count; ++i) {
    const std::string name = "a/b/" + std::to_string(random() % 2);
    auto& is_here = here[name];
    const auto kind = is_here ? kKinds[random() % kKinds.size()] : Change::Kind::kPutCopy;
    is_here = kind != Change::Kind::kRemove;
    changes.push_back({kind, name, "key " + std::to_string(seed) + "." + std::to_string(i)});
  }
  return changes;
}

inline constexpr std::uint8_t kBoots = 9;
inline const NewVersion kCopy{
    Content::kSecret, Origin::kCopy, "256", {}, {}, {.until = ~std::uint64_t{0}, .boots = kBoots}};
inline std::string with_boots(const std::string& content, int boots) {
  return content + ", boots left: " + std::to_string(boots);
}

inline Status make(Folder& folder, const Change& change) {
  const auto status_of = [](const auto& result) {
    return result.ok() ? Status() : Status(result.error());
  };
  switch (change.kind) {
    case Change::Kind::kAdd:
      return status_of(folder.add(change.name, kSecret, secret(change.content)));
    case Change::Kind::kRotate: return status_of(rotate(folder, change.name, change.content));
    case Change::Kind::kDisable: return folder.set_state(change.name, {}, State::kDisabled);
    case Change::Kind::kEnable: return folder.set_state(change.name, {}, State::kEnabled);
    case Change::Kind::kRemove: return folder.remove(change.name);
    case Change::Kind::kPutCopy:
      return status_of(folder.put_copy(change.name, kCopy, secret(change.content)));
    case Change::Kind::kCountBoot:
      return folder.change_copy(change.name,
                                [](CopyTerms& terms) { return --terms.boots, Status(); });
    default: return folder.add_slot(slot('c'));
  }
}

/// What the folder must hold after these changes.
inline Holding after(const std::vector<Change>& changes, std::size_t count) {
  Holding all;
  std::map<std::string, bool> enabled;
  std::map<std::string, std::map<std::uint32_t, std::string>> contents;
  std::map<std::string, std::map<std::uint32_t, bool>> states;
  std::map<std::string, std::pair<std::uint32_t, int>> copies;  // version, boots
  for (std::size_t i = 0; i < count; ++i) {
    const Change& change = changes[i];
    auto& versions = contents[change.name];
    auto& state = states[change.name];
    switch (change.kind) {
      case Change::Kind::kAdd:
      case Change::Kind::kRotate: {
        const auto number = static_cast<std::uint32_t>(versions.size() + 1);
        versions[number] = change.content;
        state[number] = true;
        break;
      }
      case Change::Kind::kDisable:
      case Change::Kind::kEnable:
        for (auto& [number, on] : state) on = change.kind == Change::Kind::kEnable;
        break;
      case Change::Kind::kRemove:
        versions.clear();
        state.clear();
        copies.erase(change.name);
        break;
      case Change::Kind::kPutCopy: {
        auto& [number, boots] = copies[change.name];
        boots = kBoots;
        versions = {{++number, change.content}};
        state = {{number, true}};
        break;
      }
      case Change::Kind::kCountBoot: --copies[change.name].second; break;
      default: break;
    }
  }
  for (const auto& [name, versions] : contents) {
    for (const auto& [number, content] : versions) {
      all[name][number] = states[name][number] ? content : "refused by key policy";
      if (copies.contains(name)) all[name][number] = with_boots(content, copies[name].second);
    }
  }
  return all;
}

/// What it does hold; a reason in a content's place where that cannot be opened.
inline Holding held_by(Folder& folder) {
  Holding all;
  const auto records = folder.records(soon());
  if (!records.ok()) return {{describe(records.error()), {}}};
  for (const Record& record : records.value()) {
    for (const Version& version : record.versions) {
      const auto opened = folder.open(record.name, version.number, soon());
      all[record.name][version.number] =
          opened.ok() ? clear(opened.value().content) : reason(opened.error().code);
      if (version.origin == Origin::kCopy) {
        auto& content = all[record.name][version.number];
        content = with_boots(content, version.copy.boots);
      }
    }
  }
  return all;
}

/// How many points CI tries, half of them with keys and half with copies; VHSM_KILL_POINTS for
/// more.
inline int kill_points() {
  const char* const wanted = std::getenv("VHSM_KILL_POINTS");
  return wanted == nullptr ? 200 : std::atoi(wanted);
}

}  // namespace vhsm::keystore::sealed
