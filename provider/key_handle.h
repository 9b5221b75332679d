// SPDX-License-Identifier: Apache-2.0
//
// What OpenSSL holds as "keydata": a small mutable handle around an immutable key.
#pragma once

#include <openssl/core.h>

#include <cstddef>
#include <memory>
#include <string>

#include "base/result.h"
#include "keystore/key.h"
#include "provider/ossl/core.h"

namespace vhsm::provider {

class Provider;

/// Starts empty (keymgmt new) and is filled by import, or is made with a key. One thread at a time
/// may change it; OpenSSL sees to that.
class KeyHandle {
 public:
  using Selection = keystore::Selection;

  KeyHandle(Provider& provider, const keystore::KeyType& type,
            keystore::KeyPtr key = nullptr) noexcept
      : provider_(&provider), type_(&type), key_(std::move(key)) {}

  [[nodiscard]] const ossl::Core& core() const noexcept;
  [[nodiscard]] const keystore::KeyType& type() const noexcept { return *type_; }
  [[nodiscard]] const keystore::KeyPtr& key() const noexcept { return key_; }
  /// Whether the key has a private part: then it is held, and never changes.
  [[nodiscard]] bool held() const noexcept { return key_ != nullptr && key_->has_private(); }
  /// The key's URI, or "ephemeral key", for errors and texts.
  [[nodiscard]] std::string name() const;

  /// What a store or decoder passes through OpenSSL to keymgmt load: the address of a handle. It is
  /// good only during the callback, so load makes a handle of its own by share().
  /// @return null unless `reference` is one of a handle of `type`.
  static const KeyHandle* from_reference(const void* reference, std::size_t size,
                                         const keystore::KeyType& type) noexcept;

  [[nodiscard]] Result<std::unique_ptr<KeyHandle>> share() const;
  /// The parts in `selection`; a held key is shared, not copied.
  [[nodiscard]] Result<std::unique_ptr<KeyHandle>> duplicate(Selection selection) const;
  /// The public part alone.
  [[nodiscard]] Result<std::unique_ptr<KeyHandle>> public_only() const;

  [[nodiscard]] bool has(Selection selection) const noexcept;
  [[nodiscard]] bool matches(const KeyHandle& other, Selection selection) const noexcept;
  [[nodiscard]] Status validate(Selection selection, bool quick) const;

  /// Public params are taken whatever `selection` says; private ones only with import_private.
  /// @return false, and no error, when the key is better served by another provider.
  /// @errors kBadFormat.
  Result<bool> import(Selection selection, const OSSL_PARAM params[]);

  [[nodiscard]] bool may_export(Selection selection) const noexcept;
  Result<bool> export_to(Selection selection, OSSL_CALLBACK* tell, void* arg) const;

  /// @return false, and no error, for an empty handle that nothing is known of.
  Result<bool> get_params(OSSL_PARAM params[]) const;
  /// `encoded-pub-key` of a key that is not held; other names are ignored.
  /// @errors kNotExportable for a held key, kBadFormat.
  Status set_params(const OSSL_PARAM params[]);

 private:
  Provider* provider_;
  const keystore::KeyType* type_;
  keystore::KeyPtr key_;
};

}  // namespace vhsm::provider
