// SPDX-License-Identifier: Apache-2.0
//
// Attestation tokens.
#include "jose/jwt.h"

#include <array>
#include <cstdint>
#include <vector>

#include "jose/base64.h"
#include "jose/jcs.h"
#include "jose/jwk.h"
#include "memory/protected_memory.h"

namespace vhsm::jose {
namespace {

constexpr int kScalarBytes = 32;
constexpr std::size_t kSignatureBytes = 64;
constexpr std::size_t kMaxTokenBytes = std::size_t{128} << 10;
constexpr std::size_t kMaxChain = 8;

using Octets = std::vector<std::uint8_t>;
using Signature = std::array<std::uint8_t, kSignatureBytes>;

// ---- signing

Result<std::string> to_base64_der(X509* certificate) {
  const int length = i2d_X509(certificate, nullptr);
  if (length <= 0) return fail(Errc::kCrypto, "i2d_X509");
  Octets der(static_cast<std::size_t>(length));
  unsigned char* next = der.data();
  i2d_X509(certificate, &next);
  return base64(der);
}

Result<Json> header_for(EVP_PKEY* key, std::span<const ossl::X509Cert> chain) {
  const auto jwk = VHSM_TRY(from_pkey(key, kSignatureAlg));
  if (jwk.crv != "P-256") return fail(Errc::kUnsupported, "a token key that is not P-256", jwk.crv);
  Json json = to_json(jwk);
  for (const auto& certificate : chain) {
    auto der = VHSM_TRY(to_base64_der(certificate.get()));
    json["x5c"].push_back(std::move(der));
  }
  return Json{{"alg", kSignatureAlg}, {"typ", "JWT"}, {"jwk", std::move(json)}};
}

Result<Octets> ecdsa_der(EVP_PKEY* key, std::string_view input) {
  const auto ctx = VHSM_TRY(made(ossl::MdCtx(EVP_MD_CTX_new()), "EVP_MD_CTX_new"));
  VHSM_TRY(
      crypto(EVP_DigestSignInit_ex(ctx.get(), nullptr, "SHA256", nullptr, nullptr, key, nullptr),
             "EVP_DigestSignInit_ex"));
  const auto* data = reinterpret_cast<const unsigned char*>(input.data());
  std::size_t length = 0;
  VHSM_TRY(crypto(EVP_DigestSign(ctx.get(), nullptr, &length, data, input.size()), "ES256"));
  Octets der(length);
  VHSM_TRY(crypto(EVP_DigestSign(ctx.get(), der.data(), &length, data, input.size()), "ES256"));
  der.resize(length);
  return der;
}

/// DER to r || s (RFC 7518, section 3.4).
Result<Signature> fixed_length(const Octets& der) {
  const unsigned char* next = der.data();
  const auto pair =
      VHSM_TRY(made(ossl::EcdsaSig(d2i_ECDSA_SIG(nullptr, &next, static_cast<long>(der.size()))),
                    "d2i_ECDSA_SIG"));
  Signature signature{};
  if (BN_bn2binpad(ECDSA_SIG_get0_r(pair.get()), signature.data(), kScalarBytes) != kScalarBytes ||
      BN_bn2binpad(ECDSA_SIG_get0_s(pair.get()), signature.data() + kScalarBytes, kScalarBytes) !=
          kScalarBytes) {
    return fail(Errc::kCrypto, "an ECDSA signature of another length");
  }
  return signature;
}

// ---- verifying

struct Parts {
  std::string_view input;  ///< header "." payload, as signed
  Json header;
  Json claims;
  Octets signature;
};

Result<Json> decoded_object(std::string_view encoded) {
  const auto text = VHSM_TRY(from_base64url(encoded));
  return parse_object({reinterpret_cast<const char*>(text.data()), text.size()});
}

Result<Parts> split(std::string_view token) {
  const auto first = token.find('.');
  const auto second = token.find('.', first == token.npos ? first : first + 1);
  if (second == token.npos || token.size() > kMaxTokenBytes) {
    return fail(Errc::kBadFormat, "a token is not three dotted parts");
  }
  Parts parts;
  parts.input = token.substr(0, second);
  parts.header = VHSM_TRY(decoded_object(token.substr(0, first)));
  parts.claims = VHSM_TRY(decoded_object(token.substr(first + 1, second - first - 1)));
  parts.signature = VHSM_TRY(from_base64url(token.substr(second + 1)));
  return parts;
}

Result<ossl::X509Cert> certificate_from(const Json& item) {
  const auto* text = item.get_ptr<const std::string*>();
  if (text == nullptr) return fail(Errc::kBadFormat, "a JSON member is not a string", "x5c");
  const auto der = VHSM_TRY(from_base64(*text));
  const ossl::ErrorMark quiet;
  const unsigned char* next = der.data();
  ossl::X509Cert certificate(d2i_X509(nullptr, &next, static_cast<long>(der.size())));
  if (certificate == nullptr || next != der.data() + der.size()) {
    return fail(Errc::kBadFormat, "x5c does not hold a certificate");
  }
  return certificate;
}

Result<std::vector<ossl::X509Cert>> chain_from(const Json& jwk) {
  const Json* list = find_member(jwk, "x5c");
  if (list == nullptr || !list->is_array() || list->empty() || list->size() > kMaxChain) {
    return fail(Errc::kUntrusted, "a token whose key carries no certificates");
  }
  std::vector<ossl::X509Cert> chain;
  for (const Json& item : *list) {
    auto certificate = VHSM_TRY(certificate_from(item));
    chain.push_back(std::move(certificate));
  }
  return chain;
}

Status verify_chain(std::span<const ossl::X509Cert> chain, X509_STORE* trusted,
                    std::chrono::system_clock::time_point now) {
  const ossl::ErrorMark quiet;
  const ossl::X509Stack others(sk_X509_new_null());
  const ossl::X509StoreCtx ctx(X509_STORE_CTX_new());
  if (others == nullptr || ctx == nullptr) return fail(Errc::kCrypto, "X509_STORE_CTX_new");
  for (const auto& certificate : chain.subspan(1)) {
    if (sk_X509_push(others.get(), certificate.get()) <= 0) return fail(Errc::kCrypto, "sk_push");
  }
  VHSM_TRY(crypto(X509_STORE_CTX_init(ctx.get(), trusted, chain.front().get(), others.get()),
                  "X509_STORE_CTX_init"));
  X509_STORE_CTX_set_flags(ctx.get(), X509_V_FLAG_PARTIAL_CHAIN);
  X509_STORE_CTX_set_time(ctx.get(), 0, std::chrono::system_clock::to_time_t(now));
  if (X509_verify_cert(ctx.get()) == 1) return {};
  return fail(Errc::kUntrusted, "a token's certificates do not end in a trusted one",
              X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx.get())));
}

