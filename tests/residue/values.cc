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

// ----- post-quantum ----------------------------------------------------------------------------

Value part(std::string name, const Bytes& all, std::size_t from, std::size_t size) {
  return little_endian(std::move(name), all.data() + from, size);
}

/// Numbers of `bits` bits, one behind the other.
std::vector<std::uint32_t> unpacked(const Bytes& packed, std::size_t from, std::size_t count,
                                    unsigned bits) {
  std::vector<std::uint32_t> numbers;
  for (std::size_t i = 0; i < count; ++i) {
    std::uint32_t number = 0;
    for (std::size_t bit = 0; bit < bits; ++bit) {
      const std::size_t at = i * bits + bit;
      number |= (packed[from + at / 8] >> (at % 8) & 1U) << bit;
    }
    numbers.push_back(number);
  }
  return numbers;
}

template <class Word>
Value words(std::string name, const std::vector<std::uint32_t>& numbers) {
  std::vector<Word> array(numbers.begin(), numbers.end());
  return little_endian(std::move(name), reinterpret_cast<const std::uint8_t*>(array.data()),
                       array.size() * sizeof(Word));
}

void add_seed(std::vector<Value>& values, const EVP_PKEY* key) {
  Bytes seed(64);
  std::size_t size = 0;
  if (EVP_PKEY_get_octet_string_param(key, "seed", seed.data(), seed.size(), &size) != 1) return;
  for (std::size_t at = 0; at < size; at += 32) {
    values.push_back(part(at == 0 ? "seed" : "z", seed, at, 32));
  }
}

/// FIPS 203, section 7.1: the decryption key, which is packed numbers of 12 bits (OpenSSL works on
/// words of 16 bits), the public key, its hash, z.
std::vector<Value> ml_kem_values(EVP_PKEY* key) {
  const Bytes raw = raw_private(key);
  const std::size_t packed_bytes = (raw.size() - 96) / 2;
  std::vector<Value> values;
  values.push_back(part("s, packed", raw, 0, packed_bytes));
  values.push_back(words<std::uint16_t>("s", unpacked(raw, 0, packed_bytes * 2 / 3, 12)));
  values.push_back(part("z", raw, raw.size() - 32, 32));
  add_seed(values, key);
  return values;
}

/// FIPS 204, section 7.5, algorithm 41, of one polynomial.
std::vector<std::uint32_t> number_theoretic_transform(std::vector<std::uint32_t> w) {
  constexpr std::uint64_t kModulus = 8380417;
  constexpr std::uint64_t kRoot = 1753;
  unsigned step = 0;
  for (std::size_t length = 128; length >= 1; length /= 2) {
    for (std::size_t start = 0; start < 256; start += 2 * length) {
      ++step;
      std::uint64_t zeta = 1;
      for (unsigned bit = 0; bit < 8; ++bit) {  // the power is the step with its bits reversed
        zeta = zeta * zeta % kModulus * (step >> bit & 1U ? kRoot : 1) % kModulus;
      }
      for (std::size_t j = start; j < start + length; ++j) {
        const auto t = static_cast<std::uint32_t>(zeta * w[j + length] % kModulus);
        w[j + length] = static_cast<std::uint32_t>((w[j] + kModulus - t) % kModulus);
        w[j] = static_cast<std::uint32_t>((w[j] + t) % kModulus);
      }
    }
  }
  return w;
}

struct MlDsaSizes {
  std::size_t polynomials;  ///< of s1 and s2
  unsigned bits;            ///< of a coefficient
  std::uint32_t eta;        ///< which is packed as eta minus itself
};

MlDsaSizes ml_dsa_sizes(const EVP_PKEY* key) {
  if (EVP_PKEY_is_a(key, "ML-DSA-44") == 1) return {8, 3, 2};
  if (EVP_PKEY_is_a(key, "ML-DSA-65") == 1) return {11, 4, 4};
  return {15, 3, 2};
}

/// FIPS 204, section 7.2: rho, K, tr, s1, s2, t0. OpenSSL signs with s1 and s2
/// transformed.
std::vector<Value> ml_dsa_values(EVP_PKEY* key) {
  constexpr std::uint32_t kModulus = 8380417;
  const Bytes raw = raw_private(key);
  const auto [polynomials, bits, eta] = ml_dsa_sizes(key);
  std::vector<Value> values;
  add_seed(values, key);
  values.push_back(part("K", raw, 32, 32));
  values.push_back(part("s1 and s2, packed", raw, 128, polynomials * 32 * bits));
  for (const std::size_t i : {std::size_t{0}, polynomials - 1}) {  // the others lie beside these
    auto numbers = unpacked(raw, 128 + i * 32 * bits, 256, bits);
    for (auto& number : numbers) number = (eta + kModulus - number) % kModulus;
    const std::string name = "s[" + std::to_string(i) + "]";
    values.push_back(words<std::uint32_t>("NTT of " + name, number_theoretic_transform(numbers)));
  }
  return values;
}

/// FIPS 205, section 9.1: SK.seed, SK.prf, and the public key.
std::vector<Value> slh_dsa_values(EVP_PKEY* key) {
  const Bytes raw = raw_private(key);
  const std::size_t size = raw.size() / 4;
  if (size == 0) return {};
  return {part("SK.seed", raw, 0, size), part("SK.prf", raw, size, size)};
}

}  // namespace

const keystore::KeyType& type_of(const EVP_PKEY* key) {
  const auto is_it = [key](const keystore::KeyType& type) {
    return EVP_PKEY_is_a(key, type.name) == 1;
  };
  return *std::ranges::find_if(keystore::kTypeTable, is_it);
}

std::vector<Value> values_of_key(EVP_PKEY* key) {
  switch (type_of(key).family) {
    case keystore::Family::kRsa: return rsa_values(key);
    case keystore::Family::kEc: return ec_values(key);
    case keystore::Family::kMlKem: return ml_kem_values(key);
    case keystore::Family::kMlDsa: return ml_dsa_values(key);
    case keystore::Family::kSlhDsa: return slh_dsa_values(key);
    default: return raw_values(key);
  }
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
