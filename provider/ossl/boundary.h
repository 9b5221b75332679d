// SPDX-License-Identifier: Apache-2.0
//
// The only door between C++ and OpenSSL: errors become entries of the host's queue, exceptions stop
// here, and the private OpenSSL's own queue is left empty.
#pragma once

#include <openssl/err.h>
#include <openssl/params.h>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <new>
#include <span>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "memory/protected_memory.h"
#include "provider/ossl/core.h"

namespace vhsm::ossl {

/// Empties the private OpenSSL's error queue at the end, so that no stale entry is ever told.
class InnerErrors {
 public:
  InnerErrors() = default;
  InnerErrors(const InnerErrors&) = delete;
  InnerErrors& operator=(const InnerErrors&) = delete;
  // Before memory::initialise() that OpenSSL must not be touched at all.
  ~InnerErrors() {
    if (memory::kind() != memory::Kind::kNone && ERR_peek_error() != 0) ERR_clear_error();
  }

  static void raise(const Core& core, const Error& error) noexcept {
    if (memory::kind() == memory::Kind::kNone) return core.raise(error);
    core.raise_with_inner(error);
  }
};

/// Runs `body`, reports its failure to `core`, and never lets an exception out.
/// @return what `body` produced, or `otherwise`.
template <class T, std::invocable Body>
requires std::same_as<std::invoke_result_t<Body>, Result<T>> T boundary(const Core& core,
                                                                        T otherwise, Body&& body)
noexcept {
  const memory::Access access;
  const InnerErrors emptied;
  try {
    auto result = std::invoke(std::forward<Body>(body));
    if (result.ok()) return std::move(result).value();
    InnerErrors::raise(core, result.error());
  } catch (const std::bad_alloc&) {
    core.raise(fail(Errc::kOutOfMemory, "out of memory"));
  } catch (...) {
    core.raise(fail(Errc::kInternal, "unexpected exception"));
  }
  return otherwise;
}

/// boundary() for C functions that answer 1 (done) or 0 (failed).
template <std::invocable Body>
int boundary_status(const Core& core, Body&& body) noexcept {
  return boundary<int>(core, 0, [&]() -> Result<int> {
    VHSM_TRY(std::invoke(std::forward<Body>(body)));
    return 1;
  });
}

/// boundary() for C functions that answer a question: 1 (yes), 0 (no, or failed).
template <std::invocable Body>
int boundary_answer(const Core& core, Body&& body) noexcept {
  return boundary<int>(core, 0, [&]() -> Result<int> {
    const bool yes = VHSM_TRY(std::invoke(std::forward<Body>(body)));
    return yes ? 1 : 0;
  });
}

/// boundary() for verifications: 1 (right), 0 (wrong), -1 (kBadFormat: no signature at all), as
/// EVP_PKEY_verify(3) has it.
template <std::invocable Body>
int boundary_verdict(const Core& core, Body&& body) noexcept {
  bool malformed = false;
  const int verdict = boundary_answer(core, [&] {
    Result<bool> right = std::invoke(std::forward<Body>(body));
    malformed = !right.ok() && right.error().code == Errc::kBadFormat;
    return right;
  });
  return malformed ? -1 : verdict;
}

/// boundary() for C functions that hand a new object to OpenSSL, which frees it later.
template <std::invocable Body>
void* boundary_new(const Core& core, Body&& body) noexcept {
  return boundary<void*>(core, nullptr, [&]() -> Result<void*> {
    auto object = VHSM_TRY(std::invoke(std::forward<Body>(body)));
    return static_cast<void*>(object.release());
  });
}

/// For destructors: destroys `object`, unless this process may not touch the memory behind it.
template <class T>
void boundary_delete(void* object) noexcept {
  if (object == nullptr || !memory::usable()) return;
  const memory::Access access;
  delete static_cast<T*>(object);
}

/// OpenSSL's output convention, once for all: `produce` gets the output, or a null span when the
/// caller asks for the upper bound of the size, and says how many bytes that is.
/// @errors kInvalidArgument without a place for the length; whatever `produce` returns.
template <std::invocable<std::span<std::uint8_t>> Produce>
Status fill(unsigned char* out, std::size_t* written, std::size_t capacity, Produce&& produce) {
  if (written == nullptr) return fail(Errc::kInvalidArgument, "no place for the length");
  const std::span<std::uint8_t> to{out, out != nullptr ? capacity : 0};
  *written = VHSM_TRY(std::invoke(std::forward<Produce>(produce), to));
  return {};
}

/// A C (pointer, length) pair as a span; a null pointer is good only for length 0.
inline Result<std::span<const std::uint8_t>> bytes(const unsigned char* data, std::size_t size) {
  if (data == nullptr && size != 0) return fail(Errc::kInvalidArgument, "null buffer");
  return std::span{data, size};
}

/// What an octet string parameter holds.
/// @errors kInvalidArgument.
inline Result<std::span<const std::uint8_t>> octets(const OSSL_PARAM& param) {
  const void* data = nullptr;
  std::size_t size = 0;
  if (OSSL_PARAM_get_octet_string_ptr(&param, &data, &size) != 1 || data == nullptr) {
    return fail(Errc::kInvalidArgument, "parameter is not an octet string", param.key);
  }
  return std::span{static_cast<const std::uint8_t*>(data), size};
}

/// @errors kUnsupported: whoever has a key in the clear needs no key store.
inline Status refuse_clear_key(const unsigned char* key) {
  if (key == nullptr) return {};
  return fail(Errc::kUnsupported, "a key in the clear is for another provider");
}

/// A C string that may be null as a view.
inline std::string_view text(const char* string) noexcept {
  return string != nullptr ? std::string_view(string) : std::string_view();
}

}  // namespace vhsm::ossl
