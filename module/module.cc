// SPDX-License-Identifier: Apache-2.0
//
// vhsm.so: the one exported symbol. Sources: provider(7); docs/architecture.md, "The module".
#include <openssl/core.h>

#include <string>
#include <utility>

#include "keystore/fips.h"
#include "module/assembly.h"
#include "provider/entry.h"

namespace vhsm {
namespace {

Result<provider::Assembly> assemble_provider(std::span<const Override> overrides) {
  auto parts = VHSM_TRY(assemble(overrides, Process::kHost));
  // Nitride and platform live on inside the keystore, as its source.
  return provider::Assembly{
      std::move(parts.keystore), std::move(parts.metrics), std::move(parts.settings),
      std::string("vhsm " VHSM_VERSION ", inner ") + keystore::describe_openssl()};
}

}  // namespace
}  // namespace vhsm

extern "C" [[gnu::visibility("default")]] int OSSL_provider_init(const OSSL_CORE_HANDLE* handle,
                                                                 const OSSL_DISPATCH* in,
                                                                 const OSSL_DISPATCH** out,
                                                                 void** provctx) {
  return vhsm::provider::start(handle, in, out, provctx, vhsm::assemble_provider);
}
