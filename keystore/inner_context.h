// SPDX-License-Identifier: Apache-2.0
//
// Contexts of the private OpenSSL for one operation on one key, and the pool in which a key keeps
// them ready: a server signs with one key and one digest for hours, and setting a context up costs
// as much as hashing.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/handle.h"
#include "keystore/hot_set.h"
#include "keystore/key.h"
#include "memory/protected_memory.h"

namespace vhsm::keystore {

/// Frees an inner object inside a scope, so that protected memory is entered once.
template <auto Free>
struct ScopedFree {
  template <class T>
  void operator()(T* object) const noexcept {
    static_cast<void>(memory::run_protected([object]() -> Status {
      Free(object);
      return {};
    }));
  }
};

/// An inner key pair, which lies in protected memory.
using HeldPKey = std::unique_ptr<EVP_PKEY, ScopedFree<EVP_PKEY_free>>;

/// Runs `body` as run_with_room() when it works on secrets, else at once.
template <class Body>
std::invoke_result_t<Body> scoped_if(bool held, Body&& body) {
  if (held) return run_with_room(body);
  return std::forward<Body>(body)();
}

/// Of the two members one is in use.
struct InnerContext {
  OperationKind kind;
  std::string digest;
  bool held;  ///< works in scopes: on a private half, or on secrets that it makes
  ossl::PKeyCtx plain;
  ossl::MdCtx message;                   ///< for whole messages (Signing::kMessage)
  bool message_used = false;             ///< OpenSSL 3.4 and later sign once per initialisation
  const OSSL_PARAM* settable = nullptr;  ///< what may be set and asked for: constants of OpenSSL
  const OSSL_PARAM* gettable = nullptr;
  std::string settings = {};  ///< what was set since it was begun, in that order
  bool reusable = true;       ///< `settings` says all that was

  /// For a held context: in a scope, since it looks into it.
  [[nodiscard]] EVP_PKEY_CTX* get() const noexcept {
    return message != nullptr ? EVP_MD_CTX_get_pkey_ctx(message.get()) : plain.get();
  }
};

struct FreeInnerContext {
  void operator()(InnerContext* context) const noexcept;
};
using InnerContextPtr = std::unique_ptr<InnerContext, FreeInnerContext>;

/// Begins `request` on `key` (for a held key: its pair).
/// @errors kUnsupported for an operation that the type has not, kCrypto.
Result<InnerContextPtr> begin_inner(EVP_PKEY* key, bool held, const OperationRequest& request);

/// A second context in the same state.  @errors kCrypto.
Result<InnerContextPtr> clone_inner(const InnerContext& context);

/// Idle contexts of one key. Lock-free; any number of threads.
class ContextPool {
 public:
  ContextPool() = default;
  ContextPool(const ContextPool&) = delete;
  ContextPool& operator=(const ContextPool&) = delete;
  ~ContextPool() { drain(); }

  /// An idle context begun as `kind` with `digest`, and then given `settings`; null if there is
  /// none.
  InnerContextPtr take(OperationKind kind, std::string_view digest,
                       std::string_view settings) noexcept;
  /// Keeps `context` if it is reusable; in a full pool in the place of another.
  void put(InnerContextPtr context) noexcept;
  /// Frees all that are there.
  void drain() noexcept;

 private:
  static constexpr std::size_t kPlaces = 8;
  std::array<std::atomic<InnerContext*>, kPlaces> places_{};
  std::atomic<std::size_t> next_victim_{0};
};

}  // namespace vhsm::keystore
