// SPDX-License-Identifier: Apache-2.0
#include "keystore/key_name.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <vector>

#include "base/segment.h"

namespace vhsm::keystore {
namespace {

constexpr std::size_t kSegments = 3;
constexpr std::size_t kMaxUriBytes = 1024;
constexpr std::array<std::pair<std::string_view, ObjectType>, 4> kTypes{{
    {"private", ObjectType::kPrivate},
    {"public", ObjectType::kPublic},
    {"cert", ObjectType::kCertificate},
    {"secret", ObjectType::kSecret},
}};

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (;;) {
    const std::size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

char lower(char c) { return (c >= 'A' && c <= 'Z') ? static_cast<char>(c - 'A' + 'a') : c; }

/// Whether `text` starts with "vhsm:", in any case (RFC 3986, section 3.1).
bool has_scheme(std::string_view text) {
  return text.size() >= kScheme.size() &&
         std::ranges::equal(text.substr(0, kScheme.size()), kScheme, {}, lower);
}

/// RFC 3986, section 2.1. What a segment may not hold stays to be refused by is_segment().
/// @errors kBadUri for a % without two hex digits.
Result<std::string> percent_decode(std::string_view text) {
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded.push_back(text[i]);
      continue;
    }
    unsigned value = 0;
    const std::string_view digits = text.substr(i + 1, 2);
    const auto [end, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    if (error != std::errc{} || end != digits.data() + 2) {
      return fail(Errc::kBadUri, "a % must be followed by two hex digits", text.substr(i, 3));
    }
    decoded.push_back(static_cast<char>(value));
    i += 2;
  }
  return decoded;
}

Result<std::string> read_segment(std::string_view text) {
  std::string segment = VHSM_TRY(percent_decode(text));
  if (is_segment(segment)) return segment;
  if (segment.empty()) return fail(Errc::kBadUri, "a segment of the name is empty");
  return fail(Errc::kBadUri, "a segment may hold letters, digits, _ - . and not start with a dot",
              text);
}

Result<std::string> join_segments(const std::vector<std::string_view>& segments,
                                  std::string_view path) {
  std::string joined;
  for (const std::string_view text : segments) {
    const auto segment = read_segment(text);
    if (!segment.ok()) return segment.error().about(path);
    joined.append(joined.empty() ? "" : "/").append(segment.value());
  }
  return joined;
}

/// Drops the empty authority: vhsm:a = vhsm://a = vhsm:///a.
Result<std::string_view> strip_slashes(std::string_view path) {
  const std::size_t slashes = std::min(path.find_first_not_of('/'), path.size());
  if (slashes == 1 || slashes > 3) {
    return fail(Errc::kBadUri, "after vhsm: come no, two or three slashes", path);
  }
  return path.substr(slashes);
}

Status read_type(std::string_view value, KeyUri& uri) {
  const auto* const it = std::ranges::find(kTypes, value, &decltype(kTypes)::value_type::first);
  if (it == kTypes.end()) {
    return fail(Errc::kBadUri, "type must be private, public, cert or secret", value);
  }
  if (uri.type.has_value()) return fail(Errc::kBadUri, "type stands twice in the URI", value);
  uri.type = it->second;
  return {};
}

Status read_version(std::string_view value, KeyUri& uri) {
  std::uint32_t version = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), version);
  if (error != std::errc{} || end != value.data() + value.size() || value.front() == '0') {
    return fail(Errc::kBadUri, "version must be a whole number from 1", value);
  }
  if (uri.version.has_value()) return fail(Errc::kBadUri, "version stands twice in the URI", value);
  uri.version = version;
  return {};
}

Status read_query(std::string_view query, KeyUri& uri) {
  constexpr std::string_view kType = "type=";
  constexpr std::string_view kVersion = "version=";
  for (const std::string_view part : split(query, '&')) {
    if (part.starts_with(kType)) {
      VHSM_TRY(read_type(part.substr(kType.size()), uri));
    } else if (part.starts_with(kVersion)) {
      VHSM_TRY(read_version(part.substr(kVersion.size()), uri));
    } else {
      return fail(Errc::kBadUri, "after ? may stand only type= and version=", part);
    }
  }
  return {};
}

}  // namespace

Result<KeyName> KeyName::parse(std::string_view path, std::string_view prefix) {
  if (path.size() > kMaxUriBytes) return fail(Errc::kBadUri, "the name is too long", path);
  std::vector<std::string_view> segments = split(path, '/');
  if (segments.size() > kSegments) {
    return fail(Errc::kBadUri, "a name has 1 to 3 segments", path);
  }
  const std::vector<std::string_view> leading = split(prefix, '/');
  const std::size_t absent = kSegments - segments.size();
  if (absent > 0 && (prefix.empty() || leading.size() < absent)) {
    return fail(Errc::kBadUri, "the name lacks leading segments, and kbs_path gives none", path);
  }
  segments.insert(segments.begin(), leading.begin(),
                  leading.begin() + static_cast<std::ptrdiff_t>(absent));
  std::string full = VHSM_TRY(join_segments(segments, path));
  return KeyName(std::move(full));
}

Result<KeyUri> KeyUri::parse(std::string_view text, std::string_view prefix, bool bare_path) {
  if (text.size() > kMaxUriBytes) return fail(Errc::kBadUri, "the URI is too long", text);
  std::string_view path = text;
  if (has_scheme(text)) {
    path = VHSM_TRY(strip_slashes(text.substr(kScheme.size())));
  } else if (!bare_path) {
    return fail(Errc::kBadUri, "the URI does not start with vhsm:", text);
  }
  const std::size_t question = path.find('?');
  KeyName name = VHSM_TRY(KeyName::parse(path.substr(0, question), prefix));
  KeyUri uri{std::move(name), std::nullopt, std::nullopt};
  if (question == std::string_view::npos) return uri;
  VHSM_TRY(read_query(path.substr(question + 1), uri));
  return uri;
}

std::string KeyUri::text() const {
  std::string text = name.uri();
  auto add = [&text, separator = '?'](std::string_view key, std::string_view value) mutable {
    text.append(1, std::exchange(separator, '&')).append(key).append("=").append(value);
  };
  for (const auto& [known, its] : kTypes) {
    if (type == its) add("type", known);
  }
  if (version.has_value()) add("version", std::to_string(*version));
  return text;
}

bool KeyFolder::is_named_by(std::string_view uri) noexcept {
  if (!has_scheme(uri)) return false;
  const std::string_view path = uri.substr(kScheme.size(), uri.find('?') - kScheme.size());
  return path.empty() || path.back() == '/';
}

Result<KeyFolder> KeyFolder::parse(std::string_view uri) {
  if (uri.size() > kMaxUriBytes) return fail(Errc::kBadUri, "the URI is too long", uri);
  if (!is_named_by(uri)) {
    return fail(Errc::kBadUri, "a folder is vhsm: and segments with a slash behind each", uri);
  }
  if (uri.find('?') != std::string_view::npos) {
    return fail(Errc::kBadUri, "behind a folder stands no query", uri);
  }
  std::string_view path = VHSM_TRY(strip_slashes(uri.substr(kScheme.size())));
  if (path.empty()) return KeyFolder("");
  path.remove_suffix(1);
  const auto segments = split(path, '/');
  if (segments.size() >= kSegments) {
    return fail(Errc::kBadUri, "a folder has 1 or 2 segments", path);
  }
  const std::string joined = VHSM_TRY(join_segments(segments, path));
  return KeyFolder(joined + "/");
}

}  // namespace vhsm::keystore
