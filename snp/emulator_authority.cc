// SPDX-License-Identifier: Apache-2.0
#include "snp/emulator_authority.h"

#include <openssl/objects.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>

namespace vhsm::snp {
namespace {

using Extension = ossl::Handle<X509_EXTENSION, X509_EXTENSION_free>;
using Object = ossl::Handle<ASN1_OBJECT, ASN1_OBJECT_free>;
using OctetString = ossl::Handle<ASN1_OCTET_STRING, ASN1_OCTET_STRING_free>;

constexpr long kDaySeconds = 24L * 60 * 60;
constexpr long kAuthorityDays = 25L * 365;
constexpr long kLeafDays = 7L * 365;
constexpr int kSaltBytes = 48;
constexpr const char* kArc = "1.3.6.1.4.1.3704.1.";

Result<ossl::PKey> generate(EVP_PKEY_CTX* ctx) {
  ossl::PKey key;
  VHSM_TRY(crypto(EVP_PKEY_generate(ctx, ossl::Receive(key)), "no key for the emulator"));
  return key;
}

Result<ossl::PKey> generate_rsa(unsigned bits) {
  const auto ctx = VHSM_TRY(
      made(ossl::PKeyCtx(EVP_PKEY_CTX_new_from_name(nullptr, "RSA", nullptr)), "no RSA keys"));
  VHSM_TRY(crypto(EVP_PKEY_keygen_init(ctx.get()), "no RSA keys"));
  VHSM_TRY(crypto(EVP_PKEY_CTX_set_rsa_keygen_bits(ctx.get(), static_cast<int>(bits)),
                  "no RSA keys of this size"));
  return generate(ctx.get());
}

Result<ossl::PKey> generate_p384() {
  const auto ctx = VHSM_TRY(
      made(ossl::PKeyCtx(EVP_PKEY_CTX_new_from_name(nullptr, "EC", nullptr)), "no EC keys"));
  VHSM_TRY(crypto(EVP_PKEY_keygen_init(ctx.get()), "no EC keys"));
  VHSM_TRY(crypto(EVP_PKEY_CTX_set_group_name(ctx.get(), SN_secp384r1), "no P-384"));
  return generate(ctx.get());
}

/// AMD's attributes in AMD's order, but saying aloud what this is.
Status set_name(X509_NAME* name, const std::string& common_name) {
  const std::array<std::array<const char*, 2>, 3> attributes{
      {{"OU", "vhsm emulator"},
       {"O", "Not AMD: for development only"},
       {"CN", common_name.c_str()}}};
  for (const auto& [type, text] : attributes) {
    const std::string copy = text;
    VHSM_TRY(crypto(
        X509_NAME_add_entry_by_txt(name, type, MBSTRING_ASC,
                                   reinterpret_cast<const unsigned char*>(copy.c_str()), -1, -1, 0),
        "a certificate's name is refused"));
  }
  return {};
}

struct Shape {
  std::string common_name;
  long serial;
  long days;
};

/// A certificate without issuer, extensions and signature. It starts a day ago, so that a clock
/// that lags behind accepts it.
Result<ossl::X509Cert> draft(EVP_PKEY* key, const Shape& shape) {
  constexpr long kVersion3 = 2;
  auto certificate = VHSM_TRY(made(ossl::X509Cert(X509_new()), "no certificate"));
  VHSM_TRY(crypto(X509_set_version(certificate.get(), kVersion3), "certificate version"));
  VHSM_TRY(crypto(ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), shape.serial),
                  "certificate serial number"));
  VHSM_TRY(crypto(
      X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -kDaySeconds) != nullptr ? 1 : 0,
      "certificate validity"));
  VHSM_TRY(crypto(
      X509_gmtime_adj(X509_getm_notAfter(certificate.get()), shape.days * kDaySeconds) != nullptr
          ? 1
          : 0,
      "certificate validity"));
  VHSM_TRY(crypto(X509_set_pubkey(certificate.get(), key), "certificate key"));
  VHSM_TRY(set_name(X509_get_subject_name(certificate.get()), shape.common_name));
  return certificate;
}

/// RSASSA-PSS with SHA-384, MGF1 with SHA-384, salt of 48 bytes.
Status sign(X509* certificate, EVP_PKEY* key) {
  const auto ctx = VHSM_TRY(made(ossl::MdCtx(EVP_MD_CTX_new()), "no digest context"));
  EVP_PKEY_CTX* pss = nullptr;  // owned by ctx
  VHSM_TRY(crypto(EVP_DigestSignInit_ex(ctx.get(), &pss, "SHA384", nullptr, nullptr, key, nullptr),
                  "the authority's key does not sign"));
  VHSM_TRY(crypto(EVP_PKEY_CTX_set_rsa_padding(pss, RSA_PKCS1_PSS_PADDING), "no PSS"));
  VHSM_TRY(crypto(EVP_PKEY_CTX_set_rsa_pss_saltlen(pss, kSaltBytes), "no PSS"));
  if (X509_sign_ctx(certificate, ctx.get()) <= 0) {
    return fail(Errc::kCrypto, "the authority's key does not sign");
  }
  return {};
}

