// SPDX-License-Identifier: Apache-2.0
//
// A program that uses vhsm through its own OpenSSL: library contexts with the modules loaded, and
// the calls that such programs make.
#pragma once

#include <openssl/evp.h>
#include <openssl/provider.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/handle.h"

namespace vhsm::test {

using Bytes = std::vector<std::uint8_t>;
using LoadedProvider = ossl::Handle<OSSL_PROVIDER, OSSL_PROVIDER_unload>;

inline constexpr const char* kVhsm = "provider=vhsm";
inline constexpr const char* kDefault = "provider=default";

enum class Order : std::uint8_t { kDefaultFirst, kVhsmFirst, kVhsmAlone };

/// A library context without any configuration, with vhsm (or vhsm_files, or neither) and default
/// loaded.
class Host {
 public:
  explicit Host(const char* module = "vhsm", Order order = Order::kDefaultFirst);

  [[nodiscard]] OSSL_LIB_CTX* ctx() const noexcept { return ctx_.get(); }
  [[nodiscard]] OSSL_PROVIDER* vhsm() const noexcept { return vhsm_.get(); }

  /// @param detail  EC: the group; RSA: the bits.
  [[nodiscard]] ossl::PKey generate(const std::string& type, const std::string& detail = {},
                                    const char* properties = kVhsm) const;
  /// What a URI or file holds first, as private key.
  [[nodiscard]] ossl::PKey open(const std::string& uri) const;
  /// The public half of `key` as the default provider's key.
  [[nodiscard]] ossl::PKey public_in_default(EVP_PKEY* key) const;
  /// A counter of the provider's.
  [[nodiscard]] std::uint64_t counter(const char* name) const;

 private:
  ossl::LibCtx ctx_;
  LoadedProvider default_;
  LoadedProvider vhsm_;
};

/// Loads `name` into `ctx` from the build's module folder.
LoadedProvider load(OSSL_LIB_CTX* ctx, const char* name);

/// Empties the error queue. @return its entries, a line each.
std::string take_errors();

/// All of `bio`.
Bytes contents(BIO* bio);

/// The SubjectPublicKeyInfo.
Bytes public_der(EVP_PKEY* key);

/// What a signature is made with. A null digest: the type signs whole messages.
struct Scheme {
  const char* digest = nullptr;
  const char* padding = nullptr;  ///< RSA: pkcs1, pss, x931
  const char* salt = nullptr;     ///< PSS: a number, digest, max, auto
  const char* mgf1 = nullptr;     ///< PSS: digest of MGF1
};

/// Empty on failure.
Bytes sign(const Host& host, EVP_PKEY* key, const Scheme& scheme, const Bytes& message);
/// The same in parts.
Bytes sign_streaming(const Host& host, EVP_PKEY* key, const Scheme& scheme, const Bytes& message);
bool verify(const Host& host, EVP_PKEY* key, const Scheme& scheme, const Bytes& message,
            const Bytes& signature);

/// Empty on failure.
Bytes derive(const Host& host, EVP_PKEY* key, EVP_PKEY* peer);

inline const Bytes kMessage{'t', 'o', ' ', 'w', 'h', 'o', 'm', ' ', 'i', 't'};

}  // namespace vhsm::test
