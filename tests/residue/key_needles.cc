// SPDX-License-Identifier: Apache-2.0
#include "tests/residue/key_needles.h"

#include <gtest/gtest.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <vector>

#include "base/handle.h"
#include "tests/residue/needles.h"

namespace vhsm::tests {
namespace {

void add_line(std::string& lines, const std::string& name, const unsigned char* bytes,
              std::size_t size) {
  lines += name + " ";
  for (std::size_t i = 0; i < size; ++i) {
    std::array<char, 3> hex{};
    std::snprintf(hex.data(), hex.size(), "%02x", static_cast<unsigned>(bytes[i] ^ kMask));
    lines += hex.data();
  }
  lines += "\n";
}

/// The component as it stands in the text of a PEM file: in base64, of whole groups of three.
void add_text(std::string& lines, EVP_PKEY* key, const char* name,
              const std::vector<unsigned char>& component) {
  unsigned char* encoded = nullptr;
  const int size = i2d_PrivateKey(key, &encoded);
  ASSERT_GT(size, 0);
  const unsigned char* const begin = encoded;
  const unsigned char* const end = begin + size;
  const unsigned char* const at = std::search(begin, end, component.begin(), component.end());
  ASSERT_NE(at, end) << name;
  const auto offset = static_cast<std::size_t>(at - begin);
  const std::size_t skipped = (3 - offset % 3) % 3;
  const std::size_t whole = (component.size() - skipped) / 3 * 3;
  std::vector<unsigned char> text(whole / 3 * 4 + 1);
  EVP_EncodeBlock(text.data(), at + skipped, static_cast<int>(whole));
  add_line(lines, std::string(name) + "-base64", text.data(), text.size() - 1);
  OPENSSL_clear_free(encoded, static_cast<std::size_t>(size));
}

void add_number(std::string& lines, EVP_PKEY* key, const char* name) {
  ossl::Bignum number;
  ASSERT_EQ(EVP_PKEY_get_bn_param(key, name, ossl::Receive(number)), 1) << name;
  std::vector<unsigned char> bytes(static_cast<std::size_t>(BN_num_bytes(number.get())));
  BN_bn2bin(number.get(), bytes.data());
  add_line(lines, name, bytes.data(), bytes.size());
  add_text(lines, key, name, bytes);
}

/// Seed, and for Ed25519 what it expands to: the clamped scalar and the nonce prefix
/// (RFC 8032, section 5.1.5).
void add_raw(std::string& lines, EVP_PKEY* key) {
  std::array<unsigned char, 32> seed{};
  std::size_t size = seed.size();
  ASSERT_EQ(EVP_PKEY_get_raw_private_key(key, seed.data(), &size), 1);
  add_line(lines, "seed", seed.data(), size);
  if (EVP_PKEY_is_a(key, "ED25519") != 1) return;
  std::array<unsigned char, SHA512_DIGEST_LENGTH> expanded{};
  SHA512(seed.data(), size, expanded.data());
  add_line(lines, "prefix", expanded.data() + 32, 32);
  expanded[0] &= 0xF8;
  expanded[31] = static_cast<unsigned char>((expanded[31] & 0x7F) | 0x40);
  add_line(lines, "scalar", expanded.data(), 32);
}

}  // namespace

std::string needle_lines(EVP_PKEY* key) {
  std::string lines;
  if (EVP_PKEY_is_a(key, "RSA") == 1) {
    for (const char* name : {OSSL_PKEY_PARAM_RSA_D, OSSL_PKEY_PARAM_RSA_FACTOR1,
                             OSSL_PKEY_PARAM_RSA_FACTOR2, OSSL_PKEY_PARAM_RSA_EXPONENT1,
                             OSSL_PKEY_PARAM_RSA_EXPONENT2, OSSL_PKEY_PARAM_RSA_COEFFICIENT1}) {
      add_number(lines, key, name);
    }
  } else if (EVP_PKEY_is_a(key, "EC") == 1) {
    add_number(lines, key, OSSL_PKEY_PARAM_PRIV_KEY);
  } else {
    add_raw(lines, key);
  }
  return lines;
}

}  // namespace vhsm::tests
