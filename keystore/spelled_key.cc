// SPDX-License-Identifier: Apache-2.0
#include "keystore/spelled_key.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>

#include <algorithm>
#include <bit>
#include <utility>

namespace vhsm::keystore {

/// A key pair has an operation and rules, a symmetric key what its operations take.
struct SpelledAlgorithm {
  Names names;
  Kty kty;
  std::string_view curve{};         ///< the one that it is for, by its JOSE name; empty: any
  std::string_view operation{};     ///< of key_policy.h
  std::string_view rules{};         ///< of key_policy.h
  const char* symmetric = nullptr;  ///< SymmetricAlgorithm::name
  const char* digest = nullptr;
};

namespace {

constexpr Names jose(std::string_view name) { return {name, 0}; }
constexpr Names cose(std::int64_t number) { return {{}, number}; }

constexpr std::array<std::pair<Names, Kty>, 4> kKtys{{{{"RSA", 3}, Kty::kRsaKey},
                                                      {{"EC", 2}, Kty::kEcKey},
                                                      {{"OKP", 1}, Kty::kOkp},
                                                      {{"oct", 4}, Kty::kSecret}}};

constexpr std::array<SpelledPart, kSpelledParts> kParts{{
    {Kty::kRsaKey, {"n", -1}, OSSL_PKEY_PARAM_RSA_N, true},
    {Kty::kRsaKey, {"e", -2}, OSSL_PKEY_PARAM_RSA_E, true},
    {Kty::kRsaKey, {"d", -3}, OSSL_PKEY_PARAM_RSA_D, true},
    {Kty::kRsaKey, {"p", -4}, OSSL_PKEY_PARAM_RSA_FACTOR1, false},
    {Kty::kRsaKey, {"q", -5}, OSSL_PKEY_PARAM_RSA_FACTOR2, false},
    {Kty::kRsaKey, {"dp", -6}, OSSL_PKEY_PARAM_RSA_EXPONENT1, false},
    {Kty::kRsaKey, {"dq", -7}, OSSL_PKEY_PARAM_RSA_EXPONENT2, false},
    {Kty::kRsaKey, {"qi", -8}, OSSL_PKEY_PARAM_RSA_COEFFICIENT1, false},
    {Kty::kEcKey, {"x", -2}, nullptr, true},
    {Kty::kEcKey, {"y", -3}, nullptr, true},
    {Kty::kEcKey, {"d", -4}, OSSL_PKEY_PARAM_PRIV_KEY, true},
    {Kty::kOkp, {"x", -2}, OSSL_PKEY_PARAM_PUB_KEY, false},
    {Kty::kOkp, {"d", -4}, OSSL_PKEY_PARAM_PRIV_KEY, true},
    {Kty::kSecret, {"k", -1}, nullptr, true},
}};

constexpr SpelledCurve kCurves[] = {
    {{"P-256", 1}, Kty::kEcKey, "prime256v1", 32}, {{"P-384", 2}, Kty::kEcKey, "secp384r1", 48},
    {{"P-521", 3}, Kty::kEcKey, "secp521r1", 66},  {{"secp256k1", 8}, Kty::kEcKey, "secp256k1", 32},
    {{"X25519", 4}, Kty::kOkp, "X25519", 32},      {{"X448", 5}, Kty::kOkp, "X448", 56},
    {{"Ed25519", 6}, Kty::kOkp, "ED25519", 32},    {{"Ed448", 7}, Kty::kOkp, "ED448", 57},
};

/// A use of a symmetric key has the name that it has for a pair but for MACs.
struct KeyOperation {
  Names names;
  std::string_view pair;  ///< of key_policy.h; empty: the public half does it
  unsigned secret;        ///< KeyUses::bit()
  std::string_view use;
};
constexpr KeyOperation kOperations[] = {
    {{"sign", 1}, "sign", KeyUses::bit(Use::kSign), "sig"},
    {{"verify", 2}, "", 0, "sig"},
    {{"encrypt", 3}, "", KeyUses::bit(Use::kEncrypt), "enc"},
    {{"decrypt", 4}, "decrypt", KeyUses::bit(Use::kDecrypt), "enc"},
    {{"wrapKey", 5}, "", KeyUses::bit(Use::kWrap), "enc"},
    {{"unwrapKey", 6}, "decrypt", KeyUses::bit(Use::kUnwrap), "enc"},
    {{"deriveKey", 7}, "derive", KeyUses::bit(Use::kDerive), "enc"},
    {{"deriveBits", 8}, "derive", KeyUses::bit(Use::kDerive), "enc"},
    {cose(9), "", KeyUses::bit(Use::kSign), "sig"},
    {cose(10), "", 0, "sig"},
    {jose("release"), "", KeyUses::kRelease, ""},  // ours: see secret_material.h
};
static_assert(std::size(kOperations) < 32, "each has a bit");

constexpr std::array<std::string_view, 3> kPairOperations{"sign", "decrypt", "derive"};

constexpr SpelledAlgorithm pair(Names names, Kty kty, std::string_view curve,
                                std::string_view operation, std::string_view rules = {}) {
  return {names, kty, curve, operation, rules};
}
constexpr SpelledAlgorithm secret(Names names, const char* algorithm,
                                  const char* digest = nullptr) {
  return {names, Kty::kSecret, {}, {}, {}, algorithm, digest};
}

/// What COSE leaves to the curve or the header (RFC 9053, section 2.1) has lines of its own.
/// Sources: RFC 7518 (3.1, 4.1, 5.1), RFC 8037 (3.1), RFC 8812, Web Cryptography for what is left
/// of AES; RFC 9053 (2 to 6), RFC 8230 (2), RFC 8812, RFC 9459.
constexpr SpelledAlgorithm kAlgorithms[] = {
    pair({"RS256", -257}, Kty::kRsaKey, "", "sign", " digests=SHA256 paddings=pkcs1"),
    pair({"RS384", -258}, Kty::kRsaKey, "", "sign", " digests=SHA384 paddings=pkcs1"),
    pair({"RS512", -259}, Kty::kRsaKey, "", "sign", " digests=SHA512 paddings=pkcs1"),
    pair({"PS256", -37}, Kty::kRsaKey, "", "sign", " digests=SHA256 paddings=pss salt=digest"),
    pair({"PS384", -38}, Kty::kRsaKey, "", "sign", " digests=SHA384 paddings=pss salt=digest"),
    pair({"PS512", -39}, Kty::kRsaKey, "", "sign", " digests=SHA512 paddings=pss salt=digest"),
    pair(jose("RSA1_5"), Kty::kRsaKey, "", "decrypt", " paddings=pkcs1"),
    pair({"RSA-OAEP", -40}, Kty::kRsaKey, "", "decrypt", " digests=SHA1 paddings=oaep"),
    pair({"RSA-OAEP-256", -41}, Kty::kRsaKey, "", "decrypt", " digests=SHA256 paddings=oaep"),
    pair(jose("RSA-OAEP-384"), Kty::kRsaKey, "", "decrypt", " digests=SHA384 paddings=oaep"),
    pair({"RSA-OAEP-512", -42}, Kty::kRsaKey, "", "decrypt", " digests=SHA512 paddings=oaep"),
    pair(jose("ES256"), Kty::kEcKey, "P-256", "sign", " digests=SHA256"),
    pair(jose("ES384"), Kty::kEcKey, "P-384", "sign", " digests=SHA384"),
    pair(jose("ES512"), Kty::kEcKey, "P-521", "sign", " digests=SHA512"),
    pair({"ES256K", -47}, Kty::kEcKey, "secp256k1", "sign", " digests=SHA256"),
    pair(cose(-7), Kty::kEcKey, "", "sign", " digests=SHA256"),
    pair(cose(-35), Kty::kEcKey, "", "sign", " digests=SHA384"),
    pair(cose(-36), Kty::kEcKey, "", "sign", " digests=SHA512"),
    pair({"EdDSA", -8}, Kty::kOkp, "Ed25519", "sign"),
    pair({"EdDSA", -8}, Kty::kOkp, "Ed448", "sign"),
    pair(jose("ECDH-ES"), Kty::kEcKey, "", "derive"),
    pair(jose("ECDH-ES"), Kty::kOkp, "X25519", "derive"),
    pair(jose("ECDH-ES"), Kty::kOkp, "X448", "derive"),
    pair({"ECDH-ES+A128KW", -29}, Kty::kEcKey, "", "derive"),
    pair({"ECDH-ES+A192KW", -30}, Kty::kEcKey, "", "derive"),
    pair({"ECDH-ES+A256KW", -31}, Kty::kEcKey, "", "derive"),
    pair({"ECDH-ES+A128KW", -29}, Kty::kOkp, "X25519", "derive"),
    pair({"ECDH-ES+A192KW", -30}, Kty::kOkp, "X25519", "derive"),
    pair({"ECDH-ES+A256KW", -31}, Kty::kOkp, "X25519", "derive"),
    pair({"ECDH-ES+A128KW", -29}, Kty::kOkp, "X448", "derive"),
    pair({"ECDH-ES+A192KW", -30}, Kty::kOkp, "X448", "derive"),
    pair({"ECDH-ES+A256KW", -31}, Kty::kOkp, "X448", "derive"),
    pair(cose(-25), Kty::kEcKey, "", "derive"),
    pair(cose(-26), Kty::kEcKey, "", "derive"),
    pair(cose(-25), Kty::kOkp, "X25519", "derive"),
    pair(cose(-26), Kty::kOkp, "X25519", "derive"),
    pair(cose(-25), Kty::kOkp, "X448", "derive"),
    pair(cose(-26), Kty::kOkp, "X448", "derive"),
    secret({"HS256", 5}, "HMAC", "SHA256"),
    secret({"HS384", 6}, "HMAC", "SHA384"),
    secret({"HS512", 7}, "HMAC", "SHA512"),
    secret({"A128GCM", 1}, "AES-128-GCM"),
    secret({"A192GCM", 2}, "AES-192-GCM"),
    secret({"A256GCM", 3}, "AES-256-GCM"),
    secret({"A128CBC", -65531}, "AES-128-CBC"),
    secret({"A192CBC", -65530}, "AES-192-CBC"),
    secret({"A256CBC", -65529}, "AES-256-CBC"),
    secret({"A128CTR", -65534}, "AES-128-CTR"),
    secret({"A192CTR", -65533}, "AES-192-CTR"),
    secret({"A256CTR", -65532}, "AES-256-CTR"),
    secret({"A128KW", -3}, "AES-128-WRAP"),
    secret({"A192KW", -4}, "AES-192-WRAP"),
    secret({"A256KW", -5}, "AES-256-WRAP"),
};

bool is_called(const Names& known, const Names& name) noexcept {
  return name.jose.empty() ? known.cose == name.cose && name.cose != 0 : known.jose == name.jose;
}

std::string_view name_of(const SpelledCurve* curve) noexcept {
  return curve == nullptr ? std::string_view() : curve->names.jose;
}

const SecretBytes& part(const SpelledKey& key, std::string_view name) noexcept {
  const auto* const found = std::ranges::find_if(
      kParts, [&](const SpelledPart& row) { return row.kty == key.kty && row.names.jose == name; });
  return key.parts[static_cast<std::size_t>(found - kParts.begin())];
}

}  // namespace

std::span<const SpelledPart, kSpelledParts> spelled_parts() noexcept { return kParts; }

Result<Kty> find_kty(Names name) {
  for (const auto& [names, kty] : kKtys) {
    if (is_called(names, name)) return kty;
  }
  return fail(Errc::kUnsupported, "the key's kty is not RSA, EC (EC2), OKP or oct (Symmetric)");
}

Result<const SpelledCurve*> find_spelled_curve(Names name, Kty kty) {
  for (const SpelledCurve& curve : kCurves) {
    if (is_called(curve.names, name) && curve.kty == kty) return &curve;
  }
  return fail(Errc::kUnsupported, "the key's crv is not one that vhsm knows for its kty");
}

Result<const SpelledAlgorithm*> find_spelled_algorithm(Names name, const SpelledKey& key) {
  bool known = false;
  for (const SpelledAlgorithm& algorithm : kAlgorithms) {
    if (!is_called(algorithm.names, name)) continue;
    known = true;
    const bool on_curve = algorithm.curve.empty() || algorithm.curve == name_of(key.curve);
    if (algorithm.kty == key.kty && on_curve) return &algorithm;
  }
  if (known) return fail(Errc::kBadFormat, "the key's alg is for another kty or crv");
  return fail(Errc::kUnsupported, "the key's alg is not one that vhsm knows");
}

Result<unsigned> find_key_operation(Names name) {
  const auto* const found = std::ranges::find_if(
      kOperations, [&](const KeyOperation& known) { return is_called(known.names, name); });
  if (found == std::end(kOperations)) {
    return fail(Errc::kUnsupported, "the key's key_ops have a use that vhsm does not know");
  }
  return 1U << (found - std::begin(kOperations));
}

Result<unsigned> find_key_purpose(std::string_view use) {
  unsigned all = 0;
  for (std::size_t i = 0; i < std::size(kOperations); ++i) {
    if (kOperations[i].use == use) all |= 1U << i;
  }
  if (all != 0) return all;
  return fail(Errc::kUnsupported, "the key's use is neither sig nor enc");
}

namespace {

/// What key_ops and use leave.
unsigned operations_of(const SpelledTerms& terms) noexcept {
  return terms.operations.value_or(SpelledTerms::kEvery) &
         terms.purpose.value_or(SpelledTerms::kEvery);
}

template <class Each>
void for_each_operation(unsigned operations, Each&& each) {
  for (std::size_t i = 0; i < std::size(kOperations); ++i) {
    if ((operations >> i & 1U) != 0) each(kOperations[i]);
  }
}

/// Bits of KeyUses.
unsigned secret_uses(unsigned operations) {
  unsigned uses = 0;
  for_each_operation(operations, [&](const KeyOperation& known) { uses |= known.secret; });
  return uses;
}

/// Who gets the bytes could do with them what the others may not.
Status check_release(const SpelledTerms& terms) {
  const unsigned uses = secret_uses(terms.operations.value_or(0));
  const bool alone = uses == KeyUses::kRelease && std::popcount(*terms.operations) == 1;
  if ((uses & KeyUses::kRelease) == 0 || alone) return {};
  return fail(Errc::kBadFormat, "a key with release in its key_ops can have nothing else there");
}

bool may(const SpelledKey& key, std::string_view operation) {
  const SpelledAlgorithm* const algorithm = key.terms.algorithm;
  if (algorithm != nullptr && algorithm->operation != operation) return false;
  bool found = false;
  for_each_operation(operations_of(key.terms),
                     [&](const KeyOperation& known) { found |= known.pair == operation; });
  return found;
}

bool is_bound(const SpelledTerms& terms) noexcept {
  return terms.algorithm != nullptr || terms.operations.has_value() || terms.purpose.has_value();
}

/// The last second in which the key may be used; at 0 it never may.
std::uint64_t last_second(std::uint64_t expires) noexcept { return expires == 0 ? 0 : expires - 1; }

Status check_crt(const SpelledKey& key) {
  std::size_t there = 0;
  for (const std::string_view name : {"p", "q", "dp", "dq", "qi"}) {
    there += part(key, name).size() != 0 ? 1U : 0U;
  }
  if (there == 0 || there == 5) return {};
  return fail(Errc::kBadFormat, "of p, q, dp, dq and qi an RSA key has all or none");
}

/// RFC 7518, section 6.2: each as long as the curve says.
Status check_lengths(const SpelledKey& key) {
  const std::size_t bytes = key.curve->bytes;
  const auto fits = [&](std::string_view name) { return part(key, name).size() == bytes; };
  const bool is_point = key.kty == Kty::kEcKey;
  const bool x = (!is_point && part(key, "x").size() == 0) || fits("x");
  const bool y = !is_point || (key.y_is_sign ? part(key, "y").size() == 1 : fits("y"));
  if (x && y && fits("d")) return {};
  return fail(Errc::kBadFormat, "a part of the key is longer or shorter than its curve says");
}

}  // namespace

Status check_spelled(const SpelledKey& key) {
  for (std::size_t i = 0; i < kParts.size(); ++i) {
    if (kParts[i].kty != key.kty || !kParts[i].needed || key.parts[i].size() != 0) continue;
    return fail(Errc::kBadFormat, "the key lacks a part that its kty has to have");
  }
  const SpelledTerms& terms = key.terms;
  const bool agree = (terms.operations.value_or(0) & ~terms.purpose.value_or(~0U)) == 0;
  if (!agree) return fail(Errc::kBadFormat, "the key's use and its key_ops contradict each other");
  if (terms.expires.has_value() && terms.not_before.value_or(0) > last_second(*terms.expires)) {
    return fail(Errc::kBadFormat, "the key's nbf is not before its exp: it could never be used");
  }
  VHSM_TRY(check_release(terms));
  if (key.kty == Kty::kRsaKey) return check_crt(key);
  return key.curve == nullptr ? Status() : check_lengths(key);
}

// ----- pairs ------------------------------------------------------------------------------------

namespace {

using ParamBuilder = ossl::Handle<OSSL_PARAM_BLD, OSSL_PARAM_BLD_free>;
using Numbers = std::vector<ossl::Bignum>;  ///< which a builder points to until it has built

Status push_number(OSSL_PARAM_BLD* builder, const char* name, const SecretBytes& bytes,
                   Numbers& numbers) {
  auto number = VHSM_TRY(made(ossl::Bignum(BN_secure_new()), "no number"));
  const auto size = static_cast<int>(bytes.size());
  if (BN_bin2bn(bytes.expose().data(), size, number.get()) == nullptr) {
    return fail(Errc::kCrypto, "no number");
  }
  numbers.push_back(std::move(number));
  return crypto(OSSL_PARAM_BLD_push_BN(builder, name, numbers.back().get()), "no room for a part");
}

Status push_octets(OSSL_PARAM_BLD* builder, const char* name, const SecretBytes& bytes) {
  return crypto(
      OSSL_PARAM_BLD_push_octet_string(builder, name, bytes.expose().data(), bytes.size()),
      "no room for a part");
}

/// SEC 1, section 2.3.3.
Result<SecretBytes> point_of(const SpelledKey& key) {
  const auto x = part(key, "x").expose();
  const auto y = part(key, "y").expose();
  auto point = VHSM_TRY(SecretBytes::zeros(1 + x.size() + (key.y_is_sign ? 0 : y.size())));
  const auto out = point.expose();
  out[0] = key.y_is_sign ? static_cast<std::uint8_t>(2 + y[0]) : 4;
  std::ranges::copy(x, out.begin() + 1);
  if (!key.y_is_sign) std::ranges::copy(y, out.begin() + 1 + static_cast<long>(x.size()));
  return point;
}

/// @param point  of EC; as long as the builder.
Status push_parts(OSSL_PARAM_BLD* builder, const SpelledKey& key, const SecretBytes& point,
                  Numbers& numbers) {
  const bool of_numbers = key.kty == Kty::kRsaKey || key.kty == Kty::kEcKey;
  for (std::size_t i = 0; i < kParts.size(); ++i) {
    const SecretBytes& bytes = key.parts[i];
    if (kParts[i].kty != key.kty || kParts[i].param == nullptr || bytes.size() == 0) continue;
    VHSM_TRY(of_numbers ? push_number(builder, kParts[i].param, bytes, numbers)
                        : push_octets(builder, kParts[i].param, bytes));
  }
  if (key.kty != Kty::kEcKey) return {};
  VHSM_TRY(push_octets(builder, OSSL_PKEY_PARAM_PUB_KEY, point));
  return crypto(
      OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, key.curve->openssl, 0),
      "no room for the curve");
}

const char* type_of(const SpelledKey& key) noexcept {
  if (key.kty == Kty::kOkp) return key.curve->openssl;
  return key.kty == Kty::kEcKey ? "EC" : "RSA";
}

}  // namespace

