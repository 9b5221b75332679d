// SPDX-License-Identifier: Apache-2.0
//
// Keys by the names that tests call them.
#pragma once

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include <algorithm>
#include <string>

#include "base/handle.h"
#include "keystore/key_type.h"

namespace vhsm::tests {

/// "RSA2048", "RSA3072", or a name of tests/kinds.h.
inline ossl::PKey make_key(const std::string& kind) {
  if (kind == "RSA") return ossl::PKey(EVP_RSA_gen(2048));
  if (kind.starts_with("RSA") && kind != "RSA-PSS") {
    return ossl::PKey(EVP_RSA_gen(static_cast<unsigned>(std::stoul(kind.substr(3)))));
  }
  const auto is_called = [&](const keystore::Curve& curve) { return kind == curve.common; };
  if (std::ranges::any_of(keystore::kHeldCurves, is_called))
    return ossl::PKey(EVP_EC_gen(kind.c_str()));
  const ossl::PKeyCtx ctx(EVP_PKEY_CTX_new_from_name(nullptr, kind.c_str(), nullptr));
  ossl::PKey key;
  EVP_PKEY_keygen_init(ctx.get());
  EVP_PKEY_generate(ctx.get(), ossl::Receive(key));
  return key;
}

}  // namespace vhsm::tests
