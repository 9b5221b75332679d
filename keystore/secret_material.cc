// SPDX-License-Identifier: Apache-2.0
#include "keystore/secret_material.h"

#include <algorithm>

#include "keystore/cose_key.h"
#include "keystore/hot_set.h"
#include "keystore/jwk.h"
#include "keystore/material.h"

namespace vhsm::keystore {
namespace {

constexpr std::size_t kMaxSpelledBytes = 8192;

bool is_jwk(std::string_view text) noexcept {
  const auto printable = [](char c) {
    return (c >= ' ' && c <= '~') || c == '\t' || c == '\r' || c == '\n';
  };
  const std::size_t last = text.find_last_not_of(" \t\r\n");
  return text.starts_with('{') && text[last] == '}' && std::ranges::all_of(text, printable);
}

Result<SecretMaterial> spelled(const Result<SpelledKey>& parsed) {
  return parsed.ok() ? secret_of(parsed.value()) : parsed.error();
}

Result<SecretMaterial> read_secret(const SecretBytes& stored) {
  const auto bytes = stored.expose();
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (is_jwk(text)) return spelled(parse_jwk(text));
  if (is_symmetric_cose_key(bytes)) return spelled(parse_cose_key(bytes));
  SecretMaterial material;
  material.key = VHSM_TRY(stored.clone());
  return material;
}

}  // namespace

Result<SecretMaterial> parse_secret(const SecretBytes& stored) {
  if (stored.size() == 0 || stored.size() > kMaxSpelledBytes) {
    return fail(Errc::kBadFormat, "the resource is empty or too large for a symmetric key");
  }
  // What is a key pair under one type of URI must not be a MAC's key under another.
  if (parse_material(stored).ok()) {
    return fail(Errc::kBadFormat, "the resource is a key pair or certificate, not a symmetric key");
  }
  auto material = VHSM_TRY(run_with_room([&] { return read_secret(stored); }));
  if (material.key.size() == 0 || material.key.size() > kMaxSecretKeyBytes) {
    return fail(Errc::kBadFormat, "a symmetric key has 1 to 1024 bytes");
  }
  return material;
}

}  // namespace vhsm::keystore
