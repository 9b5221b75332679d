// SPDX-License-Identifier: Apache-2.0
//
// Answers as the protocol wants them.
#include "kbs/reply.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <ctime>

namespace vhsm::kbs {
namespace {

constexpr std::string_view kErrorPrefix = "https://github.com/confidential-containers/kbs/errors/";
constexpr std::string_view kCookieName = "kbs-session-id=";
constexpr std::size_t kIdDigits = 32;

bool is_id(std::string_view text) {
  return text.size() == kIdDigits && std::ranges::all_of(text, [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

/// RFC 9110, section 5.6.7 (IMF-fixdate), in no locale.
std::string http_date(Time time) {
  constexpr std::array kDays{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  constexpr std::array kMonths{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                               "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%s, %02d %s %04d %02d:%02d:%02d GMT",
                kDays.at(static_cast<std::size_t>(utc.tm_wday)), utc.tm_mday,
                kMonths.at(static_cast<std::size_t>(utc.tm_mon)), utc.tm_year + 1900, utc.tm_hour,
                utc.tm_min, utc.tm_sec);
  return text.data();
}

}  // namespace

std::string ordered(std::initializer_list<std::pair<std::string_view, std::string_view>> members) {
  nlohmann::ordered_json object;
  for (const auto& [name, value] : members) object[std::string(name)] = value;
  return object.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

Reply refusal(int status, std::string_view variant, std::string_view detail) {
  const std::string type = std::string(kErrorPrefix) + std::string(variant);
  return {status, ordered({{"type", type}, {"detail", detail}}), {}};
}

std::string session_cookie(const Challenge& challenge) {
  return std::string(kCookieName) + challenge.id + "; Expires=" + http_date(challenge.expires);
}

std::string session_in(std::string_view cookie_header) {
  while (!cookie_header.empty()) {
    const auto end = std::min(cookie_header.find(';'), cookie_header.size());
    std::string_view pair = cookie_header.substr(0, end);
    pair.remove_prefix(std::min(pair.find_first_not_of(' '), pair.size()));
    if (pair.starts_with(kCookieName)) {
      const std::string_view id = pair.substr(kCookieName.size());
      return is_id(id) ? std::string(id) : std::string();
    }
    cookie_header.remove_prefix(std::min(end + 1, cookie_header.size()));
  }
  return {};
}

std::string reason_of(const Error& error) {
  std::string text = error.what.c_str();
  if (!error.subject.empty()) text.append(": ").append(error.subject.text());
  return text;
}

}  // namespace vhsm::kbs
