// SPDX-License-Identifier: Apache-2.0
//
// OSSL_STORE for vhsm: URIs. The URI of a key yields the private key, then its certificates, unless
// the URI's type= or else the caller's expectation narrows that down. The URI of a folder yields
// the names of the keys that are here, as a directory does; with a search, the objects that match.
// Source: provider-storemgmt(7), OpenSSL 3.0 and 3.2.
#pragma once

#include <openssl/core.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "keystore/keystore.h"
#include "provider/key_handle.h"
#include "provider/store_search.h"

namespace vhsm::provider {

class StoreLoader {
 public:
  using Provider = vhsm::provider::Provider;

  /// Fetches what stands behind the URI of a key, so that a failure is a failure to open in every
  /// host. A folder fetches nothing.
  /// @errors kBadUri, kUnsupported (secrets), kNoPrivateKey, kMissing (type= names what is not
  ///         there), and those of Keystore::open() and names(), and of set_params().
  static Result<std::unique_ptr<StoreLoader>> open(Provider& provider, std::string_view uri,
                                                   const OSSL_PARAM params[]);

  /// Takes the key of this URI out of the keystore.
  /// @errors kBadUri, kInvalidArgument (a folder, type= or version=), those of Keystore::remove().
  static Status remove(Provider& provider, std::string_view uri);

  [[nodiscard]] const ossl::Core& core() const noexcept;
  static const OSSL_PARAM* settable_params() noexcept;
  /// Takes `expect` and a search; properties and the input type mean nothing to keys by name.
  /// @errors kInvalidArgument, also when several keys have the alias; those of StoreSearch::parse()
  ///         and Keystore::find(). Then nothing is told any more.
  Status set_params(const OSSL_PARAM params[]);

  /// Tells the next object.
  Result<bool> load(OSSL_CALLBACK* tell, void* arg);
  /// True at the end and after any failure.
  [[nodiscard]] bool eof() const noexcept;

 private:
  using Certificate = std::vector<std::uint8_t>;
  using Object = std::variant<keystore::KeyUri, keystore::KeyPtr, Certificate>;

  struct OneKey {
    keystore::KeyUri uri;
    keystore::Entry entry;
  };
  using Target = std::variant<OneKey, keystore::KeyFolder>;

  StoreLoader(Provider& provider, Target target) noexcept
      : provider_(&provider), target_(std::move(target)) {}

  static Result<Target> find_target(Provider& provider, std::string_view uri);
  Status take_params(const OSSL_PARAM params[]);
  Status list();
  Status search(const StoreSearch& search);
  Status search_folder(const keystore::KeyFolder& folder, const StoreSearch& search);
  [[nodiscard]] Result<std::vector<keystore::KeyUri>> names_in(
      const keystore::KeyFolder& folder) const;
  void append(keystore::Entry entry);

  [[nodiscard]] bool wants(keystore::ObjectType type, int info) const noexcept;
  [[nodiscard]] bool wants(const Object& object) const noexcept;
  [[nodiscard]] std::size_t next_wanted() const noexcept;
  [[nodiscard]] Result<std::unique_ptr<KeyHandle>> wanted_part(const keystore::KeyPtr& key) const;
  Result<bool> tell_object(const Object& object, OSSL_CALLBACK* tell, void* arg) const;

  Provider* provider_;
  Target target_;
  std::vector<Object> objects_;
  std::size_t next_ = 0;
  int expect_ = 0;  ///< OSSL_STORE_INFO_*, 0 for any
  bool failed_ = false;
};

}  // namespace vhsm::provider
