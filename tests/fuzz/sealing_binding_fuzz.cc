// SPDX-License-Identifier: Apache-2.0
//
// libFuzzer target: the terms of a sealing key, from the header of a file on a disk that the host
// has. What is read is written again as it was.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "snp/sealing.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto binding = vhsm::snp::binding_from_bytes({data, size});
  if (!binding.ok()) return 0;
  if (!std::ranges::equal(vhsm::snp::to_bytes(binding.value()), std::span(data, size)))
    std::abort();
  return 0;
}
