// SPDX-License-Identifier: Apache-2.0
//
// Resources on their way from the KBS to the VM.
#include "jose/jwe.h"

#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <utility>
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
std::string agreement_header(const TeeKey& ephemeral) {
  Json epk = to_json(ephemeral.public_jwk());
  epk.erase("alg");
  return base64url(canonical(Json{{"alg", kKeyAgreementAlg}, {"enc", kEnc}, {"epk", epk}}));
}

std::string transport_header() {
  return base64url(canonical(Json{{"alg", kKeyTransportAlg}, {"enc", kEnc}}));
}

struct Sealed {
  std::string header;
  std::string aad;  ///< encoded; empty: none
  Octets wrapped;
  std::array<std::uint8_t, kIvBytes> iv{};
  Octets ciphertext;
  std::array<std::uint8_t, kTagBytes> tag{};
};

/// What the tag covers beside the ciphertext: RFC 7516, section 5.1, step 14.
std::string covered(std::string_view header, std::string_view aad) {
  return std::string(header).append(".").append(aad);
}

/// Everything that touches CEK or the plaintext. `wrap_key` wraps the CEK for the recipient.
template <class WrapKey>
Status seal(std::span<const std::uint8_t> plaintext, WrapKey wrap_key, Sealed& sealed) {
  auto cek = VHSM_TRY(SecretBytes::zeros(kCekBytes));
  VHSM_TRY(crypto(RAND_priv_bytes(cek.expose().data(), static_cast<int>(cek.size())),
                  "random content key"));
  VHSM_TRY(crypto(RAND_bytes(sealed.iv.data(), static_cast<int>(sealed.iv.size())), "random IV"));
  sealed.wrapped = VHSM_TRY(wrap_key(cek));
  const std::string beside =
      sealed.aad.empty() ? sealed.header : covered(sealed.header, sealed.aad);
  return gcm_seal(cek, sealed.iv, beside, plaintext, sealed.ciphertext, sealed.tag);
}

Result<Octets> agree(EVP_PKEY* own, EVP_PKEY* peer, const SecretBytes& cek) {
  const auto kek = VHSM_TRY(derive_kek(own, peer, {}, {}));
  const auto wrapped = VHSM_TRY(wrap(kek, cek));
  return Octets(wrapped.begin(), wrapped.end());
}

// nlohmann::ordered_json would do, but members of base64url need no escaping.
std::string flattened(const Sealed& sealed) {
  std::string json = "{\"protected\":\"" + sealed.header;
  json += "\",\"encrypted_key\":\"" + base64url(sealed.wrapped);
  if (!sealed.aad.empty()) json += "\",\"aad\":\"" + sealed.aad;
  json += "\",\"iv\":\"" + base64url(sealed.iv);
  json += "\",\"ciphertext\":\"" + base64url(sealed.ciphertext);
  json += "\",\"tag\":\"" + base64url(sealed.tag) + "\"}";
  return json;
}

// ---- decryption

/// `epk` and the parties are those of a key agreement.
struct Header {
  EcPublicJwk epk;
  Octets party_u;
  Octets party_v;
};

