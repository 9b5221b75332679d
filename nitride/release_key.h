// SPDX-License-Identifier: Apache-2.0
//
// Resources that their owner has signed: what a KBS releases is encrypted to this VM, but anyone
// who sees the TEE key can do that, and an answer says nothing of the name that it is for. The
// signature is over both.
// Source: RFC 9052, sections 4.2 and 4.4 (COSE_Sign1); RFC 9053, section 2.
#pragma once

#include <string>
#include <string_view>

#include "base/handle.h"
#include "base/result.h"
#include "base/settings.h"
#include "keystore/key_name.h"
#include "memory/secret_bytes.h"

namespace vhsm::nitride {

/// Immutable; any number of threads and, after a fork, processes.
///
/// A signed resource is a COSE_Sign1, tagged (18) or not: the protected header holds the algorithm
/// alone, which is the key's (ES256, ES384, ES512 by its curve; EdDSA for Ed25519); the unprotected
/// one is empty; the payload is the resource; external_aad is the resource's path as text
/// ("default/tls/www").
class ReleaseKey {
 public:
  /// None: resources are taken as they come.
  ReleaseKey() = default;

  /// Reads the setting release_key: a PEM public key (RFC 7468, section 13).
  /// @errors kIo, kBadConfig (subject: the file) for what is no such key.
  static Result<ReleaseKey> load(const Settings& settings);

  /// The resource called `name` in `signed_object`, once it is seen to be signed; without a key the
  /// object itself.
  /// @errors kForged when it is not signed by this key for this name; kMemoryLimit, kForked.
  [[nodiscard]] Result<SecretBytes> opened(const keystore::KeyName& name,
                                           SecretBytes signed_object) const;

 private:
  ossl::PKey key_;
};

/// What a release key signs: for the command that makes resources.
/// @param key  private: P-256, P-384, P-521 or Ed25519; used inside a ProtectedScope.
/// @param path  of the resource, "default/tls/www".
/// @return a tagged COSE_Sign1, in protected memory as `resource` is.
/// @errors kUnsupported (another type of key), kCrypto, kMemoryLimit, kForked.
[[nodiscard]] Result<SecretBytes> sign_resource(std::string_view path, const SecretBytes& resource,
                                                EVP_PKEY* key);

}  // namespace vhsm::nitride
