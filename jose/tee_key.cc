// SPDX-License-Identifier: Apache-2.0
//
// The key pair of one attestation.
#include "jose/tee_key.h"

#include <utility>

#include "memory/protected_memory.h"

namespace vhsm::jose {
namespace {

/// Frees in a scope; a process that may not enter one leaves the key to its owner.
void free_key(ossl::PKey& key) noexcept {
  if (key == nullptr) return;
  const Status freed = memory::run_protected([&]() -> Status {
    key.reset();
    return {};
  });
  if (!freed.ok()) static_cast<void>(key.release());
}

}  // namespace

Result<TeeKey> TeeKey::generate(const std::string& curve) {
  ossl::PKey key = VHSM_TRY(memory::run_protected([&]() -> Result<ossl::PKey> {
    return made(ossl::PKey(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", curve.c_str())),
                "generating a TEE key");
  }));
  auto jwk = from_pkey(key.get(), kKeyAgreementAlg);
  if (!jwk.ok()) {
    free_key(key);
    return jwk.error();
  }
  return TeeKey(std::move(key), std::move(jwk).value());
}

TeeKey& TeeKey::operator=(TeeKey&& other) noexcept {
  std::swap(key_, other.key_);
  std::swap(jwk_, other.jwk_);
  return *this;
}

TeeKey::~TeeKey() { free_key(key_); }

}  // namespace vhsm::jose
