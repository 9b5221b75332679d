// SPDX-License-Identifier: Apache-2.0
#include "cli/served_name.h"

namespace vhsm::cli {
namespace {

constexpr std::string_view kVolume = "cryptsetup/";
constexpr std::string_view kUnit = "unit/";

/// What stands before the first slash, which is removed with it. Nothing when there is none.
std::optional<std::string_view> take_segment(std::string_view& text) {
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos || slash == 0) return std::nullopt;
  const std::string_view segment = text.substr(0, slash);
  text.remove_prefix(slash + 1);
  return segment;
}

bool is_name(std::string_view text) noexcept {
  return !text.empty() && text.find('/') == std::string_view::npos &&
         text.find('\0') == std::string_view::npos;
}

std::optional<ServedName> parse_credential(std::string_view rest) {
  const auto unit = take_segment(rest);
  if (!unit.has_value() || !is_name(*unit) || !is_name(rest)) return std::nullopt;
  return ServedName{false, std::string(*unit), std::string(rest)};
}

}  // namespace

std::optional<ServedName> parse_served_name(std::string_view bound) {
  if (!bound.starts_with('\0')) return std::nullopt;
  bound.remove_prefix(1);
  if (!take_segment(bound).has_value()) return std::nullopt;
  if (bound.starts_with(kUnit)) return parse_credential(bound.substr(kUnit.size()));
  if (!bound.starts_with(kVolume) || !is_name(bound.substr(kVolume.size()))) return std::nullopt;
  return ServedName{true, {}, std::string(bound.substr(kVolume.size()))};
}

}  // namespace vhsm::cli
