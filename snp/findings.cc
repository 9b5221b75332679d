// SPDX-License-Identifier: Apache-2.0
#include "snp/findings.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>

namespace vhsm::snp {
namespace {

/// The sentence, and what it is about.
std::string sentence(const Error& error) {
  std::string text = error.what.c_str();
  if (!error.subject.empty()) text.append(": ").append(error.subject.text());
  return text;
}

std::string padded(std::string_view text, std::size_t width) {
  std::string line(text);
  line.resize(std::max(width, line.size()), ' ');
  return line;
}

}  // namespace

void note(Findings* findings, std::string_view check, Outcome outcome) {
  if (findings != nullptr) findings->push_back({check, outcome, {}});
}

void note(Findings* findings, std::string_view check, const Status& status) {
  if (findings == nullptr) return;
  if (status.ok()) return note(findings, check, Outcome::kPassed);
  findings->push_back({check, Outcome::kFailed, sentence(status.error())});
}

std::string_view outcome_name(Outcome outcome) noexcept {
  constexpr std::array<std::string_view, 4> kNames{"passed", "failed", "not asked", "not reached"};
  return kNames[static_cast<std::size_t>(outcome)];
}

nlohmann::ordered_json to_json(const Findings& findings) {
  auto list = nlohmann::ordered_json::array();
  for (const Finding& one : findings) {
    nlohmann::ordered_json entry{{"check", one.check}, {"outcome", outcome_name(one.outcome)}};
    if (!one.reason.empty()) entry["reason"] = one.reason;
    list.push_back(std::move(entry));
  }
  return list;
}

std::string to_text(const Findings& findings) {
  constexpr std::size_t kOutcomeWidth = 12;
  constexpr std::size_t kCheckWidth = 28;
  std::string text;
  std::string not_asked;
  for (const Finding& one : findings) {
    if (one.outcome == Outcome::kNotAsked) {
      not_asked.append(not_asked.empty() ? "" : ", ").append(one.check);
      continue;
    }
    text += padded(outcome_name(one.outcome), kOutcomeWidth);
    text += one.reason.empty() ? std::string(one.check)
                               : padded(one.check, kCheckWidth) + "  " + one.reason;
    text += '\n';
  }
  if (!not_asked.empty()) text += "not asked   " + not_asked + "\n";
  return text;
}

}  // namespace vhsm::snp
