// SPDX-License-Identifier: Apache-2.0
//
// What a KBS stores for a symmetric key: a JWK, or the key itself. Whatever is accepted is a key of
// a length that vhsm holds; what is no JWK is the same bytes. By a name of secrets nothing is
// accepted but what may come out.
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
  using keystore::KeyUses;
  const auto by_name = keystore::parse_named_secret(stored.value());
  if (by_name.ok() && by_name.value().uses.uses != KeyUses::kRelease) std::abort();
  const auto parsed = keystore::parse_secret(stored.value());
  if (!parsed.ok()) return 0;
  const auto key = parsed.value().key.expose();
  const bool comes_out = (parsed.value().uses.uses & KeyUses::kRelease) != 0;
  if (comes_out && parsed.value().uses.uses != KeyUses::kRelease) std::abort();
  const std::size_t most = comes_out ? keystore::kMaxReleasedBytes : keystore::kMaxSecretKeyBytes;
  if (key.empty() || key.size() > most) std::abort();
  const bool jwk = !input.empty() && input.front() == '{';
  if (!jwk && (comes_out || !std::ranges::equal(key, input))) std::abort();
  return 0;
}
