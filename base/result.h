// SPDX-License-Identifier: Apache-2.0
//
// Errors are values. A function that can fail returns Result<T>; nothing in this project
// throws. What the standard library throws (bad_alloc) stops at ossl::boundary() or main().
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

#include "base/error.h"

namespace vhsm {

/// A T, or the Error that explains why there is none.
template <class T>
class [[nodiscard]] Result {
 public:
  using value_type = T;

  // NOLINTBEGIN(google-explicit-constructor): `return value;` and `return fail(...);`
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(const Error& error) : state_(std::in_place_index<1>, error) {}
  // NOLINTEND(google-explicit-constructor)

  [[nodiscard]] bool ok() const noexcept { return state_.index() == 0; }
  [[nodiscard]] const Error& error() const { return std::get<1>(state_); }
  [[nodiscard]] const T& value() const& { return std::get<0>(state_); }
  [[nodiscard]] T& value() & { return std::get<0>(state_); }
  [[nodiscard]] T value() && { return std::get<0>(std::move(state_)); }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  using value_type = void;

  Result() = default;
  Result(const Error& error) : error_(error) {}  // NOLINT(google-explicit-constructor)

  [[nodiscard]] bool ok() const noexcept { return !error_.has_value(); }
  [[nodiscard]] const Error& error() const { return error_.value(); }
  void value() const {}

 private:
  std::optional<Error> error_;
};

using Status = Result<void>;

/// Success or failure of a libcrypto call. Only 1 is success -- whatever the error queue says.
[[nodiscard]] inline Status crypto(int rc, Literal what, const Where& where = Where::here()) {
  if (rc == 1) return {};
  return fail(Errc::kCrypto, what, {}, where);
}

/// crypto() for libcrypto calls that return a pointer: null is failure.
template <class Handle>
[[nodiscard]] Result<Handle> made(Handle handle, Literal what, const Where& where = Where::here()) {
  if (handle == nullptr) return fail(Errc::kCrypto, what, {}, where);
  return handle;
}

}  // namespace vhsm

// The one control-flow macro: the value of `expr`, or return its error from this function.
// Use it as a whole initialiser or a whole statement, never inside a larger expression.
#define VHSM_TRY(expr)                 \
  __extension__({                      \
    auto try_result = (expr);          \
    if (!try_result.ok()) [[unlikely]] \
      return try_result.error();       \
    std::move(try_result).value();     \
  })
