// SPDX-License-Identifier: Apache-2.0
//
// libFuzzer target: a policy file. None is accepted that leaves out what a verifier must decide.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "snp/policy_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  // Files beside the policy: an operator's own, and none of a fuzzer's business.
  for (const char* opens : {"include", "id_key", "author_key"}) {
    if (text.find(opens) != text.npos) return 0;
  }
  const auto policy = vhsm::snp::parse_policy(text, "fuzz");
  if (policy.ok() && !vhsm::snp::check_complete(policy.value().report).ok()) std::abort();
  return 0;
}
