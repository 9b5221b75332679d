// SPDX-License-Identifier: Apache-2.0
//
// What `vhsm-kbs COMMAND` does. Each prints its answer to standard output.
#pragma once

#include <cstdint>
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

enum class ResourceVerb { kPut, kGetInfo, kList, kDisable, kEnable, kDelete };

struct ResourceCommand {
  ResourceVerb verb = ResourceVerb::kList;
  std::string path;
  std::string file = "-";
  bool releasable = false;  ///< put: its bytes may come out of a VM's vhsm
  bool json = false;
};

/// @errors kMissing, kInvalidArgument, kIo, kBadLength.
Status run_resource(const std::string& config, const ResourceCommand& command);

/// @errors kIo.
Status run_audit_list(const std::string& config, std::int64_t limit, bool json);

}  // namespace vhsm::kbs
