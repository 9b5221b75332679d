// SPDX-License-Identifier: Apache-2.0
//
// vhsm secret put, get, run: bytes that their owner lets come out (a passphrase, an API key), from
// the folder, a KBS or vhsmd. Keys never come out. vhsm secret serve is in secret_serve.cc.
#include <unistd.h>

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cli/console.h"
#include "cli/foreign_arguments.h"
#include "cli/patience.h"
#include "cli/secret_file.h"
#include "cli/secret_output.h"
#include "jose/secret_jwk.h"
#include "module/assembly.h"

extern char** environ;

namespace vhsm::cli {
namespace {

using keystore::KeyUri;

Result<KeyUri> secret_uri(const std::string& name, const Settings& settings) {
  auto uri = VHSM_TRY(KeyUri::parse(name, settings.kbs_path, true));
  uri.type = keystore::ObjectType::kSecret;
  return uri;
}

// ----- put ---------------------------------------------------------------------------------------

struct PutArguments {
  std::string name;
  std::string file = "-";
  bool releasable = false;
  bool successor = false;
  bool wipe_source = false;
};

Result<SecretBytes> stored_form(SecretBytes secret, bool releasable) {
  if (!releasable) return secret;
  return jose::releasable(secret);
}

/// Into the folder itself, as its owner, also where vhsmd serves it.
Result<Exit> put(const Console& console, const PutArguments& arguments) {
  if (arguments.wipe_source) VHSM_TRY(check_wipeable(arguments.file));
  const auto parts = VHSM_TRY(assemble_held(console.overrides()));
  const auto uri = VHSM_TRY(secret_uri(arguments.name, parts.settings));
  auto secret = VHSM_TRY(read_secret_file(arguments.file));
  const auto stored = VHSM_TRY(stored_form(std::move(secret), arguments.releasable));
  const auto line = VHSM_TRY(parts.held->import(uri, stored, {.successor = arguments.successor}));
  if (arguments.wipe_source) VHSM_TRY(wipe_file(arguments.file));
  const std::string name = line.name.uri();
  VHSM_TRY(console.json ? print_json(Json{{"name", name},
                                          {"version", line.version},
                                          {"releasable", arguments.releasable}})
                        : print(fmt::format("{} version {}, {}\n", name, line.version, line.type)));
  return Exit::kDone;
}

// ----- get ---------------------------------------------------------------------------------------

struct GetArguments {
  std::string name;
  int descriptor = STDOUT_FILENO;
  std::string keyring;
  std::string description;  ///< of the key in the keyring; empty: the URI
  std::chrono::seconds::rep wait = 0;
  bool terminal = false;
};

Status hand_out(const GetArguments& arguments, const KeyUri& uri, const SecretBytes& secret) {
  if (arguments.keyring.empty()) {
    return write_to_descriptor(arguments.descriptor, secret, arguments.terminal);
  }
  const std::string description =
      arguments.description.empty() ? uri.name.uri() : arguments.description;
  const long serial = VHSM_TRY(add_to_keyring(arguments.keyring, description, secret));
  return print(fmt::format("{}\n", serial));
}

Result<Exit> get(const Console& console, const GetArguments& arguments) {
  if (arguments.keyring.empty()) {
    VHSM_TRY(check_descriptor(arguments.descriptor, arguments.terminal));
  }
  const auto parts = VHSM_TRY(assemble(console.overrides()));
  const auto uri = VHSM_TRY(secret_uri(arguments.name, parts.settings));
  const auto secret = VHSM_TRY(ask_with_patience(std::chrono::seconds(arguments.wait),
                                                 [&] { return parts.keystore->release(uri); }));
  VHSM_TRY(hand_out(arguments, uri, secret));
  return Exit::kDone;
}

// ----- run ---------------------------------------------------------------------------------------

struct RunArguments {
  std::vector<std::string> variables;  ///< NAME=URI
  std::vector<std::string> command;
  std::chrono::seconds::rep wait = 0;
};

struct Variable {
  std::string name;
  KeyUri uri;
};

/// Source: POSIX.1-2017, base definitions, section 8.1.
bool is_variable_name(std::string_view name) noexcept {
  constexpr std::string_view kFirst = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";
  constexpr std::string_view kDigits = "0123456789";
  return !name.empty() && kFirst.find(name[0]) != std::string_view::npos &&
         std::ranges::all_of(name, [&](char c) {
           return kFirst.find(c) != std::string_view::npos ||
                  kDigits.find(c) != std::string_view::npos;
         });
}

Result<Variable> parse_variable(const std::string& text, const Settings& settings) {
  const std::size_t equals = text.find('=');
  std::string name = text.substr(0, equals);
  if (equals == std::string::npos || !is_variable_name(name)) {
    return fail(Errc::kInvalidArgument, "a variable is given as NAME=URI", name);
  }
  auto uri = VHSM_TRY(secret_uri(text.substr(equals + 1), settings));
  return Variable{std::move(name), std::move(uri)};
}

/// "NAME=the secret", in protected memory, from where execve(2) takes it.
Result<SecretBytes> assignment(const Variable& variable, const SecretBytes& secret) {
  if (std::ranges::find(secret.expose(), 0) != secret.expose().end()) {
    return fail(Errc::kBadFormat, "no variable can have a secret with a zero byte in it",
                variable.uri.name.uri());
  }
  auto text = VHSM_TRY(SecretBytes::zeros(variable.name.size() + 1 + secret.size() + 1));
  const auto end = std::ranges::copy(variable.name + "=", text.expose().begin()).out;
  std::ranges::copy(secret.expose(), end);
  return text;
}

bool assigns(std::string_view text, std::string_view name) noexcept {
  return text.starts_with(name) && text.substr(name.size()).starts_with('=');
}

/// Ours, with these in the place of those that have the same name. Points to both.
class Environment {
 public:
  void add(const Variable& variable, SecretBytes text) {
    std::erase_if(block_, [&](const char* old) { return assigns(old, variable.name); });
    block_.push_back(reinterpret_cast<char*>(text.expose().data()));
    secrets_.push_back(std::move(text));
  }
  [[nodiscard]] std::vector<char*> block() const {
    std::vector<char*> ended = block_;
    ended.push_back(nullptr);
    return ended;
  }

