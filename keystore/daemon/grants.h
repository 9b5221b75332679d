// SPDX-License-Identifier: Apache-2.0
//
// Who may use which key of vhsmd: rules in memory, and the file that outlives it.
//
//   # comment
//   default/tls/www user 33             numbers, so that no directory service has a say
//   default/tls/www unit nginx.service
//   * group 1000                        holds for every key
//
// Source: vhsmd(8); systemd.unit(5) for units, rename(2) and fsync(2) for how the file is replaced.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/guarded.h"
#include "base/result.h"
#include "keystore/daemon/peer.h"
#include "keystore/key_name.h"

namespace vhsm::keystore {

/// Whom a grant is for.
struct Rule {
  enum class Kind : std::uint8_t { kUser, kGroup, kUnit };
  Kind kind = Kind::kUser;
  std::uint32_t id = 0;  ///< of a user or group
  std::string unit;      ///< "nginx.service"

  friend bool operator==(const Rule&, const Rule&) = default;
  friend bool operator<(const Rule& a, const Rule& b) noexcept;
};

/// @errors kBadConfig unless user, group or unit.
[[nodiscard]] Result<Rule::Kind> parse_kind(std::string_view name);

/// @param text  a number or a name of this machine (getpwnam(3), getgrnam(3)), or a unit.
/// @errors kBadConfig, with `text` as subject.
[[nodiscard]] Result<Rule> parse_rule(Rule::Kind kind, std::string_view text);

/// "user 33", "group 33", "unit nginx.service".
[[nodiscard]] std::string to_text(const Rule& rule);

/// The rules of one vhsmd. Thread-safe. A rule without a key, a default rule, holds for every key.
class Grants {
 public:
  /// Reads `path`; a missing file is an empty set. An empty path keeps the rules in memory only.
  /// @param owner  the user that vhsmd runs as, who like root may use every key.
  /// @errors kBadConfig for a wrong line (subject: file, line and what is allowed), a file over
  ///         1 MiB, or one that others than root and `owner` could have written; kIo.
  static Result<std::unique_ptr<Grants>> load(const std::string& path, uid_t owner);

  [[nodiscard]] bool is_owner(const Peer& peer) const noexcept {
    return peer.uid == 0 || peer.uid == owner_;
  }

  /// Whether `peer` may use `key`. Cheap; never waits for a file.
  /// @errors kNotGranted, with the key and the peer as subject.
  [[nodiscard]] Status allow(const Peer& peer, const KeyName& key) const;

  /// Whether `peer` may have the bytes of the secret `key`. A rule for every key lets keys be used,
  /// and gives no secret out: that takes a rule with the secret's name.
  /// @errors as allow().
  [[nodiscard]] Status allow_release(const Peer& peer, const KeyName& key) const;

  /// Adds a rule, in the file and then in memory; one that is there already is no error.
  /// @errors kBadConfig for a rule that parse_rule() would not make or that makes the file too
  ///         large, kIo. Then nothing has changed, unless the subject is the folder: the file is
  ///         the new one, but may not survive a power cut.
  Status grant(const std::optional<KeyName>& key, const Rule& rule);

  /// Takes a rule back, likewise.
  /// @errors kNotGranted when there is no such rule, kIo as grant().
  Status revoke(const std::optional<KeyName>& key, const Rule& rule);

  /// The rules that decide about `key`, default rules first, as lines of the file; without a key
  /// all rules.
  [[nodiscard]] std::vector<std::string> list(const std::optional<KeyName>& key) const;

 private:
  using Rules = std::map<std::optional<KeyName>, std::set<Rule>, std::less<>>;
  using Snapshot = std::shared_ptr<const Rules>;

  Grants(std::string path, uid_t owner, Rules rules);
  static Result<Rules> parse(const std::string& path, std::string_view text);
  static std::string render(const Rules& rules);
  [[nodiscard]] Snapshot snapshot() const { return *rules_.lock(); }
  static bool has_rule(const Rules& rules, const std::optional<KeyName>& key, const Peer& peer);
  Status adopt(Rules next);

  const std::string path_;
  const uid_t owner_;
  std::mutex writing_;  // one change at a time; allow() does not take it
  mutable Guarded<Snapshot> rules_;
};

}  // namespace vhsm::keystore
