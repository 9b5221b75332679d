// SPDX-License-Identifier: Apache-2.0
//
// libFuzzer target: whatever a KBS answers as a resource, and as a token.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "jose/jwe.h"
#include "jose/jwt.h"
#include "jose/tee_key.h"
#include "memory/protected_memory.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const bool started = vhsm::memory::initialise({}).ok();
  if (!started) std::abort();
  static auto key = vhsm::jose::TeeKey::generate();
  if (!key.ok()) std::abort();
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto opened = vhsm::jose::decrypt(text, key.value().key());
  if (opened.ok()) std::abort();  // nobody ever encrypted anything to this key
  static_cast<void>(vhsm::jose::unverified_claims(text));
  return 0;
}
