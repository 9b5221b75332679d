// SPDX-License-Identifier: Apache-2.0
#include "cli/report_time.h"

#include <algorithm>
#include <cstdio>
#include <optional>
#include <string_view>

namespace vhsm::cli {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using std::chrono::system_clock;

/// Up to the seconds, and how many characters that took.
struct Timestamp {
  system_clock::time_point time;
  std::size_t used = 0;
};

std::optional<Timestamp> read_clock(const std::string& text) {
  int year = 0;
  unsigned month = 0;
  unsigned day = 0;
  unsigned hour = 0;
  unsigned minute = 0;
  unsigned second = 0;
  int used = 0;
  const int read = std::sscanf(text.c_str(), "%4d-%2u-%2u%*1[Tt ]%2u:%2u:%2u%n", &year, &month,
                               &day, &hour, &minute, &second, &used);
  const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(month),
                                         std::chrono::day(day)};
  if (read != 6 || !date.ok() || hour > 23 || minute > 59 || second > 60) return {};
  return Timestamp{std::chrono::sys_days(date) + hours(hour) + minutes(minute) + seconds(second),
                   static_cast<std::size_t>(used)};
}

/// "Z", "+01:00": how far the clock is ahead of UTC.
std::optional<minutes> read_zone(std::string_view text) {
  if (text == "Z" || text == "z") return minutes(0);
  unsigned hour = 0;
  unsigned minute = 0;
  int used = 0;
  const std::string digits(text.substr(std::min<std::size_t>(1, text.size())));
  if (std::sscanf(digits.c_str(), "%2u:%2u%n", &hour, &minute, &used) != 2 ||
      static_cast<std::size_t>(used) != digits.size() || hour > 23 || minute > 59) {
    return {};
  }
  const minutes ahead = hours(hour) + minutes(minute);
  if (text.front() == '+') return ahead;
  if (text.front() == '-') return -ahead;
  return {};
}

std::string_view without_fraction(std::string_view text) {
  if (!text.starts_with('.')) return text;
  const auto end = text.find_first_not_of("0123456789", 1);
  return end == text.npos || end == 1 ? std::string_view{} : text.substr(end);
}

}  // namespace

Result<system_clock::time_point> parse_time(const std::string& text) {
  const auto clock = read_clock(text);
  const auto zone = clock ? read_zone(without_fraction(std::string_view(text).substr(clock->used)))
                          : std::nullopt;
  if (zone) return clock->time - *zone;
  return fail(Errc::kInvalidArgument, "a time is written like 2026-01-31T12:00:00Z", text);
}

}  // namespace vhsm::cli
