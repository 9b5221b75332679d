// SPDX-License-Identifier: Apache-2.0
//
// vhsm key generate, import, list, rotate, enable, disable, delete: how keys come, change and go.
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <ctime>
#include <memory>
#include <string>

#include "cli/console.h"
#include "cli/secret_file.h"
#include "keystore/algorithm_text.h"
#include "module/assembly.h"

namespace vhsm::cli {
namespace {

using keystore::AlgorithmText;
using keystore::KeyLine;
using keystore::KeyUri;

struct LifeArguments {
  std::string name;
  std::string algorithm;
  std::string file;
  std::vector<std::string> rules;  ///< of a policy
  bool secret = false;
  bool successor = false;
  bool wipe_source = false;
};

std::string time_of(std::uint64_t seconds) {
  const auto time = static_cast<std::time_t>(seconds);
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(time));
}

constexpr std::array<const char*, 4> kOrigins{"generated", "imported", "copy", "restored"};
const char* origin_of(const KeyLine& line) {
  return kOrigins[static_cast<std::size_t>(line.origin) - 1];
}

bool is_in_memory(const KeyLine& line) {
  return line.version == 0 && line.origin != keystore::sealed::Origin::kCopy;
}

Json describe(const KeyLine& line) {
  Json json{{"name", line.name.uri()}};
  if (!line.policy.empty()) json["policy"] = line.policy;
  if (!line.type.empty()) json["algorithm"] = line.type;
  if (is_in_memory(line)) return json;
  if (line.version != 0) json["version"] = line.version;
  json["state"] = line.enabled ? "enabled" : "disabled";
  json["origin"] = origin_of(line);
  json["created"] = time_of(line.created);
  if (line.uses_left.has_value()) json["uses_left"] = *line.uses_left;
  return json;
}

std::string uses_of(const KeyLine& line) {
  return line.uses_left.has_value() ? fmt::format(" ({} left)", *line.uses_left) : std::string();
}

std::string as_text(const KeyLine& line) {
  if (is_in_memory(line)) {
    return fmt::format("{:40}    in memory {} {}\n", line.name.uri(), printable(line.type),
                       printable(line.policy));
  }
  const std::string version = line.version == 0 ? "-" : std::to_string(line.version);
  return fmt::format("{:40} {:>3} {:8} {:12} {:9} {} {}{}\n", line.name.uri(), version,
                     line.enabled ? "enabled" : "disabled", printable(line.type), origin_of(line),
                     time_of(line.created), printable(line.policy), uses_of(line));
}

Result<Exit> print_lines(const Console& console, const std::vector<KeyLine>& lines) {
  Json json = Json::array();
  std::string text;
  for (const KeyLine& line : lines) {
    json.push_back(describe(line));
    text += as_text(line);
  }
  VHSM_TRY(console.json ? print_json(Json{{"keys", json}}) : print(text));
  return Exit::kDone;
}

Result<KeyUri> uri_of(const LifeArguments& arguments, const Settings& settings) {
  auto uri = VHSM_TRY(KeyUri::parse(arguments.name, settings.kbs_path, true));
  uri.type.reset();
  return uri;
}

/// All versions of one key.
Result<std::vector<KeyLine>> lines_of(const Parts& parts, const KeyUri& uri) {
  auto lines = VHSM_TRY(parts.keystore->list());
  std::erase_if(lines, [&](const KeyLine& line) { return !(line.name == uri.name); });
  return lines;
}

std::string policy_of(const LifeArguments& arguments) {
  return fmt::format("{}", fmt::join(arguments.rules, " "));
}

/// The folder itself, for its owner: symmetric keys do not cross vhsmd's socket.
Result<Exit> generate_secret(const Console& console, const LifeArguments& arguments,
                             std::size_t bytes) {
  const auto parts = VHSM_TRY(assemble_held(console.overrides()));
  const auto uri = VHSM_TRY(uri_of(arguments, parts.settings));
  const std::string policy = policy_of(arguments);
  const KeyLine line = VHSM_TRY(parts.held->generate_secret(uri.name, bytes, policy));
  return print_lines(console, {line});
}

Result<Exit> generate(const Console& console, const LifeArguments& arguments) {
  auto algorithm = VHSM_TRY(AlgorithmText::parse(arguments.algorithm));
  if (algorithm.type() == nullptr) {
    return generate_secret(console, arguments, algorithm.secret_bytes());
  }
  const auto parts = VHSM_TRY(assemble(console.overrides()));
  if (parts.daemon == nullptr && parts.settings.key_folder().empty()) {
    return fail(Errc::kBadConfig, "the key would end with this command: set keystore = dir:PATH",
                parts.settings.source);
  }
  const auto uri = VHSM_TRY(uri_of(arguments, parts.settings));
  [[maybe_unused]] const auto key = VHSM_TRY(parts.keystore->generate(
      uri.name, *algorithm.type(), algorithm.settings(), policy_of(arguments)));
  const auto lines = VHSM_TRY(lines_of(parts, uri));
  return print_lines(console, lines);
}

Result<Exit> import(const Console& console, const LifeArguments& arguments) {
  if (arguments.wipe_source) VHSM_TRY(check_wipeable(arguments.file));
  const auto parts = VHSM_TRY(assemble_held(console.overrides()));
  auto uri = VHSM_TRY(uri_of(arguments, parts.settings));
  if (arguments.secret) uri.type = keystore::ObjectType::kSecret;
  const auto stored = VHSM_TRY(read_secret_file(arguments.file));
  const std::string policy = policy_of(arguments);
  const KeyLine line = VHSM_TRY(
      parts.held->import(uri, stored, {.successor = arguments.successor, .policy = policy}));
  if (arguments.wipe_source) VHSM_TRY(wipe_file(arguments.file));
  return print_lines(console, {line});
}

Result<Exit> list(const Console& console, const LifeArguments& /*arguments*/) {
  const auto parts = VHSM_TRY(assemble(console.overrides()));
  const auto lines = VHSM_TRY(parts.keystore->list());
  return print_lines(console, lines);
}

Result<Exit> rotate(const Console& console, const LifeArguments& arguments) {
  const auto parts = VHSM_TRY(assemble(console.overrides()));
  const auto uri = VHSM_TRY(uri_of(arguments, parts.settings));
  const KeyLine line = VHSM_TRY(parts.keystore->rotate(uri.name));
  return print_lines(console, {line});
}

template <bool Enabled>
Result<Exit> set_enabled(const Console& console, const LifeArguments& arguments) {
  const auto parts = VHSM_TRY(assemble(console.overrides()));
  const auto uri = VHSM_TRY(uri_of(arguments, parts.settings));
  VHSM_TRY(parts.keystore->set_enabled(uri, Enabled));
  const auto lines = VHSM_TRY(lines_of(parts, uri));
  return print_lines(console, lines);
}

Result<Exit> set_policy(const Console& console, const LifeArguments& arguments) {
  const auto parts = VHSM_TRY(assemble(console.overrides()));
  const auto uri = VHSM_TRY(uri_of(arguments, parts.settings));
  const bool clears = arguments.rules == std::vector<std::string>{"none"};
  VHSM_TRY(parts.keystore->set_policy(uri, clears ? std::string() : policy_of(arguments)));
  const auto lines = VHSM_TRY(lines_of(parts, uri));
  return print_lines(console, lines);
}

Result<Exit> remove(const Console& console, const LifeArguments& arguments) {
  const auto parts = VHSM_TRY(assemble(console.overrides()));
  const auto uri = VHSM_TRY(uri_of(arguments, parts.settings));
  VHSM_TRY(parts.keystore->remove(uri));
  const std::string deleted = uri.text();
  VHSM_TRY(console.json ? print_json(Json{{"deleted", deleted}})
                        : print(fmt::format("deleted {}\n", deleted)));
  return Exit::kDone;
}

struct Command {
  const char* name;
  const char* what;
  Result<Exit> (*run)(const Console&, const LifeArguments&);
  bool has_name = true;
};
constexpr std::array<Command, 8> kCommands{{
    {"generate", "Make a key", generate},
    {"import", "Seal a key that is in a file, or comes on standard input", import},
    {"list", "List the keys that are here, with all versions", list, false},
    {"rotate", "Make a new version of a key; open handles keep theirs", rotate},
    {"enable", "Let a key, or one version of it, be used again", set_enabled<true>},
    {"disable", "Let a key, or one version of it, no longer be used", set_enabled<false>},
    {"policy", "Say what a key, or one version of it, may be used for", set_policy},
    {"delete", "Remove a key from the folder or from vhsmd's memory, or one version", remove},
}};

CLI::App* add_command(CLI::App& parent, const Command& command, Console& console,
                      const std::shared_ptr<LifeArguments>& arguments) {
  CLI::App* const added = parent.add_subcommand(command.name, command.what);
  if (command.has_name) {
    added->add_option("NAME", arguments->name, "URI or path of the key")->required();
  }
  add_json(*added, console);
  added->callback([&console, arguments, run = command.run] {
    console.action = [&console, arguments, run] { return run(console, *arguments); };
  });
  return added;
}

}  // namespace

