// SPDX-License-Identifier: Apache-2.0
//
// vhsm key backup and restore: a key goes to a keystore, or a KBS, that has proved itself, and to
// no other. Both work on the folder itself, as its owner: keys do not cross vhsmd's socket.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "cli/console.h"
#include "cli/hex_option.h"
#include "cli/verify_options.h"
#include "evidence/key_verdict.h"
#include "module/assembly.h"
#include "snp/files.h"
#include "snp/hex.h"

namespace vhsm::cli {
namespace {

using keystore::KeyUri;

// ---- backup ------------------------------------------------------------------------------------

struct BackupArguments {
  std::string name;
  std::string evidence;
  std::string nonce;
  std::vector<std::string> allowed;
  std::string out;
  VerifyArguments verify;
};

Result<evidence::Expectations> expectations_of(const BackupArguments& arguments) {
  evidence::Expectations expected;
  expected.machine = VHSM_TRY(policy_of(arguments.verify));
  expected.allowed = arguments.allowed;
  expected.nonce = VHSM_TRY(parse_hex(arguments.nonce, "--nonce"));
  return expected;
}

bool can_be_kbs(const BackupArguments& arguments) {
  return std::ranges::find(arguments.allowed, name_of(keystore::KeyOrigin::kKbsReceiver)) !=
         arguments.allowed.end();
}

/// Who the evidence is of, if it is genuine and of the machine that is asked for.
Result<keystore::BackupReceiver> receiver_in(const BackupArguments& arguments) {
  const auto bytes = VHSM_TRY(snp::read_file(arguments.evidence, evidence::kMaxPresentedBytes));
  const auto expected = VHSM_TRY(expectations_of(arguments));
  const auto roots = VHSM_TRY(roots_of(arguments.verify));
  const auto presented = evidence::read_presented(bytes);
  if (!presented.ok()) return presented.error().about(arguments.evidence);
  auto verdict = judge_key(presented.value(), roots, expected);
  if (!verdict.accepted.ok()) return verdict.accepted.error().about(arguments.evidence);
  return keystore::BackupReceiver{std::move(*verdict.claims),
                                  snp::to_hex(verdict.report->measurement().value),
                                  can_be_kbs(arguments)};
}

Result<Exit> backup(const Console& console, const BackupArguments& arguments) {
  const auto receiver = VHSM_TRY(receiver_in(arguments));
  const auto parts = VHSM_TRY(assemble_held(console.overrides()));
  const auto uri = VHSM_TRY(KeyUri::parse(arguments.name, parts.settings.kbs_path, true));
  const auto text = VHSM_TRY(parts.held->backup(uri, receiver)) + "\n";
  VHSM_TRY(arguments.out.empty() ? print(text) : write_file(arguments.out, as_bytes(text)));
  return Exit::kDone;
}

void add_backup_command(CLI::App& key, Console& console) {
  const auto arguments = std::make_shared<BackupArguments>();
  CLI::App* const command =
      key.add_subcommand("backup", "Wrap a key for another vhsm, or a KBS, by its attested key");
  command->add_option("NAME", arguments->name, "URI or path of the key")->required();
  command
      ->add_option("--for", arguments->evidence,
                   "Evidence of the receiver's key: key attest of one with operations=restore, or "
                   "vhsm-kbs receiver attest")
      ->required();
  command->add_option("--nonce", arguments->nonce, "That the evidence must have, hex")->required();
  command
      ->add_option(
          "--allow", arguments->allowed,
          "Accept that a kbs, the holder of a recovery key or another guest (snp) can open "
          "the receiver's key, too; that the receiver is a KBS (kbs-receiver), whose operator can "
          "read what it is sent")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(CLI::IsMember({"kbs", "recovery", "snp", "kbs-receiver"}));
  command->add_option("--out", arguments->out, "File to write instead of standard output");
  add_verify_options(*command, arguments->verify).policy->required();
  command->callback([&console, arguments] {
    console.action = [&console, arguments] { return backup(console, *arguments); };
  });
}

// ---- restore -----------------------------------------------------------------------------------

struct RestoreArguments {
  std::string file;
  std::string name;
};

Result<std::optional<keystore::KeyName>> name_in(const RestoreArguments& arguments,
                                                 const Settings& settings) {
  if (arguments.name.empty()) return std::optional<keystore::KeyName>();
  auto uri = VHSM_TRY(KeyUri::parse(arguments.name, settings.kbs_path, true));
  if (uri.version.has_value()) {
    return fail(Errc::kInvalidArgument, "a restored key begins with version 1", arguments.name);
  }
  return std::optional(std::move(uri.name));
}

Result<Exit> restore(const Console& console, const RestoreArguments& arguments) {
  const auto bytes = VHSM_TRY(snp::read_file(arguments.file, keystore::kMaxBackupBytes));
  const auto parts = VHSM_TRY(assemble_held(console.overrides()));
  const auto name = VHSM_TRY(name_in(arguments, parts.settings));
  const auto line =
      parts.held->restore({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, name);
  if (!line.ok()) return line.error();
  const std::string uri = line.value().name.uri();
  VHSM_TRY(console.json ? print_json(Json{{"restored", uri}, {"policy", line.value().policy}})
                        : print(fmt::format("restored {} ({})\n", uri, line.value().policy)));
  return Exit::kDone;
}

void add_restore_command(CLI::App& key, Console& console) {
  const auto arguments = std::make_shared<RestoreArguments>();
  CLI::App* const command =
      key.add_subcommand("restore", "Seal a key that another vhsm has backed up for this one");
  command->add_option("FILE", arguments->file, "What key backup has written there")->required();
  command->add_option("--as", arguments->name, "Its name here, if not the one that it had");
  add_json(*command, console);
  command->callback([&console, arguments] {
    console.action = [&console, arguments] { return restore(console, *arguments); };
  });
}

}  // namespace

void add_key_backup(CLI::App& key, Console& console) {
  add_backup_command(key, console);
  add_restore_command(key, console);
}

}  // namespace vhsm::cli
