// SPDX-License-Identifier: Apache-2.0
//
// The vhsm: URI and the name inside it.
//
//   vhsm: path [?query]     path: 1 to 3 segments of [A-Za-z0-9_-][A-Za-z0-9_.-]*, percent-encoding
//                           allowed; vhsm:///a/b/c = vhsm://a/b/c = vhsm:a/b/c
//                           query: type=private|public|cert|secret, version=N, joined by &
//   vhsm: [path /]          a folder: path of 0 to 2 segments
//
// Source: RFC 3986 (percent-encoding); the segment rule is the KBS's (facts of protocol 0.4.0).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace vhsm::keystore {

inline constexpr std::string_view kScheme = "vhsm:";

/// A full, valid, three-segment name: repository/type/tag of a KBS resource.
class KeyName {
 public:
  /// @param path         "default/tls/www", or fewer segments.
  /// @param prefix       the leading segments for a shorter path, e.g. "default/key".
  /// @errors kBadUri, with the offending part as subject.
  static Result<KeyName> parse(std::string_view path, std::string_view prefix = {});

  [[nodiscard]] const std::string& path() const noexcept { return path_; }  ///< "default/tls/www"
  [[nodiscard]] std::string uri() const { return std::string(kScheme) + path_; }

  friend bool operator==(const KeyName&, const KeyName&) = default;
  friend bool operator<(const KeyName& a, const KeyName& b) noexcept { return a.path_ < b.path_; }

 private:
  explicit KeyName(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

/// What a URI asks for.
enum class ObjectType : std::uint8_t { kPrivate, kPublic, kCertificate, kSecret };

struct KeyUri {
  KeyName name;
  std::optional<ObjectType> type;        ///< unset: private key and certificates
  std::optional<std::uint32_t> version;  ///< unset: the current one

  /// Accepts a URI, and where `bare_path` a path without the scheme (the command line does).
  /// @errors kBadUri, with the offending part as subject.
  static Result<KeyUri> parse(std::string_view text, std::string_view prefix,
                              bool bare_path = false);

  /// What parse() reads again.
  [[nodiscard]] std::string text() const;

  /// A symmetric key; all else of a name (key pair, certificates) comes together.
  [[nodiscard]] bool wants_secret() const noexcept { return type == ObjectType::kSecret; }

  friend bool operator==(const KeyUri&, const KeyUri&) = default;
};

/// The names that begin alike: all of them ("vhsm:"), or those below one or two segments
/// ("vhsm:default/tls/").
class KeyFolder {
 public:
  /// Whether `uri` is one of a folder: nothing, or a slash, stands at the end of its path.
  [[nodiscard]] static bool is_named_by(std::string_view uri) noexcept;
  /// @errors kBadUri, with the offending part as subject.
  static Result<KeyFolder> parse(std::string_view uri);

  [[nodiscard]] bool holds(const KeyName& name) const noexcept {
    return std::string_view(name.path()).starts_with(path_);
  }
  [[nodiscard]] std::string uri() const { return std::string(kScheme) + path_; }

 private:
  explicit KeyFolder(std::string path) : path_(std::move(path)) {}
  std::string path_;  ///< empty, or with a slash at its end
};

}  // namespace vhsm::keystore
