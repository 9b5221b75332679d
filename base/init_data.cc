// SPDX-License-Identifier: Apache-2.0
#include "base/init_data.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "base/handle.h"

namespace vhsm {
namespace {

constexpr std::string_view kVersion = "0.1.0";
constexpr std::string_view kBlanks = " \t";

struct HashName {
  std::string_view toml;
  const char* openssl;
};
constexpr std::array<HashName, 3> kHashes{
    {{"sha256", "SHA2-256"}, {"sha384", "SHA2-384"}, {"sha512", "SHA2-512"}}};

/// What stands for a character behind a backslash; '\0' for what is not taken.
constexpr char escaped(char c) noexcept {
  constexpr std::string_view kNames = "btnfr\"\\";
  constexpr std::string_view kMeant = "\b\t\n\f\r\"\\";
  const std::size_t at = kNames.find(c);
  return at == std::string_view::npos ? '\0' : kMeant[at];
}

/// A place in the text. Each function takes what it reads, or answers nothing. Debian's toml++
/// (3.3, 3.4) runs into undefined behaviour at some characters beyond ASCII, and whoever launches
/// the VM writes this text: so it is not read by that.
class Toml {
 public:
  explicit Toml(std::string_view text) noexcept : rest_(text) {}

  [[nodiscard]] bool at_end() const noexcept { return rest_.empty(); }
  [[nodiscard]] std::size_t line() const noexcept { return line_; }

  bool take(std::string_view token) noexcept {
    if (!rest_.starts_with(token)) return false;
    advance(token.size());
    return true;
  }

  void skip_blanks() noexcept { advance(std::min(rest_.find_first_not_of(kBlanks), rest_.size())); }

  /// Blanks, a comment, and the end of the line.
  bool end_line() noexcept {
    skip_blanks();
    if (rest_.starts_with('#')) advance(std::min(rest_.find_first_of("\r\n"), rest_.size()));
    return at_end() || take("\n") || take("\r\n");
  }

  std::optional<std::string> key() {
    if (rest_.starts_with('"')) return basic("\"", false);
    if (rest_.starts_with('\'')) return literal("'", false);
    const auto bare = [](char c) {
      return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
             c == '_' || c == '-';
    };
    const auto end = std::ranges::find_if_not(rest_, bare);
    std::string name(rest_.begin(), end);
    advance(name.size());
    return name.empty() ? std::nullopt : std::optional(std::move(name));
  }

