// SPDX-License-Identifier: Apache-2.0
//
// vhsm keystore: the folder of sealed keys and the slots of its root key. Works on the folder
// itself, for its owner, also where vhsmd has the keys: processes share a folder.
#include <fmt/format.h>

#include <memory>
#include <string>

#include "cli/console.h"
#include "cli/secret_file.h"
#include "module/assembly.h"
#include "module/slot_keys.h"

namespace vhsm::cli {
namespace {

namespace sealed = keystore::sealed;

struct KeystoreArguments {
  std::string kind;              ///< of a slot
  std::size_t position = 0;      ///< of a slot
  std::string recovery_key;      ///< file to read
  std::string new_recovery_key;  ///< file to make
};

/// The folder, and who has the keys of its slots.
struct Opened {
  Parts parts;
  std::shared_ptr<PlatformSlotKeys> keys;

  [[nodiscard]] TimePoint deadline() const { return Clock::now() + parts.settings.fetch_timeout; }
  [[nodiscard]] Result<std::shared_ptr<sealed::Folder>> folder() const {
    return find_folder(parts.settings, keys);
  }
};

Result<Opened> open(const Console& console, const KeystoreArguments& arguments) {
  auto parts = VHSM_TRY(assemble_keyless(console.overrides()));
  if (parts.settings.key_folder().empty()) {
    return fail(Errc::kBadConfig, "no folder is set: keystore = dir:PATH, or vhsmd_keystore",
                parts.settings.source);
  }
  auto keys = std::make_shared<PlatformSlotKeys>(parts.platform, parts.nitride,
                                                 parts.settings.keystore_kbs_key);
  if (!arguments.recovery_key.empty()) {
    auto key = VHSM_TRY(read_recovery_key(arguments.recovery_key));
    keys->set_recovery_key(std::move(key));
  }
  return Opened{std::move(parts), std::move(keys)};
}

Result<sealed::NewSlot> recovery_slot(const std::string& path) {
  if (path.empty()) {
    return fail(Errc::kInvalidArgument, "say where the recovery key goes: --new-recovery-key FILE");
  }
  auto key = VHSM_TRY(make_recovery_key(path));
  return sealed::NewSlot{{sealed::SlotKind::kRecovery, {}}, std::move(key)};
}

/// What it depends on, for people.
std::string describe_terms(const sealed::SlotTerms& slot) {
  switch (slot.kind) {
    case sealed::SlotKind::kPlatform: return "a chip and measurement derive the key";
    case sealed::SlotKind::kKbs: return "KBS resource " + printable(sealed::text(slot.terms));
    default: return "its owner has the key";
  }
}

Status print_slots(const Console& console, const sealed::Folder& folder, TimePoint deadline) {
  const auto slots = VHSM_TRY(folder.try_slots(deadline));
  Json json = Json::array();
  std::string text;
  for (std::size_t i = 0; i < slots.size(); ++i) {
    const char* const kind = sealed::name_of(slots[i].terms.kind);
    const std::string terms = describe_terms(slots[i].terms);
    const bool opens = !slots[i].why_not.has_value();
    json.push_back({{"slot", i}, {"kind", kind}, {"key", terms}, {"opens_here", opens}});
    text += fmt::format("{:2}  {:9} {}{}\n", i, kind, terms, opens ? ", and opens here" : "");
  }
  if (slots.size() < sealed::kSlotsForKeys) {
    text += "    a key needs two slots: vhsm keystore add-slot\n";
  }
  return console.json ? print_json(Json{{"slots", json}}) : print(text);
}

/// Slots for all that this machine has at hand.
Result<std::vector<sealed::NewSlot>> first_slots(const Opened& opened,
                                                 const KeystoreArguments& arguments) {
  std::vector<sealed::NewSlot> slots;
  if (opened.parts.platform != nullptr) {
    auto slot = VHSM_TRY(opened.keys->platform_slot(opened.deadline()));
    slots.push_back(std::move(slot));
  }
  if (!opened.parts.settings.keystore_kbs_key.empty()) {
    auto slot = VHSM_TRY(opened.keys->kbs_slot(opened.deadline()));
    slots.push_back(std::move(slot));
  }
  if (!arguments.new_recovery_key.empty()) {
    auto slot = VHSM_TRY(recovery_slot(arguments.new_recovery_key));
    slots.push_back(std::move(slot));
  }
  if (!slots.empty()) return slots;
  return fail(Errc::kNoPlatform,
              "nothing can open a keystore: no SNP platform, no keystore_kbs_key, "
              "no --new-recovery-key");
}

Result<Exit> init(const Console& console, const KeystoreArguments& arguments) {
  const Opened opened = VHSM_TRY(open(console, arguments));
  const std::string path = opened.parts.settings.key_folder();
  VHSM_TRY(sealed::make_folder(path));
  const auto files = VHSM_TRY(sealed::open_files(path));
  VHSM_TRY(sealed::Folder::check_empty(*files));
  const auto slots = VHSM_TRY(first_slots(opened, arguments));
  VHSM_TRY(sealed::Folder::create(*files, slots));
  const auto folder = VHSM_TRY(opened.folder());
  VHSM_TRY(print_slots(console, *folder, opened.deadline()));
  return Exit::kDone;
}

Result<Exit> slots(const Console& console, const KeystoreArguments& arguments) {
  const Opened opened = VHSM_TRY(open(console, arguments));
  const auto folder = VHSM_TRY(opened.folder());
  VHSM_TRY(print_slots(console, *folder, opened.deadline()));
  return Exit::kDone;
}

Result<sealed::NewSlot> new_slot(const Opened& opened, const KeystoreArguments& arguments) {
  if (arguments.kind == "snp") return opened.keys->platform_slot(opened.deadline());
  if (arguments.kind == "kbs") return opened.keys->kbs_slot(opened.deadline());
  return recovery_slot(arguments.new_recovery_key);
}

Result<Exit> add_slot(const Console& console, const KeystoreArguments& arguments) {
  const Opened opened = VHSM_TRY(open(console, arguments));
  const auto folder = VHSM_TRY(opened.folder());
  VHSM_TRY(folder->unlock(opened.deadline()));
  const auto slot = VHSM_TRY(new_slot(opened, arguments));
  VHSM_TRY(folder->add_slot(slot));
  VHSM_TRY(print_slots(console, *folder, opened.deadline()));
  return Exit::kDone;
}

/// Nobody locks himself out.
Status check_another_opens(const sealed::Folder& folder, std::size_t position, TimePoint deadline) {
  const auto slots = VHSM_TRY(folder.try_slots(deadline));
  std::size_t others = 0;
  for (std::size_t i = 0; i < slots.size(); ++i) {
    if (i != position && !slots[i].why_not.has_value()) ++others;
  }
  if (others > 0 || position >= slots.size() || slots[position].why_not.has_value()) return {};
  return fail(Errc::kTooFewSlots,
              "no other slot opens the keystore here: add one before, or give --recovery-key");
}

Result<Exit> remove_slot(const Console& console, const KeystoreArguments& arguments) {
  const Opened opened = VHSM_TRY(open(console, arguments));
  const auto folder = VHSM_TRY(opened.folder());
  VHSM_TRY(check_another_opens(*folder, arguments.position, opened.deadline()));
  VHSM_TRY(folder->remove_slot(arguments.position));
  VHSM_TRY(print_slots(console, *folder, opened.deadline()));
  return Exit::kDone;
}

Result<Exit> check(const Console& console, const KeystoreArguments& arguments) {
  const Opened opened = VHSM_TRY(open(console, arguments));
  const auto folder = VHSM_TRY(opened.folder());
  const auto wrong = VHSM_TRY(folder->check(opened.deadline()));
  const auto records = VHSM_TRY(folder->records(opened.deadline()));
  Json json = Json::array();
  std::string text;
  for (const Error& error : wrong) {
    json.push_back(describe(error));
    text += describe(error) + "\n";
  }
  text += fmt::format("{} keys, {} damaged\n", records.size(), wrong.size());
  VHSM_TRY(console.json ? print_json(Json{{"keys", records.size()}, {"damaged", json}})
                        : print(text));
  return wrong.empty() ? Exit::kDone : Exit::kRefused;
}

CLI::App* add_command(CLI::App& parent, const char* name, const char* what, Console& console,
                      const std::shared_ptr<KeystoreArguments>& arguments,
                      Result<Exit> (*run)(const Console&, const KeystoreArguments&)) {
  CLI::App* const command = parent.add_subcommand(name, what);
  command->add_option("--recovery-key", arguments->recovery_key,
                      "File with the recovery key, to open the keystore by that slot");
  add_json(*command, console);
  command->callback([&console, arguments, run] {
    console.action = [&console, arguments, run] { return run(console, *arguments); };
  });
  return command;
}

void add_new_recovery_key(CLI::App& command, KeystoreArguments& arguments) {
  command.add_option("--new-recovery-key", arguments.new_recovery_key,
                     "File to make, with a new recovery key for a slot: keep it elsewhere");
}

}  // namespace

void add_keystore(CLI::App& app, Console& console) {
  const auto arguments = std::make_shared<KeystoreArguments>();
  CLI::App* const keystore = app.add_subcommand("keystore", "The folder of sealed keys");
  keystore->require_subcommand(1);
  CLI::App* const made = add_command(
      *keystore, "init", "Make the folder, with a new root key in slots", console, arguments, init);
  add_new_recovery_key(*made, *arguments);
  add_command(*keystore, "slots", "List what opens the folder", console, arguments, slots);
  CLI::App* const adding = add_command(*keystore, "add-slot", "Let something else open the folder",
                                       console, arguments, add_slot);
  adding->add_option("KIND", arguments->kind, "snp, kbs or recovery")
      ->required()
      ->check(CLI::IsMember({"snp", "kbs", "recovery"}));
  add_new_recovery_key(*adding, *arguments);
  CLI::App* const removing =
      add_command(*keystore, "remove-slot", "Take a slot away", console, arguments, remove_slot);
  removing->add_option("SLOT", arguments->position, "Its number in the list")->required();
  add_command(*keystore, "check", "Open every key, and name those that are damaged", console,
              arguments, check);
}

}  // namespace vhsm::cli
