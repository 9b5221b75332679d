// SPDX-License-Identifier: Apache-2.0
#include "keystore/daemon/list_line.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/words.h"

namespace vhsm::keystore {
namespace {

constexpr std::size_t kWords = 7;  // and the type, if it is known, and the rules of its policy
constexpr std::string_view kNoLimit = "-";

using Choice = std::array<std::string_view, 2>;  ///< false, true
constexpr Choice kStates{"off", "on"};
constexpr Choice kContents{"pair", "secret"};
constexpr std::array<std::string_view, 4> kOrigins{"made", "imported", "copy",
                                                   "restored"};  // from 1 on

Error malformed(std::string_view text) {
  return fail(Errc::kBadFormat, "vhsmd lists a key in a way of its own", text);
}

Result<bool> read_choice(const Choice& choice, std::string_view word) {
  if (word == choice[0]) return false;
  if (word == choice[1]) return true;
  return malformed(word);
}

Result<sealed::Origin> read_origin(std::string_view word) {
  const auto found = std::ranges::find(kOrigins, word);
  if (found == kOrigins.end()) return malformed(word);
  return static_cast<sealed::Origin>(found - kOrigins.begin() + 1);
}

std::string_view word_for(sealed::Origin origin) {
  return kOrigins[static_cast<std::size_t>(origin) - 1];
}

template <class Number>
Status read_number(std::string_view word, Number& into) {
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), into);
  if (error == std::errc{} && end == word.data() + word.size()) return {};
  return malformed(word);
}

std::string_view word_for(const Choice& choice, bool value) { return choice[value ? 1 : 0]; }

}  // namespace

std::string to_line(const KeyLine& line) {
  std::string text = line.name.path() + " " + std::to_string(line.version);
  for (const std::string_view word : {word_for(kStates, line.enabled),
                                      word_for(kContents, line.symmetric), word_for(line.origin)}) {
    text.append(" ").append(word);
  }
  text.append(" ").append(std::to_string(line.created));
  text.append(" ").append(line.uses_left ? std::to_string(*line.uses_left) : kNoLimit);
  for (const std::string& more : {line.type, line.policy}) {
    if (!more.empty()) text.append(" ").append(more);
  }
  return text;
}

Result<KeyLine> parse_list_line(std::string_view text) {
  const auto parts = words(text, " ");
  if (parts.size() < kWords) return malformed(text);
  auto name = VHSM_TRY(KeyName::parse(parts[0]));
  KeyLine line{.name = std::move(name)};
  VHSM_TRY(read_number(parts[1], line.version));
  line.enabled = VHSM_TRY(read_choice(kStates, parts[2]));
  line.symmetric = VHSM_TRY(read_choice(kContents, parts[3]));
  line.origin = VHSM_TRY(read_origin(parts[4]));
  VHSM_TRY(read_number(parts[5], line.created));
  if (parts[6] != kNoLimit) VHSM_TRY(read_number(parts[6], line.uses_left.emplace()));
  if (parts.size() > kWords) line.type = parts[kWords];
  for (std::size_t i = kWords + 1; i < parts.size(); ++i) {
    line.policy.append(line.policy.empty() ? "" : " ").append(parts[i]);
  }
  return line;
}

}  // namespace vhsm::keystore
