// SPDX-License-Identifier: Apache-2.0
#include "keystore/algorithm_text.h"

#include <strings.h>

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

}  // namespace

Result<AlgorithmText> AlgorithmText::parse(std::string_view text) {
  const std::size_t colon = text.find(':');
  const std::string_view name = text.substr(0, colon);
  const std::string_view detail =
      colon == std::string_view::npos ? std::string_view() : text.substr(colon + 1);
  AlgorithmText algorithm;
  const bool is_secret = name == kSecretName;
  if (!is_secret) algorithm.type_ = find_key_type(name);
  if (!is_secret && algorithm.type_ == nullptr) {
    return fail(Errc::kUnsupported,
                "no such key type: EC:P-256, RSA:3072, ED25519, SECRET:256, ...", text);
  }
  const bool takes_group = !is_secret && has_group(*algorithm.type_);
  const bool takes_bits = is_secret || has_bits(*algorithm.type_);
  if ((takes_group || takes_bits) == detail.empty()) {
    return fail(Errc::kInvalidArgument, "EC:GROUP, RSA:BITS, SECRET:BITS, and other types alone",
                text);
  }
  if (takes_group) algorithm.group_ = detail;
  if (takes_bits) algorithm.bits_ = VHSM_TRY(parse_bits(detail, text));
  if (is_secret && algorithm.secret_bytes() > kMaxSecretKeyBytes) {
    return fail(Errc::kInvalidArgument, "a symmetric key has at most 8192 bits", text);
  }
  return algorithm;
}

std::string AlgorithmText::of_secret(std::size_t bytes) {
  return std::string(kSecretName) + ":" + std::to_string(bytes * 8);
}

std::string AlgorithmText::of_released(std::size_t bytes) {
  return std::string(kReleasedName) + ":" + std::to_string(bytes * 8);
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
  if (has_bits(key.type())) return text + ":" + std::to_string(bits);
  return text;
}

const OSSL_PARAM* AlgorithmText::settings() noexcept {
  settings_ = {OSSL_PARAM_construct_end(), OSSL_PARAM_construct_end()};
  if (!group_.empty()) {
    settings_[0] =
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group_.data(), group_.size());
  } else if (bits_ != 0) {
    settings_[0] = OSSL_PARAM_construct_uint32(OSSL_PKEY_PARAM_BITS, &bits_);
  }
  return settings_.data();
}

}  // namespace vhsm::keystore
