// SPDX-License-Identifier: Apache-2.0
//
// A program that uses vhsm through its own OpenSSL: library contexts with the modules loaded, and
// the calls that such programs make.
#pragma once

#include <openssl/core_dispatch.h>
#include <openssl/evp.h>
#include <openssl/provider.h>
#include <openssl/store.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/handle.h"

namespace vhsm::test {

using Bytes = std::vector<std::uint8_t>;
using StoreCtx = ossl::Handle<OSSL_STORE_CTX, OSSL_STORE_close>;
using StoreInfo = ossl::Handle<OSSL_STORE_INFO, OSSL_STORE_INFO_free>;
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

/// Opens `uri`; null when that fails.
StoreCtx open_store(const Host& host, const std::string& uri);

/// What is left in `store`. A store that does not come to its end is a failure of the test.
std::vector<StoreInfo> rest_of(const StoreCtx& store);

/// The PEM of a private key: of ours, a stand-in.
std::string private_pem(EVP_PKEY* key);

/// What stands in that PEM first.
ossl::PKey read_private_pem(const Host& host, const std::string& pem);

/// A function of the provider's dispatch tables, for those that the host's libcrypto is too old to
/// call.
template <class Fn>
Fn* provided(const Host& host, int operation, const char* algorithm, int id) {
  int no_cache = 0;
  const OSSL_ALGORITHM* row = OSSL_PROVIDER_query_operation(host.vhsm(), operation, &no_cache);
  for (; row != nullptr && row->algorithm_names != nullptr; ++row) {
    if (!std::string_view(row->algorithm_names).starts_with(algorithm)) continue;
    for (const OSSL_DISPATCH* entry = row->implementation; entry->function_id != 0; ++entry) {
      if (entry->function_id == id) return reinterpret_cast<Fn*>(entry->function);
    }
  }
  return nullptr;
}

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
