// SPDX-License-Identifier: Apache-2.0
//
// Keys that are held, used and shielded.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "keystore/hot_set.h"
#include "keystore/local_key.h"
#include "tests/keystore/samples.h"

namespace vhsm::keystore {

using Bytes = std::vector<std::uint8_t>;

inline constexpr std::array<std::uint8_t, 32> kDigest{1, 2, 3};
inline constexpr std::size_t kAll = 1'000'000;

inline std::shared_ptr<LocalKey> held(EVP_PKEY* original) {
  OSSL_PARAM* params = nullptr;
  EXPECT_EQ(EVP_PKEY_todata(original, EVP_PKEY_KEYPAIR, &params), 1);
  const OwnedParams owned(params);
  const KeyType* type = find_key_type(EVP_PKEY_get0_type_name(original));
  const auto key = import_pair(*type, params);
  EXPECT_TRUE(key.ok()) << describe(key.error());
  return std::const_pointer_cast<LocalKey>(std::static_pointer_cast<const LocalKey>(key.value()));
}

inline std::shared_ptr<LocalKey> held(const std::string& kind) {
  return held(make_key(kind).get());
}

inline void shield_all() {
  EXPECT_TRUE(memory::run_protected([]() -> Status {
                hot_set().evict(kAll);
                return {};
              }).ok());
}

inline Result<Bytes> run(const LocalKey& key, const OperationRequest& request, const Bytes& in,
                         const Key* peer = nullptr) {
  auto operation = VHSM_TRY(key.begin(request));
  if (peer != nullptr) VHSM_TRY(operation->set_peer(*peer));
  Bytes out(50'000);  // SLH-DSA-256f signs with 49 856
  out.resize(VHSM_TRY(operation->run(in, out)));
  return out;
}

inline Result<Bytes> sign(const LocalKey& key) {
  const bool whole = key.type().signing == Signing::kMessage;
  const OperationRequest request{whole ? OperationKind::kSignMessage : OperationKind::kSign,
                                 whole ? "" : "SHA256"};
  return run(key, request, Bytes(kDigest.begin(), kDigest.end()));
}

inline bool verifies(const LocalKey& key, const Bytes& signature) {
  const bool whole = key.type().signing == Signing::kMessage;
  const auto verifier = key.begin(
      {whole ? OperationKind::kVerifyMessage : OperationKind::kVerify, whole ? "" : "SHA256"});
  return verifier.ok() && verifier.value()->verify(kDigest, signature).value();
}

inline bool signs(const LocalKey& key) {
  const auto signature = sign(key);
  return signature.ok() && verifies(key, signature.value());
}

}  // namespace vhsm::keystore