Result<HeldPKey> pair_of(const SpelledKey& key) {
  if (key.kty == Kty::kSecret) {
    return fail(Errc::kBadFormat, "this is a symmetric key")
        .cured_by("name it with type=secret, or import it with --secret");
  }
  const auto builder = VHSM_TRY(made(ParamBuilder(OSSL_PARAM_BLD_new()), "no builder"));
  SecretBytes point;
  Numbers numbers;
  if (key.kty == Kty::kEcKey) point = VHSM_TRY(point_of(key));
  VHSM_TRY(push_parts(builder.get(), key, point, numbers));
  const auto params = VHSM_TRY(made(
      ossl::Handle<OSSL_PARAM, OSSL_PARAM_free>(OSSL_PARAM_BLD_to_param(builder.get())), "no key"));
  const auto ctx = VHSM_TRY(
      made(ossl::PKeyCtx(EVP_PKEY_CTX_new_from_name(nullptr, type_of(key), nullptr)), "no key"));
  VHSM_TRY(crypto(EVP_PKEY_fromdata_init(ctx.get()), "no key can be made of its parts"));
  EVP_PKEY* pair = nullptr;
  VHSM_TRY(crypto(EVP_PKEY_fromdata(ctx.get(), &pair, EVP_PKEY_KEYPAIR, params.get()),
                  "the parts make no key"));
  return HeldPKey(pair);
}

