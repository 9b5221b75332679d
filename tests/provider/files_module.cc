// SPDX-License-Identifier: Apache-2.0
//
// vhsm_files.so: the provider as it is, with a folder ($VHSM_TEST_KEYS) in the place of a KBS, so
// that tests of the OpenSSL face need no network; or with a vhsmd that has that folder
// ($VHSM_TEST_SOCKET).
#include <openssl/core.h>

#include <cstdlib>
#include <memory>

#include "keystore/daemon/remote_keystore.h"
#include "keystore/fips.h"
#include "keystore/warm_up.h"
#include "memory/protected_memory.h"
#include "provider/entry.h"
#include "tests/provider/folder_source.h"

namespace vhsm {
namespace {

Result<provider::Assembly> assemble(std::span<const Override> overrides) {
  VHSM_TRY(memory::adopt_allocator());
  provider::Assembly parts;
  parts.settings = VHSM_TRY(load_settings(overrides));
  VHSM_TRY(keystore::choose_providers(parts.settings));
  VHSM_TRY(memory::initialise({.limit_bytes = parts.settings.memory_limit}));
  const memory::Access access;
  VHSM_TRY(keystore::warm_up());
  parts.metrics = std::make_shared<Metrics>();
  parts.build_info = keystore::describe_openssl();
  if (const char* const socket = std::getenv("VHSM_TEST_SOCKET"); socket != nullptr) {
    parts.keystore = keystore::make_remote_keystore(socket, {}, parts.metrics);
    return parts;
  }
  const char* const folder = std::getenv("VHSM_TEST_KEYS");
  parts.keystore = keystore::make_memory_keystore(
      std::make_shared<test::FolderSource>(folder != nullptr ? folder : ".", parts.metrics), {},
      parts.metrics);
  return parts;
}

}  // namespace
}  // namespace vhsm

extern "C" [[gnu::visibility("default")]] int OSSL_provider_init(const OSSL_CORE_HANDLE* handle,
                                                                 const OSSL_DISPATCH* in,
                                                                 const OSSL_DISPATCH** out,
                                                                 void** provctx) {
  return vhsm::provider::start(handle, in, out, provctx, vhsm::assemble);
}
