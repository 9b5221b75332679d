// SPDX-License-Identifier: Apache-2.0
//
// One spelling for each JSON value.
#include "jose/jcs.h"

namespace vhsm::jose {

std::string canonical(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace vhsm::jose
