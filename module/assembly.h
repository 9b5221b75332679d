// SPDX-License-Identifier: Apache-2.0
//
// Joins settings, protected memory, platform, Nitride and keystore: the one place that knows all of
// them. The provider module and the command line start from here.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "base/log.h"
#include "base/metrics.h"
#include "base/result.h"
#include "base/settings.h"
#include "keystore/daemon/remote_keystore.h"
#include "keystore/keystore.h"
#include "keystore/sealed/folder.h"
#include "nitride/client.h"
#include "snp/platform.h"

namespace vhsm {

/// Whose code runs beside ours: protected memory is closed to a host's by a protection key.
enum class Process : std::uint8_t { kHost, kOurs };

struct Parts {
  Settings settings;
  std::shared_ptr<Metrics> metrics;
  std::shared_ptr<snp::Platform> platform;   ///< null when there is none: keys cannot be fetched
  std::shared_ptr<nitride::Client> nitride;  ///< null when no KBS is set or there is no platform
  std::shared_ptr<keystore::Keystore> keystore;
  std::shared_ptr<keystore::HoldingKeystore> held;   ///< the same, if the keys are in this process
  std::shared_ptr<keystore::RemoteKeystore> daemon;  ///< the same, if vhsmd has them
};

/// Reads the settings and builds everything that they name. Files, devices and names that a fetch
/// needs are opened here, while the process may still open them. Where vhsmd has the keys, it is
/// vhsmd who needs them: platform and KBS are not touched.
/// @errors kBadConfig, kIo, kUnsupported for settings; kMemoryLimit; kCrypto.
///         A missing platform is an error only when `platform` names one.
Result<Parts> assemble(std::span<const Override> overrides, Process process = Process::kOurs);

/// For vhsmd: the keys are in this process, whatever `keystore` says.
/// @errors as assemble().
Result<Parts> assemble_held(std::span<const Override> overrides);

/// For who makes or opens a folder of sealed keys: platform and KBS, and no keystore.
/// @errors as assemble().
Result<Parts> assemble_keyless(std::span<const Override> overrides);

/// The folder that the settings name, not opened by any slot yet.
/// @errors kIo when there is none; kBadConfig for its owner or mode.
Result<std::shared_ptr<keystore::sealed::Folder>> find_folder(
    const Settings& settings, std::shared_ptr<keystore::sealed::SlotKeys> keys);

/// The file that `log` names.  @errors kIo, kBadConfig.
Result<Log> open_log(const Settings& settings);

}  // namespace vhsm
