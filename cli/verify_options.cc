// SPDX-License-Identifier: Apache-2.0
#include "cli/verify_options.h"

#include "cli/report_time.h"

namespace vhsm::cli {
namespace {

/// Why it is no time; empty: it is one.
std::string wrong_time(const std::string& text) {
  const auto time = parse_time(text);
  return time.ok() ? std::string() : std::string(time.error().what.c_str());
}

}  // namespace

VerifyOptions add_verify_options(CLI::App& command, VerifyArguments& arguments) {
  CLI::Option* const certificates =
      command.add_option("--certs", arguments.certificates,
                         "Folder with vcek or vlek, and revocation lists (.pem, .der, .crt, .crl)");
  command.add_option("--product", arguments.product, "Milan, Genoa or Turin");
  command.add_option("--at", arguments.at, "Time at which certificates must be valid (RFC 3339)")
      ->check(wrong_time);
  CLI::Option* const policy =
      command.add_option("--policy", arguments.policy, "File with a policy: vhsm-snp-policy(5)");
  command.add_option("--trust-test-root", arguments.test_root,
                     "ARK of an emulator to trust: for development only");
  return {certificates, policy};
}

Result<snp::VerifierPolicy> policy_of(const VerifyArguments& arguments) {
  snp::VerifierPolicy policy;
  policy.report = snp::standing_rules();
  if (!arguments.policy.empty()) policy = VHSM_TRY(snp::read_policy(arguments.policy));
  if (!arguments.at.empty()) policy.genuine.at = VHSM_TRY(parse_time(arguments.at));
  if (!arguments.product.empty()) {
    policy.genuine.product = VHSM_TRY(snp::parse_product(arguments.product));
  }
  return policy;
}

Result<snp::Roots> roots_of(const VerifyArguments& arguments) {
  return snp::read_roots(arguments.certificates, arguments.test_root);
}

}  // namespace vhsm::cli
