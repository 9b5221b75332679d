// SPDX-License-Identifier: Apache-2.0
//
// The answer of an attestation agent.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "snp/agent.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static_cast<void>(vhsm::snp::agent_evidence({reinterpret_cast<const char*>(data), size}));
  return 0;
}
