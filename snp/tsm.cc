// SPDX-License-Identifier: Apache-2.0
#include "snp/tsm.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <string_view>
#include <thread>
#include <utility>

#include "base/descriptor.h"
#include "snp/annex.h"
#include "snp/certificate_table.h"
#include "snp/guest_failure.h"
#include "snp/hex.h"
#include "snp/report.h"
#include "snp/within.h"

namespace vhsm::snp {
namespace {

using Bytes = std::vector<std::uint8_t>;
using Outcome = Result<std::optional<Evidence>>;

constexpr std::size_t kMaxTextBytes = 64;
constexpr int kMaxAttempts = 5;
constexpr Pace::Limits kTsmPace{std::chrono::seconds(2), 4};

// ---- The kernel's folder ---------------------------------------------------------------------

class KernelFolder final : public TsmFolder {
 public:
  explicit KernelFolder(Descriptor root) : root_(std::move(root)) {}

  int make(const std::string& entry) override {
    return ::mkdirat(root_.get(), entry.c_str(), S_IRWXU) == 0 ? 0 : errno;
  }
  int remove(const std::string& entry) override {
    return ::unlinkat(root_.get(), entry.c_str(), AT_REMOVEDIR) == 0 ? 0 : errno;
  }
  int write(const std::string& entry, const char* file,
            std::span<const std::uint8_t> bytes) override {
    const Descriptor opened = open(entry, file, O_WRONLY);
    if (!opened.valid()) return errno;
    const ssize_t written = ::write(opened.get(), bytes.data(), bytes.size());
    if (written < 0) return errno;
    return static_cast<std::size_t>(written) == bytes.size() ? 0 : EIO;
  }
  int read(const std::string& entry, const char* file, std::size_t max_bytes,
           Bytes& into) override {
    const Descriptor opened = open(entry, file, O_RDONLY);
    if (!opened.valid()) return errno;
    into.resize(max_bytes + 1);
    std::size_t size = 0;
    while (size < into.size()) {
      const ssize_t got = ::read(opened.get(), into.data() + size, into.size() - size);
      if (got < 0) return errno;
      if (got == 0) break;
      size += static_cast<std::size_t>(got);
    }
    into.resize(size);
    return size > max_bytes ? EFBIG : 0;
  }

 private:
  [[nodiscard]] Descriptor open(const std::string& entry, const char* file, int flags) const {
    return Descriptor(::openat(root_.get(), (entry + "/" + file).c_str(), flags | O_CLOEXEC));
  }

  Descriptor root_;
};

// ---- One entry -------------------------------------------------------------------------------

/// A name that no other party has: its files can be read by everybody.
std::string random_name() {
  std::array<std::uint8_t, 16> bytes{};
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) return {};
  return "vhsm-" + to_hex(bytes);
}

std::string_view trimmed(const Bytes& text) {
  std::string_view view(reinterpret_cast<const char*>(text.data()), text.size());
  while (!view.empty() && (view.back() == '\n' || view.back() == ' ')) view.remove_suffix(1);
  return view;
}

Error cannot_make(int error) {
  switch (error) {
    case ENXIO:
      return fail(Errc::kNoPlatform, "configfs-tsm has no provider: load the module sev-guest",
                  kTsmRoot);
    case EACCES:
    case EPERM: return fail(Errc::kIo, "this user may not make folders in configfs-tsm", kTsmRoot);
    default: return fail(Errc::kPlatform, "configfs-tsm lets nobody make a folder", kTsmRoot);
  }
}

Error failed(int error) { return fail(Errc::kPlatform, tsm_failure(error).what, kTsmRoot); }

/// A folder of ours, removed on every way out: what is left behind keeps the driver loaded.
class Entry {
 public:
  static Result<Entry> make(TsmFolder& folder) {
    Entry entry(folder, random_name());
    if (entry.name_.empty())
      return fail(Errc::kPlatform, "the kernel has no random bytes", kTsmRoot);
    if (const int error = folder.make(entry.name_); error != 0) {
      entry.name_.clear();
      return cannot_make(error);
    }
    return entry;
  }
  Entry(Entry&& other) noexcept
      : folder_(other.folder_), name_(std::exchange(other.name_, {})), writes_(other.writes_) {}
  Entry(const Entry&) = delete;
  Entry& operator=(const Entry&) = delete;
  Entry& operator=(Entry&&) = delete;
  ~Entry() {
    if (!name_.empty()) folder_->remove(name_);
  }

