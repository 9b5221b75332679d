// SPDX-License-Identifier: Apache-2.0
//
// libFuzzer target: a host's certificate table. What is read can be written and read again.
#include <cstdint>
#include <cstdlib>

#include "snp/certificate_table.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto first = vhsm::snp::parse_certificate_table({data, size});
  if (!first.ok()) return 0;
  const auto written = vhsm::snp::write_certificate_table(first.value());
  if (!written.ok())
    return 0;  // areas that overlap take more room apart; ASK and ASVK share a GUID
  const auto second = vhsm::snp::parse_certificate_table(written.value());
  if (second.ok() && second.value().size() != first.value().size()) std::abort();
  return 0;
}
