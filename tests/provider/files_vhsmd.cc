// SPDX-License-Identifier: Apache-2.0
//
// vhsm-files-vhsmd SOCKET FOLDER: the server of vhsmd as it is, with a folder in the place of a
// KBS, so that the tests of the OpenSSL face can be run through it. Ends with its parent.
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <utility>

#include "keystore/daemon/listener.h"
#include "keystore/daemon/server.h"
#include "keystore/fips.h"
#include "keystore/warm_up.h"
#include "memory/protected_memory.h"
#include "tests/provider/folder_source.h"

namespace vhsm::test {
namespace {

Status serve(const char* socket, const char* folder) {
  VHSM_TRY(memory::adopt_allocator());
  const Settings settings = VHSM_TRY(load_settings({}));
  VHSM_TRY(keystore::choose_providers(settings));
  VHSM_TRY(memory::initialise({.protection_key = false}));
  VHSM_TRY(keystore::warm_up());
  const auto metrics = std::make_shared<Metrics>();
  std::shared_ptr<keystore::HoldingKeystore> held =
      keystore::make_memory_keystore(std::make_shared<FolderSource>(folder, metrics), {}, metrics);
  std::shared_ptr<keystore::Grants> grants = VHSM_TRY(keystore::Grants::load("", ::geteuid()));
  auto service = std::make_shared<keystore::Service>(std::move(held), std::move(grants), Log(),
                                                     [] { return keystore::DaemonStatus{}; });
  auto listener = VHSM_TRY(keystore::listen_at(socket));
  const auto server =
      VHSM_TRY(keystore::Server::create(std::move(service), std::move(listener), {}));
  std::puts("serves");
  std::fflush(stdout);
  server->run(2);
  return {};
}

}  // namespace
}  // namespace vhsm::test

int main(int argc, char** argv) {
  if (argc != 3 || ::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return 2;
  const vhsm::Status done = vhsm::test::serve(argv[1], argv[2]);
  if (!done.ok()) std::fprintf(stderr, "%s\n", vhsm::describe(done.error()).c_str());
  return done.ok() ? 0 : 1;
}
