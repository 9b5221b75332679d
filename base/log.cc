// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <utility>

#include "base/descriptor.h"

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

/// Where a system's logger listens, and what stands before a line's text there.
struct Logger {
  std::string_view path;
  std::string_view prefix;
};
constexpr Logger kSyslog{"/dev/log", "<30>vhsm: "};  // facility daemon, severity info
constexpr Logger kJournal{"/run/systemd/journal/socket",
                          "PRIORITY=6\nSYSLOG_IDENTIFIER=vhsm\nMESSAGE="};

sockaddr_un address_of(const Logger& logger) noexcept {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::ranges::copy(logger.path, std::begin(address.sun_path));
  return address;
}

bool connect_to(int descriptor, const Logger& logger) noexcept {
  const sockaddr_un address = address_of(logger);
  return ::connect(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

}  // namespace

Result<LogLevel> parse_log_level(std::string_view name) {
  const auto* const it = std::ranges::find(kLevelNames, name);
  if (it == kLevelNames.end()) {
    return fail(Errc::kBadConfig, "a log level is error, warning, info or debug", name);
  }
  return static_cast<LogLevel>(it - kLevelNames.begin());
}

LineFile::LineFile(LineFile&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), kind_(other.kind_) {}

LineFile& LineFile::operator=(LineFile&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(kind_, other.kind_);
  return *this;
}

LineFile::~LineFile() {
  if (descriptor_ >= 0) close(descriptor_);
}

Result<LineFile> LineFile::open(const std::string& path) {
  if (path == "syslog") return connect(Kind::kSyslog);
  if (path == "journal") return connect(Kind::kJournal);
  LineFile file;
  if (path.empty()) return file;
  constexpr int kFlags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
  file.descriptor_ = clear_of_streams(Descriptor(::open(path.c_str(), kFlags, 0640))).release();
  if (file.descriptor_ < 0) return fail(Errc::kIo, "this log cannot be opened", path);
  struct stat status {};
  // A pipe without a reader would raise SIGPIPE in the host.
  if (fstat(file.descriptor_, &status) != 0 ||
      !(S_ISREG(status.st_mode) || S_ISCHR(status.st_mode))) {
    return fail(Errc::kIo, "a log must be a regular file", path);
  }
  return file;
}

Result<LineFile> LineFile::connect(Kind kind) {
  const Logger& logger = kind == Kind::kSyslog ? kSyslog : kJournal;
  LineFile file;
  file.kind_ = kind;
  const int socket = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  file.descriptor_ = clear_of_streams(Descriptor(socket)).release();
  if (file.descriptor_ >= 0 && connect_to(file.descriptor_, logger)) return file;
  return fail(Errc::kIo, "the system's logger does not listen", logger.path);
}

/// A logger that has started anew since is sought once more.
void LineFile::send(std::string_view line) const noexcept {
  const Logger& logger = kind_ == Kind::kSyslog ? kSyslog : kJournal;
  std::array<char, kMaxLineBytes + 64> message{};
  auto end = std::ranges::copy(logger.prefix, message.begin()).out;
  end = std::ranges::copy(line, end).out;
  const auto size = static_cast<std::size_t>(end - message.begin());
  const auto sent = [&] { return ::send(descriptor_, message.data(), size, MSG_NOSIGNAL) >= 0; };
  if (!sent() && connect_to(descriptor_, logger)) static_cast<void>(sent());
}

void LineFile::write(std::string_view line) const noexcept {
  if (descriptor_ < 0) return;
  std::array<char, kMaxLineBytes + 1> bytes{};
  const std::size_t size = std::min(line.size(), kMaxLineBytes);
  std::ranges::transform(line.substr(0, size), bytes.begin(),
                         [](char c) { return (c >= ' ' && c <= '~') ? c : '?'; });
  bytes.at(size) = '\n';
  const int saved = errno;
  if (kind_ != Kind::kFile) {
    send({bytes.data(), size});
  } else {
    while (::write(descriptor_, bytes.data(), size + 1) < 0 && errno == EINTR) {
    }
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
  line.append("{}: {} ({})", reason(error.code), error.what.c_str(), cure(error));
  file_.write(line.text());
}

void AuditLog::write(const AuditEvent& event) const noexcept {
  constexpr std::size_t kMostBytes = kMaxLineBytes / 6;  // so that no line is cut
  Line line;
  line.append("{{\"time\":\"");
  line.append_time();
  line.append("\"");
  const auto member = [&](const char* name, std::string_view text) {
    if (text.empty()) return;
    line.append(",\"{}\":", name);
    line.append_json(text.substr(0, kMostBytes));
  };
  member("event", event.event);
  member("outcome", event.outcome);
  member("key", event.key);
  member("endpoint", event.endpoint);
  member("nonce", event.nonce);
  member("measurement", event.measurement);
  member("tcb", event.tcb);
  if (event.took) line.append(",\"ms\":{}", event.took->count());
  line.append("}}");
  file_.write(line.text());
}

}  // namespace vhsm
