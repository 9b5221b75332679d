// SPDX-License-Identifier: Apache-2.0
//
// Key material: in protected memory, wiped on every way out, compared in constant time, and read
// only through expose(), so that one grep finds every reader.
#pragma once

#include <openssl/crypto.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "base/result.h"
#include "memory/protected_memory.h"

namespace vhsm {

/// Owns `size()` secret bytes of the arena, whether made inside a ProtectedScope or outside.
/// Move-only: a copy is a decision, and is spelled clone(). Needs memory::initialise() first.
class SecretBytes {
 public:
  SecretBytes() = default;
  SecretBytes(SecretBytes&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  SecretBytes& operator=(SecretBytes&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  SecretBytes(const SecretBytes&) = delete;
  SecretBytes& operator=(const SecretBytes&) = delete;
  ~SecretBytes() { memory::release(data_); }

  /// @return `size` zero bytes.
  /// @errors kMemoryLimit.
  static Result<SecretBytes> zeros(std::size_t size) {
    auto* data = static_cast<std::uint8_t*>(memory::allocate(std::max<std::size_t>(size, 1)));
    if (data == nullptr) return fail(Errc::kMemoryLimit, "no protected memory for a secret");
    return SecretBytes(data, size);
  }

  /// A copy of `bytes`; wiping the original is the caller's business.
  /// @errors kMemoryLimit.
  static Result<SecretBytes> copy(std::span<const std::uint8_t> bytes) {
    auto secret = VHSM_TRY(zeros(bytes.size()));
    const memory::Access access;
    std::ranges::copy(bytes, secret.data_);
    return secret;
  }

  [[nodiscard]] Result<SecretBytes> clone() const { return copy(expose()); }

  /// Forgets the bytes from `size` on (they are wiped at the end of life with the rest).
  void truncate(std::size_t size) noexcept { size_ = std::min(size_, size); }

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  /// To be read or written in a scope, or under a memory::Access.
  [[nodiscard]] std::span<const std::uint8_t> expose() const noexcept { return {data_, size_}; }
  [[nodiscard]] std::span<std::uint8_t> expose() noexcept { return {data_, size_}; }

  /// Compares in time that depends on the lengths only.
  [[nodiscard]] bool equals(const SecretBytes& other) const noexcept {
    const memory::Access access;
    return size_ == other.size_ && CRYPTO_memcmp(data_, other.data_, size_) == 0;
  }
  bool operator==(const SecretBytes&) const = delete;

 private:
  SecretBytes(std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}

  std::uint8_t* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace vhsm
