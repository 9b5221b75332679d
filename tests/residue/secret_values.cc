// SPDX-License-Identifier: Apache-2.0
#define OPENSSL_SUPPRESS_DEPRECATED
#include "tests/residue/secret_values.h"

#include <openssl/aes.h>
#include <openssl/sha.h>

#include <cstddef>
#include <cstring>
#include <string>

namespace vhsm::tests {
namespace {

template <class T>
Bytes bytes_of(const T& object, std::size_t size = sizeof(T)) {
  Bytes bytes(size);
  std::memcpy(bytes.data(), &object, size);
  return bytes;
}

/// HMAC's key with a byte added to each, and SHA-256's state behind it (RFC 2104).
void add_pad(std::vector<Value>& values, const std::string& name, const Bytes& key, unsigned pad) {
  Bytes block(SHA256_CBLOCK, static_cast<std::uint8_t>(pad));
  for (std::size_t i = 0; i < key.size(); ++i) block[i] ^= key[i];
  SHA256_CTX ctx;
  SHA256_Init(&ctx);
  SHA256_Update(&ctx, block.data(), block.size());
  values.push_back({name, block});
  values.push_back({name + " state", bytes_of(ctx.h)});
}

}  // namespace

std::vector<Value> values_of_secret(const Bytes& key) {
  std::vector<Value> values{{"key", key}};
  add_pad(values, "inner pad", key, 0x36);
  add_pad(values, "outer pad", key, 0x5c);
  AES_KEY rounds;
  constexpr std::size_t kRoundKeyBytes = 16 * 15;
  AES_set_encrypt_key(key.data(), 256, &rounds);
  values.push_back({"round keys", bytes_of(rounds.rd_key, kRoundKeyBytes)});
  Bytes hash_key(16);
  AES_encrypt(hash_key.data(), hash_key.data(), &rounds);
  values.push_back({"hash key of GCM", hash_key});
  AES_set_decrypt_key(key.data(), 256, &rounds);
  values.push_back({"inverse round keys", bytes_of(rounds.rd_key, kRoundKeyBytes)});
  return values;
}

}  // namespace vhsm::tests