Result<std::string> policy_of(const SpelledKey& key) {
  const SpelledTerms& terms = key.terms;
  std::string text;
  const auto add = [&](std::string_view rule, const std::string& value) {
    text.append(text.empty() ? "" : " ").append(rule).append(value);
  };
  if (is_bound(terms)) {
    std::string operations;
    for (const std::string_view operation : kPairOperations) {
      if (may(key, operation)) operations.append(operations.empty() ? "" : ",").append(operation);
    }
    if (operations.empty()) {
      return fail(Errc::kBadFormat,
                  "the key's alg, use and key_ops leave nothing that a private half does");
    }
    add("operations=", operations);
  }
  if (terms.algorithm != nullptr) text.append(terms.algorithm->rules);
  if (terms.not_before.has_value()) add("not-before=", std::to_string(*terms.not_before));
  if (terms.expires.has_value()) add("not-after=", std::to_string(last_second(*terms.expires)));
  return text;
}

// ----- symmetric keys ---------------------------------------------------------------------------

namespace {

bool leave_something(const KeyUses& uses) noexcept {
  if (uses.algorithm == nullptr) return uses.uses != 0;
  const SymmetricAlgorithm& algorithm = *find_symmetric_algorithm(uses.algorithm);
  return (uses.uses & (KeyUses::bit(algorithm.forwards) | KeyUses::bit(algorithm.backwards))) != 0;
}

}  // namespace

Result<SecretMaterial> secret_of(const SpelledKey& key) {
  if (key.kty != Kty::kSecret) {
    return fail(Errc::kBadFormat, "this is no symmetric key (kty oct or Symmetric)");
  }
  SecretMaterial material;
  material.key = VHSM_TRY(part(key, "k").clone());
  const SpelledTerms& terms = key.terms;
  if (terms.operations.has_value() || terms.purpose.has_value()) {
    material.uses.uses = secret_uses(operations_of(terms));
  }
  if (terms.algorithm != nullptr) {
    material.uses.algorithm = terms.algorithm->symmetric;
    material.uses.digest = terms.algorithm->digest;
  }
  if (!leave_something(material.uses)) {
    return fail(Errc::kBadFormat,
                "the key's alg, use and key_ops leave nothing that a symmetric key does");
  }
  material.uses.not_before = terms.not_before;
  if (terms.expires.has_value()) material.uses.not_after = last_second(*terms.expires);
  return material;
}

}  // namespace vhsm::keystore
