// SPDX-License-Identifier: Apache-2.0
//
// libFuzzer target: evidence as JSON from a client. What is accepted comes back byte for byte.
#include <cstdint>
#include <cstdlib>

#include "snp/evidence_json.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto json = nlohmann::json::parse(data, data + size, nullptr, false);
  if (json.is_discarded()) return 0;
  const auto first = vhsm::snp::evidence_from_json(json);
  if (!first.ok()) return 0;
  const auto second = vhsm::snp::evidence_from_json(vhsm::snp::to_json(first.value()));
  if (!second.ok() || second.value().report != first.value().report) std::abort();
  if (second.value().certificates.size() != first.value().certificates.size()) std::abort();
  return 0;
}
