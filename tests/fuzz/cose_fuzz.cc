// SPDX-License-Identifier: Apache-2.0
//
// COSE_Keys, as a KBS or whoever imports a key hands them over.
#include "tests/fuzz/spelled_input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  vhsm::keystore::read_spelled({data, size});
  return 0;
}
