// SPDX-License-Identifier: Apache-2.0
//
// Source: as grants.h; getpwnam_r(3) and getgrnam_r(3) for names.
#include "keystore/daemon/grants.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <tuple>
#include <utility>

#include "base/descriptor.h"

namespace vhsm::keystore {
namespace {

constexpr Errc kRefusal = Errc::kNotGranted;
constexpr std::uint32_t kNoId = static_cast<std::uint32_t>(-1);  // means "none" to the kernel
constexpr std::size_t kMaxFileBytes = std::size_t{1} << 20;
constexpr std::size_t kMaxAccountBytes = 256;
constexpr std::size_t kMaxRecordBytes = std::size_t{1} << 20;
constexpr std::string_view kAllKeys = "*";
constexpr std::string_view kHead =
    "# vhsmd writes this file anew whenever a grant changes: comments do not survive.\n";
constexpr std::array<std::string_view, 3> kKindNames{"user", "group", "unit"};

// What of a subject each part may take, so that the others still fit.
constexpr std::size_t kShownPathBytes = 48;
constexpr std::size_t kShownLineBytes = 40;
constexpr std::size_t kShownKeyBytes = 72;

std::string shown_end(const std::string& text, std::size_t limit) {
  return text.size() <= limit ? text : "..." + text.substr(text.size() - limit + 3);
}

// ---- rules ----

bool is_number(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

Result<std::uint32_t> parse_id(std::string_view text) {
  std::uint32_t id = 0;
  const char* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, id);
  if (error != std::errc{} || end != last || id == kNoId) {
    return fail(Errc::kBadConfig, "the number of a user or group is at most 4294967294", text);
  }
  return id;
}

/// The id in the record that `look`, getpwnam_r or getgrnam_r, has for `name`.
template <class Record>
Result<std::uint32_t> resolve(const std::string& name,
                              int (*look)(const char*, Record*, char*, std::size_t, Record**),
                              std::uint32_t Record::*id) {
  std::vector<char> room(1024);
  for (;;) {
    Record record{};
    Record* found = nullptr;
    const int error = look(name.c_str(), &record, room.data(), room.size(), &found);
    if (found != nullptr) return found->*id;
    if (error != ERANGE || room.size() >= kMaxRecordBytes) {
      return fail(Errc::kBadConfig, "no such user or group is known here", name);
    }
    room.resize(room.size() * 4);
  }
}

Result<std::uint32_t> id_of(Rule::Kind kind, std::string_view text) {
  if (is_number(text)) return parse_id(text);
  // A NUL would cut the name, to one that the caller did not mean.
  const bool is_name = !text.empty() && text.size() <= kMaxAccountBytes &&
                       std::ranges::none_of(text, [](char c) { return c >= '\0' && c <= ' '; });
  if (!is_name) return fail(Errc::kBadConfig, "this is no name of a user or group", text);
  const std::string name(text);
  if (kind == Rule::Kind::kUser) return resolve(name, &::getpwnam_r, &passwd::pw_uid);
  return resolve(name, &::getgrnam_r, &group::gr_gid);
}

/// A rule made by hand could otherwise write a line that no longer loads.
Status check(const Rule& rule) {
  const bool is_good = rule.kind == Rule::Kind::kUnit ? rule.id == 0 && is_unit_name(rule.unit)
                                                      : rule.id != kNoId && rule.unit.empty();
  if (is_good) return {};
  return fail(Errc::kBadConfig, "this is no rule", to_text(rule));
}

bool matches(const Rule& rule, const Peer& peer) {
  switch (rule.kind) {
    case Rule::Kind::kUser: return rule.id == peer.uid;
    case Rule::Kind::kGroup:
      return rule.id == peer.gid || std::ranges::find(peer.groups, rule.id) != peer.groups.end();
    case Rule::Kind::kUnit: return !peer.unit.empty() && rule.unit == peer.unit;
  }
  return false;
}

std::string subject_of(const Peer& peer, const KeyName& key) {
  return shown_end(key.uri(), kShownKeyBytes) + " for user " + std::to_string(peer.uid) +
         ", group " + std::to_string(peer.gid) +
         (peer.unit.empty() ? ", no unit" : ", unit " + peer.unit);
}

// ---- lines ----

struct Line {
  std::optional<KeyName> key;
  Rule rule;
};

std::string to_line(const std::optional<KeyName>& key, const Rule& rule) {
  return (key.has_value() ? key->path() : std::string(kAllKeys)) + " " + to_text(rule);
}

std::vector<std::string_view> words_of(std::string_view text) {
  constexpr std::string_view kBlanks = " \t";
  std::vector<std::string_view> words;
  for (;;) {
    text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));
    if (text.empty()) return words;
    const std::size_t end = std::min(text.find_first_of(kBlanks), text.size());
    words.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
}

Result<Line> parse_line(const std::vector<std::string_view>& words) {
  if (words.size() != 3) return fail(Errc::kBadConfig, "a grant has three words");
  const Rule::Kind kind = VHSM_TRY(parse_kind(words[1]));
  if (kind != Rule::Kind::kUnit && !is_number(words[2])) {
    return fail(Errc::kBadConfig, "users and groups are numbers in this file");
  }
  Line line;
  line.rule = VHSM_TRY(parse_rule(kind, words[2]));
  if (words[0] != kAllKeys) line.key = VHSM_TRY(KeyName::parse(words[0]));
  return line;
}

/// `error` of a line, with "FILE:LINE: text; what is allowed" as subject.
Error at_line(const Error& error, const std::string& path, std::size_t number,
              std::string_view text) {
  return fail(Errc::kBadConfig, error.what,
              shown_end(path, kShownPathBytes) + ":" + std::to_string(number) + ": " +
                  std::string(text.substr(0, kShownLineBytes)) +
                  "; allowed: KEY or *, user or group NUMBER, unit NAME",
              error.where);
}

// ---- the file ----

/// Who can write the file can use every key.
Status check_trust(const Descriptor& file, const std::string& path, uid_t owner) {
  struct stat status {};
  if (::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
    return fail(Errc::kBadConfig, "the file of grants must be a regular file", path);
  }
  if (status.st_uid != 0 && status.st_uid != owner) {
    return fail(Errc::kBadConfig, "the file of grants must be owned by root or vhsmd's user", path);
  }
  if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return fail(Errc::kBadConfig, "the file of grants must not be writable by group or others",
                path);
  }
  return {};
}

