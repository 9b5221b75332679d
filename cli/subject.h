// SPDX-License-Identifier: Apache-2.0
//
// Names of certificates' subjects as operators write them.
// Source: openssl-req(1), option -subj.
#pragma once

#include <string>

#include "base/handle.h"
#include "base/result.h"

namespace vhsm::cli {

/// "/C=DE/O=Example/CN=www.example.com", in this order; a backslash takes the next character as it
/// is.
/// @errors kInvalidArgument (subject: the part).
[[nodiscard]] Result<ossl::X509Name> parse_subject(const std::string& text);

}  // namespace vhsm::cli
