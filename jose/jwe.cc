// SPDX-License-Identifier: Apache-2.0
//
// Resources on their way from the KBS to the VM.
#include "jose/jwe.h"

#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <optional>
#include <vector>

#include "jose/base64.h"
#include "jose/jcs.h"
#include "jose/key_wrap.h"
#include "jose/tee_key.h"

namespace vhsm::jose {
namespace {

constexpr std::string_view kEnc = "A256GCM";
constexpr std::size_t kMaxPartyBytes = 256;

using Octets = std::vector<std::uint8_t>;

// ---- encryption

/// The shared key-wrapping key; the same on both sides.
Result<SecretBytes> derive_kek(EVP_PKEY* own, EVP_PKEY* peer, Bytes party_u, Bytes party_v) {
  const auto z = VHSM_TRY(shared_secret(own, peer));
  return concat_kdf(z, kKeyAgreementAlg, party_u, party_v, kCekBytes);
}

/// The layout that Trustee's client rebuilds: alg, enc, epk{crv,kty,x,y}.
std::string protected_header(EcPublicJwk ephemeral) {
  ephemeral.alg.clear();
  return base64url(
      canonical(Json{{"alg", kKeyAgreementAlg}, {"enc", kEnc}, {"epk", to_json(ephemeral)}}));
}

struct Sealed {
  std::string header;
  std::array<std::uint8_t, kWrappedCekBytes> wrapped{};
  std::array<std::uint8_t, kIvBytes> iv{};
  Octets ciphertext;
  std::array<std::uint8_t, kTagBytes> tag{};
};

/// Everything that touches Z, KEK, CEK or the plaintext.
Status seal(std::span<const std::uint8_t> plaintext, EVP_PKEY* own, EVP_PKEY* peer,
            Sealed& sealed) {
  const auto kek = VHSM_TRY(derive_kek(own, peer, {}, {}));
  auto cek = VHSM_TRY(SecretBytes::zeros(kCekBytes));
  VHSM_TRY(crypto(RAND_priv_bytes(cek.expose().data(), static_cast<int>(cek.size())),
                  "random content key"));
  VHSM_TRY(crypto(RAND_bytes(sealed.iv.data(), static_cast<int>(sealed.iv.size())), "random IV"));
  sealed.wrapped = VHSM_TRY(wrap(kek, cek));
  return gcm_seal(cek, sealed.iv, sealed.header, plaintext, sealed.ciphertext, sealed.tag);
}

// nlohmann::ordered_json would do, but five members of base64url need no escaping.
std::string flattened(const Sealed& sealed) {
  std::string json = "{\"protected\":\"" + sealed.header;
  json += "\",\"encrypted_key\":\"" + base64url(sealed.wrapped);
  json += "\",\"iv\":\"" + base64url(sealed.iv);
  json += "\",\"ciphertext\":\"" + base64url(sealed.ciphertext);
  json += "\",\"tag\":\"" + base64url(sealed.tag) + "\"}";
  return json;
}

// ---- decryption

struct Header {
  EcPublicJwk epk;
  Octets party_u;
  Octets party_v;
};

/// A JWE with everything decoded and every length checked; nothing of it is authentic yet.
struct Parsed {
  std::string aad;
  Header header;
  std::array<std::uint8_t, kWrappedCekBytes> wrapped{};
  std::array<std::uint8_t, kIvBytes> iv{};
  Octets ciphertext;
  std::array<std::uint8_t, kTagBytes> tag{};
};

Result<Octets> octets_member(const Json& object, std::string_view name) {
  const auto text = VHSM_TRY(text_member(object, name));
  auto octets = from_base64url(text);
  if (!octets.ok()) return octets.error().about(name);
  return octets;
}

template <std::size_t N>
Result<std::array<std::uint8_t, N>> fixed_member(const Json& object, std::string_view name) {
  const auto octets = VHSM_TRY(octets_member(object, name));
  if (octets.size() != N) {
    return fail(Errc::kBadFormat, "a member of a JWE has a wrong length", name);
  }
  std::array<std::uint8_t, N> fixed{};
  std::ranges::copy(octets, fixed.begin());
  return fixed;
}

Status require(const Json& header, std::string_view name, std::string_view value) {
  const auto text = VHSM_TRY(text_member(header, name));
  if (text == value) return {};
  return fail(Errc::kBadFormat, "a JWE by another algorithm than offered", text);
}

Status refuse(const Json& object, std::string_view name) {
  if (find_member(object, name) == nullptr) return {};
  return fail(Errc::kBadFormat, "a JWE with a member that is not supported", name);
}

Result<Octets> party(const Json& header, std::string_view name) {
  if (find_member(header, name) == nullptr) return Octets{};
  auto octets = VHSM_TRY(octets_member(header, name));
  if (octets.size() > kMaxPartyBytes) {
    return fail(Errc::kBadFormat, "a member of a JWE has a wrong length", name);
  }
  return octets;
}

Result<Header> parse_header(std::string_view encoded) {
  const auto text = VHSM_TRY(from_base64url(encoded));
  const auto json =
      VHSM_TRY(parse_object({reinterpret_cast<const char*>(text.data()), text.size()}));
  VHSM_TRY(require(json, "alg", kKeyAgreementAlg));
  VHSM_TRY(require(json, "enc", kEnc));
  VHSM_TRY(refuse(json, "crit"));
  VHSM_TRY(refuse(json, "zip"));
  const Json* epk = find_member(json, "epk");
  if (epk == nullptr) return fail(Errc::kBadFormat, "a JSON member is missing", "epk");
  Header header;
  header.epk = VHSM_TRY(epk_from_json(*epk));
  header.party_u = VHSM_TRY(party(json, "apu"));
  header.party_v = VHSM_TRY(party(json, "apv"));
  return header;
}

Result<Parsed> parse(std::string_view flattened_json) {
  const auto json = VHSM_TRY(parse_object(flattened_json));
  // Unprotected headers could replace what the tag protects.
  VHSM_TRY(refuse(json, "header"));
  VHSM_TRY(refuse(json, "unprotected"));
  VHSM_TRY(refuse(json, "recipients"));
  const auto encoded = VHSM_TRY(text_member(json, "protected"));
  Parsed parsed;
  parsed.aad = encoded;
  if (find_member(json, "aad") != nullptr) {
    const auto aad = VHSM_TRY(text_member(json, "aad"));
    parsed.aad.append(".").append(aad);  // RFC 7516, section 5.1, step 14
  }
  parsed.header = VHSM_TRY(parse_header(encoded));
  parsed.wrapped = VHSM_TRY(fixed_member<kWrappedCekBytes>(json, "encrypted_key"));
  parsed.iv = VHSM_TRY(fixed_member<kIvBytes>(json, "iv"));
  parsed.ciphertext = VHSM_TRY(octets_member(json, "ciphertext"));
  parsed.tag = VHSM_TRY(fixed_member<kTagBytes>(json, "tag"));
  return parsed;
}

/// What the sender chose and this side cannot do is malformed here: nothing else was offered.
Error as_malformed(const Error& error) {
  if (error.code != Errc::kUnsupported) return error;
  return {Errc::kBadFormat, error.what, error.subject, error.where};
}

}  // namespace

Result<std::string> encrypt(std::span<const std::uint8_t> plaintext, const EcPublicJwk& recipient) {
  if (recipient.alg != kKeyAgreementAlg) {
    return fail(Errc::kUnsupported, "a TEE key is for another algorithm", recipient.alg);
  }
  const auto peer = VHSM_TRY(to_pkey(recipient));
  const TeeKey own = VHSM_TRY(TeeKey::generate(recipient.crv));
  Sealed sealed;
  sealed.header = protected_header(own.public_jwk());
  sealed.ciphertext.resize(plaintext.size());
  VHSM_TRY(memory::run_protected(
      [&]() -> Status { return seal(plaintext, own.key(), peer.get(), sealed); }));
  return flattened(sealed);
}

Result<SecretBytes> decrypt(std::string_view flattened_json, EVP_PKEY* tee_key) {
  const auto parsed = parse(flattened_json);
  if (!parsed.ok()) return as_malformed(parsed.error());
  const Parsed& jwe = parsed.value();
  const auto curve = VHSM_TRY(curve_of(tee_key));
  if (jwe.header.epk.crv != curve) {
    return fail(Errc::kBadFormat, "a JWE whose ephemeral key is on another curve",
                jwe.header.epk.crv);
  }
  const auto peer = VHSM_TRY(to_pkey(jwe.header.epk));
  return memory::run_protected([&]() -> Result<SecretBytes> {
    const auto kek =
        VHSM_TRY(derive_kek(tee_key, peer.get(), jwe.header.party_u, jwe.header.party_v));
    const auto cek = VHSM_TRY(unwrap(kek, jwe.wrapped));
    return gcm_open(cek, jwe.iv, jwe.aad, jwe.ciphertext, jwe.tag);
  });
}

}  // namespace vhsm::jose
