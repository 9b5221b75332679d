// SPDX-License-Identifier: Apache-2.0
#include "keystore/secret_material.h"

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <utility>

#include "keystore/hot_set.h"
#include "keystore/material.h"

namespace vhsm::keystore {
namespace {

constexpr std::size_t kMaxStoredBytes = kMaxReleasedBytes * 3 / 2;  // base64url, and a JWK around

struct JwkAlgorithm {
  std::string_view alg;  ///< RFC 7518, sections 3.1, 4.1 and 5.1; Web Cryptography for CBC and CTR
  const char* algorithm;
  const char* digest;
};

constexpr JwkAlgorithm kJwkAlgorithms[] = {
    {"HS256", "HMAC", "SHA256"},         {"HS384", "HMAC", "SHA384"},
    {"HS512", "HMAC", "SHA512"},         {"A128GCM", "AES-128-GCM", nullptr},
    {"A192GCM", "AES-192-GCM", nullptr}, {"A256GCM", "AES-256-GCM", nullptr},
    {"A128CBC", "AES-128-CBC", nullptr}, {"A192CBC", "AES-192-CBC", nullptr},
    {"A256CBC", "AES-256-CBC", nullptr}, {"A128CTR", "AES-128-CTR", nullptr},
    {"A192CTR", "AES-192-CTR", nullptr}, {"A256CTR", "AES-256-CTR", nullptr},
    {"A128KW", "AES-128-WRAP", nullptr}, {"A192KW", "AES-192-WRAP", nullptr},
    {"A256KW", "AES-256-WRAP", nullptr},
};

struct NamedUses {
  std::string_view name;
  unsigned uses;
};

constexpr NamedUses kKeyOps[] = {
    {"sign", KeyUses::bit(Use::kSign)},
    {"verify", 0},
    {"encrypt", KeyUses::bit(Use::kEncrypt)},
    {"decrypt", KeyUses::bit(Use::kDecrypt)},
    {"wrapKey", KeyUses::bit(Use::kWrap)},
    {"unwrapKey", KeyUses::bit(Use::kUnwrap)},
    {"deriveKey", KeyUses::bit(Use::kDerive)},
    {"deriveBits", KeyUses::bit(Use::kDerive)},
    {"release", KeyUses::kRelease},
};

constexpr NamedUses kPublicKeyUses[] = {
    {"sig", KeyUses::bit(Use::kSign)},
    {"enc", KeyUses::bit(Use::kEncrypt) | KeyUses::bit(Use::kDecrypt) | KeyUses::bit(Use::kWrap) |
                KeyUses::bit(Use::kUnwrap)},
};

Result<unsigned> uses_called(std::span<const NamedUses> known, std::string_view name) {
  const auto found = std::ranges::find(known, name, &NamedUses::name);
  if (found == known.end()) {
    return fail(Errc::kUnsupported, "the JWK names a use that vhsm does not know");
  }
  return found->uses;
}

Error malformed() { return fail(Errc::kBadFormat, "the JWK is malformed"); }

/// One JSON object of strings, lists of strings, numbers and truth values, without escapes: all
/// that a JWK of this type has. Views point into the text, which stays in protected memory.
/// Source: RFC 8259.
class JsonReader {
 public:
  explicit JsonReader(std::string_view text) noexcept : rest_(text) {}

  /// Whether `wanted` comes next; then it is taken.
  bool take(char wanted) noexcept {
    skip_blanks();
    const bool there = !rest_.empty() && rest_.front() == wanted;
    if (there) rest_.remove_prefix(1);
    return there;
  }
  [[nodiscard]] bool string_is_next() noexcept {
    skip_blanks();
    return !rest_.empty() && rest_.front() == '"';
  }
  Result<std::string_view> string() {
    if (!take('"')) return malformed();
    const std::size_t end = rest_.find_first_of("\"\\");
    if (end == std::string_view::npos || rest_[end] == '\\') return malformed();
    const std::string_view value = rest_.substr(0, end);
    rest_.remove_prefix(end + 1);
    return value;
  }
  /// Calls `each` with every string of a list.
  template <class Each>
  Status strings(Each&& each) {
    if (!take('[')) return malformed();
    if (take(']')) return {};
    do {
      const std::string_view value = VHSM_TRY(string());
      VHSM_TRY(each(value));
    } while (take(','));
    return take(']') ? Status() : malformed();
  }
  /// A number, true, false or null.
  Status skip_word() {
    skip_blanks();
    const std::size_t size = std::min(rest_.find_first_of(" ,}]\t\r\n\"{["), rest_.size());
    if (size == 0) return malformed();
    rest_.remove_prefix(size);
    return {};
  }
  [[nodiscard]] bool at_end() noexcept {
    skip_blanks();
    return rest_.empty();
  }

