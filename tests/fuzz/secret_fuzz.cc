// SPDX-License-Identifier: Apache-2.0
//
// What a KBS stores for a symmetric key: a JWK, or the key itself. Whatever is accepted is a key of
// a length that vhsm holds; what is no JWK is the same bytes.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "keystore/secret_material.h"
#include "keystore/warm_up.h"
#include "memory/protected_memory.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace vhsm;  // NOLINT(google-build-using-namespace): the target is this
  static const bool ready =
      memory::initialise({.force_locked = true}).ok() && keystore::warm_up().ok();
  if (!ready) std::abort();
  const std::span input(data, size);
  const auto stored = SecretBytes::copy(input);
  if (!stored.ok()) return 0;  // larger than protected memory
  const auto parsed = keystore::parse_secret(stored.value());
  if (!parsed.ok()) return 0;
  const auto key = parsed.value().key.expose();
  if (key.empty() || key.size() > keystore::kMaxSecretKeyBytes) std::abort();
  const bool jwk = !input.empty() && input.front() == '{';
  if (!jwk && !std::ranges::equal(key, input)) std::abort();
  return 0;
}
