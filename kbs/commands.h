// SPDX-License-Identifier: Apache-2.0
//
// What `vhsm-kbs COMMAND` does. Each prints its answer to standard output.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "kbs/init.h"

namespace vhsm::kbs {

/// @errors as kbs::init().
Status run_init(const InitOptions& options);

/// Serves until SIGTERM or SIGINT.
/// @param listen  overrides the configuration's; may be empty.
/// @errors whatever keeps the KBS from starting.
Status run_serve(const std::string& config, const std::string& listen);

/// Makes the key that receives backups.
/// @errors as Receiver::create(); those of read_config().
Status run_receiver_init(const std::string& config);

struct AttestCommand {
  std::string nonce;  ///< hex
  std::string platform = "auto";
  std::optional<unsigned> vmpl{};
  std::string out;  ///< a new file; empty: standard output
};

/// Evidence of that key, in JSON.
/// @errors as Receiver::open() and attest(), snp::open_platform(); those of read_config().
Status run_receiver_attest(const std::string& config, const AttestCommand& command);

enum class ResourceVerb { kPut, kRestore, kGetInfo, kList, kDisable, kEnable, kDelete };

struct ResourceCommand {
  ResourceVerb verb = ResourceVerb::kList;
  std::string path;  ///< restore: empty for the name that the key had
  std::string file = "-";
  bool releasable = false;  ///< put: its bytes may come out of a VM's vhsm
  bool replace = false;     ///< restore: also what is there
  bool json = false;
};

/// @errors kMissing, kInvalidArgument, kIo, kBadLength; restore: as Receiver::open() and receive().
Status run_resource(const std::string& config, const ResourceCommand& command);

/// @errors kIo.
Status run_audit_list(const std::string& config, std::int64_t limit, bool json);

}  // namespace vhsm::kbs
