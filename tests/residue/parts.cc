// SPDX-License-Identifier: Apache-2.0
#include "tests/residue/parts.h"

#include <openssl/core_names.h>
#include <openssl/params.h>

#include <array>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

#include "tests/world/world.h"

namespace vhsm::tests {
namespace {

using Params = std::unique_ptr<OSSL_PARAM, ossl::Deleter<OSSL_PARAM_free>>;

Params parts_of(EVP_PKEY* key) {
  OSSL_PARAM* params = nullptr;
  EVP_PKEY_todata(key, EVP_PKEY_KEYPAIR, &params);
  return Params(params);
}

bool is_public(std::string_view name) {
  return name == OSSL_PKEY_PARAM_RSA_N || name == OSSL_PKEY_PARAM_PUB_KEY;
}

/// Enough for a key: without what a named curve says by itself.
bool is_needed(std::string_view name) {
  return is_public(name) || name == OSSL_PKEY_PARAM_GROUP_NAME ||
         name == OSSL_PKEY_PARAM_PRIV_KEY || name == "seed" || name == OSSL_PKEY_PARAM_RSA_E ||
         name == OSSL_PKEY_PARAM_RSA_D || name.starts_with("rsa-");
}

ossl::PKey stranger_of(EVP_PKEY* key) {
  const ossl::PKeyCtx ctx(EVP_PKEY_CTX_new_from_pkey(nullptr, key, nullptr));
  const ossl::PKeyCtx plain(
      EVP_PKEY_CTX_new_from_name(nullptr, EVP_PKEY_get0_type_name(key), nullptr));
  // Curves come with the key; other types are made by their name.
  EVP_PKEY_CTX* const from = EVP_PKEY_is_a(key, "EC") == 1 ? ctx.get() : plain.get();
  ossl::PKey stranger;
  EVP_PKEY_keygen_init(from);
  EVP_PKEY_generate(from, ossl::Receive(stranger));
  return stranger;
}

char letter_of(unsigned data_type) {
  switch (data_type) {
    case OSSL_PARAM_UTF8_STRING: return 's';
    case OSSL_PARAM_OCTET_STRING: return 'o';
    default: return 'u';
  }
}

/// `own` with the public parts of `foreign`, whose memory it points into.
std::vector<OSSL_PARAM> mixed(const OSSL_PARAM* own, const OSSL_PARAM* foreign) {
  std::vector<OSSL_PARAM> parts;
  for (const OSSL_PARAM* part = own; part->key != nullptr; ++part) {
    if (!is_needed(part->key)) continue;
    parts.push_back(is_public(part->key) ? *OSSL_PARAM_locate_const(foreign, part->key) : *part);
  }
  parts.push_back(OSSL_PARAM_construct_end());
  return parts;
}

}  // namespace

ossl::PKey with_foreign_public_half(EVP_PKEY* key) {
  const Params own = parts_of(key);
  const Params foreign = parts_of(stranger_of(key).get());
  auto parts = mixed(own.get(), foreign.get());
  const ossl::PKeyCtx ctx(
      EVP_PKEY_CTX_new_from_name(nullptr, EVP_PKEY_get0_type_name(key), nullptr));
  ossl::PKey result;
  EVP_PKEY_fromdata_init(ctx.get());
  EVP_PKEY_fromdata(ctx.get(), ossl::Receive(result), EVP_PKEY_KEYPAIR, parts.data());
  return result;
}

void write_mixed_parts(EVP_PKEY* key, const std::string& path) {
  const Params own = parts_of(key);
  const Params foreign = parts_of(stranger_of(key).get());
  std::string text;
  for (const OSSL_PARAM& part : mixed(own.get(), foreign.get())) {
    if (part.key == nullptr) break;
    text += letter_of(part.data_type) + std::string(part.key) + '\0';
    text += static_cast<char>(part.data_size % 256);
    text += static_cast<char>(part.data_size / 256);
    text.append(static_cast<const char*>(part.data), part.data_size);
    text += '\0';
  }
  write_file(path, text);
}

}  // namespace vhsm::tests
