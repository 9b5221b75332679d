// SPDX-License-Identifier: Apache-2.0
//
// A verifier's policy as a file, section [snp_policy] in OpenSSL's configuration syntax.
// Source: docs/man/vhsm-snp-policy.5; OpenSSL config(5).
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "snp/policy.h"
#include "snp/verify.h"

namespace vhsm::snp {

/// All that a verifier asks for: of the certificates, and of what the report says.
struct VerifierPolicy {
  VerifyOptions genuine;
  ReportPolicy report;
};

/// Besides what ReportPolicy requires, a file must give minimum_tcb, or say that any will do.
/// ECC memory and a complete alias check are asked for unless platform_requires says otherwise.
/// @param text  the file's content.
/// @param path  its name: for errors, and key files are found beside it.
/// @errors kBadConfig (subject: file, key, value and what is allowed).
[[nodiscard]] Result<VerifierPolicy> parse_policy(std::string_view text, const std::string& path);

/// @errors kIo, and those of parse_policy().
[[nodiscard]] Result<VerifierPolicy> read_policy(const std::string& path);

}  // namespace vhsm::snp