  /// @return 0 or the errno.
  int write(const char* file, std::span<const std::uint8_t> bytes) {
    const int error = folder_->write(name_, file, bytes);
    if (error == 0) ++writes_;
    return error;
  }
  int read(const char* file, std::size_t max_bytes, Bytes& into) {
    return folder_->read(name_, file, max_bytes, into);
  }

  Result<std::string> text(const char* file) {
    Bytes text;
    if (const int error = read(file, kMaxTextBytes, text); error != 0) return failed(error);
    return std::string(trimmed(text));
  }
  Result<std::uint64_t> number(const char* file) {
    const std::string digits = VHSM_TRY(text(file));
    std::uint64_t value = 0;
    const char* const end = digits.data() + digits.size();
    const auto [rest, error] = std::from_chars(digits.data(), end, value);
    if (error != std::errc{} || rest != end) {
      return fail(Errc::kBadFormat, "configfs-tsm gives something else than a number", kTsmRoot);
    }
    return value;
  }

  /// How many writes the kernel has not refused.
  [[nodiscard]] std::uint64_t writes() const noexcept { return writes_; }

 private:
  Entry(TsmFolder& folder, std::string name) : folder_(&folder), name_(std::move(name)) {}

  TsmFolder* folder_;
  std::string name_;  ///< empty: not there
  std::uint64_t writes_ = 0;
};

// ---- One report ------------------------------------------------------------------------------

struct Request {
  ReportData data;
  TsmService service;
  unsigned vmpl;
};

/// A conversation over one entry. When the count of writes is not ours any more, somebody else
/// wrote (or ours was lost), and what was read may be the answer to another request: kDisturbed.
class Conversation {
 public:
  static Result<Conversation> begin(TsmFolder& folder, FirstFinal& failed) {
    auto entry = VHSM_TRY(Entry::make(folder));
    const std::uint64_t before = VHSM_TRY(entry.number(tsm_file::kGeneration));
    return Conversation(std::move(entry), before, failed);
  }

  /// @return nothing when it was disturbed.
  Outcome run(const Request& request) {
    Evidence evidence;
    Bytes table;
    Bytes report;
    for (const Step& step : steps_for(request, table, report, evidence.annex)) {
      const bool undisturbed = VHSM_TRY(take(step));
      if (!undisturbed) return std::optional<Evidence>();
    }
    if (report.size() != kReportBytes) {
      return fail(Errc::kPlatform, "the firmware's report is not 1184 bytes", kTsmRoot);
    }
    std::ranges::copy(report, evidence.report.begin());
    evidence.certificates = VHSM_TRY(parse_certificate_table(table));
    return std::optional(std::move(evidence));
  }

 private:
  /// Either a write or a blob to read.
  struct Step {
    const char* file;
    Bytes written{};
    Bytes* read = nullptr;
    std::size_t max_bytes = 0;
  };

  Conversation(Entry entry, std::uint64_t before, FirstFinal& failed)
      : entry_(std::move(entry)), before_(before), failed_(&failed) {}

  static std::vector<Step> steps_for(const Request& request, Bytes& table, Bytes& report,
                                     Annex& annex) {
    const bool svsm = request.service == TsmService::kSvsm;
    std::vector<Step> steps;
    steps.push_back({tsm_file::kInblob, {request.data.begin(), request.data.end()}});
    steps.push_back({tsm_file::kPrivlevel, as_text(std::to_string(request.vmpl))});
    if (svsm) steps.push_back({tsm_file::kServiceProvider, as_text("svsm")});
    steps.push_back({tsm_file::kAuxblob, {}, &table, kMaxTableBytes});
    steps.push_back({tsm_file::kOutblob, {}, &report, kReportBytes});
    if (svsm) {
      annex.kind = AnnexKind::kSvsmManifest;
      steps.push_back({tsm_file::kManifestblob, {}, &annex.data, kMaxManifestBytes});
    }
    return steps;
  }

  static Bytes as_text(std::string_view text) { return {text.begin(), text.end()}; }

