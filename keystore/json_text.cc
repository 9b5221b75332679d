// SPDX-License-Identifier: Apache-2.0
#include "keystore/json_text.h"

#include <algorithm>
#include <charconv>

namespace vhsm::keystore {
namespace {

constexpr int kMostLevels = 8;
constexpr std::string_view kBlanks = " \t\r\n";

Error malformed() { return fail(Errc::kBadFormat, "the JSON text is malformed"); }

/// Takes values off the front of a text.
class Scanner {
 public:
  explicit Scanner(std::string_view text) noexcept : rest_(text) { skip_blanks(); }

  /// Whether `wanted` comes next; then it is taken, with the blanks behind it.
  bool take(char wanted) noexcept {
    if (!is_next(wanted)) return false;
    rest_.remove_prefix(1);
    skip_blanks();
    return true;
  }
  [[nodiscard]] bool is_next(char wanted) const noexcept {
    return !rest_.empty() && rest_.front() == wanted;
  }
  [[nodiscard]] bool at_end() const noexcept { return rest_.empty(); }

  /// What stands between the quotes.
  Result<std::string_view> string() {
    if (!is_next('"')) return malformed();
    for (std::size_t i = 1; i < rest_.size(); ++i) {
      if (static_cast<unsigned char>(rest_[i]) < ' ') break;
      if (rest_[i] == '"') return taken(i + 1).substr(1, i - 1);
      if (rest_[i] == '\\') ++i;
    }
    return malformed();
  }

  /// Any value, as it stands.
  Result<std::string_view> value(int levels = kMostLevels) {
    const std::string_view from = rest_;
    VHSM_TRY(skip_value(levels));
    const std::string_view whole = from.substr(0, from.size() - rest_.size());
    return whole.substr(0, whole.find_last_not_of(kBlanks) + 1);
  }

 private:
  Status skip_value(int levels) {
    if (levels == 0) return malformed();
    if (take('{')) return skip_members(levels);
    if (take('[')) return skip_items(levels);
    if (!is_next('"')) return skip_word();
    [[maybe_unused]] const std::string_view skipped = VHSM_TRY(string());
    return {};
  }
  Status skip_items(int levels) {
    if (take(']')) return {};
    do {
      VHSM_TRY(skip_value(levels - 1));
    } while (take(','));
    return take(']') ? Status() : Status(malformed());
  }
  Status skip_members(int levels) {
    if (take('}')) return {};
    do {
      [[maybe_unused]] const std::string_view name = VHSM_TRY(string());
      if (!take(':')) return malformed();
      VHSM_TRY(skip_value(levels - 1));
    } while (take(','));
    return take('}') ? Status() : Status(malformed());
  }
  /// A number, true, false or null.
  Status skip_word() {
    constexpr std::string_view kInNumbers = "+-.0123456789eE";
    for (const std::string_view word : {"true", "false", "null"}) {
      if (!rest_.starts_with(word)) continue;
      taken(word.size());
      return {};
    }
    const std::size_t size = std::min(rest_.find_first_not_of(kInNumbers), rest_.size());
    if (size == 0) return malformed();
    taken(size);
    return {};
  }

  std::string_view taken(std::size_t size) noexcept {
    const std::string_view front = rest_.substr(0, size);
    rest_.remove_prefix(size);
    skip_blanks();
    return front;
  }
  void skip_blanks() noexcept {
    rest_.remove_prefix(std::min(rest_.find_first_not_of(kBlanks), rest_.size()));
  }

  std::string_view rest_;
};

Status read_member(Scanner& scanner, std::vector<JsonMember>& members) {
  const std::string_view name = VHSM_TRY(scanner.string());
  const bool known = std::ranges::find(members, name, &JsonMember::name) != members.end();
  const bool plain = name.find('\\') == std::string_view::npos;
  if (known || !plain || !scanner.take(':')) return malformed();
  const std::string_view value = VHSM_TRY(scanner.value());
  members.push_back({name, value});
  return {};
}

}  // namespace

Result<std::vector<JsonMember>> read_json_object(std::string_view text) {
  Scanner scanner(text);
  std::vector<JsonMember> members;
  if (!scanner.take('{')) return malformed();
  if (!scanner.is_next('}')) {
    do {
      VHSM_TRY(read_member(scanner, members));
    } while (scanner.take(','));
  }
  if (!scanner.take('}') || !scanner.at_end()) return malformed();
  return members;
}

Result<std::string_view> json_string(std::string_view value) {
  const std::string_view inside = VHSM_TRY(Scanner(value).string());
  if (inside.find('\\') != std::string_view::npos) return malformed();
  return inside;
}

Result<std::vector<std::string_view>> json_strings(std::string_view value) {
  Scanner scanner(value);
  std::vector<std::string_view> strings;
  if (!scanner.take('[')) return malformed();
  if (scanner.take(']')) return strings;
  do {
    const std::string_view one = VHSM_TRY(scanner.string());
    strings.push_back(one);
  } while (scanner.take(','));
  if (!scanner.take(']')) return malformed();
  return strings;
}

Result<std::uint64_t> json_number(std::string_view value) {
  std::uint64_t number = 0;
  const char* const last = value.data() + value.size();
  const auto [end, error] = std::from_chars(value.data(), last, number);
  const std::string_view rest(end, static_cast<std::size_t>(last - end));
  const bool fraction = rest.size() > 1 && rest.front() == '.' &&
                        rest.find_first_not_of("0123456789", 1) == std::string_view::npos;
  if (error != std::errc{} || (!rest.empty() && !fraction)) return malformed();
  return number;
}

}  // namespace vhsm::keystore
