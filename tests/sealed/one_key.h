// SPDX-License-Identifier: Apache-2.0
//
// One key in a sealed folder, and what a program does with it.
#pragma once

#include <gtest/gtest.h>
#include <openssl/core_names.h>
#include <openssl/params.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "keystore/algorithm_text.h"
#include "keystore/keystore.h"
#include "tests/sealed/sealed_folder.h"

namespace vhsm::keystore {

struct KeyUse {
  OperationKind kind = OperationKind::kSign;
  std::string digest = "SHA256";
  std::string padding{};      ///< RSA
  std::string mask_digest{};  ///< of a padding; empty: the padding's own
  std::string salt{};         ///< of PSS; empty: OpenSSL's default
};

/// The whole operation.
inline Status do_with(const Key& key, const KeyUse& use) {
  std::string padding = use.padding;
  std::vector<OSSL_PARAM> params;
  if (!padding.empty()) {
    params.push_back(OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_PAD_MODE, padding.data(), 0));
  }
  std::string mask_digest = use.mask_digest;
  if (!mask_digest.empty()) {
    params.push_back(
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_MGF1_DIGEST, mask_digest.data(), 0));
  }
  std::string salt = use.salt;
  if (!salt.empty()) {
    params.push_back(
        OSSL_PARAM_construct_utf8_string(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, salt.data(), 0));
  }
  params.push_back(OSSL_PARAM_construct_end());
  auto operation =
      VHSM_TRY(key.begin({.kind = use.kind, .digest = use.digest, .params = params.data()}));
  if (use.kind == OperationKind::kDerive) VHSM_TRY(operation->set_peer(key));
  const std::vector<std::uint8_t> in(use.kind == OperationKind::kDecrypt ? 256 : 32, 1);
  std::vector<std::uint8_t> out(512);
  const auto done = operation->run(in, out);
  return done.ok() ? Status() : Status(done.error());
}

class OneKeyTest : public sealed::SealedFolderTest {
 protected:
  static KeyUri uri() { return {KeyName::parse("default/app/key").value(), {}, {}}; }

  /// As another process would have it.
  [[nodiscard]] std::unique_ptr<HoldingKeystore> another(
      std::shared_ptr<KeySource> source = nullptr, const Policy& policy = {}) const {
    return make_memory_keystore(std::move(source), {}, std::make_shared<Metrics>(), policy, nullptr,
                                open());
  }
  void make_key(const char* algorithm, std::string_view policy = {}) {
    if (keystore_ == nullptr) keystore_ = another();
    auto parsed = AlgorithmText::parse(algorithm).value();
    const auto made = keystore_->generate(uri().name, *parsed.type(), parsed.settings(), policy);
    ASSERT_TRUE(made.ok()) << describe(made.error());
  }

  /// The whole operation, on a handle that is opened for it.
  [[nodiscard]] Status do_it(const KeyUse& use) const { return do_it(*keystore_, use); }
  static Status do_it(HoldingKeystore& keystore, const KeyUse& use) {
    const auto entry = VHSM_TRY(keystore.open(uri()));
    return do_with(*entry.key, use);
  }

  std::unique_ptr<HoldingKeystore> keystore_;
};

}  // namespace vhsm::keystore
