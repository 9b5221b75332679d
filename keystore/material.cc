// SPDX-License-Identifier: Apache-2.0
#include "keystore/material.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <algorithm>
#include <limits>
#include <string_view>

#include "keystore/cose_key.h"
#include "keystore/fips.h"
#include "keystore/hot_set.h"
#include "keystore/jwk.h"
#include "keystore/public_half.h"

namespace vhsm::keystore {
namespace {

constexpr std::string_view kPemMark = "-----BEGIN ";

/// What PEM_read_bio() hands over: all from protected memory, so OPENSSL_free() wipes it.
struct PemBlock {
  char* name = nullptr;
  char* header = nullptr;
  unsigned char* data = nullptr;
  long size = 0;

  PemBlock() = default;
  PemBlock(const PemBlock&) = delete;
  PemBlock& operator=(const PemBlock&) = delete;
  ~PemBlock() {
    OPENSSL_free(name);
    OPENSSL_free(header);
    OPENSSL_free(data);
  }
  [[nodiscard]] std::span<const std::uint8_t> der() const noexcept {
    return {data, static_cast<std::size_t>(size)};
  }
};

Error unreadable() {
  if (fips_is_on()) {
    return fail(
        Errc::kCrypto,
        "the resource is damaged, or a key that the FIPS provider (fips = yes) does not have");
  }
  return fail(Errc::kCrypto, "the resource is not a private key that vhsm can read");
}

/// A curve that is spelled out may be no curve at all, and no other program need know it: RFC 5480,
/// section 2.1.1.
Status check_curve_is_named(const EVP_PKEY* pair) {
  int is_explicit = 0;
  const bool told = EVP_PKEY_get_int_param(pair, OSSL_PKEY_PARAM_EC_DECODED_FROM_EXPLICIT_PARAMS,
                                           &is_explicit) == 1;
  if (!told || is_explicit == 0) return {};
  return fail(Errc::kUnsupported, "the key spells its curve out, parameter by parameter")
      .cured_by("give it the curve's name: openssl pkey -ec_param_enc named_curve");
}

Status take_private_key(std::span<const std::uint8_t> der, Material& material) {
  if (material.pair != nullptr) return fail(Errc::kBadFormat, "the resource has two private keys");
  const unsigned char* next = der.data();
  material.pair.reset(d2i_AutoPrivateKey(nullptr, &next, static_cast<long>(der.size())));
  // libcrypto parses types that no provider of it works with.
  if (material.pair == nullptr || EVP_PKEY_get0_provider(material.pair.get()) == nullptr) {
    return unreadable();
  }
  if (next != der.data() + der.size()) {
    return fail(Errc::kBadFormat, "there are bytes behind the private key");
  }
  return check_curve_is_named(material.pair.get());
}

bool is_certificate(std::span<const std::uint8_t> der) {
  const unsigned char* next = der.data();
  const ossl::X509Cert cert(d2i_X509(nullptr, &next, static_cast<long>(der.size())));
  return cert != nullptr && next == der.data() + der.size();
}

Status take_certificate(std::span<const std::uint8_t> der, Material& material) {
  if (material.certificates.size() == kMaxCertificates) {
    return fail(Errc::kBadFormat, "the resource has more than 32 certificates");
  }
  if (!is_certificate(der)) return fail(Errc::kCrypto, "a certificate in the resource is damaged");
  material.certificates.emplace_back(der.begin(), der.end());
  return {};
}

Status take_block(const PemBlock& block, Material& material) {
  const std::string_view name(block.name);
  if (name == "CERTIFICATE" || name == "X509 CERTIFICATE") {
    return take_certificate(block.der(), material);
  }
  const bool encrypted = name == "ENCRYPTED PRIVATE KEY" ||
                         std::string_view(block.header).find("ENCRYPTED") != std::string_view::npos;
  if (encrypted)
    return fail(Errc::kUnsupported, "the resource is an encrypted key; store it plain");
  if (name == "PRIVATE KEY" || name == "RSA PRIVATE KEY" || name == "EC PRIVATE KEY") {
    return take_private_key(block.der(), material);
  }
  if (name == "EC PARAMETERS") return {};  // openssl ecparam writes it before the key
  return fail(Errc::kUnsupported, "the resource has a PEM block that is not a key or certificate",
              name);
}

bool is_of(const std::vector<std::uint8_t>& der, const Material& material) {
  const unsigned char* next = der.data();
  const ossl::X509Cert certificate(d2i_X509(nullptr, &next, static_cast<long>(der.size())));
  EVP_PKEY* const certified = X509_get0_pubkey(certificate.get());
  return certified != nullptr && EVP_PKEY_eq(certified, material.pair.get()) == 1;
}

/// In PEM those of its issuers may come first.
Status check_certificates(const Material& material) {
  const auto is_ours = [&](const auto& der) { return is_of(der, material); };
  const auto& all = material.certificates;
  if (all.empty() || std::ranges::any_of(all, is_ours)) return {};
  return fail(Errc::kBadFormat,
              "the certificate beside the key is of another key: its public key "
              "is not this one's");
}

Status take_pem(std::span<const std::uint8_t> bytes, Material& material) {
  const auto bio = VHSM_TRY(made(
      ossl::Bio(BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size()))), "no memory BIO"));
  while (true) {
    PemBlock block;
    if (PEM_read_bio(bio.get(), &block.name, &block.header, &block.data, &block.size) != 1) break;
    VHSM_TRY(take_block(block, material));
  }
  const unsigned long last = ERR_peek_last_error();
  if (ERR_GET_LIB(last) != ERR_LIB_PEM || ERR_GET_REASON(last) != PEM_R_NO_START_LINE) {
    return fail(Errc::kCrypto, "a PEM block of the resource is damaged");
  }
  if (material.pair != nullptr) return check_certificates(material);
  if (!material.certificates.empty()) return {};
  return fail(Errc::kBadFormat, "the resource has no key and no certificate");
}

