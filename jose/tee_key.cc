// SPDX-License-Identifier: Apache-2.0
//
// The key pair of one attestation.
#include "jose/tee_key.h"

#include <openssl/x509.h>

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
  return adopt(std::move(key));
}

Result<TeeKey> TeeKey::adopt(ossl::PKey key) {
  const memory::Access access;
  auto jwk = from_pkey(key.get(), kKeyAgreementAlg);
  if (!jwk.ok()) {
    free_key(key);
    return jwk.error();
  }
  return TeeKey(std::move(key), std::move(jwk).value());
}

Result<TeeKey> TeeKey::imported(const SecretBytes& exported) {
  ossl::PKey key = VHSM_TRY(memory::run_protected([&]() -> Result<ossl::PKey> {
    const ossl::ErrorMark quiet;
    const std::uint8_t* next = exported.expose().data();
    return made(ossl::PKey(d2i_AutoPrivateKey(nullptr, &next, static_cast<long>(exported.size()))),
                "reading a TEE key");
  }));
  return adopt(std::move(key));
}

Result<SecretBytes> TeeKey::exported() const {
  return memory::run_protected([&]() -> Result<SecretBytes> {
    const int size = i2d_PrivateKey(key_.get(), nullptr);
    if (size <= 0) return fail(Errc::kCrypto, "writing a TEE key");
    auto bytes = VHSM_TRY(SecretBytes::zeros(static_cast<std::size_t>(size)));
    std::uint8_t* next = bytes.expose().data();
    if (i2d_PrivateKey(key_.get(), &next) != size) return fail(Errc::kCrypto, "writing a TEE key");
    return bytes;
  });
}

TeeKey& TeeKey::operator=(TeeKey&& other) noexcept {
  std::swap(key_, other.key_);
  std::swap(jwk_, other.jwk_);
  return *this;
}

TeeKey::~TeeKey() { free_key(key_); }

}  // namespace vhsm::jose