/// The header's key, once it is certified.
Result<ossl::PKey> certified_key(const Json& header, X509_STORE* trusted,
                                 std::chrono::system_clock::time_point now) {
  const Json* json = find_member(header, "jwk");
  if (json == nullptr) return fail(Errc::kUntrusted, "a token without its key", "jwk");
  const auto jwk = VHSM_TRY(jwk_from_json(*json));
  const auto alg = VHSM_TRY(text_member(header, "alg"));
  if (alg != kSignatureAlg || jwk.alg != kSignatureAlg || jwk.crv != "P-256") {
    return fail(Errc::kUnsupported, "a token by another algorithm than ES256", alg);
  }
  const auto chain = VHSM_TRY(chain_from(*json));
  auto key = VHSM_TRY(to_pkey(jwk));
  if (EVP_PKEY_eq(X509_get0_pubkey(chain.front().get()), key.get()) != 1) {
    return fail(Errc::kUntrusted, "a token's key is not the key of its certificate");
  }
  VHSM_TRY(verify_chain(chain, trusted, now));
  return key;
}

Result<Octets> to_der(const Octets& fixed) {
  if (fixed.size() != kSignatureBytes) return fail(Errc::kBadFormat, "an ES256 signature's length");
  const ossl::EcdsaSig pair(ECDSA_SIG_new());
  ossl::Bignum r(BN_bin2bn(fixed.data(), kScalarBytes, nullptr));
  ossl::Bignum s(BN_bin2bn(fixed.data() + kScalarBytes, kScalarBytes, nullptr));
  if (pair == nullptr || r == nullptr || s == nullptr ||
      ECDSA_SIG_set0(pair.get(), r.get(), s.get()) != 1) {
    return fail(Errc::kCrypto, "ECDSA_SIG_new");
  }
  static_cast<void>(r.release());  // the pair owns both now
  static_cast<void>(s.release());
  const int length = i2d_ECDSA_SIG(pair.get(), nullptr);
  if (length <= 0) return fail(Errc::kCrypto, "i2d_ECDSA_SIG");
  Octets der(static_cast<std::size_t>(length));
  unsigned char* next = der.data();
  i2d_ECDSA_SIG(pair.get(), &next);
  return der;
}