Result<std::string> read_text(const Descriptor& file, const std::string& path) {
  std::string text;
  std::array<char, 4096> chunk{};
  for (;;) {
    const ssize_t size = ::read(file.get(), chunk.data(), chunk.size());
    if (size == 0) return text;
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return fail(Errc::kIo, "the file of grants cannot be read", path);
    text.append(chunk.data(), static_cast<std::size_t>(size));
    if (text.size() > kMaxFileBytes) {
      return fail(Errc::kBadConfig, "the file of grants is larger than 1 MiB", path);
    }
  }
}

Result<std::string> read_file(const std::string& path, uid_t owner) {
  // A symbolic link would be replaced, not followed, by the next change. A pipe must not block.
  constexpr int kFlags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
  const Descriptor file(::open(path.c_str(), kFlags));
  if (!file.valid() && errno == ENOENT) return std::string();
  if (!file.valid() && errno == ELOOP) {
    return fail(Errc::kBadConfig, "the file of grants must be a regular file", path);
  }
  if (!file.valid()) return fail(Errc::kIo, "the file of grants cannot be opened", path);
  VHSM_TRY(check_trust(file, path, owner));
  return read_text(file, path);
}

Status write_new(const std::string& path, std::string_view text) {
  constexpr int kFlags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW;
  const Descriptor file(::open(path.c_str(), kFlags, S_IRUSR | S_IWUSR));
  if (!file.valid()) return fail(Errc::kIo, "the new file of grants cannot be made", path);
  while (!text.empty()) {
    const ssize_t part = ::write(file.get(), text.data(), text.size());
    if (part < 0 && errno == EINTR) continue;
    if (part <= 0) return fail(Errc::kIo, "the new file of grants cannot be written", path);
    text.remove_prefix(static_cast<std::size_t>(part));
  }
  if (::fsync(file.get()) != 0) {
    return fail(Errc::kIo, "the new file of grants cannot be written", path);
  }
  return {};
}

/// The file at `path` is the old one or the new one at every moment.
Status replace_file(const std::string& path, std::string_view text) {
  const std::string beside = path + ".new";
  ::unlink(beside.c_str());  // what a crash left
  Status written = write_new(beside, text);
  if (written.ok() && std::rename(beside.c_str(), path.c_str()) == 0) return {};
  ::unlink(beside.c_str());
  return written.ok() ? fail(Errc::kIo, "the file of grants cannot be replaced", path) : written;
}

/// Makes the new name durable.
Status sync_folder(const std::string& path) {
  const std::filesystem::path parent = std::filesystem::path(path).parent_path();
  const std::string folder = parent.empty() ? "." : parent.string();
  const Descriptor opened(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  // EINVAL: a file system that keeps names safe by itself or not at all.
  if (opened.valid() && (::fsync(opened.get()) == 0 || errno == EINVAL)) return {};
  return fail(Errc::kIo, "the folder of the grants cannot be written to disk", folder);
}

}  // namespace

bool operator<(const Rule& a, const Rule& b) noexcept {
  return std::tie(a.kind, a.id, a.unit) < std::tie(b.kind, b.id, b.unit);
}

