// SPDX-License-Identifier: Apache-2.0
//
// libFuzzer target: what Azure's vTPM holds, up to the question whether it binds what was asked
// for.
#include <cstdint>
#include <cstdlib>

#include "snp/annex.h"
#include "snp/vtpm.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto evidence = vhsm::snp::parse_hcl_report({data, size});
  if (!evidence.ok()) return 0;
  if (evidence.value().annex.data.size() > size) std::abort();
  static_cast<void>(vhsm::snp::check_binding(evidence.value(), {}, "fuzz"));
  // No fuzzer finds a SHA-256, so the claims on their own, too.
  static_cast<void>(vhsm::snp::claims_bind(evidence.value().annex.data, {}, "fuzz"));
  return 0;
}
