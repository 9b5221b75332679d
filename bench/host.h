// SPDX-License-Identifier: Apache-2.0
//
// What the benchmarks that play a host have in common: keys, and medians.
#pragma once

#include <errno.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

namespace vhsm::bench {

using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using Clock = std::chrono::steady_clock;

inline constexpr unsigned char kMessage[64] =
    "what a TLS 1.3 server signs is about as long as this";

[[noreturn]] inline void stop(const char* what) {
  std::fprintf(stderr, "%s: %s\n", program_invocation_short_name, what);
  ERR_print_errors_fp(stderr);
  std::exit(1);
}

inline double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

/// "RSA-2048", "P-256", or a type name.
inline Key generate(const std::string& name) {
  constexpr const char* kDefault = "provider=default";
  if (name.starts_with("RSA-")) {
    const auto bits = std::size_t{std::stoul(name.substr(4))};
    return {EVP_PKEY_Q_keygen(nullptr, kDefault, "RSA", bits), EVP_PKEY_free};
  }
  if (name.starts_with("P-")) {
    return {EVP_PKEY_Q_keygen(nullptr, kDefault, "EC", name.c_str()), EVP_PKEY_free};
  }
  return {EVP_PKEY_Q_keygen(nullptr, kDefault, name.c_str()), EVP_PKEY_free};
}

/// The same key in the provider that `properties` name.
inline Key copy_to(OSSL_LIB_CTX* library, const char* properties, EVP_PKEY* key) {
  OSSL_PARAM* params = nullptr;
  EVP_PKEY* copy = nullptr;
  EVP_PKEY_CTX* ctx = EVP_PKEY_CTX_new_from_name(library, EVP_PKEY_get0_type_name(key), properties);
  if (ctx == nullptr || EVP_PKEY_todata(key, EVP_PKEY_KEYPAIR, &params) != 1 ||
      EVP_PKEY_fromdata_init(ctx) != 1 ||
      EVP_PKEY_fromdata(ctx, &copy, EVP_PKEY_KEYPAIR, params) != 1) {
    stop("the key cannot be copied");
  }
  EVP_PKEY_CTX_free(ctx);
  OSSL_PARAM_free(params);
  return {copy, EVP_PKEY_free};
}

/// Needs import_private.
inline Key import_to_vhsm(EVP_PKEY* key) { return copy_to(nullptr, "provider=vhsm", key); }

}  // namespace vhsm::bench
