// SPDX-License-Identifier: Apache-2.0
//
// The certificates that `vhsm-kbs init` makes.
#include "kbs/pki.h"

#include <arpa/inet.h>

#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include "memory/protected_memory.h"
#include "snp/files.h"

namespace vhsm::kbs {
namespace {

constexpr long kDay = 24 * 60 * 60;
constexpr long kCaDays = 3650;
constexpr long kLeafDays = 825;
constexpr long kBackdate = 60 * 60;  // clocks differ
constexpr int kSerialBits = 127;

struct Extension {
  int nid;
  std::string value;
};

struct Plan {
  const char* name;
  long days;
  std::vector<Extension> extensions;
};

Status set_serial(X509* certificate) {
  const ossl::Bignum serial(BN_new());
  if (serial == nullptr ||
      BN_rand(serial.get(), kSerialBits, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) != 1 ||
      BN_to_ASN1_INTEGER(serial.get(), X509_get_serialNumber(certificate)) == nullptr) {
    return fail(Errc::kCrypto, "a certificate's serial number");
  }
  return {};
}

Status set_name(X509* certificate, const char* name) {
  X509_NAME* subject = X509_get_subject_name(certificate);
  return crypto(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                                           reinterpret_cast<const unsigned char*>(name), -1, -1, 0),
                "a certificate's name");
}

Status set_validity(X509* certificate, long days) {
  if (X509_gmtime_adj(X509_getm_notBefore(certificate), -kBackdate) == nullptr ||
      X509_gmtime_adj(X509_getm_notAfter(certificate), days * kDay) == nullptr) {
    return fail(Errc::kCrypto, "a certificate's validity");
  }
  return {};
}

Status add_extension(X509* certificate, X509* issuer, const Extension& extension) {
  X509V3_CTX context{};
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509V3_set_ctx_nodb(&context);
  using Owner = ossl::Handle<X509_EXTENSION, X509_EXTENSION_free>;
  const auto made_extension = VHSM_TRY(
      made(Owner(X509V3_EXT_conf_nid(nullptr, &context, extension.nid, extension.value.c_str())),
           "a certificate's extension"));
  return crypto(X509_add_ext(certificate, made_extension.get(), -1), "X509_add_ext");
}

/// @param issuer  null for a certificate by itself.
Result<ossl::X509Cert> make(const Plan& plan, EVP_PKEY* key, X509* issuer, EVP_PKEY* issuer_key) {
  ossl::X509Cert certificate = VHSM_TRY(made(ossl::X509Cert(X509_new()), "X509_new"));
  X509* raw = certificate.get();
  X509* by = issuer == nullptr ? raw : issuer;
  VHSM_TRY(crypto(X509_set_version(raw, X509_VERSION_3), "X509_set_version"));
  VHSM_TRY(set_serial(raw));
  VHSM_TRY(set_name(raw, plan.name));
  VHSM_TRY(crypto(X509_set_issuer_name(raw, X509_get_subject_name(by)), "X509_set_issuer_name"));
  VHSM_TRY(set_validity(raw, plan.days));
  VHSM_TRY(crypto(X509_set_pubkey(raw, key), "X509_set_pubkey"));
  for (const Extension& extension : plan.extensions) {
    VHSM_TRY(add_extension(raw, by, extension));
  }
  VHSM_TRY(memory::run_protected([&]() -> Status {
    if (X509_sign(raw, issuer_key, EVP_sha256()) > 0) return {};
    return fail(Errc::kCrypto, "a certificate cannot be signed");
  }));
  return certificate;
}

bool is_host_name(std::string_view host) {
  return !host.empty() && host.size() <= 253 && host.front() != '-' && host.front() != '.' &&
         std::ranges::all_of(host, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-' || c == '.' || c == '*';
         });
}

bool is_address(const std::string& host) {
  std::array<std::uint8_t, sizeof(in6_addr)> address{};
  return inet_pton(AF_INET, host.c_str(), address.data()) == 1 ||
         inet_pton(AF_INET6, host.c_str(), address.data()) == 1;
}

Result<std::string> alternative_names(const std::vector<std::string>& hosts) {
  std::string names;
  for (const std::string& host : hosts) {
    const bool address = is_address(host);
    if (!address && !is_host_name(host)) {
      return fail(Errc::kInvalidArgument, "neither a host name nor an address", host);
    }
    if (!names.empty()) names += ",";
    names += (address ? "IP:" : "DNS:") + host;
  }
  if (names.empty()) return fail(Errc::kInvalidArgument, "a certificate for no host");
  return names;
}

}  // namespace

Result<ossl::X509Cert> make_ca(EVP_PKEY* key) {
  const Plan plan{"vhsm-kbs CA",
                  kCaDays,
                  {{NID_basic_constraints, "critical,CA:TRUE,pathlen:0"},
                   {NID_key_usage, "critical,keyCertSign,cRLSign"},
                   {NID_subject_key_identifier, "hash"}}};
  return make(plan, key, nullptr, key);
}

Result<ossl::X509Cert> make_leaf(EVP_PKEY* key, EVP_PKEY* ca_key, X509* ca,
                                 const std::vector<std::string>& hosts) {
  const std::string names = VHSM_TRY(alternative_names(hosts));
  const Plan plan{"vhsm-kbs",
                  kLeafDays,
                  {{NID_basic_constraints, "critical,CA:FALSE"},
                   {NID_key_usage, "critical,digitalSignature"},
                   {NID_ext_key_usage, "serverAuth"},
                   {NID_subject_alt_name, names},
                   {NID_subject_key_identifier, "hash"},
                   {NID_authority_key_identifier, "keyid"}}};
  return make(plan, key, ca, ca_key);
}

Result<ossl::X509Cert> make_token_certificate(EVP_PKEY* key) {
  const Plan plan{"vhsm-kbs attestation tokens",
                  kCaDays,
                  {{NID_basic_constraints, "critical,CA:FALSE"},
                   {NID_key_usage, "critical,digitalSignature"},
                   {NID_subject_key_identifier, "hash"}}};
  return make(plan, key, nullptr, key);
}

Status write_certificate(const std::string& path, X509* certificate) {
  const auto bio = VHSM_TRY(made(ossl::Bio(BIO_new(BIO_s_mem())), "BIO_new"));
  VHSM_TRY(crypto(PEM_write_bio_X509(bio.get(), certificate), "PEM_write_bio_X509"));
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return snp::write_new_file(
      path, {reinterpret_cast<const std::uint8_t*>(data), static_cast<std::size_t>(size)}, 0644);
}

}  // namespace vhsm::kbs
