// SPDX-License-Identifier: Apache-2.0
//
// Keys and operations as the provider sees them. The implementation behind these interfaces may
// live in this process (local_key.h) or, later, in a daemon.
//
// OSSL_PARAM arrays cross these interfaces unchanged: the private OpenSSL and the host's agree on
// their layout (OSSL_PARAM(3)), and what they mean is the algorithm's business.
#pragma once

#include <openssl/core.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/metrics.h"
#include "base/result.h"
#include "keystore/key_name.h"
#include "keystore/key_type.h"
#include "keystore/public_half.h"

namespace vhsm::keystore {

/// How long a named key lasts.
enum class Keeping : std::uint8_t {
  kStored,    ///< elsewhere too: it can be fetched again
  kInMemory,  ///< it was generated under its name: it ends with the keystore that holds it
};

class Key;
using KeyPtr = std::shared_ptr<const Key>;

enum class OperationKind : std::uint8_t {
  kSign,  ///< input: a digest (or raw data where no digest is named); output: a signature
  kVerify,
  kSignMessage,  ///< input: the whole message; for Signing::kMessage types
  kVerifyMessage,
  kDecrypt,
  kEncrypt,
  kDerive,           ///< input: nothing, after set_peer(); output: the shared secret
  kVerifyRecover,    ///< RSA; input: a signature; output: what was signed. Never sent to vhsmd
  kEncapsulate,      ///< a fresh shared secret for the key, by encapsulate()
  kDecapsulate,      ///< input: what encapsulate() gave; output: the shared secret
  kAuthEncapsulate,  ///< as kEncapsulate for `peer`, authenticated by this key
};

/// Whether it yields a signature.
[[nodiscard]] constexpr bool signs(OperationKind kind) noexcept {
  return kind == OperationKind::kSign || kind == OperationKind::kSignMessage;
}

/// The others are done with the public half, by whoever has it.
[[nodiscard]] constexpr bool needs_private(OperationKind kind) noexcept {
  switch (kind) {
    case OperationKind::kSign:
    case OperationKind::kSignMessage:
    case OperationKind::kDecrypt:
    case OperationKind::kDerive:
    case OperationKind::kDecapsulate:
    case OperationKind::kAuthEncapsulate: return true;
    default: return false;
  }
}

struct OperationRequest {
  OperationKind kind;
  std::string_view digest{};           ///< name of the digest that the input has; empty: none
  const OSSL_PARAM* params = nullptr;  ///< as set_params()
  /// kAuthEncapsulate: the recipient; kDecapsulate: the sender, if it authenticates itself.
  const Key* peer = nullptr;
};

/// How long the outputs of encapsulate() are.
struct Encapsulated {
  std::size_t wrapped_bytes = 0;
  std::size_t secret_bytes = 0;
};

/// One operation on one key. Reusable: run() any number of times. One thread at a time.
class Operation {
 public:
  Operation() = default;
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;
  virtual ~Operation() = default;

  /// Forwards `params`. Names that the inner algorithm does not know are ignored, except those that
  /// would change the result (instance, context-string, nonce-type, …), which are an error.
  /// @errors kUnsupported (subject: the parameter), kCrypto.
  virtual Status set_params(const OSSL_PARAM params[]) = 0;
  virtual Status get_params(OSSL_PARAM params[]) const = 0;
  /// Descriptors; static lifetime.
  [[nodiscard]] virtual const OSSL_PARAM* settable_params() const = 0;
  [[nodiscard]] virtual const OSSL_PARAM* gettable_params() const = 0;

  /// Sign, decrypt, encrypt, derive, recover, decapsulate. A null out.data() asks for the upper
  /// bound of the size, without a private operation.
  /// @return bytes written, or the bound.
  /// @errors kPolicy, kBadLength (out too small), kForked, kMemoryLimit, kUnreachable and the other
  ///         fetch errors for a key that is not here yet, kCrypto.
  virtual Result<std::size_t> run(std::span<const std::uint8_t> in,
                                  std::span<std::uint8_t> out) = 0;

  /// @return whether `signature` is right for `in`.
  /// @errors kWrongState unless begun as kVerify or kVerifyMessage; kBadFormat for what cannot be a
  ///         signature; kCrypto where OpenSSL says why it is wrong.
  virtual Result<bool> verify(std::span<const std::uint8_t> in,
                              std::span<const std::uint8_t> signature) = 0;

  /// @errors kCrypto for a peer of another type or group.
  virtual Status set_peer(const Key& peer) = 0;

  /// Makes a shared secret, and what the holder of the private key gets it from. A null
  /// wrapped.data() asks for the sizes.
  /// @errors kWrongState unless begun as kEncapsulate or kAuthEncapsulate; as run().
  virtual Result<Encapsulated> encapsulate(std::span<std::uint8_t> wrapped,
                                           std::span<std::uint8_t> secret) = 0;

