// SPDX-License-Identifier: Apache-2.0
//
// How a module becomes an OpenSSL provider: it hands over the parts and this storey makes the face.
// Source: provider(7), OSSL_provider_init.
#pragma once

#include <openssl/core.h>

#include <memory>
#include <span>
#include <string>

#include "base/metrics.h"
#include "base/result.h"
#include "base/settings.h"
#include "keystore/keystore.h"

namespace vhsm::provider {

/// What one provider instance works with.
struct Assembly {
  std::shared_ptr<keystore::Keystore> keystore;
  std::shared_ptr<Metrics> metrics;
  Settings settings;
  std::string build_info;
};

/// Joins the parts; must call memory::initialise() before anything touches the private OpenSSL.
using Assemble = Result<Assembly> (*)(std::span<const Override> overrides);

/// The body of OSSL_provider_init: asks the core for each of setting_names(), assembles, and hands
/// out the dispatch table. All state hangs off `*provctx`, so any number of instances may live.
/// @return 1, or 0 with the reason on the host's error queue.
int start(const OSSL_CORE_HANDLE* handle, const OSSL_DISPATCH* in, const OSSL_DISPATCH** out,
          void** provctx, Assemble assemble) noexcept;

}  // namespace vhsm::provider