/// RFC 7517, section 4.7; RFC 9360, section 2.
Status check_first_certificate(const Material& material) {
  if (material.certificates.empty() || is_of(material.certificates.front(), material)) return {};
  return fail(Errc::kBadFormat, "the first certificate beside the key is of another key");
}

Status take_spelled(const Result<SpelledKey>& parsed, Material& material) {
  if (!parsed.ok()) return parsed.error();
  const SpelledKey& key = parsed.value();
  material.pair = VHSM_TRY(pair_of(key));
  material.policy = VHSM_TRY(policy_of(key));
  for (const auto& der : key.certificates) VHSM_TRY(take_certificate(der, material));
  return check_first_certificate(material);
}

bool is_jwk(std::string_view text) noexcept {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  return first != std::string_view::npos && text[first] == '{';
}

bool is_pem(std::span<const std::uint8_t> bytes) noexcept {
  return std::search(bytes.begin(), bytes.end(), kPemMark.begin(), kPemMark.end()) != bytes.end();
}

Status take(std::span<const std::uint8_t> bytes, Material& material) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (is_jwk(text)) return take_spelled(parse_jwk(text), material);
  if (is_pem(bytes)) return take_pem(bytes, material);
  if (is_cose_key(bytes)) return take_spelled(parse_cose_key(bytes), material);
  return take_private_key(bytes, material);
}

/// What libcrypto does not read is malformed, unless it was protected memory that it lacked.
Status named(const Status& parsed) {
  if (parsed.ok() || parsed.error().code != Errc::kCrypto) return parsed;
  Error error = parsed.error();
  error.code = fips_is_on() ? Errc::kUnsupported : Errc::kBadFormat;
  return error;
}

}  // namespace

Result<Material> parse_material(const SecretBytes& secret) {
  if (secret.size() == 0 || secret.size() > std::numeric_limits<int>::max()) {
    return fail(Errc::kBadFormat, "the resource is empty or too large for a key");
  }
  Material material;
  const auto parse = [&]() -> Status {
    const ossl::ErrorMark quiet;
    VHSM_TRY(hot_set().make_room());
    material = {};
    VHSM_TRY(take(secret.expose(), material));
    if (material.pair == nullptr) return {};
    const auto supported = supported_type(material.pair.get());
    return supported.ok() ? Status() : supported.error();
  };
  VHSM_TRY(named(run_with_room(parse)));
  return material;
}

}  // namespace vhsm::keystore