Result<Rule::Kind> parse_kind(std::string_view name) {
  const auto* const it = std::ranges::find(kKindNames, name);
  if (it == kKindNames.end()) {
    return fail(Errc::kBadConfig, "a grant is for a user, a group or a unit", name);
  }
  return static_cast<Rule::Kind>(it - kKindNames.begin());
}

Result<Rule> parse_rule(Rule::Kind kind, std::string_view text) {
  Rule rule{kind, 0, {}};
  if (kind != Rule::Kind::kUnit) {
    rule.id = VHSM_TRY(id_of(kind, text));
    return rule;
  }
  if (!is_unit_name(text)) {
    return fail(Errc::kBadConfig, "a unit is a NAME.service or NAME.scope, and no template", text);
  }
  rule.unit = text;
  return rule;
}

std::string to_text(const Rule& rule) {
  return std::string(kKindNames.at(static_cast<std::size_t>(rule.kind))) + " " +
         (rule.kind == Rule::Kind::kUnit ? rule.unit : std::to_string(rule.id));
}

Grants::Grants(std::string path, uid_t owner, Rules rules)
    : path_(std::move(path)),
      owner_(owner),
      rules_(std::in_place, std::make_shared<const Rules>(std::move(rules))) {}

Result<std::unique_ptr<Grants>> Grants::load(const std::string& path, uid_t owner) {
  Rules rules;
  if (!path.empty()) {
    const std::string text = VHSM_TRY(read_file(path, owner));
    rules = VHSM_TRY(parse(path, text));
  }
  return std::unique_ptr<Grants>(new Grants(path, owner, std::move(rules)));
}

Result<Grants::Rules> Grants::parse(const std::string& path, std::string_view text) {
  Rules rules;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view written = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const std::vector<std::string_view> words = words_of(written.substr(0, written.find('#')));
    if (words.empty()) continue;
    const Result<Line> line = parse_line(words);
    if (!line.ok()) return at_line(line.error(), path, number, written);
    rules[line.value().key].insert(line.value().rule);
  }
  return rules;
}

std::string Grants::render(const Rules& rules) {
  std::string text(kHead);
  for (const auto& [key, granted] : rules) {
    for (const Rule& rule : granted) text.append(to_line(key, rule)).append("\n");
  }
  return text;
}

bool Grants::has_rule(const Rules& rules, const std::optional<KeyName>& key, const Peer& peer) {
  const auto found = rules.find(key);
  return found != rules.end() &&
         std::ranges::any_of(found->second, [&](const Rule& rule) { return matches(rule, peer); });
}

Status Grants::allow(const Peer& peer, const KeyName& key) const {
  if (is_owner(peer)) return {};
  const Snapshot rules = snapshot();
  if (has_rule(*rules, key, peer) || has_rule(*rules, std::nullopt, peer)) return {};
  return fail(kRefusal, "no grant lets this user use the key", subject_of(peer, key));
}

Status Grants::allow_release(const Peer& peer, const KeyName& key) const {
  if (is_owner(peer) || has_rule(*snapshot(), key, peer)) return {};
  return fail(kRefusal, "no grant with its name lets this user have the secret",
              subject_of(peer, key));
}

Status Grants::grant(const std::optional<KeyName>& key, const Rule& rule) {
  VHSM_TRY(check(rule));
  const std::lock_guard changing(writing_);
  Rules next = *snapshot();
  if (!next[key].insert(rule).second) return {};
  return adopt(std::move(next));
}

Status Grants::revoke(const std::optional<KeyName>& key, const Rule& rule) {
  const std::lock_guard changing(writing_);
  Rules next = *snapshot();
  const auto found = next.find(key);
  if (found == next.end() || found->second.erase(rule) == 0) {
    return fail(Errc::kNotGranted, "there is no such grant", to_line(key, rule));
  }
  if (found->second.empty()) next.erase(found);
  return adopt(std::move(next));
}

Status Grants::adopt(Rules next) {
  const std::string text = render(next);
  if (text.size() > kMaxFileBytes) {
    return fail(Errc::kBadConfig, "the grants would take more than 1 MiB", path_);
  }
  if (!path_.empty()) {
    VHSM_TRY(replace_file(path_, text));
  }
  // Whatever the folder says, the file is the new one now, and memory must agree with it.
  auto fresh = std::make_shared<const Rules>(std::move(next));
  rules_.lock()->swap(fresh);
  return path_.empty() ? Status() : sync_folder(path_);
}

std::vector<std::string> Grants::list(const std::optional<KeyName>& key) const {
  std::vector<std::string> lines;
  for (const Snapshot rules = snapshot(); const auto& [of, granted] : *rules) {
    if (key.has_value() && of.has_value() && of != key) continue;
    for (const Rule& rule : granted) lines.push_back(to_line(of, rule));
  }
  return lines;
}

}  // namespace vhsm::keystore