Status verify_signature(EVP_PKEY* key, std::string_view input, const Octets& signature) {
  const auto der = VHSM_TRY(to_der(signature));
  const ossl::ErrorMark quiet;
  const auto ctx = VHSM_TRY(made(ossl::MdCtx(EVP_MD_CTX_new()), "EVP_MD_CTX_new"));
  VHSM_TRY(
      crypto(EVP_DigestVerifyInit_ex(ctx.get(), nullptr, "SHA256", nullptr, nullptr, key, nullptr),
             "EVP_DigestVerifyInit_ex"));
  if (EVP_DigestVerify(ctx.get(), der.data(), der.size(),
                       reinterpret_cast<const unsigned char*>(input.data()), input.size()) != 1) {
    return fail(Errc::kBadSignature, "a token's signature does not verify");
  }
  return {};
}

Status not_expired(const Json& claims, std::chrono::system_clock::time_point now,
                   std::chrono::seconds leeway) {
  const Json* exp = find_member(claims, "exp");
  const auto* at = exp == nullptr ? nullptr : exp->get_ptr<const Json::number_integer_t*>();
  if (at == nullptr || *at < 0) return fail(Errc::kBadFormat, "a token without an expiry", "exp");
  const auto since_epoch =
      std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()) - leeway;
  if (since_epoch.count() >= *at) return fail(Errc::kNotAttested, "a token has expired");
  return {};
}

}  // namespace

Result<std::string> sign_token(const Json& claims, EVP_PKEY* key,
                               std::span<const ossl::X509Cert> chain) {
  const auto header = VHSM_TRY(header_for(key, chain));
  std::string token = base64url(canonical(header)) + "." + base64url(canonical(claims));
  const auto der =
      VHSM_TRY(memory::run_protected([&]() -> Result<Octets> { return ecdsa_der(key, token); }));
  const auto signature = VHSM_TRY(fixed_length(der));
  return token + "." + base64url(signature);
}

Result<Json> verify_token(std::string_view token, X509_STORE* trusted,
                          std::chrono::system_clock::time_point now, std::chrono::seconds leeway) {
  auto parts = VHSM_TRY(split(token));
  if (find_member(parts.header, "crit") != nullptr) {
    return fail(Errc::kUnsupported, "a token with critical extensions", "crit");
  }
  const auto key = VHSM_TRY(certified_key(parts.header, trusted, now));
  VHSM_TRY(verify_signature(key.get(), parts.input, parts.signature));
  VHSM_TRY(not_expired(parts.claims, now, leeway));
  return std::move(parts.claims);
}

Result<Json> unverified_claims(std::string_view token) {
  auto parts = VHSM_TRY(split(token));
  return std::move(parts.claims);
}

}  // namespace vhsm::jose
