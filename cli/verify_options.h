// SPDX-License-Identifier: Apache-2.0
//
// How commands that verify are told whom to trust, and what to ask for.
#pragma once

#include <string>

#include "base/result.h"
#include "cli/console.h"
#include "snp/policy_file.h"
#include "snp/verify.h"

namespace vhsm::cli {

struct VerifyArguments {
  std::string certificates;
  std::string product;
  std::string at;
  std::string test_root;
  std::string policy;
};

/// For a command that asks for one of them, or has others that exclude them.
struct VerifyOptions {
  CLI::Option* certificates;
  CLI::Option* policy;
};

/// `arguments` outlives `command`.
VerifyOptions add_verify_options(CLI::App& command, VerifyArguments& arguments);

/// Without --policy: what holds for every guest.
/// @errors kIo, kBadConfig; kInvalidArgument.
[[nodiscard]] Result<snp::VerifierPolicy> policy_of(const VerifyArguments& arguments);

/// @errors as snp::read_roots().
[[nodiscard]] Result<snp::Roots> roots_of(const VerifyArguments& arguments);

}  // namespace vhsm::cli
