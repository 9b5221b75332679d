// SPDX-License-Identifier: Apache-2.0
//
// Evidence as commands take it.
#pragma once

#include <string>

#include "base/result.h"
#include "snp/platform.h"

namespace vhsm::cli {

/// Reads a raw report of 1184 bytes, or evidence in Trustee's JSON form, with its certificates.
/// @errors kIo, kBadLength, kBadFormat (subject: the file).
[[nodiscard]] Result<snp::Evidence> read_evidence(const std::string& path);

}  // namespace vhsm::cli
