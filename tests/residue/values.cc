// SPDX-License-Identifier: Apache-2.0
#include "tests/residue/values.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/sha.h>

#include <algorithm>
#include <array>

namespace vhsm::tests {
namespace {

using BnCtx = ossl::Handle<BN_CTX, BN_CTX_free>;
using Group = ossl::Handle<EC_GROUP, EC_GROUP_free>;

constexpr int kLimbBits = 64;
constexpr int kIfmaBits = 52;  // digits of OpenSSL's RSA code for AVX-512 IFMA

ossl::Bignum parameter(EVP_PKEY* key, const char* name) {
  ossl::Bignum number;
  EVP_PKEY_get_bn_param(key, name, ossl::Receive(number));
  return number;
}

/// Big-endian, in at least `size` bytes.
Value value(std::string name, const BIGNUM* number, int size = 0) {
  Bytes bytes(static_cast<std::size_t>(std::max(size, BN_num_bytes(number))));
  BN_bn2binpad(number, bytes.data(), static_cast<int>(bytes.size()));
  return {std::move(name), std::move(bytes)};
}

Value little_endian(std::string name, const std::uint8_t* bytes, std::size_t size) {
  return {std::move(name), Bytes(bytes, bytes + size), true};
}

/// 2^bits mod `modulus`, for all digits of `digit_bits` that the modulus fills.
ossl::Bignum montgomery_radix(const BIGNUM* modulus, int digit_bits, BN_CTX* ctx) {
  const int digits = (BN_num_bits(modulus) + digit_bits - 1) / digit_bits;
  ossl::Bignum radix(BN_new());
  BN_set_bit(radix.get(), digits * digit_bits);
  BN_nnmod(radix.get(), radix.get(), modulus, ctx);
  return radix;
}

ossl::Bignum product(const BIGNUM* a, const BIGNUM* b, const BIGNUM* modulus, BN_CTX* ctx) {
  ossl::Bignum result(BN_new());
  BN_mod_mul(result.get(), a, b, modulus, ctx);
  return result;
}

/// R mod p and its square, which give p away by a greatest common divisor or two.
void add_montgomery(std::vector<Value>& values, const std::string& name, const BIGNUM* prime,
                    BN_CTX* ctx) {
  for (const int digit_bits : {kLimbBits, kIfmaBits}) {
    const std::string radix = digit_bits == kLimbBits ? "R" : "R52";
    const auto once = montgomery_radix(prime, digit_bits, ctx);
    const auto square = product(once.get(), once.get(), prime, ctx);
    values.push_back(value(radix + " mod " + name, once.get()));
    values.push_back(value(radix + "^2 mod " + name, square.get()));
  }
}

std::vector<Value> rsa_values(EVP_PKEY* key) {
  constexpr std::array<std::pair<const char*, const char*>, 6> kParts{{
      {"d", OSSL_PKEY_PARAM_RSA_D},
      {"p", OSSL_PKEY_PARAM_RSA_FACTOR1},
      {"q", OSSL_PKEY_PARAM_RSA_FACTOR2},
      {"dp", OSSL_PKEY_PARAM_RSA_EXPONENT1},
      {"dq", OSSL_PKEY_PARAM_RSA_EXPONENT2},
      {"qinv", OSSL_PKEY_PARAM_RSA_COEFFICIENT1},
  }};
  const BnCtx ctx(BN_CTX_new());
  std::vector<Value> values;
  for (const auto& [name, parameter_name] : kParts) {
    const auto number = parameter(key, parameter_name);
    if (number == nullptr) continue;
    values.push_back(value(name, number.get()));
    const bool prime = *name == 'p' || (*name == 'q' && name[1] == '\0');
    if (prime) add_montgomery(values, name, number.get(), ctx.get());
  }
  return values;
}

Group group_of(EVP_PKEY* key) {
  std::array<char, 64> name{};
  std::size_t size = 0;
  EVP_PKEY_get_group_name(key, name.data(), name.size(), &size);
  return Group(EC_GROUP_new_by_curve_name(OBJ_txt2nid(name.data())));
}

/// A number below the order as OpenSSL handles it: itself, in Montgomery form, and with once or
/// twice the order added, which the ladder does for a fixed length.
void add_scalar(std::vector<Value>& values, const std::string& name, const BIGNUM* scalar,
                const BIGNUM* order, BN_CTX* ctx) {
  values.push_back(value(name, scalar, BN_num_bytes(order)));
  const auto radix = montgomery_radix(order, kLimbBits, ctx);
  const auto form = product(scalar, radix.get(), order, ctx);
  values.push_back(value(name + "*R mod n", form.get(), BN_num_bytes(order)));
  ossl::Bignum sum(BN_dup(scalar));
  for (const char* suffix : {"+n", "+2n"}) {
    BN_add(sum.get(), sum.get(), order);
    values.push_back(value(name + suffix, sum.get()));
  }
}

std::vector<Value> ec_values(EVP_PKEY* key) {
  const auto scalar = parameter(key, OSSL_PKEY_PARAM_PRIV_KEY);
  const Group group = group_of(key);
  if (scalar == nullptr || group == nullptr) return {};
  const BnCtx ctx(BN_CTX_new());
  std::vector<Value> values;
  add_scalar(values, "d", scalar.get(), EC_GROUP_get0_order(group.get()), ctx.get());
  return values;
}

Bytes raw_private(EVP_PKEY* key) {
  std::size_t size = 0;
  if (EVP_PKEY_get_raw_private_key(key, nullptr, &size) != 1) return {};
  Bytes raw(size);
  EVP_PKEY_get_raw_private_key(key, raw.data(), &size);
  return raw;
}

/// RFC 7748, section 5, and RFC 8032, section 5.1.5: the same bits.
void clamp(std::uint8_t* scalar) {
  scalar[0] &= 0xF8;
  scalar[31] = static_cast<std::uint8_t>((scalar[31] & 0x7F) | 0x40);
}

std::array<std::uint8_t, SHA512_DIGEST_LENGTH> expanded(const Bytes& seed) {
  std::array<std::uint8_t, SHA512_DIGEST_LENGTH> both{};
  SHA512(seed.data(), seed.size(), both.data());
  return both;
}

std::vector<Value> raw_values(EVP_PKEY* key) {
  const Bytes seed = raw_private(key);
  std::vector<Value> values;
  if (seed.empty()) return values;
  values.push_back(little_endian("seed", seed.data(), seed.size()));
  if (EVP_PKEY_is_a(key, "ED25519") == 1) {
    auto both = expanded(seed);
    values.push_back(little_endian("prefix", both.data() + 32, 32));
    clamp(both.data());
    values.push_back(little_endian("scalar", both.data(), 32));
  } else if (EVP_PKEY_is_a(key, "X25519") == 1) {
    Bytes scalar = seed;
    clamp(scalar.data());
    values.push_back(little_endian("scalar", scalar.data(), scalar.size()));
  }
  return values;
}

Bytes digest_of(const Signature& signature) {
  Bytes digest(EVP_MAX_MD_SIZE);
  std::size_t size = 0;
  if (EVP_Q_digest(nullptr, signature.digest.c_str(), nullptr, signature.message.data(),
                   signature.message.size(), digest.data(), &size) != 1) {
    return {};
  }
  digest.resize(size);
  return digest;
}

/// The leftmost bits of the digest, as many as the order has (FIPS 186-5, section 6.4.1).
ossl::Bignum hash_number(const Bytes& digest, const BIGNUM* order) {
  ossl::Bignum number(BN_bin2bn(digest.data(), static_cast<int>(digest.size()), nullptr));
  const int surplus = static_cast<int>(digest.size()) * 8 - BN_num_bits(order);
  if (surplus > 0) BN_rshift(number.get(), number.get(), surplus);
  return number;
}

bool verifies(EVP_PKEY* key, const Signature& signature) {
  const ossl::MdCtx ctx(EVP_MD_CTX_new());
  const char* const digest = EVP_PKEY_is_a(key, "EC") == 1 ? signature.digest.c_str() : nullptr;
  return EVP_DigestVerifyInit_ex(ctx.get(), nullptr, digest, nullptr, nullptr, key, nullptr) == 1 &&
         EVP_DigestVerify(ctx.get(), signature.signature.data(), signature.signature.size(),
                          signature.message.data(), signature.message.size()) == 1;
}

/// k = (h + r d) / s, and its inverse; also r d and h + r d, from which d follows as r is public.
std::vector<Value> ecdsa_values(EVP_PKEY* key, const Signature& signature) {
  const std::uint8_t* at = signature.signature.data();
  const ossl::EcdsaSig parts(
      d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(signature.signature.size())));
  const Group group = group_of(key);
  const auto scalar = parameter(key, OSSL_PKEY_PARAM_PRIV_KEY);
  const BnCtx ctx(BN_CTX_new());
  const BIGNUM* const order = EC_GROUP_get0_order(group.get());
  const auto hash = hash_number(digest_of(signature), order);
  const auto product_rd = product(ECDSA_SIG_get0_r(parts.get()), scalar.get(), order, ctx.get());
  ossl::Bignum sum(BN_new());
  BN_mod_add(sum.get(), hash.get(), product_rd.get(), order, ctx.get());
  const ossl::Bignum inverse_s(
      BN_mod_inverse(nullptr, ECDSA_SIG_get0_s(parts.get()), order, ctx.get()));
  const auto nonce = product(sum.get(), inverse_s.get(), order, ctx.get());
  const ossl::Bignum inverse(BN_mod_inverse(nullptr, nonce.get(), order, ctx.get()));
  std::vector<Value> values;
  add_scalar(values, "k", nonce.get(), order, ctx.get());
  add_scalar(values, "1/k", inverse.get(), order, ctx.get());
  add_scalar(values, "r*d", product_rd.get(), order, ctx.get());
  add_scalar(values, "h+r*d", sum.get(), order, ctx.get());
  return values;
}

/// r = SHA-512(prefix, message), whole and modulo the order (RFC 8032, section 5.1.6).
std::vector<Value> eddsa_values(EVP_PKEY* key, const Signature& signature) {
  const auto both = expanded(raw_private(key));
  Bytes input(both.begin() + 32, both.end());
  input.insert(input.end(), signature.message.begin(), signature.message.end());
  std::array<std::uint8_t, SHA512_DIGEST_LENGTH> hash{};
  SHA512(input.data(), input.size(), hash.data());
  ossl::Bignum order;
  BN_hex2bn(ossl::Receive(order),
            "1000000000000000000000000000000014DEF9DEA2F79CD65812631A5CF5D3ED");
  const ossl::Bignum number(BN_lebin2bn(hash.data(), static_cast<int>(hash.size()), nullptr));
  const BnCtx ctx(BN_CTX_new());
  BN_nnmod(number.get(), number.get(), order.get(), ctx.get());
  std::array<std::uint8_t, 32> nonce{};
  BN_bn2lebinpad(number.get(), nonce.data(), static_cast<int>(nonce.size()));
  return {little_endian("hash for k", hash.data(), hash.size()),
          little_endian("k", nonce.data(), nonce.size())};
}

}  // namespace

std::vector<Value> values_of_key(EVP_PKEY* key) {
  if (EVP_PKEY_is_a(key, "RSA") == 1 || EVP_PKEY_is_a(key, "RSA-PSS") == 1) return rsa_values(key);
  if (EVP_PKEY_is_a(key, "EC") == 1) return ec_values(key);
  return raw_values(key);
}

std::vector<Value> values_of_signature(EVP_PKEY* key, const Signature& signature) {
  if (!verifies(key, signature)) return {};
  if (EVP_PKEY_is_a(key, "EC") == 1) return ecdsa_values(key, signature);
  if (EVP_PKEY_is_a(key, "ED25519") == 1) return eddsa_values(key, signature);
  return {};
}

ossl::PKey read_key(const std::string& path) {
  const ossl::Bio file(BIO_new_file(path.c_str(), "r"));
  if (file == nullptr) return nullptr;
  // An empty passphrase instead of a question at the terminal.
  char nothing[] = "";
  return ossl::PKey(PEM_read_bio_PrivateKey(file.get(), nullptr, nullptr, nothing));
}

}  // namespace vhsm::tests
