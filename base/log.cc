// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <utility>

namespace vhsm {
namespace {

constexpr std::size_t kMaxLineBytes = 1024;
constexpr std::array<std::string_view, 4> kLevelNames{"error", "warning", "info", "debug"};

/// A line under construction: bounded, without the heap, so that logging can neither fail nor grow.
class Line {
 public:
  template <class... Args>
  void append(fmt::format_string<Args...> format, Args&&... args) noexcept {
    const std::size_t room = kMaxLineBytes - size_;
    size_ += std::min(
        fmt::format_to_n(text_.data() + size_, room, format, std::forward<Args>(args)...).size,
        room);
  }

  /// "2026-01-31T12:00:00Z". Not gmtime_r: its lock may be held for good in a forked child.
  void append_time() noexcept {
    using std::chrono::days;
    using std::chrono::floor;
    const auto now = floor<std::chrono::seconds>(std::chrono::system_clock::now());
    const std::chrono::year_month_day date{floor<days>(now)};
    const std::chrono::hh_mm_ss clock{now - floor<days>(now)};
    append("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", static_cast<int>(date.year()),
           static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
           clock.hours().count(), clock.minutes().count(), clock.seconds().count());
  }

  /// A JSON string. Bytes outside printable ASCII become '?'.
  void append_json(std::string_view text) noexcept {
    append("\"");
    for (const char c : text) {
      if (c == '"' || c == '\\') append("\\");
      append("{}", (c >= ' ' && c <= '~') ? c : '?');
    }
    append("\"");
  }

  [[nodiscard]] std::string_view text() const noexcept { return {text_.data(), size_}; }

 private:
  std::array<char, kMaxLineBytes> text_{};
  std::size_t size_ = 0;
};

}  // namespace

Result<LogLevel> parse_log_level(std::string_view name) {
  const auto* const it = std::ranges::find(kLevelNames, name);
  if (it == kLevelNames.end()) {
    return fail(Errc::kBadConfig, "a log level is error, warning, info or debug", name);
  }
  return static_cast<LogLevel>(it - kLevelNames.begin());
}

LineFile::LineFile(LineFile&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}

LineFile& LineFile::operator=(LineFile&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

LineFile::~LineFile() {
  if (descriptor_ >= 0) close(descriptor_);
}

Result<LineFile> LineFile::open(const std::string& path) {
  LineFile file;
  if (path.empty()) return file;
  constexpr int kFlags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
  file.descriptor_ = ::open(path.c_str(), kFlags, 0640);
  if (file.descriptor_ < 0) return fail(Errc::kIo, "this log cannot be opened", path);
  struct stat status {};
  // A pipe without a reader would raise SIGPIPE in the host.
  if (fstat(file.descriptor_, &status) != 0 ||
      !(S_ISREG(status.st_mode) || S_ISCHR(status.st_mode))) {
    return fail(Errc::kIo, "a log must be a regular file", path);
  }
  return file;
}

void LineFile::write(std::string_view line) const noexcept {
  if (descriptor_ < 0) return;
  std::array<char, kMaxLineBytes + 1> bytes{};
  const std::size_t size = std::min(line.size(), kMaxLineBytes);
  std::ranges::transform(line.substr(0, size), bytes.begin(),
                         [](char c) { return (c >= ' ' && c <= '~') ? c : '?'; });
  bytes.at(size) = '\n';
  const int saved = errno;
  while (::write(descriptor_, bytes.data(), size + 1) < 0 && errno == EINTR) {
  }
  errno = saved;
}

void Log::write(LogLevel level, std::string_view text) const noexcept {
  if (level > level_) return;
  Line line;
  line.append_time();
  line.append(" {} {}", kLevelNames.at(static_cast<std::size_t>(level)), text);
  file_.write(line.text());
}

void Log::error(const Error& error) const noexcept {
  if (LogLevel::kError > level_) return;
  Line line;
  line.append_time();
  line.append(" error ");
  if (!error.subject.empty()) line.append("{}: ", error.subject.text());
  line.append("{}: {} ({})", reason(error.code), error.what.c_str(), cure(error.code));
  file_.write(line.text());
}

void AuditLog::fetch(std::string_view key, std::string_view endpoint,
                     std::string_view outcome) const noexcept {
  Line line;
  line.append("{{\"time\":\"");
  line.append_time();
  line.append("\",\"event\":\"fetch\",\"key\":");
  line.append_json(key.substr(0, kMaxLineBytes / 4));
  line.append(",\"endpoint\":");
  line.append_json(endpoint.substr(0, kMaxLineBytes / 4));
  line.append(",\"outcome\":");
  line.append_json(outcome.substr(0, kMaxLineBytes / 16));
  line.append("}}");
  file_.write(line.text());
}

}  // namespace vhsm
