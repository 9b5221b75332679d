// SPDX-License-Identifier: Apache-2.0
//
// `keystore = unix:PATH`: the keys are vhsmd's.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "base/metrics.h"
#include "keystore/daemon/message.h"
#include "keystore/keystore.h"

namespace vhsm::keystore {

/// How long the client waits for an answer: beyond what vhsmd itself may wait for a KBS.
inline constexpr std::chrono::milliseconds kAnswerWait{3000};
/// A change of a folder waits for those of other processes.
inline constexpr std::chrono::seconds kManagementWait{20};
/// RSA keys of the largest sizes take so long to find.
inline constexpr std::chrono::minutes kGenerationWait{10};

class RemoteKeystore : public Keystore {
 public:
  /// How vhsmd is.  @errors kNoDaemon.
  virtual Result<DaemonStatus> status() = 0;
  /// Adds (kGrant) or takes back (kRevoke) a rule; an empty name means every key. For owners.
  /// @errors kNotGranted, kMissing, kInvalidArgument, kIo, kNoDaemon.
  virtual Status change(Ask ask, std::string_view name, const RuleText& rule) = 0;
  /// The rules of a key, or all: a line each. For owners.
  virtual Result<std::vector<std::string>> grants(std::string_view name) = 0;
};

/// Connects at first use; vhsmd may be started later.
std::unique_ptr<RemoteKeystore> make_remote_keystore(const std::string& path,
                                                     const Deadlines& deadlines,
                                                     std::shared_ptr<Metrics> metrics);

}  // namespace vhsm::keystore
