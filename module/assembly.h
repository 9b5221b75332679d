// SPDX-License-Identifier: Apache-2.0
//
// Joins settings, protected memory, platform, Nitride and keystore: the one place that knows all of
// them. The provider module and the command line start from here.
#pragma once

#include <memory>
#include <span>

#include "base/log.h"
#include "base/metrics.h"
#include "base/result.h"
#include "base/settings.h"
#include "keystore/keystore.h"
#include "nitride/client.h"
#include "snp/platform.h"

namespace vhsm {

struct Parts {
  Settings settings;
  std::shared_ptr<Metrics> metrics;
  std::shared_ptr<snp::Platform> platform;   ///< null when there is none: keys cannot be fetched
  std::shared_ptr<nitride::Client> nitride;  ///< null when no KBS is set or there is no platform
  std::unique_ptr<keystore::Keystore> keystore;
};

/// Reads the settings and builds everything that they name. Files, devices and names that a fetch
/// needs are opened here, while the process may still open them.
/// @errors kBadConfig, kIo, kUnsupported for settings; kMemoryLimit; kCrypto.
///         A missing platform is an error only when `platform` names one.
Result<Parts> assemble(std::span<const Override> overrides);

}  // namespace vhsm
