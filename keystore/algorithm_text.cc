// SPDX-License-Identifier: Apache-2.0
#include "keystore/algorithm_text.h"

#include <strings.h>

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/params.h>

#include <charconv>

#include "keystore/secret_material.h"

namespace vhsm::keystore {
namespace {

constexpr std::string_view kSecretName = "SECRET";
constexpr std::string_view kReleasedName = "RELEASABLE";

bool has_group(const KeyType& type) noexcept { return type.family == Family::kEc; }
bool has_bits(const KeyType& type) noexcept { return type.family == Family::kRsa; }
bool has_restrictions(const KeyType& type) noexcept {
  return std::string_view(type.name) == "RSA-PSS";
}

/// NIST's where it has one: "P-256", which OpenSSL tells as "prime256v1".
std::string common_name(const char* curve) {
  const char* const nist = EC_curve_nid2nist(OBJ_sn2nid(curve));
  return nist == nullptr ? curve : nist;
}

Result<std::uint32_t> parse_bits(std::string_view text, std::string_view whole) {
  std::uint32_t bits = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), bits);
  if (error == std::errc{} && end == text.data() + text.size() && bits % 8 == 0 && bits > 0) {
    return bits;
  }
  return fail(Errc::kInvalidArgument, "behind the colon stands a number of bits", whole);
}

/// What stands before the next colon, which goes with it.
std::string_view take_word(std::string_view& text) {
  const std::string_view word = text.substr(0, text.find(':'));
  text.remove_prefix(std::min(word.size() + 1, text.size()));
  return word;
}

/// A text among exported parameters; those that are what RFC 4055 has for default are left out.
std::string text_among(const OSSL_PARAM params[], const char* name) {
  const OSSL_PARAM* const found = OSSL_PARAM_locate_const(params, name);
  const char* text = nullptr;
  const bool there = found != nullptr && OSSL_PARAM_get_utf8_string_ptr(found, &text) == 1;
  return there ? text : "SHA1";
}

/// ":SHA2-256:SHA2-256:32"; empty for a key that is not restricted. One that is tells its salt.
std::string restrictions_of(const Key& key) {
  const auto exported = key.export_public(OSSL_KEYMGMT_SELECT_PUBLIC_KEY);
  if (!exported.ok()) return {};
  const OSSL_PARAM* const params = exported.value().get();
  const OSSL_PARAM* const salt = OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_RSA_PSS_SALTLEN);
  int salt_bytes = 0;
  if (salt == nullptr || OSSL_PARAM_get_int(salt, &salt_bytes) != 1) return {};
  return ":" + text_among(params, OSSL_PKEY_PARAM_RSA_DIGEST) + ":" +
         text_among(params, OSSL_PKEY_PARAM_RSA_MGF1_DIGEST) + ":" + std::to_string(salt_bytes);
}

}  // namespace

Status AlgorithmText::read_restrictions(std::string_view text, std::string_view whole) {
  digest_ = take_word(text);
  mask_digest_ = take_word(text);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), salt_bytes_);
  const bool good = error == std::errc{} && end == text.data() + text.size();
  if (good && !digest_.empty() && !mask_digest_.empty()) return {};
  return fail(Errc::kInvalidArgument,
              "a restricted key is RSA-PSS:BITS:DIGEST:MASK-DIGEST:SALT-BYTES", whole);
}

Result<AlgorithmText> AlgorithmText::parse(std::string_view text) {
  const std::size_t colon = text.find(':');
  const std::string_view name = text.substr(0, colon);
  std::string_view rest =
      colon == std::string_view::npos ? std::string_view() : text.substr(colon + 1);
  const std::string_view detail = take_word(rest);
  AlgorithmText algorithm;
  const bool is_secret = name == kSecretName;
  if (!is_secret) algorithm.type_ = find_key_type(name);
  if (!is_secret && algorithm.type_ == nullptr) {
    return fail(Errc::kUnsupported,
                "no such key type: EC:P-256, RSA:3072, ED25519, SECRET:256, ...", text);
  }
  const bool takes_group = !is_secret && has_group(*algorithm.type_);
  const bool takes_bits = is_secret || has_bits(*algorithm.type_);
  const bool restricts = !is_secret && has_restrictions(*algorithm.type_);
  if ((takes_group || takes_bits) == detail.empty() || (!rest.empty() && !restricts) ||
      text.ends_with(':')) {
    return fail(Errc::kInvalidArgument, "EC:GROUP, RSA:BITS, SECRET:BITS, and other types alone",
                text);
  }
  if (takes_group) algorithm.group_ = detail;
  if (takes_bits) algorithm.bits_ = VHSM_TRY(parse_bits(detail, text));
  if (!rest.empty()) VHSM_TRY(algorithm.read_restrictions(rest, text));
  if (is_secret && algorithm.secret_bytes() > kMaxSecretKeyBytes) {
    return fail(Errc::kInvalidArgument, "a symmetric key has at most 8192 bits", text);
  }
  return algorithm;
}

std::string AlgorithmText::of_secret(std::size_t bytes) {
  return std::string(kSecretName) + ":" + std::to_string(bytes * 8);
}

std::string AlgorithmText::of(const SymmetricKey& key) {
  if (!key.is_secret()) return of_secret(key.size());
  return std::string(kReleasedName) + ":" + std::to_string(key.size() * 8);
}

std::string AlgorithmText::of(const Key& key) {
  std::array<char, 64> group{};
  int bits = 0;
  OSSL_PARAM params[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group.data(), group.size()),
      OSSL_PARAM_construct_int(OSSL_PKEY_PARAM_BITS, &bits), OSSL_PARAM_construct_end()};
  std::string text = key.type().name;
  if (!key.get_params(params).ok()) return text;
  if (has_group(key.type())) return text + ":" + common_name(group.data());
  if (!has_bits(key.type())) return text;
  text += ":" + std::to_string(bits);
  return has_restrictions(key.type()) ? text + restrictions_of(key) : text;
}

const OSSL_PARAM* AlgorithmText::settings() noexcept {
  auto next = settings_.begin();
  const auto add_text = [&](const char* name, std::string& value) {
    if (!value.empty()) {
      *next++ = OSSL_PARAM_construct_utf8_string(name, value.data(), value.size());
    }
  };
  add_text(OSSL_PKEY_PARAM_GROUP_NAME, group_);
  if (bits_ != 0) *next++ = OSSL_PARAM_construct_uint32(OSSL_PKEY_PARAM_BITS, &bits_);
  add_text(OSSL_PKEY_PARAM_RSA_DIGEST, digest_);
  add_text(OSSL_PKEY_PARAM_RSA_MGF1_DIGEST, mask_digest_);
  if (!digest_.empty()) {
    *next++ = OSSL_PARAM_construct_uint32(OSSL_PKEY_PARAM_RSA_PSS_SALTLEN, &salt_bytes_);
  }
  *next = OSSL_PARAM_construct_end();
  return settings_.data();
}

}  // namespace vhsm::keystore