  virtual Result<std::unique_ptr<Operation>> clone() const = 0;
};

/// A key pair, a public key, or (EC) domain parameters alone. Immutable; any number of threads.
/// Questions about the public side are answered from the PublicHalf, wherever the private one is.
class Key {
 public:
  Key(PublicHalf half, std::optional<KeyUri> uri, Keeping keeping = Keeping::kStored) noexcept
      : half_(std::move(half)), uri_(std::move(uri)), keeping_(keeping) {}
  Key(const Key&) = delete;
  Key& operator=(const Key&) = delete;
  virtual ~Key() = default;

  [[nodiscard]] const KeyType& type() const noexcept { return half_.type(); }
  [[nodiscard]] bool has_public() const noexcept { return half_.has_public(); }
  [[nodiscard]] const PublicHalf& public_half() const noexcept { return half_; }
  /// The URI it came from; null for ephemeral and imported keys.
  [[nodiscard]] const KeyUri* uri() const noexcept { return uri_ ? &*uri_ : nullptr; }
  [[nodiscard]] Keeping keeping() const noexcept { return keeping_; }
  /// Digest that an application should use; empty when the type takes none.
  [[nodiscard]] std::string_view default_digest() const noexcept { return half_.default_digest(); }

  /// Answers public names only; others stay unmodified. Never fails for an unknown name.
  Status get_params(OSSL_PARAM params[]) const { return half_.get_params(params); }

  /// The public parts (public key and domain parameters within `selection`), for keymgmt export.
  /// Private bits of `selection` are the caller's business: it must refuse before.
  Result<OwnedParams> export_public(Selection selection) const {
    return half_.export_params(selection);
  }

  /// The SubjectPublicKeyInfo, DER (RFC 5280, section 4.1.2.7).
  Result<std::vector<std::uint8_t>> public_key_info() const { return half_.key_info(); }

  /// Whether both have the same parts within `selection`; compares public values only.
  [[nodiscard]] bool matches(const Key& other, Selection selection) const noexcept {
    return half_.matches(other.half_, selection);
  }

  /// A new public key of the same domain parameters whose public half is `encoded` (ECDHE:
  /// `encoded-pub-key`). Held keys are never changed.
  /// @errors kNotExportable when this key has a private part; kBadFormat.
  Result<KeyPtr> with_public(std::span<const std::uint8_t> encoded) const;

  [[nodiscard]] virtual bool has_private() const noexcept = 0;

  /// Whether who keeps the key elsewhere has taken it back: no operation will succeed again.
  [[nodiscard]] virtual bool revoked() const noexcept { return false; }
  /// Forgets the private half, if it is in this process. Operations under way are refused by the
  /// key's gate, but keep what they have until they end.
  virtual void wipe() const noexcept {}

  /// Checks the parts within `selection` for consistency (keymgmt validate).
  virtual Status validate(Selection selection, bool quick) const = 0;

  /// @errors kNoPrivateKey, kUnsupported, kPolicy, kCrypto; those of Permit::ask(), as have the
  ///         private operations themselves.
  virtual Result<std::unique_ptr<Operation>> begin(const OperationRequest& request) const = 0;

 private:
  PublicHalf half_;
  std::optional<KeyUri> uri_;
  Keeping keeping_;
};

/// Makes a public key (or parameters) from `params`, ignoring private members.
/// @errors kBadFormat, kUnsupported.
Result<KeyPtr> import_public(const KeyType& type, Selection selection, const OSSL_PARAM params[]);

/// Makes an ephemeral key pair from `params` (setting import_private); checks that the public half
/// belongs to the private one.
/// @errors kNoPrivateKey when `params` have no private part, kBadFormat, kMemoryLimit.
Result<KeyPtr> import_pair(const KeyType& type, const OSSL_PARAM params[],
                           std::shared_ptr<Metrics> metrics = nullptr);

/// Generates keys, or (selection without the key pair) EC domain parameters.
class Generator {
 public:
  Generator() = default;
  Generator(const Generator&) = delete;
  Generator& operator=(const Generator&) = delete;
  virtual ~Generator() = default;

  virtual Status set_params(const OSSL_PARAM params[]) = 0;
  /// All that was set so far and that the template gave, for a generator elsewhere; null: nothing.
  [[nodiscard]] virtual const OSSL_PARAM* settings() const = 0;
  [[nodiscard]] virtual const OSSL_PARAM* settable_params() const = 0;
  /// Takes domain parameters from `key`.
  virtual Status set_template(const Key& key) = 0;
  /// @param name  of the key; none: it is ephemeral.
  /// @errors kInvalidArgument when a needed parameter (EC: group) is missing; kMemoryLimit;
  /// kCrypto.
  virtual Result<KeyPtr> generate(const std::optional<KeyUri>& name) = 0;
  Result<KeyPtr> generate() { return generate(std::nullopt); }

  /// @param metrics  where the keys' operations count; null: nowhere.
  /// @errors kUnsupported.
  static Result<std::unique_ptr<Generator>> create(const KeyType& type, Selection selection,
                                                   std::shared_ptr<Metrics> metrics = nullptr);
};

}  // namespace vhsm::keystore
