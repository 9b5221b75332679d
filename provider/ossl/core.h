// SPDX-License-Identifier: Apache-2.0
//
// The libcrypto core that loaded us: its upcalls, kept per provider instance (never global).
// Source: provider-base(7), OpenSSL 3.0.
#pragma once

#include <openssl/core.h>
#include <openssl/core_dispatch.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/result.h"

namespace vhsm::ossl {

/// Any thread. An upcall that the core does not offer is skipped.
class Core {
 public:
  Core(const OSSL_CORE_HANDLE* handle, const OSSL_DISPATCH* upcalls) noexcept;

  /// Puts `error` on the host's error queue as "subject: what (cure)", with our file and line.
  void raise(const Error& error) const noexcept;

  /// raise(), after the innermost reason that the private OpenSSL queued, if it queued any.
  void raise_with_inner(const Error& error) const noexcept;

  /// What the provider section of openssl.cnf says; values stay alive as long as the provider.
  void get_params(OSSL_PARAM params[]) const noexcept;

  /// Whether the host's OpenSSL is `major`.`minor` or later; no when it does not say.
  [[nodiscard]] bool host_is(unsigned major, unsigned minor) const noexcept;

  /// @errors kIo.
  Status write(OSSL_CORE_BIO* out, std::span<const std::uint8_t> data) const;
  Status write(OSSL_CORE_BIO* out, std::string_view text) const;

  /// Reads up to data.size() bytes. @return how many, 0 at the end.
  [[nodiscard]] std::size_t read(OSSL_CORE_BIO* in, std::span<std::uint8_t> data) const noexcept;

  /// Reads a line of at most line.size() - 1 bytes, its newline included.
  /// @return its length, 0 at the end.
  [[nodiscard]] std::size_t read_line(OSSL_CORE_BIO* in, std::span<char> line) const noexcept;

 private:
  void set_text(std::uint32_t reason, const char* format, ...) const noexcept
      __attribute__((format(printf, 3, 4)));
  void raise_inner() const noexcept;

  const OSSL_CORE_HANDLE* handle_;
  OSSL_FUNC_core_get_params_fn* get_params_ = nullptr;
  OSSL_FUNC_core_new_error_fn* new_error_ = nullptr;
  OSSL_FUNC_core_set_error_debug_fn* set_debug_ = nullptr;
  OSSL_FUNC_core_vset_error_fn* vset_error_ = nullptr;
  OSSL_FUNC_BIO_read_ex_fn* bio_read_ = nullptr;
  OSSL_FUNC_BIO_write_ex_fn* bio_write_ = nullptr;
  OSSL_FUNC_BIO_gets_fn* bio_gets_ = nullptr;
};

}  // namespace vhsm::ossl
