// SPDX-License-Identifier: Apache-2.0
#include "provider/ossl/core.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdarg>
#include <cstring>
#include <limits>
#include <utility>

namespace vhsm::ossl {

Core::Core(const OSSL_CORE_HANDLE* handle, const OSSL_DISPATCH* upcalls) noexcept
    : handle_(handle) {
  for (; upcalls != nullptr && upcalls->function_id != 0; ++upcalls) {
    switch (upcalls->function_id) {
      case OSSL_FUNC_CORE_GET_PARAMS: get_params_ = OSSL_FUNC_core_get_params(upcalls); break;
      case OSSL_FUNC_CORE_NEW_ERROR: new_error_ = OSSL_FUNC_core_new_error(upcalls); break;
      case OSSL_FUNC_CORE_SET_ERROR_DEBUG:
        set_debug_ = OSSL_FUNC_core_set_error_debug(upcalls);
        break;
      case OSSL_FUNC_CORE_VSET_ERROR: vset_error_ = OSSL_FUNC_core_vset_error(upcalls); break;
      case OSSL_FUNC_BIO_READ_EX: bio_read_ = OSSL_FUNC_BIO_read_ex(upcalls); break;
      case OSSL_FUNC_BIO_WRITE_EX: bio_write_ = OSSL_FUNC_BIO_write_ex(upcalls); break;
      case OSSL_FUNC_BIO_GETS: bio_gets_ = OSSL_FUNC_BIO_gets(upcalls); break;
      default: break;  // an upcall we have no use for
    }
  }
}

void Core::set_text(std::uint32_t reason, const char* format, ...) const noexcept {
  va_list args;
  va_start(args, format);
  vset_error_(handle_, reason, format, args);
  va_end(args);
}

void Core::raise(const Error& error) const noexcept {
  if (new_error_ == nullptr || set_debug_ == nullptr || vset_error_ == nullptr) return;
  new_error_(handle_);
  set_debug_(handle_, error.where.file, error.where.line, error.where.function);
  const auto code = static_cast<std::uint32_t>(error.code);
  const std::string_view subject = error.subject.text();
  // The text of describe(), without its allocation.
  if (subject.empty()) {
    set_text(code, "%s (%s)", error.what.c_str(), cure(error));
  } else {
    set_text(code, "%.*s: %s (%s)", static_cast<int>(subject.size()), subject.data(),
             error.what.c_str(), cure(error));
  }
}

void Core::raise_inner() const noexcept {
  const char* file = nullptr;
  const char* function = nullptr;
  int line = 0;
  const unsigned long inner = ERR_peek_last_error_all(&file, &line, &function, nullptr, nullptr);
  const char* text = inner != 0 ? ERR_reason_error_string(inner) : nullptr;
  if (text == nullptr || new_error_ == nullptr || set_debug_ == nullptr || vset_error_ == nullptr) {
    return;
  }
  new_error_(handle_);
  set_debug_(handle_, file, line, function);
  set_text(static_cast<std::uint32_t>(Errc::kCrypto), "private OpenSSL: %s", text);
}

void Core::raise_with_inner(const Error& error) const noexcept {
  raise_inner();
  raise(error);
}

void Core::get_params(OSSL_PARAM params[]) const noexcept {
  if (get_params_ != nullptr) get_params_(handle_, params);
}

bool Core::host_is(unsigned major, unsigned minor) const noexcept {
  char* version = nullptr;
  std::array<OSSL_PARAM, 2> params{
      OSSL_PARAM_construct_utf8_ptr(OSSL_PROV_PARAM_CORE_VERSION, &version, 0),
      OSSL_PARAM_construct_end()};
  get_params(params.data());
  unsigned host_major = 0;
  unsigned host_minor = 0;
  if (version == nullptr) return false;
  const char* const end = version + std::strlen(version);
  const auto [dot, error] = std::from_chars(version, end, host_major);
  if (error != std::errc() || dot == end) return false;
  std::from_chars(dot + 1, end, host_minor);
  return std::pair(host_major, host_minor) >= std::pair(major, minor);
}

Status Core::write(OSSL_CORE_BIO* out, std::span<const std::uint8_t> data) const {
  std::size_t written = 0;
  if (bio_write_ == nullptr || bio_write_(out, data.data(), data.size(), &written) != 1 ||
      written != data.size()) {
    return fail(Errc::kIo, "the output cannot be written");
  }
  return {};
}

Status Core::write(OSSL_CORE_BIO* out, std::string_view text) const {
  std::size_t written = 0;
  if (bio_write_ == nullptr || bio_write_(out, text.data(), text.size(), &written) != 1 ||
      written != text.size()) {
    return fail(Errc::kIo, "the output cannot be written");
  }
  return {};
}

std::size_t Core::read(OSSL_CORE_BIO* in, std::span<std::uint8_t> data) const noexcept {
  std::size_t total = 0;
  std::size_t got = 0;
  while (bio_read_ != nullptr && total < data.size() &&
         bio_read_(in, data.data() + total, data.size() - total, &got) == 1 && got != 0) {
    total += got;
  }
  return total;
}

std::size_t Core::read_line(OSSL_CORE_BIO* in, std::span<char> line) const noexcept {
  if (bio_gets_ == nullptr || line.empty()) return 0;
  const auto size = std::min<std::size_t>(line.size(), std::numeric_limits<int>::max());
  const int got = bio_gets_(in, line.data(), static_cast<int>(size));
  return got > 0 ? static_cast<std::size_t>(got) : 0;
}

}  // namespace vhsm::ossl
