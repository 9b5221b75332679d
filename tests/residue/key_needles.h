// SPDX-License-Identifier: Apache-2.0
//
// What to look for, from a key that the test has: its private components as numbers and as text.
#pragma once

#include <openssl/evp.h>

#include <string>

namespace vhsm::tests {

/// Lines for read_needles(). For programs that search another's memory: here the key lies about.
std::string needle_lines(EVP_PKEY* key);

}  // namespace vhsm::tests