void add_key_life(CLI::App& key, Console& console) {
  const auto arguments = std::make_shared<LifeArguments>();
  for (const Command& command : kCommands) add_command(key, command, console, arguments);
  key.get_subcommand("generate")
      ->add_option("--algorithm", arguments->algorithm,
                   "EC:P-256, RSA:3072, ED25519, SECRET:256, ...")
      ->required();
  constexpr const char* kRules =
      "operations=, algorithms=, digests=, paddings=, salt=, gate=, backup=, not-before=, "
      "not-after=, uses=, lease=, "
      "grace=";
  key.get_subcommand("policy")
      ->add_option("RULE", arguments->rules, std::string("none, or ") + kRules)
      ->required();
  for (const char* const command : {"generate", "import"}) {
    key.get_subcommand(command)
        ->add_option("--policy", arguments->rules,
                     std::string("A rule, any number of times: ") + kRules)
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  }
  CLI::App* const importing = key.get_subcommand("import");
  importing->add_option("FILE", arguments->file, "The key; - is standard input")->required();
  importing->add_flag("--secret", arguments->secret, "It is a symmetric key");
  importing->add_flag("--new-version", arguments->successor, "Of the key that has this name");
  importing->add_flag("--wipe-source", arguments->wipe_source,
                      "Overwrite and remove FILE when the key is sealed");
}

}  // namespace vhsm::cli
