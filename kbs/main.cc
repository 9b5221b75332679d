// SPDX-License-Identifier: Apache-2.0
//
// vhsm-kbs: a reference Key Broker Service. Exit: 0 done, 1 refused or failed, 2 usage.
#include <CLI/CLI.hpp>

#include <cstdio>
#include <exception>
#include <string>

#include "kbs/commands.h"
#include "kbs/config.h"
#include "memory/protected_memory.h"

namespace {

using vhsm::Status;
namespace kbs = vhsm::kbs;

constexpr int kFailed = 1;
constexpr int kUsage = 2;

struct Arguments {
  std::string config = kbs::kDefaultConfigPath;
  std::string listen;
  kbs::InitOptions init;
  kbs::AttestCommand attest;
  kbs::ResourceCommand resource;
  std::int64_t limit = 1000;
  bool json = false;
};

void add_init(CLI::App& app, Arguments& arguments) {
  CLI::App* init = app.add_subcommand("init", "make a configuration, certificates and a database");
  init->add_option("--host", arguments.init.hosts, "names and addresses for the certificate")
      ->delimiter(',')
      ->type_name("NAME");
  init->add_option("--listen", arguments.init.listen, "where to serve")->type_name("ADDR:PORT");
  init->add_option("--trust-test-root", arguments.init.trust_test_root,
                   "development: accept this emulator's reports")
      ->type_name("FILE");
  init->add_option("--measurement", arguments.init.measurements,
                   "a VM that may have resources; may be repeated")
      ->type_name("HEX");
}

void add_verb(CLI::App* group, Arguments& arguments, const char* name, const char* what,
              kbs::ResourceVerb verb) {
  CLI::App* one = group->add_subcommand(name, what);
  one->callback([&arguments, verb] { arguments.resource.verb = verb; });
  if (verb != kbs::ResourceVerb::kList) {
    one->add_option("path", arguments.resource.path, "repository/type/tag")->required();
  }
  if (verb == kbs::ResourceVerb::kPut) {
    one->add_option("file", arguments.resource.file, "a file, or - for standard input");
    one->add_flag("--releasable", arguments.resource.releasable,
                  "it is a secret that the VM may hand out, and no key");
  }
  one->add_flag("--json", arguments.json, "print JSON lines");
  one->fallthrough();
}

void add_restore(CLI::App* group, Arguments& arguments) {
  CLI::App* one = group->add_subcommand("restore", "store a key that a vhsm has backed up for us");
  one->callback([&arguments] { arguments.resource.verb = kbs::ResourceVerb::kRestore; });
  one->add_option("file", arguments.resource.file, "what vhsm key backup wrote")->required();
  one->add_option("path", arguments.resource.path,
                  "repository/type/tag, if not the name that the key had");
  one->add_flag("--replace", arguments.resource.replace, "as a new version of what is there");
  one->add_flag("--json", arguments.json, "print JSON lines");
  one->fallthrough();
}

void add_receiver(CLI::App& app, Arguments& arguments) {
  CLI::App* group = app.add_subcommand("receiver", "the key for which vhsms back up keys");
  group->require_subcommand(1);
  group->fallthrough();
  group->add_subcommand("init", "make it")->fallthrough();
  CLI::App* attest = group->add_subcommand("attest", "get evidence of it, in JSON");
  attest->add_option("--nonce", arguments.attest.nonce, "of who wants to know: 8 to 64 bytes, hex")
      ->required();
  attest->add_option("--platform", arguments.attest.platform, "as in vhsm.cnf(5); default auto");
  attest->add_option("--vmpl", arguments.attest.vmpl, "level to ask the report for");
  attest->add_option("--out", arguments.attest.out, "a new file, instead of standard output");
  attest->fallthrough();
}

void add_resource(CLI::App& app, Arguments& arguments) {
  using Verb = kbs::ResourceVerb;
  CLI::App* group = app.add_subcommand("resource", "what the KBS stores");
  group->require_subcommand(1);
  add_verb(group, arguments, "put", "store a new version", Verb::kPut);
  add_restore(group, arguments);
  add_verb(group, arguments, "get-info", "show version and time", Verb::kGetInfo);
  add_verb(group, arguments, "list", "show all, without their content", Verb::kList);
  add_verb(group, arguments, "disable", "release it to nobody", Verb::kDisable);
  add_verb(group, arguments, "enable", "release it again", Verb::kEnable);
  add_verb(group, arguments, "delete", "remove it", Verb::kDelete);
}

void add_commands(CLI::App& app, Arguments& arguments) {
  app.set_version_flag("--version", "vhsm-kbs " VHSM_VERSION);
  app.add_option("--config", arguments.config, "configuration file")->type_name("FILE");
  app.require_subcommand(1);
  app.fallthrough();
  add_init(app, arguments);
  app.add_subcommand("serve", "answer requests until SIGTERM")
      ->add_option("--listen", arguments.listen, "instead of the configuration's")
      ->type_name("ADDR:PORT");
  add_receiver(app, arguments);
  add_resource(app, arguments);
  CLI::App* audit = app.add_subcommand("audit", "who asked for what");
  audit->require_subcommand(1);
  CLI::App* list = audit->add_subcommand("list", "the last decisions, oldest first");
  list->add_option("--limit", arguments.limit, "how many")->check(CLI::PositiveNumber);
  list->add_flag("--json", arguments.json, "print JSON lines");
}

Status run_receiver(const CLI::App& app, const Arguments& arguments) {
  const bool attests = app.get_subcommand("receiver")->got_subcommand("attest");
  return attests ? kbs::run_receiver_attest(arguments.config, arguments.attest)
                 : kbs::run_receiver_init(arguments.config);
}

Status run(const CLI::App& app, Arguments& arguments) {
  arguments.init.config = arguments.config;
  arguments.resource.json = arguments.json;
  if (app.got_subcommand("init")) return kbs::run_init(arguments.init);
  if (app.got_subcommand("serve")) return kbs::run_serve(arguments.config, arguments.listen);
  if (app.got_subcommand("receiver")) return run_receiver(app, arguments);
  if (app.got_subcommand("resource")) {
    return kbs::run_resource(arguments.config, arguments.resource);
  }
  return kbs::run_audit_list(arguments.config, arguments.limit, arguments.json);
}

int report(const Status& status) {
  if (status.ok()) return 0;
  std::fprintf(stderr, "vhsm-kbs: %s\n", vhsm::describe(status.error()).c_str());
  const vhsm::Errc code = status.error().code;
  return code == vhsm::Errc::kInvalidArgument || code == vhsm::Errc::kBadUri ? kUsage : kFailed;
}

int parse_and_run(int argc, char** argv) {
  Arguments arguments;
  CLI::App app("vhsm-kbs: a reference Key Broker Service for SEV-SNP virtual machines");
  add_commands(app, arguments);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kUsage;
  }
  return report(run(app, arguments));
}

}  // namespace

int main(int argc, char** argv) {
  // All of this process is ours: there is no host to close protected memory to.
  const Status started = vhsm::memory::initialise({.protection_key = false});
  if (!started.ok()) return report(started);
  try {
    return parse_and_run(argc, argv);
  } catch (const std::exception& error) {  // bad_alloc, and what CLI11 throws while it is set up
    std::fprintf(stderr, "vhsm-kbs: %s\n", error.what());
    return kFailed;
  }
}
