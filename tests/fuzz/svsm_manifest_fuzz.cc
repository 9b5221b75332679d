// SPDX-License-Identifier: Apache-2.0
//
// libFuzzer target: the manifest of SVSM's services. What is read lies within what was given.
#include <cstdint>
#include <cstdlib>

#include "snp/annex.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto services = vhsm::snp::parse_manifest({data, size});
  if (!services.ok()) return 0;
  if (services.value().size() > vhsm::snp::kMaxServices) std::abort();
  for (const auto& service : services.value()) {
    if (service.data.size() > size) std::abort();
  }
  return 0;
}
