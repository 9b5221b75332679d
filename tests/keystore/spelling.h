// SPDX-License-Identifier: Apache-2.0
//
// Keys of tests as JWKs and COSE_Keys.
#pragma once

#include <gtest/gtest.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "base/cbor.h"
#include "base/handle.h"

namespace vhsm::keystore {

inline std::string base64url(const std::string& bytes) {
  std::string text(4 * (bytes.size() / 3 + 1) + 1, '\0');
  const int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                                   reinterpret_cast<const unsigned char*>(bytes.data()),
                                   static_cast<int>(bytes.size()));
  text.resize(static_cast<std::size_t>(size));
  std::erase(text, '=');
  std::ranges::replace(text, '+', '-');
  std::ranges::replace(text, '/', '_');
  return text;
}

/// A number of a key, big-endian. 0: as short as it can be.
inline std::string number_of(EVP_PKEY* key, const char* name, int bytes = 0) {
  BIGNUM* raw = nullptr;
  EXPECT_EQ(EVP_PKEY_get_bn_param(key, name, &raw), 1) << name;
  const ossl::Bignum number(raw);
  std::string text(static_cast<std::size_t>(bytes == 0 ? BN_num_bytes(raw) : bytes), '\0');
  BN_bn2binpad(raw, reinterpret_cast<unsigned char*>(text.data()), static_cast<int>(text.size()));
  return text;
}

inline std::string octets_of(EVP_PKEY* key, const char* name) {
  std::string octets(64, '\0');
  std::size_t size = 0;
  EXPECT_EQ(EVP_PKEY_get_octet_string_param(
                key, name, reinterpret_cast<unsigned char*>(octets.data()), octets.size(), &size),
            1);
  octets.resize(size);
  return octets;
}

struct Part {
  const char* jose;
  std::int64_t cose;
  std::string bytes;
};

/// A key of a test's in both spellings.
struct Spelling {
  const char* kty;
  std::int64_t kty_number;
  const char* crv = nullptr;
  std::int64_t crv_number = 0;
  std::vector<Part> parts{};

  [[nodiscard]] std::string jwk(const std::string& more = "") const {
    std::string text = std::string(R"({"kty":")") + kty + "\"";
    if (crv != nullptr) text += std::string(R"(,"crv":")") + crv + "\"";
    for (const Part& part : parts) {
      text += std::string(",\"") + part.jose + "\":\"" + base64url(part.bytes) + "\"";
    }
    return text + more + "}";
  }
  /// @param more  further pairs, encoded.
  [[nodiscard]] std::string cose(const std::string& more = "", std::size_t count = 0) const {
    std::vector<std::uint8_t> out;
    CborWriter writer(out);
    const auto integer = [&](std::int64_t value) {
      const std::size_t head = out.size();
      writer.number(static_cast<std::uint64_t>(value < 0 ? -1 - value : value));
      if (value < 0) out[head] |= 0x20;
    };
    writer.map(1 + (crv != nullptr ? 1 : 0) + parts.size() + count);
    integer(1);
    integer(kty_number);
    if (crv != nullptr) {
      integer(-1);
      integer(crv_number);
    }
    for (const Part& part : parts) {
      integer(part.cose);
      writer.bytes({reinterpret_cast<const std::uint8_t*>(part.bytes.data()), part.bytes.size()});
    }
    return std::string(out.begin(), out.end()) + more;
  }
};

inline Spelling spelling_of(EVP_PKEY* key, const std::string& kind) {
  if (kind.starts_with("RSA")) {
    Spelling rsa{"RSA", 3};
    const char* const names[] = {"n",
                                 "e",
                                 "d",
                                 "rsa-factor1",
                                 "rsa-factor2",
                                 "rsa-exponent1",
                                 "rsa-exponent2",
                                 "rsa-coefficient1"};
    const char* const jose[] = {"n", "e", "d", "p", "q", "dp", "dq", "qi"};
    for (int i = 0; i < 8; ++i) rsa.parts.push_back({jose[i], -1 - i, number_of(key, names[i])});
    return rsa;
  }
  struct Row {
    const char* kind;
    const char* kty;
    const char* crv;
    std::int64_t number;
    int bytes;
  };
  constexpr Row kRows[] = {
      {"P-256", "EC", "P-256", 1, 32},     {"P-384", "EC", "P-384", 2, 48},
      {"P-521", "EC", "P-521", 3, 66},     {"secp256k1", "EC", "secp256k1", 8, 32},
      {"X25519", "OKP", "X25519", 4, 0},   {"X448", "OKP", "X448", 5, 0},
      {"ED25519", "OKP", "Ed25519", 6, 0}, {"ED448", "OKP", "Ed448", 7, 0}};
  const Row& row = *std::ranges::find_if(kRows, [&](const Row& one) { return kind == one.kind; });
  if (row.bytes == 0) {
    return {row.kty,
            1,
            row.crv,
            row.number,
            {{"x", -2, octets_of(key, "pub")}, {"d", -4, octets_of(key, "priv")}}};
  }
  return {row.kty,
          2,
          row.crv,
          row.number,
          {{"x", -2, number_of(key, "qx", row.bytes)},
           {"y", -3, number_of(key, "qy", row.bytes)},
           {"d", -4, number_of(key, "priv", row.bytes)}}};
}

}  // namespace vhsm::keystore
