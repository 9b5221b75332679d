// SPDX-License-Identifier: Apache-2.0
//
// vhsm key grant, revoke, grants: who may use the keys that vhsmd holds.
#include <memory>
#include <string>
#include <vector>

#include "cli/console.h"
#include "keystore/daemon/remote_keystore.h"
#include "module/assembly.h"

namespace vhsm::cli {
namespace {

using keystore::Ask;

struct GrantArguments {
  std::string name;
  bool every_key = false;
  std::vector<std::string> users;
  std::vector<std::string> groups;
  std::vector<std::string> units;
};

struct Rules {
  const char* kind;
  std::vector<std::string> GrantArguments::*values;
};
constexpr Rules kRules[] = {{"user", &GrantArguments::users},
                            {"group", &GrantArguments::groups},
                            {"unit", &GrantArguments::units}};

Result<Parts> parts_with_daemon(const Console& console) {
  auto parts = VHSM_TRY(assemble(console.overrides()));
  if (parts.daemon != nullptr) return parts;
  return fail(Errc::kBadConfig, "grants are vhsmd's, and keystore is not unix:PATH",
              parts.settings.source);
}

/// The path that vhsmd knows the key by; empty for every key.
Result<std::string> path_of(const GrantArguments& arguments, const Settings& settings) {
  if (arguments.name.empty()) return std::string();
  const auto uri = VHSM_TRY(keystore::KeyUri::parse(arguments.name, settings.kbs_path, true));
  return uri.name.path();
}

Result<Exit> change(const Console& console, const GrantArguments& arguments, Ask ask) {
  if (arguments.name.empty() != arguments.every_key) {
    return fail(Errc::kInvalidArgument, "name either a key or --default");
  }
  const auto parts = VHSM_TRY(parts_with_daemon(console));
  const std::string path = VHSM_TRY(path_of(arguments, parts.settings));
  std::size_t changed = 0;
  for (const Rules& rules : kRules) {
    for (const std::string& value : arguments.*rules.values) {
      VHSM_TRY(parts.daemon->change(ask, path, {rules.kind, value}));
      ++changed;
    }
  }
  if (changed > 0) return Exit::kDone;
  return fail(Errc::kInvalidArgument, "say for whom: --user, --group or --unit");
}

Result<Exit> list(const Console& console, const GrantArguments& arguments) {
  const auto parts = VHSM_TRY(parts_with_daemon(console));
  const std::string path = VHSM_TRY(path_of(arguments, parts.settings));
  const auto lines = VHSM_TRY(parts.daemon->grants(path));
  if (console.json) {
    VHSM_TRY(print_json(Json{{"grants", lines}}));
    return Exit::kDone;
  }
  for (const std::string& line : lines) VHSM_TRY(print(line + "\n"));
  return Exit::kDone;
}

void add_change(CLI::App& parent, Console& console, const char* name, const char* what, Ask ask) {
  const auto arguments = std::make_shared<GrantArguments>();
  CLI::App* const command = parent.add_subcommand(name, what);
  command->add_option("NAME", arguments->name, "URI or path of the key");
  command->add_flag("--default", arguments->every_key, "Every key, in the place of NAME");
  command->add_option("--user", arguments->users, "User, by name or number")
      ->allow_extra_args(false);
  command->add_option("--group", arguments->groups, "Group, by name or number")
      ->allow_extra_args(false);
  command->add_option("--unit", arguments->units, "systemd unit, such as nginx.service")
      ->allow_extra_args(false);
  command->callback([&console, arguments, ask] {
    console.action = [&console, arguments, ask] { return change(console, *arguments, ask); };
  });
}

}  // namespace

void add_grants(CLI::App& key, Console& console) {
  add_change(key, console, "grant", "Let somebody use a key of vhsmd", Ask::kGrant);
  add_change(key, console, "revoke", "Take a grant back", Ask::kRevoke);
  const auto arguments = std::make_shared<GrantArguments>();
  CLI::App* const command = key.add_subcommand("grants", "List who may use keys of vhsmd");
  command->add_option("NAME", arguments->name, "URI or path of a key; all without it");
  add_json(*command, console);
  command->callback([&console, arguments] {
    console.action = [&console, arguments] { return list(console, *arguments); };
  });
}

}  // namespace vhsm::cli