  Result<bool> take(const Step& step) {
    const int error = step.read == nullptr ? entry_.write(step.file, step.written)
                                           : entry_.read(step.file, step.max_bytes, *step.read);
    const std::uint64_t now = VHSM_TRY(entry_.number(tsm_file::kGeneration));
    if (now != before_ + entry_.writes()) return false;
    if (error == 0) return true;
    return fail(Errc::kPlatform, failed_->note(tsm_failure(error)).what, kTsmRoot);
  }

  Entry entry_;
  std::uint64_t before_;
  FirstFinal* failed_;
};

/// What the report must be beyond the bytes: asked for at this level.
Status check_level(const Evidence& evidence, const Request& request) {
  const unsigned expected = request.service == TsmService::kSvsm ? 0 : request.vmpl;
  if (UnverifiedReport(evidence.report).number<field::kVmpl>() == expected) return {};
  return fail(Errc::kPlatform, "the firmware's report is of another VMPL than was asked for",
              kTsmRoot);
}

/// Shared with requests that their callers have given up.
struct Channel {
  Channel(std::shared_ptr<TsmFolder> entries, Pace::Limits limits)
      : folder(std::move(entries)), pace(limits) {}

  Result<Evidence> get(const Request& request, TimePoint deadline) {
    if (const Failure* failure = failed.get()) {
      return fail(Errc::kPlatform, failure->what, kTsmRoot);
    }
    const auto turn = pace.take(Clock::now(), deadline);
    if (!turn) return fail(Errc::kPlatform, "too many requests in too short a time", kTsmRoot);
    std::this_thread::sleep_until(*turn);
    for (int attempt = 0; attempt < kMaxAttempts; ++attempt) {
      auto conversation = VHSM_TRY(Conversation::begin(*folder, failed));
      auto evidence = VHSM_TRY(conversation.run(request));
      if (evidence.has_value()) return *std::move(evidence);
    }
    return fail(Errc::kPlatform, "somebody else writes to each of our requests", kTsmRoot);
  }

  std::shared_ptr<TsmFolder> folder;
  Pace pace;
  FirstFinal failed;
};

class Tsm final : public Platform {
 public:
  Tsm(std::shared_ptr<TsmFolder> folder, TsmService service, unsigned vmpl, Pace::Limits pace)
      : channel_(std::make_shared<Channel>(std::move(folder), pace)),
        service_(service),
        vmpl_(vmpl) {}

  [[nodiscard]] PlatformInfo info() const override {
    if (service_ == TsmService::kSvsm) return {"svsm", false, 0};
    return {"tsm", false, vmpl_};
  }

  Result<Evidence> attest(const ReportData& data, TimePoint deadline) override {
    const Request request{data, service_, vmpl_};
    auto evidence = VHSM_TRY(within(deadline, kTsmRoot, [channel = channel_, request, deadline] {
      return channel->get(request, deadline);
    }));
    VHSM_TRY(check_binding(evidence, data, kTsmRoot));
    VHSM_TRY(check_level(evidence, request));
    return evidence;
  }

 private:
  std::shared_ptr<Channel> channel_;
  TsmService service_;
  unsigned vmpl_;
};

}  // namespace

Result<std::unique_ptr<Platform>> make_tsm(std::shared_ptr<TsmFolder> folder, TsmService service,
                                           std::optional<unsigned> vmpl, Pace::Limits pace) {
  auto entry = VHSM_TRY(Entry::make(*folder));
  const std::string provider = VHSM_TRY(entry.text(tsm_file::kProvider));
  if (provider != kTsmProvider) {
    return fail(Errc::kNoPlatform, "configfs-tsm is of another technology here", provider);
  }
  const std::uint64_t floor = VHSM_TRY(entry.number(tsm_file::kPrivlevelFloor));
  if (floor > kMaxVmpl) {
    return fail(Errc::kBadFormat, "configfs-tsm's lowest level is no VMPL", kTsmRoot);
  }
  const unsigned level = vmpl.value_or(static_cast<unsigned>(floor));
  return std::unique_ptr<Platform>(std::make_unique<Tsm>(std::move(folder), service, level, pace));
}

Result<std::unique_ptr<Platform>> open_tsm(const std::string& root, TsmService service,
                                           std::optional<unsigned> vmpl) {
  Descriptor folder(::open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!folder.valid()) {
    return fail(Errc::kNoPlatform, "there is no configfs-tsm here", root);
  }
  return make_tsm(std::make_shared<KernelFolder>(std::move(folder)), service, vmpl, kTsmPace);
}

}  // namespace vhsm::snp
