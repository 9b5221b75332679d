// SPDX-License-Identifier: Apache-2.0
#include "snp/revocation.h"

#include <openssl/pem.h>

#include <algorithm>
#include <ctime>

namespace vhsm::snp {
namespace {

bool is_of(X509_CRL* list, X509* root) {
  return X509_NAME_cmp(X509_CRL_get_issuer(list), X509_get_subject_name(root)) == 0 &&
         X509_CRL_verify(list, X509_get0_pubkey(root)) == 1;
}

bool names(X509_CRL* list, X509* certificate) {
  X509_REVOKED* entry = nullptr;
  return X509_CRL_get0_by_serial(list, &entry, X509_get0_serialNumber(certificate)) != 0;
}

/// Whether `time` is at or before `at`; malformed times are neither before nor after anything.
bool before(const ASN1_TIME* time, std::time_t at) {
  return time != nullptr && X509_cmp_time(time, &at) < 0;
}
bool after(const ASN1_TIME* time, std::time_t at) {
  return time != nullptr && X509_cmp_time(time, &at) > 0;
}

/// A critical extension can narrow what a list is about: such a one clears nobody.
bool clears(const X509_CRL* list, const RevocationRules& rules) {
  const std::time_t now = std::chrono::system_clock::to_time_t(rules.at);
  const ASN1_TIME* issued = X509_CRL_get0_lastUpdate(list);
  const bool young = !rules.max_age.has_value() || after(issued, now - rules.max_age->count());
  return X509_CRL_get_ext_by_critical(list, 1, -1) < 0 && before(issued, now) &&
         after(X509_CRL_get0_nextUpdate(list), now) && young;
}

}  // namespace

ossl::X509Crl parse_crl(std::span<const std::uint8_t> data) {
  constexpr std::uint8_t kDerSequence = 0x30;
  if (data.empty() || data.size() > kMaxCertificateBytes) return nullptr;
  const ossl::ErrorMark mark;
  const ossl::Bio bio(BIO_new_mem_buf(data.data(), static_cast<int>(data.size())));
  if (bio == nullptr) return nullptr;
  return ossl::X509Crl(data.front() == kDerSequence
                           ? d2i_X509_CRL_bio(bio.get(), nullptr)
                           : PEM_read_bio_X509_CRL(bio.get(), nullptr, nullptr, nullptr));
}

Status check_revocation(const Chain& chain, std::span<const ossl::X509Crl> lists,
                        const RevocationRules& rules) {
  const ossl::ErrorMark mark;
  bool cleared = false;
  for (const ossl::X509Crl& list : lists) {
    if (!is_of(list.get(), chain.root.get())) continue;
    if (names(list.get(), chain.intermediate.get())) {
      return fail(Errc::kUntrusted, "the root has revoked the certificate below it",
                  common_name(chain.intermediate.get()));
    }
    cleared = cleared || clears(list.get(), rules);
  }
  if (rules.required && !cleared) {
    return fail(Errc::kUntrusted, "there is no revocation list of the root that is valid now",
                common_name(chain.root.get()));
  }
  return {};
}

}  // namespace vhsm::snp