 private:
  void skip_blanks() noexcept {
    rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t\r\n"), rest_.size()));
  }

  std::string_view rest_;
};

/// The six bits of a character of base64url; without a table, since its lines would tell the key.
/// @return over 63 for a character that base64url has not.
constexpr unsigned base64url_bits(char c) noexcept {
  const auto code = static_cast<unsigned char>(c);
  const auto within = [code](char low, char high) {
    const bool inside =
        code >= static_cast<unsigned char>(low) && code <= static_cast<unsigned char>(high);
    return 0U - static_cast<unsigned>(inside);
  };
  const unsigned upper = within('A', 'Z') & (code - 65U);
  const unsigned lower = within('a', 'z') & (code - 71U);
  const unsigned digit = within('0', '9') & (code + 4U);
  const unsigned minus = within('-', '-') & 62U;
  const unsigned under = within('_', '_') & 63U;
  const unsigned known =
      within('A', 'Z') | within('a', 'z') | within('0', '9') | within('-', '-') | within('_', '_');
  return upper | lower | digit | minus | under | (~known & 64U);
}

/// RFC 4648, section 5, without padding.
Result<SecretBytes> decode_key(std::string_view text) {
  if (text.empty() || text.size() % 4 == 1) return malformed();
  auto key = VHSM_TRY(SecretBytes::zeros(text.size() * 3 / 4));
  unsigned bits = 0;
  unsigned seen = 0;
  unsigned wrong = 0;
  std::size_t written = 0;
  for (const char c : text) {
    const unsigned six = base64url_bits(c);
    wrong |= six & 64U;
    bits = (bits << 6U | six) & 0xffffU;
    seen += 6;
    if (seen < 8) continue;
    seen -= 8;
    key.expose()[written++] = static_cast<std::uint8_t>(bits >> seen & 0xffU);
  }
  const unsigned left_over = bits & ((1U << seen) - 1U);
  if (wrong != 0 || left_over != 0) return malformed();
  return key;
}

struct Jwk {
  std::optional<std::string_view> kty;
  std::optional<std::string_view> k;
  std::optional<std::string_view> alg;
  std::optional<unsigned> key_ops;
  std::optional<unsigned> use;
};

Status read_key_ops(JsonReader& reader, Jwk& jwk) {
  if (jwk.key_ops.has_value()) return malformed();
  jwk.key_ops = 0U;
  return reader.strings([&](std::string_view name) -> Status {
    const unsigned uses = VHSM_TRY(uses_called(kKeyOps, name));
    *jwk.key_ops |= uses;
    return {};
  });
}

Status read_once(JsonReader& reader, std::optional<std::string_view>& into) {
  if (into.has_value()) return malformed();
  into = VHSM_TRY(reader.string());
  return {};
}

Status read_use(JsonReader& reader, Jwk& jwk) {
  std::optional<std::string_view> name;
  VHSM_TRY(read_once(reader, name));
  if (jwk.use.has_value()) return malformed();
  jwk.use = VHSM_TRY(uses_called(kPublicKeyUses, *name));
  return {};
}

/// Of a member that does not matter here (kid, ext, exp, ...).
Status skip_value(JsonReader& reader) {
  if (reader.string_is_next()) {
    [[maybe_unused]] const std::string_view skipped = VHSM_TRY(reader.string());
    return {};
  }
  if (reader.take('['))
    return fail(Errc::kUnsupported, "the JWK has a list that vhsm does not know");
  return reader.skip_word();
}

Status read_member(JsonReader& reader, Jwk& jwk) {
  const std::string_view name = VHSM_TRY(reader.string());
  if (!reader.take(':')) return malformed();
  if (name == "kty") return read_once(reader, jwk.kty);
  if (name == "k") return read_once(reader, jwk.k);
  if (name == "alg") return read_once(reader, jwk.alg);
  if (name == "key_ops") return read_key_ops(reader, jwk);
  if (name == "use") return read_use(reader, jwk);
  return skip_value(reader);
}

Result<Jwk> read_jwk(std::string_view text) {
  JsonReader reader(text);
  Jwk jwk;
  if (!reader.take('{')) return malformed();
  do {
    VHSM_TRY(read_member(reader, jwk));
  } while (reader.take(','));
  if (!reader.take('}') || !reader.at_end()) return malformed();
  return jwk;
}

Status restrict_to(std::string_view alg, KeyUses& uses) {
  const auto* const found = std::ranges::find(kJwkAlgorithms, alg, &JwkAlgorithm::alg);
  if (found == std::ranges::end(kJwkAlgorithms)) {
    return fail(Errc::kUnsupported, "the JWK's alg is not one that vhsm knows");
  }
  uses.algorithm = found->algorithm;
  uses.digest = found->digest;
  return {};
}

/// Who gets the bytes could do with them what the others may not.
Status check_release(unsigned key_ops) {
  if ((key_ops & KeyUses::kRelease) == 0 || key_ops == KeyUses::kRelease) return {};
  return fail(Errc::kUnsupported, "a JWK with release in its key_ops can have nothing else there");
}

Result<SecretMaterial> from_jwk(std::string_view text) {
  const Jwk jwk = VHSM_TRY(read_jwk(text));
  if (jwk.kty != "oct" || !jwk.k.has_value()) {
    return fail(Errc::kBadFormat, "the JWK is not a symmetric key (kty oct, k)");
  }
  SecretMaterial material;
  material.key = VHSM_TRY(decode_key(*jwk.k));
  material.uses.uses = jwk.key_ops.value_or(KeyUses::kEvery);
  if (jwk.use.has_value()) material.uses.uses &= *jwk.use;
  if (jwk.key_ops.has_value()) VHSM_TRY(check_release(*jwk.key_ops));
  if (jwk.alg.has_value()) VHSM_TRY(restrict_to(*jwk.alg, material.uses));
  return material;
}

bool is_jwk(std::string_view text) noexcept {
  const auto printable = [](char c) {
    return (c >= ' ' && c <= '~') || c == '\t' || c == '\r' || c == '\n';
  };
  const std::size_t last = text.find_last_not_of(" \t\r\n");
  return text.starts_with('{') && text[last] == '}' && std::ranges::all_of(text, printable);
}

/// @param raw_uses  of bytes that are no JWK.
Result<SecretMaterial> read_secret(const SecretBytes& stored, unsigned raw_uses) {
  const auto bytes = stored.expose();
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (is_jwk(text)) return from_jwk(text);
  SecretMaterial material;
  material.key = VHSM_TRY(stored.clone());
  material.uses.uses = raw_uses;
  return material;
}

Status check_size(const SecretMaterial& material) {
  const bool comes_out = material.uses.uses == KeyUses::kRelease;
  const std::size_t most = comes_out ? kMaxReleasedBytes : kMaxSecretKeyBytes;
  if (material.key.size() > 0 && material.key.size() <= most) return {};
  return fail(Errc::kBadFormat,
              "a symmetric key has 1 to 1024 bytes, and a secret that may come out 1 to 65536");
}

/// What is a key pair under one type of URI must not be a MAC's key under another, nor come out.
Status check_no_pair(const SecretBytes& bytes) {
  if (!parse_material(bytes).ok()) return {};
  return fail(Errc::kBadFormat, "the resource is a key pair or certificate, not a symmetric key");
}

Result<SecretMaterial> parse(const SecretBytes& stored, unsigned raw_uses) {
  if (stored.size() == 0 || stored.size() > kMaxStoredBytes) {
    return fail(Errc::kBadFormat, "the resource is empty or too large for a symmetric key");
  }
  VHSM_TRY(check_no_pair(stored));
  auto material = VHSM_TRY(run_with_room([&] { return read_secret(stored, raw_uses); }));
  VHSM_TRY(check_size(material));
  if (material.uses.uses == KeyUses::kRelease) VHSM_TRY(check_no_pair(material.key));
  return material;
}

}  // namespace

Result<SecretMaterial> parse_secret(const SecretBytes& stored) {
  return parse(stored, KeyUses::kEvery);
}

Result<SecretMaterial> parse_named_secret(const SecretBytes& stored) {
  auto material = VHSM_TRY(parse(stored, KeyUses::kRelease));
  if (material.uses.uses == KeyUses::kRelease) return material;
  return fail(Errc::kBadFormat, "a key stands where the settings (secret_paths) have secrets");
}

}  // namespace vhsm::keystore
