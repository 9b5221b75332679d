// SPDX-License-Identifier: Apache-2.0
#include "snp/x509.h"

#include <openssl/pem.h>

#include <algorithm>
#include <string_view>

namespace vhsm::snp {
namespace {

using Certificates = std::vector<ossl::X509Cert>;

Certificates parse_der(std::span<const std::uint8_t> data) {
  const std::uint8_t* cursor = data.data();
  ossl::X509Cert certificate(d2i_X509(nullptr, &cursor, static_cast<long>(data.size())));
  Certificates found;
  if (certificate != nullptr && cursor == data.data() + data.size()) {
    found.push_back(std::move(certificate));
  }
  return found;
}

Certificates parse_pem(std::span<const std::uint8_t> data) {
  const ossl::Bio bio(BIO_new_mem_buf(data.data(), static_cast<int>(data.size())));
  Certificates found;
  while (bio != nullptr && found.size() < kMaxCertificatesInBlob) {
    ossl::X509Cert certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
    if (certificate == nullptr) break;
    found.push_back(std::move(certificate));
  }
  return found;
}

std::string common_name_of(const X509_NAME* name) {
  const int index = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
  if (index < 0 || X509_NAME_get_index_by_NID(name, NID_commonName, index) >= 0) return {};
  const ASN1_STRING* text = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, index));
  if (text == nullptr) return {};
  const std::span bytes(ASN1_STRING_get0_data(text),
                        static_cast<std::size_t>(ASN1_STRING_length(text)));
  return {bytes.begin(), bytes.end()};
}

}  // namespace

Certificates parse_certificates(std::span<const std::uint8_t> data) {
  constexpr std::uint8_t kDerSequence = 0x30;
  if (data.empty() || data.size() > kMaxCertificateBytes) return {};
  const ossl::ErrorMark mark;
  return data.front() == kDerSequence ? parse_der(data) : parse_pem(data);
}

std::string common_name(const X509* certificate) {
  return common_name_of(X509_get_subject_name(certificate));
}

std::string issuer_common_name(const X509* certificate) {
  return common_name_of(X509_get_issuer_name(certificate));
}

CertificateKind kind_by_name(const std::string& common_name) {
  const std::string_view name = common_name;
  if (name == "SEV-VCEK") return CertificateKind::kVcek;
  if (name == "SEV-VLEK") return CertificateKind::kVlek;
  if (name.starts_with("SEV-VLEK-")) return CertificateKind::kAsvk;
  if (name.starts_with("SEV-")) return CertificateKind::kAsk;
  if (name.starts_with("ARK-")) return CertificateKind::kArk;
  return CertificateKind::kOther;
}

CertificateKind true_kind(CertificateKind kind, std::span<const std::uint8_t> data) {
  if (kind == CertificateKind::kCrl || kind == CertificateKind::kOther) return kind;
  const Certificates found = parse_certificates(data);
  if (found.empty()) return kind;
  const CertificateKind named = kind_by_name(common_name(found.front().get()));
  return named == CertificateKind::kOther ? kind : named;
}

Result<Sha256> der_sha256(const X509* certificate) {
  Sha256 digest{};
  unsigned size = 0;
  VHSM_TRY(crypto(X509_digest(certificate, EVP_sha256(), digest.data(), &size),
                  "a certificate has no digest"));
  if (size != digest.size()) return fail(Errc::kCrypto, "a SHA-256 digest has a wrong size");
  return digest;
}

Result<std::vector<std::uint8_t>> to_der(const X509* certificate) {
  const int size = i2d_X509(certificate, nullptr);
  if (size <= 0) return fail(Errc::kCrypto, "a certificate cannot be encoded");
  std::vector<std::uint8_t> der(static_cast<std::size_t>(size));
  std::uint8_t* cursor = der.data();
  if (i2d_X509(certificate, &cursor) != size) {
    return fail(Errc::kCrypto, "a certificate cannot be encoded");
  }
  return der;
}

}  // namespace vhsm::snp
