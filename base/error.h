// SPDX-License-Identifier: Apache-2.0
//
// What failed, on which thing, and the cure. An Error is trivially copyable, so making one
// allocates nothing, and its fixed parts are literals, so no secret can enter it by accident.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>

namespace vhsm {

/// Why an operation failed. Each value is also an OpenSSL reason number (provider/ossl/core.h), so
/// append only.
enum class Errc : std::uint8_t {
  kInvalidArgument = 1,
  kBadLength,
  kWrongState,
  kUnsupported,
  kCrypto,
  kOutOfMemory,
  kInternal,
  kBadUri,         ///< a malformed vhsm: URI
  kBadConfig,      ///< a malformed configuration file, key or value
  kBadFormat,      ///< bytes from outside that do not parse
  kIo,             ///< a file or device that cannot be opened, read or written
  kMemoryLimit,    ///< no more protected memory within the limit
  kForked,         ///< a process made by a raw clone, or forked while keys were in use
  kNoPrivateKey,   ///< the operation needs a private key
  kNotExportable,  ///< private parts never leave protected memory
  kPolicy,         ///< the key's own policy forbids the operation
  kNoPlatform,     ///< no SNP platform here
  kPlatform,       ///< the SNP platform refused or failed
  kUntrusted,      ///< a certificate chain that does not end in a trusted root
  kBadSignature,   ///< a signature that does not verify
  kPolicyRefused,  ///< a genuine report that the verifier's policy refuses
  kNotAttested,    ///< fetch: the attestation service did not accept this VM
  kDenied,         ///< fetch: the KBS's policy denies the resource
  kMissing,        ///< fetch: the KBS has no such resource
  kVersion,        ///< fetch: the KBS speaks another protocol version
  kUnreachable,    ///< fetch: no KBS answered in time
  kForged,         ///< fetch: an answer that does not authenticate
  kNotGranted,     ///< vhsmd: no grant lets this user use the key
  kNoDaemon,       ///< vhsmd does not answer
  kInUse,          ///< something that somebody else has
  kDamaged,        ///< a key of this process that was overwritten in memory
  kTampered,     ///< a file of a sealed folder that is not as it was sealed, or not the current one
  kTooFewSlots,  ///< a sealed folder whose root key could be lost with one machine
  kSealed,       ///< a sealed folder whose root key cannot be had here
  kLast = kSealed,
};

/// A string literal. Only the compiler can make one, so run-time bytes -- a PIN, a key, a
/// peer's report -- can never become the sentence of an error.
class Literal {
 public:
  template <std::size_t N>
  // NOLINTNEXTLINE(google-explicit-constructor): a literal is meant to convert silently
  consteval Literal(const char (&text)[N]) : text_(text) {}
  [[nodiscard]] constexpr const char* c_str() const noexcept { return text_; }

 private:
  const char* text_;
};

/// The line that asks for here(). std::source_location does the same, but clang 14, and so
/// clang-tidy 14, cannot read libstdc++'s.
struct Where {
  const char* file;
  const char* function;
  int line;

  static constexpr Where here(const char* file = __builtin_FILE(),
                              const char* function = __builtin_FUNCTION(),
                              int line = __builtin_LINE()) noexcept {
    return {file, function, line};
  }
};

/// The non-secret thing that an error is about: a key's name, a path, an endpoint, an option.
/// Longer text is cut at the end; bytes outside printable ASCII become '?'.
class Subject {
 public:
  static constexpr std::size_t kMaxBytes = 240;

  constexpr Subject() = default;
  // NOLINTNEXTLINE(google-explicit-constructor): `fail(code, "what", name)` reads as a sentence
  constexpr Subject(std::string_view text) noexcept {
    for (const char c : text.substr(0, kMaxBytes)) {
      text_[size_++] = (c >= ' ' && c <= '~') ? c : '?';
    }
  }
  // NOLINTBEGIN(google-explicit-constructor): as above
  Subject(const std::string& text) noexcept : Subject(std::string_view(text)) {}
  constexpr Subject(const char* text) noexcept : Subject(std::string_view(text)) {}
  // NOLINTEND(google-explicit-constructor)

  [[nodiscard]] constexpr std::string_view text() const noexcept { return {text_, size_}; }
  [[nodiscard]] constexpr bool empty() const noexcept { return size_ == 0; }

 private:
  char text_[kMaxBytes] = {};
  std::uint8_t size_ = 0;
};

/// What failed and where.
struct Error {
  Errc code;
  Literal what;
  Subject subject;
  Where where;
  const char* own_cure = nullptr;  ///< a literal; null: the code's

  /// This error with `thing` as its subject, unless a deeper layer named one already.
  [[nodiscard]] constexpr Error about(const Subject& thing) const noexcept {
    return subject.empty() ? Error{code, what, thing, where, own_cure} : *this;
  }
  /// With a cure for this very case, where the code's would lead astray.
  [[nodiscard]] constexpr Error cured_by(Literal cure) const noexcept {
    return {code, what, subject, where, cure.c_str()};
  }
};
static_assert(std::is_trivially_copyable_v<Error>);

/// Cold: the compiler keeps what leads to it apart from the code that succeeds, so that a signature
/// reads fewer lines of it.
[[nodiscard, gnu::cold]] constexpr Error fail(Errc code, Literal what, const Subject& subject = {},
                                              const Where& where = Where::here()) {
  return {code, what, subject, where};
}

/// The short name of `code`, e.g. "not attested": OpenSSL's reason string, the log's and the CLI's.
[[nodiscard]] const char* reason(Errc code) noexcept;

/// kIo about `path`, with what the system says of it.
/// @param number  errno.
[[nodiscard]] Error io_failure(Literal what, std::string_view path, int number,
                               const Where& where = Where::here());

/// What the user can do about it: one sentence without a full stop.
[[nodiscard]] const char* cure(Errc code) noexcept;
[[nodiscard]] const char* cure(const Error& error) noexcept;

/// "subject: what (cure)", as the CLI and the logs print it.
[[nodiscard]] std::string describe(const Error& error);

}  // namespace vhsm
