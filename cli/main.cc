// SPDX-License-Identifier: Apache-2.0
//
// vhsm: what an operator asks of vhsm from a shell.
// Source: docs/man/vhsm.1.
#include <fcntl.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include <cstdio>
#include <exception>

#include "cli/console.h"
#include "memory/protected_memory.h"

namespace vhsm::cli {
namespace {

int code(Exit exit) noexcept { return static_cast<int>(exit); }

int complain(const Error& error) {
  static_cast<void>(std::fprintf(stderr, "vhsm: %s\n", describe(error).c_str()));
  const bool usage = error.code == Errc::kInvalidArgument || error.code == Errc::kBadUri;
  return code(usage ? Exit::kUsage : Exit::kRefused);
}

void declare(CLI::App& app, Console& console) {
  app.require_subcommand(1);
  app.set_version_flag("--version", "vhsm " VHSM_VERSION);
  app.add_option("--config", console.config, "Configuration instead of /etc/vhsm/vhsm.cnf");
  add_doctor(app, console);
  add_key(app, console);
  add_keystore(app, console);
  add_fetch(app, console);
  add_secret(app, console);
  add_crypt(app, console);
  add_ticket_keys(app, console);
  add_resource(app, console);
  add_attest(app, console);
  add_report(app, console);
  add_measure(app, console);
  refuse_empty_values(app);
  app.footer("See vhsm(1), vhsm(7) and vhsm.cnf(5).");
}

/// What is opened first would take the place of a stream that is closed, and get what is printed.
void hold_streams() {
  if (::fcntl(STDIN_FILENO, F_GETFD) < 0) static_cast<void>(::open("/dev/null", O_WRONLY));
  for (const int stream : {STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(stream, F_GETFD) < 0) static_cast<void>(::open("/dev/null", O_RDONLY));
  }
}

int run(int argc, char** argv) {
  hold_streams();
  CLI::App app("Keys for confidential VMs: where they are and what protects them.", "vhsm");
  Console console;
  declare(app, console);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? code(Exit::kDone) : code(Exit::kUsage);
  }
  const Status adopted = memory::adopt_allocator();  // before any command uses libcrypto
  if (!adopted.ok()) return complain(adopted.error());
  const auto result = console.action();
  return result.ok() ? code(result.value()) : complain(result.error());
}

}  // namespace
}  // namespace vhsm::cli

int main(int argc, char** argv) {
  try {
    return vhsm::cli::run(argc, argv);
  } catch (const std::exception& error) {
    static_cast<void>(std::fprintf(stderr, "vhsm: %s\n", error.what()));
    return 1;
  }
}