 private:
  static std::vector<char*> inherited() {
    std::vector<char*> all;
    for (char** one = environ; *one != nullptr; ++one) all.push_back(*one);
    return all;
  }

  std::vector<char*> block_ = inherited();
  std::vector<SecretBytes> secrets_;
};

Result<Environment> environment_with(const Parts& parts, const RunArguments& arguments) {
  Environment environment;
  for (const std::string& text : arguments.variables) {
    const auto variable = VHSM_TRY(parse_variable(text, parts.settings));
    const auto secret = VHSM_TRY(ask_with_patience(std::chrono::seconds(arguments.wait), [&] {
      return parts.keystore->release(variable.uri);
    }));
    auto assigned = VHSM_TRY(assignment(variable, secret));
    environment.add(variable, std::move(assigned));
  }
  return environment;
}

/// Returns only when the command cannot be started.
Error execute(std::vector<std::string> command, const Environment& environment) {
  std::vector<char*> arguments;
  for (std::string& argument : command) arguments.push_back(argument.data());
  arguments.push_back(nullptr);
  ::execvpe(arguments[0], arguments.data(), environment.block().data());
  return errno == E2BIG
             ? fail(Errc::kBadLength, "the secrets are too long for an environment", command[0])
             : fail(Errc::kIo, "this command cannot be started", command[0]);
}

Result<Exit> run(const Console& console, const RunArguments& arguments) {
  if (arguments.command.empty()) {
    return fail(Errc::kInvalidArgument, "behind -- stands the command to run");
  }
  const auto parts = VHSM_TRY(assemble(console.overrides()));
  const auto environment = VHSM_TRY(environment_with(parts, arguments));
  return execute(arguments.command, environment);
}

// ----- commands ----------------------------------------------------------------------------------

template <class Arguments>
CLI::App* add_command(CLI::App& parent, const char* name, const char* what, Console& console,
                      const std::shared_ptr<Arguments>& arguments,
                      Result<Exit> (*run)(const Console&, const Arguments&)) {
  CLI::App* const command = parent.add_subcommand(name, what);
  command->callback([&console, arguments, run] {
    console.action = [&console, arguments, run] { return run(console, *arguments); };
  });
  return command;
}

void add_put(CLI::App& secret, Console& console) {
  const auto arguments = std::make_shared<PutArguments>();
  CLI::App* const command =
      add_command(secret, "put", "Seal a secret in the folder", console, arguments, put);
  command->add_option("NAME", arguments->name, "URI or path of the secret")->required();
  command->add_option("FILE", arguments->file, "Its bytes, as they are; - is standard input");
  command->add_flag("--releasable", arguments->releasable,
                    "It may come out; without this it is a symmetric key, and never does");
  command->add_flag("--new-version", arguments->successor, "Of the secret that has this name");
  command->add_flag("--wipe-source", arguments->wipe_source,
                    "Overwrite and remove FILE when the secret is sealed");
  add_json(*command, console);
}

void add_get(CLI::App& secret, Console& console) {
  const auto arguments = std::make_shared<GetArguments>();
  CLI::App* const command = add_command(
      secret, "get", "Write a secret to a pipe, descriptor or keyring", console, arguments, get);
  command->add_option("NAME", arguments->name, "URI or path of the secret")->required();
  CLI::Option* const descriptor =
      command->add_option("--fd", arguments->descriptor, "Descriptor to write to, instead of 1");
  CLI::Option* const keyring =
      command->add_option("--keyring", arguments->keyring, "session, user, or a keyring's number");
  keyring->excludes(descriptor);
  command->add_option("--description", arguments->description, "Of the key in the keyring")
      ->needs(keyring);
  command->add_flag("--terminal", arguments->terminal, "Write it to a terminal, too");
  add_wait(*command, arguments->wait);
}

void add_run(CLI::App& secret, Console& console) {
  const auto arguments = std::make_shared<RunArguments>();
  CLI::App* const command = add_command(
      secret, "run", "Start a command with secrets in its environment", console, arguments, run);
  command->add_option("--env", arguments->variables, "Variable and secret, as NAME=URI; repeatable")
      ->required()
      ->allow_extra_args(false);
  add_wait(*command, arguments->wait);
  command->add_option(kForeignArguments, arguments->command, "Behind --");
}

}  // namespace

void add_secret(CLI::App& app, Console& console) {
  CLI::App* const secret = app.add_subcommand("secret", "Secrets that may come out");
  secret->require_subcommand(1);
  add_put(*secret, console);
  add_get(*secret, console);
  add_run(*secret, console);
  add_serve(*secret, console);
}

}  // namespace vhsm::cli