/// A JWE with everything decoded and every length checked; nothing of it is authentic yet.
struct Parsed {
  std::string aad;
  Header header;
  Octets wrapped;
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

Error wrong_length(std::string_view member) {
  return fail(Errc::kBadFormat, "a member of a JWE has a wrong length", member);
}

template <std::size_t N>
Result<std::array<std::uint8_t, N>> fixed_member(const Json& object, std::string_view name) {
  const auto octets = VHSM_TRY(octets_member(object, name));
  if (octets.size() != N) return wrong_length(name);
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
  if (octets.size() > kMaxPartyBytes) return wrong_length(name);
  return octets;
}

Result<Header> agreement_of(const Json& json) {
  const Json* epk = find_member(json, "epk");
  if (epk == nullptr) return fail(Errc::kBadFormat, "a JSON member is missing", "epk");
  Header header;
  header.epk = VHSM_TRY(epk_from_json(*epk));
  header.party_u = VHSM_TRY(party(json, "apu"));
  header.party_v = VHSM_TRY(party(json, "apv"));
  return header;
}

/// @param alg  the one that was offered, and no other.
Result<Header> parse_header(std::string_view encoded, std::string_view alg) {
  const auto text = VHSM_TRY(from_base64url(encoded));
  const auto json =
      VHSM_TRY(parse_object({reinterpret_cast<const char*>(text.data()), text.size()}));
  VHSM_TRY(require(json, "alg", alg));
  VHSM_TRY(require(json, "enc", kEnc));
  VHSM_TRY(refuse(json, "crit"));
  VHSM_TRY(refuse(json, "zip"));
  return alg == kKeyAgreementAlg ? agreement_of(json) : Header();
}

Result<Parsed> parse(std::string_view flattened_json, std::string_view alg) {
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
    parsed.aad = covered(encoded, aad);
  }
  parsed.header = VHSM_TRY(parse_header(encoded, alg));
  parsed.wrapped = VHSM_TRY(octets_member(json, "encrypted_key"));
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

// ----- the two algorithms

/// Of what is to be encrypted.
struct Message {
  std::span<const std::uint8_t> plaintext;
  std::string_view aad;
};

template <class WrapKey>
Result<std::string> encrypt_as(std::string header, const Message& message, WrapKey wrap_key) {
  const auto plaintext = message.plaintext;
  Sealed sealed;
  sealed.header = std::move(header);
  sealed.aad = base64url(message.aad);
  sealed.ciphertext.resize(plaintext.size());
  VHSM_TRY(memory::run_protected([&] { return seal(plaintext, wrap_key, sealed); }));
  return flattened(sealed);
}

Result<std::string> encrypt_by_agreement(const Message& message, EVP_PKEY* peer, TeeKeyKind kind) {
  const TeeKey own = VHSM_TRY(TeeKey::generate(kind));
  return encrypt_as(agreement_header(own), message,
                    [&](const SecretBytes& cek) { return agree(own.key(), peer, cek); });
}

/// @param open_key  finds the content key, in a scope.
template <class OpenKey>
Result<SecretBytes> decrypt_as(const Parsed& jwe, OpenKey open_key) {
  return memory::run_protected([&]() -> Result<SecretBytes> {
    const auto cek = VHSM_TRY(open_key());
    return gcm_open(cek, jwe.iv, jwe.aad, jwe.ciphertext, jwe.tag);
  });
}

Result<SecretBytes> decrypt_by_agreement(const Parsed& jwe, EVP_PKEY* tee_key) {
  const auto curve = VHSM_TRY(curve_of(tee_key));
  const Header& header = jwe.header;
  if (header.epk.crv != curve) {
    return fail(Errc::kBadFormat, "a JWE whose ephemeral key is on another curve", header.epk.crv);
  }
  if (jwe.wrapped.size() != kWrappedCekBytes) return wrong_length("encrypted_key");
  const auto peer = VHSM_TRY(to_pkey(header.epk));
  return decrypt_as(jwe, [&]() -> Result<SecretBytes> {
    const auto kek = VHSM_TRY(derive_kek(tee_key, peer.get(), header.party_u, header.party_v));
    return unwrap(kek, std::span(jwe.wrapped).first<kWrappedCekBytes>());
  });
}

Result<SecretBytes> decrypt_by_transport(const Parsed& jwe, EVP_PKEY* tee_key) {
  const auto size = static_cast<std::size_t>(EVP_PKEY_get_size(tee_key));
  if (jwe.wrapped.size() != size) return wrong_length("encrypted_key");
  return decrypt_as(jwe, [&] { return receive(tee_key, jwe.wrapped); });
}

Status check_alg(std::string_view alg, std::string_view wanted) {
  if (alg == wanted) return {};
  return fail(Errc::kUnsupported, "a TEE key is for another algorithm", alg);
}

}  // namespace

Result<std::string> encrypt(std::span<const std::uint8_t> plaintext, const TeeJwk& recipient,
                            std::string_view aad) {
  const Message message{plaintext, aad};
  const auto* const ec = std::get_if<EcPublicJwk>(&recipient);
  VHSM_TRY(ec != nullptr ? check_alg(ec->alg, kKeyAgreementAlg)
                         : check_alg(std::get<RsaPublicJwk>(recipient).alg, kKeyTransportAlg));
  const auto peer = VHSM_TRY(to_pkey(recipient));
  if (ec == nullptr) {
    return encrypt_as(transport_header(), message,
                      [&](const SecretBytes& cek) { return transport(peer.get(), cek); });
  }
  const auto kind = ec->crv == "P-521" ? TeeKeyKind::kP521 : TeeKeyKind::kP256;
  return encrypt_by_agreement(message, peer.get(), kind);
}

Result<std::string> aad_of(std::string_view flattened_json) {
  const auto json = VHSM_TRY(parse_object(flattened_json));
  const auto aad = VHSM_TRY(octets_member(json, "aad"));
  return std::string(aad.begin(), aad.end());
}

Result<SecretBytes> decrypt(std::string_view flattened_json, EVP_PKEY* tee_key) {
  const bool by_transport = EVP_PKEY_is_a(tee_key, "RSA") == 1;
  const auto parsed = parse(flattened_json, by_transport ? kKeyTransportAlg : kKeyAgreementAlg);
  if (!parsed.ok()) return as_malformed(parsed.error());
  return by_transport ? decrypt_by_transport(parsed.value(), tee_key)
                      : decrypt_by_agreement(parsed.value(), tee_key);
}

}  // namespace vhsm::jose
