// SPDX-License-Identifier: Apache-2.0
#include "keystore/symmetric_algorithm.h"

#include <algorithm>
#include <array>

namespace vhsm::keystore {
namespace {

constexpr SymmetricAlgorithm mac(const char* name, const char* own_name) {
  return {SymmetricKind::kMac, CipherMode::kNone, name, own_name, Use::kSign, Use::kSign};
}
constexpr SymmetricAlgorithm cipher(CipherMode mode, const char* name, const char* own_name) {
  return {SymmetricKind::kCipher, mode, name, own_name, Use::kEncrypt, Use::kDecrypt};
}
constexpr SymmetricAlgorithm wrap(const char* name, const char* own_name) {
  return {SymmetricKind::kCipher, CipherMode::kWrap, name, own_name, Use::kWrap, Use::kUnwrap};
}
constexpr SymmetricAlgorithm kdf(const char* name, const char* own_name) {
  return {SymmetricKind::kKdf, CipherMode::kNone, name, own_name, Use::kDerive, Use::kDerive};
}

}  // namespace

constinit const SymmetricAlgorithm kHmac = mac("HMAC", "VHSM-HMAC");
constinit const SymmetricAlgorithm kCmac = mac("CMAC", "VHSM-CMAC");
constinit const SymmetricAlgorithm kKmac128 = mac("KMAC-128", "VHSM-KMAC-128");
constinit const SymmetricAlgorithm kKmac256 = mac("KMAC-256", "VHSM-KMAC-256");
constinit const SymmetricAlgorithm kAes128Gcm =
    cipher(CipherMode::kGcm, "AES-128-GCM", "VHSM-AES-128-GCM");
constinit const SymmetricAlgorithm kAes192Gcm =
    cipher(CipherMode::kGcm, "AES-192-GCM", "VHSM-AES-192-GCM");
constinit const SymmetricAlgorithm kAes256Gcm =
    cipher(CipherMode::kGcm, "AES-256-GCM", "VHSM-AES-256-GCM");
constinit const SymmetricAlgorithm kAes128Cbc =
    cipher(CipherMode::kCbc, "AES-128-CBC", "VHSM-AES-128-CBC");
constinit const SymmetricAlgorithm kAes192Cbc =
    cipher(CipherMode::kCbc, "AES-192-CBC", "VHSM-AES-192-CBC");
constinit const SymmetricAlgorithm kAes256Cbc =
    cipher(CipherMode::kCbc, "AES-256-CBC", "VHSM-AES-256-CBC");
constinit const SymmetricAlgorithm kAes128Ctr =
    cipher(CipherMode::kCtr, "AES-128-CTR", "VHSM-AES-128-CTR");
constinit const SymmetricAlgorithm kAes192Ctr =
    cipher(CipherMode::kCtr, "AES-192-CTR", "VHSM-AES-192-CTR");
constinit const SymmetricAlgorithm kAes256Ctr =
    cipher(CipherMode::kCtr, "AES-256-CTR", "VHSM-AES-256-CTR");
constinit const SymmetricAlgorithm kAes128Wrap = wrap("AES-128-WRAP", "VHSM-AES-128-WRAP");
constinit const SymmetricAlgorithm kAes192Wrap = wrap("AES-192-WRAP", "VHSM-AES-192-WRAP");
constinit const SymmetricAlgorithm kAes256Wrap = wrap("AES-256-WRAP", "VHSM-AES-256-WRAP");
constinit const SymmetricAlgorithm kHkdf = kdf("HKDF", "VHSM-HKDF");
constinit const SymmetricAlgorithm kTls13Kdf = kdf("TLS13-KDF", "VHSM-TLS13-KDF");

std::span<const SymmetricAlgorithm* const> symmetric_algorithms() noexcept {
  static constexpr std::array<const SymmetricAlgorithm*, 18> kAll{
      &kHmac,      &kCmac,       &kKmac128,    &kKmac256,    &kAes128Gcm, &kAes192Gcm,
      &kAes256Gcm, &kAes128Cbc,  &kAes192Cbc,  &kAes256Cbc,  &kAes128Ctr, &kAes192Ctr,
      &kAes256Ctr, &kAes128Wrap, &kAes192Wrap, &kAes256Wrap, &kHkdf,      &kTls13Kdf};
  return kAll;
}

const SymmetricAlgorithm* find_symmetric_algorithm(std::string_view name) noexcept {
  const auto all = symmetric_algorithms();
  const auto found = std::ranges::find_if(
      all, [name](const SymmetricAlgorithm* algorithm) { return algorithm->name == name; });
  return found != all.end() ? *found : nullptr;
}

}  // namespace vhsm::keystore
