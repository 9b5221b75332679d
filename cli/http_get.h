// SPDX-License-Identifier: Apache-2.0
//
// One GET, over a connection of its own.
#pragma once

#include <string>

#include "base/deadline.h"
#include "base/endpoint.h"
#include "base/result.h"
#include "nitride/http.h"
#include "nitride/tls.h"

namespace vhsm::cli {

/// @errors kUnreachable, kForged (subject: the endpoint).
[[nodiscard]] Result<nitride::HttpAnswer> http_get(const Endpoint& endpoint,
                                                   const nitride::TlsContext& tls,
                                                   const std::string& target, TimePoint deadline);

}  // namespace vhsm::cli
