// SPDX-License-Identifier: Apache-2.0
#include "provider/entry.h"

#include <openssl/params.h>

#include <cstddef>
#include <string_view>
#include <vector>

#include "memory/protected_memory.h"
#include "provider/ossl/core.h"
#include "provider/ossl/provider.h"
#include "provider/provider.h"

namespace vhsm::provider {
namespace {

/// The keys of the provider section of openssl.cnf that are ours.
std::vector<Override> overrides_of(const ossl::Core& core) {
  const auto names = setting_names();
  const std::vector<std::string> keys(names.begin(), names.end());
  std::vector<char*> values(keys.size(), nullptr);
  std::vector<OSSL_PARAM> params;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    params.push_back(OSSL_PARAM_construct_utf8_ptr(keys[i].c_str(), &values[i], 0));
  }
  params.push_back(OSSL_PARAM_construct_end());
  core.get_params(params.data());

  std::vector<Override> found;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if (values[i] != nullptr) found.push_back({keys[i], values[i]});
  }
  return found;
}

}  // namespace

int start(const OSSL_CORE_HANDLE* handle, const OSSL_DISPATCH* in, const OSSL_DISPATCH** out,
          void** provctx, Assemble assemble) noexcept {
  namespace base = ossl::base;
  const ossl::Core core(handle, in);
  *provctx = ossl::boundary_new(core, [&]() -> Result<std::unique_ptr<Provider>> {
    auto assembly = VHSM_TRY(assemble(overrides_of(core)));
    const memory::Access access;  // the protection key, if any, is younger than this call's own
    return Provider::create(core, std::move(assembly));
  });
  *out = ossl::Table<Provider, base::Teardown, base::GettableParams, base::GetParams,
                     base::QueryOperation, base::ReasonStrings, base::GetCapabilities>::kEntries;
  return *provctx != nullptr ? 1 : 0;
}

}  // namespace vhsm::provider