  std::optional<std::string> value() {
    if (rest_.starts_with(R"(""")")) return basic(R"(""")", true);
    if (rest_.starts_with("'''")) return literal("'''", true);
    if (rest_.starts_with('"')) return basic("\"", false);
    return rest_.starts_with('\'') ? literal("'", false) : std::nullopt;
  }

 private:
  void advance(std::size_t bytes) noexcept {
    line_ += static_cast<std::size_t>(std::ranges::count(rest_.substr(0, bytes), '\n'));
    rest_.remove_prefix(bytes);
  }

  void open(std::string_view quote, bool lines) noexcept {
    take(quote);
    if (lines && !take("\n")) take("\r\n");
  }

  /// Two quotes more may stand before those that end a text of many lines.
  bool close(std::string_view quote, std::string& text) {
    if (!rest_.starts_with(quote)) return false;
    while (quote.size() > 1 && rest_.substr(1).starts_with(quote)) {
      text += rest_.front();
      advance(1);
    }
    return take(quote);
  }

  std::optional<std::string> literal(std::string_view quote, bool lines) {
    open(quote, lines);
    std::string text;
    while (!close(quote, text)) {
      if (!plain(text, lines)) return std::nullopt;
    }
    return text;
  }

  std::optional<std::string> basic(std::string_view quote, bool lines) {
    open(quote, lines);
    std::string text;
    while (!close(quote, text)) {
      const bool taken = rest_.starts_with('\\') ? escape(text, lines) : plain(text, lines);
      if (!taken) return std::nullopt;
    }
    return text;
  }

  bool plain(std::string& text, bool lines) {
    const bool ends = at_end() || (!lines && (rest_[0] == '\n' || rest_[0] == '\r'));
    if (ends || rest_[0] == '\0') return false;
    text += rest_[0];
    advance(1);
    return true;
  }

  /// A backslash at the end of a line takes all white space that follows.
  bool escape(std::string& text, bool lines) {
    advance(1);
    const std::size_t next = std::min(rest_.find_first_not_of(" \t\r\n"), rest_.size());
    if (lines && rest_.substr(0, next).find('\n') != std::string_view::npos) {
      advance(next);
      return true;
    }
    const char meant = at_end() ? '\0' : escaped(rest_[0]);
    if (meant == '\0') return false;
    text += meant;
    advance(1);
    return true;
  }

  std::string_view rest_;
  std::size_t line_ = 1;
};

bool read_pair(Toml& toml, Documents& into) {
  auto key = toml.key();
  toml.skip_blanks();
  if (!key || !toml.take("=")) return false;
  toml.skip_blanks();
  auto value = toml.value();
  return value && into.emplace(*std::move(key), *std::move(value)).second;
}

/// The head, up to [data], and what is in that.
struct Tables {
  Documents head;
  Documents data;
};

Result<Tables> read_tables(Toml toml) {
  Tables tables;
  Documents* table = &tables.head;
  while (!toml.at_end()) {
    const std::size_t line = toml.line();
    toml.skip_blanks();
    if (toml.end_line()) continue;
    const bool opens = table == &tables.head && toml.take("[data]");
    if (opens) table = &tables.data;
    if ((opens || read_pair(toml, *table)) && toml.end_line()) continue;
    return fail(Errc::kBadFormat, "init-data is version, algorithm and [data], all of them texts",
                "line " + std::to_string(line));
  }
  return tables;
}

std::string hex_of(std::span<const std::uint8_t> bytes) {
  std::string hex;
  for (const unsigned byte : bytes) hex += fmt::format("{:02x}", byte);
  return hex;
}

std::string_view member(const Documents& table, std::string_view name) {
  const auto found = table.find(name);
  return found == table.end() ? std::string_view() : std::string_view(found->second);
}

Result<std::array<std::uint8_t, EVP_MAX_MD_SIZE>> digest_of(const HashName& hash,
                                                            std::string_view text) {
  std::array<std::uint8_t, EVP_MAX_MD_SIZE> digest{};
  VHSM_TRY(crypto(EVP_Q_digest(nullptr, hash.openssl, nullptr, text.data(), text.size(),
                               digest.data(), nullptr),
                  "init-data cannot be hashed"));
  return digest;
}

/// The algorithm that makes `host_data` of `toml`.
Result<std::string_view> measured_by(std::string_view toml,
                                     std::span<const std::uint8_t> host_data) {
  for (const HashName& hash : kHashes) {
    const auto digest = VHSM_TRY(digest_of(hash, toml));
    if (std::ranges::equal(std::span(digest).first(host_data.size()), host_data)) return hash.toml;
  }
  constexpr std::size_t kShown = 8;
  const auto sha256 = VHSM_TRY(digest_of(kHashes[0], toml));
  return fail(Errc::kBadConfig, "this VM was not launched with this init-data",
              "its SHA-256 is " + hex_of(std::span(sha256).first(kShown)) + "..., HOST_DATA " +
                  hex_of(host_data.first(kShown)) + "...");
}

}  // namespace

Result<InitData> parse_init_data(std::string_view toml) {
  auto tables = VHSM_TRY(read_tables(Toml(toml)));
  const std::string algorithm(member(tables.head, "algorithm"));
  if (member(tables.head, "version") != kVersion || tables.head.size() != 2 ||
      std::ranges::find(kHashes, algorithm, &HashName::toml) == kHashes.end()) {
    return fail(Errc::kBadFormat,
                "init-data has version = \"0.1.0\", and algorithm sha256, sha384 or sha512");
  }
  return InitData{algorithm, std::move(tables.data)};
}

Result<Documents> measured_documents(std::string_view toml,
                                     std::span<const std::uint8_t> host_data) {
  constexpr std::size_t kHostDataBytes = 32;
  if (host_data.size() != kHostDataBytes) return fail(Errc::kBadLength, "HOST_DATA");
  const auto algorithm = VHSM_TRY(measured_by(toml, host_data));
  auto init_data = VHSM_TRY(parse_init_data(toml));
  if (init_data.algorithm == algorithm) return std::move(init_data.documents);
  return fail(Errc::kBadFormat, "HOST_DATA is not of the algorithm that init-data names");
}

}  // namespace vhsm