Status issue(X509* certificate, const X509* issuer, EVP_PKEY* key) {
  VHSM_TRY(crypto(X509_set_issuer_name(certificate, X509_get_subject_name(issuer)),
                  "certificate issuer"));
  return sign(certificate, key);
}

Status add_standard(X509* certificate, int nid, const char* value) {
  const auto extension = VHSM_TRY(
      made(Extension(X509V3_EXT_conf_nid(nullptr, nullptr, nid, value)), "certificate extension"));
  return crypto(X509_add_ext(certificate, extension.get(), -1), "certificate extension");
}

Status add_amd(X509* certificate, const LeafExtension& wanted) {
  const std::string oid = kArc + wanted.suffix;
  const auto object = VHSM_TRY(made(Object(OBJ_txt2obj(oid.c_str(), 1)), "certificate extension"));
  const auto data = VHSM_TRY(made(OctetString(ASN1_OCTET_STRING_new()), "certificate extension"));
  VHSM_TRY(crypto(
      ASN1_OCTET_STRING_set(data.get(), wanted.value.data(), static_cast<int>(wanted.value.size())),
      "certificate extension"));
  const auto extension =
      VHSM_TRY(made(Extension(X509_EXTENSION_create_by_OBJ(nullptr, object.get(), 0, data.get())),
                    "certificate extension"));
  return crypto(X509_add_ext(certificate, extension.get(), -1), "certificate extension");
}

std::vector<std::uint8_t> small_integer(std::uint8_t value) {
  if (value < 0x80) return {0x02, 0x01, value};
  return {0x02, 0x02, 0x00, value};
}

std::vector<std::uint8_t> ia5_string(std::string_view text) {
  std::vector<std::uint8_t> der(2 + text.size());
  der[0] = 0x16;
  der[1] = static_cast<std::uint8_t>(text.size());
  std::ranges::copy(text, der.begin() + 2);
  return der;
}

}  // namespace

Result<Issuer> make_root(const std::string& common_name, unsigned bits) {
  Issuer root;
  root.key = VHSM_TRY(generate_rsa(bits));
  root.certificate = VHSM_TRY(draft(root.key.get(), {common_name, 1, kAuthorityDays}));
  VHSM_TRY(add_standard(root.certificate.get(), NID_basic_constraints, "critical,CA:TRUE"));
  VHSM_TRY(add_standard(root.certificate.get(), NID_key_usage, "critical,keyCertSign,cRLSign"));
  VHSM_TRY(issue(root.certificate.get(), root.certificate.get(), root.key.get()));
  return root;
}

Result<Issuer> make_intermediate(const Issuer& root, const std::string& common_name,
                                 unsigned bits) {
  Issuer made_now;
  made_now.key = VHSM_TRY(generate_rsa(bits));
  X509* issuer = root.certificate.get();
  made_now.certificate = VHSM_TRY(draft(made_now.key.get(), {common_name, 2, kAuthorityDays}));
  X509* certificate = made_now.certificate.get();
  VHSM_TRY(add_standard(certificate, NID_basic_constraints, "critical,CA:TRUE,pathlen:0"));
  VHSM_TRY(add_standard(certificate, NID_key_usage, "critical,keyCertSign"));
  VHSM_TRY(issue(certificate, issuer, root.key.get()));
  return made_now;
}

std::vector<LeafExtension> vcek_extensions(Product product, const Tcb& tcb, const ChipId& chip_id) {
  constexpr std::size_t kTurinHwIdBytes = 8;
  const bool turin = product == Product::kTurin;
  const std::size_t hw_id_bytes = turin ? kTurinHwIdBytes : chip_id.value.size();
  const auto hw_id_end = chip_id.value.begin() + static_cast<std::ptrdiff_t>(hw_id_bytes);
  return {
      {"1", small_integer(turin ? 1 : 0)},
      {"2", ia5_string(product_name(product))},
      {"3.1", small_integer(tcb.bootloader)},
      {"3.2", small_integer(tcb.tee)},
      {turin ? "3.9" : "3.4", small_integer(turin ? tcb.fmc : std::uint8_t{0})},
      {"3.5", small_integer(0)},
      {"3.6", small_integer(0)},
      {"3.7", small_integer(0)},
      {"3.3", small_integer(tcb.snp)},
      {"3.8", small_integer(tcb.microcode)},
      {"4", {chip_id.value.begin(), hw_id_end}},
  };
}

std::vector<LeafExtension> vlek_extensions(Product product, const Tcb& tcb,
                                           const std::string& cloud) {
  std::vector<LeafExtension> extensions = vcek_extensions(product, tcb, {});
  extensions.back() = {"5", ia5_string(cloud)};
  return extensions;
}

Result<Issuer> make_leaf(const Issuer& issuer, const std::string& common_name,
                         const std::vector<LeafExtension>& extensions) {
  Issuer leaf;
  leaf.key = VHSM_TRY(generate_p384());
  leaf.certificate = VHSM_TRY(draft(leaf.key.get(), {common_name, 0, kLeafDays}));
  for (const LeafExtension& extension : extensions) {
    VHSM_TRY(add_amd(leaf.certificate.get(), extension));
  }
  VHSM_TRY(issue(leaf.certificate.get(), issuer.certificate.get(), issuer.key.get()));
  return leaf;
}

}  // namespace vhsm::snp
