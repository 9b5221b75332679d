// SPDX-License-Identifier: Apache-2.0
//
// Signs and verifies tokens.
#include "kbs/token_authority.h"

#include <openssl/pem.h>

#include <utility>

#include "jose/jwt.h"
#include "snp/files.h"

namespace vhsm::kbs {
namespace {

constexpr std::size_t kMaxCertificateFileBytes = std::size_t{1} << 20;

Result<std::vector<ossl::X509Cert>> read_certificates(const std::string& path) {
  const auto pem = VHSM_TRY(snp::read_file(path, kMaxCertificateFileBytes));
  const ossl::ErrorMark quiet;
  const auto bio = VHSM_TRY(
      made(ossl::Bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()))), "BIO_new"));
  std::vector<ossl::X509Cert> certificates;
  while (true) {
    ossl::X509Cert one(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
    if (one == nullptr) break;
    certificates.push_back(std::move(one));
  }
  if (certificates.empty()) return fail(Errc::kBadFormat, "no certificate in PEM", path);
  return certificates;
}

Status trust(X509_STORE* store, const ossl::X509Cert& certificate) {
  return crypto(X509_STORE_add_cert(store, certificate.get()), "X509_STORE_add_cert");
}

Result<ossl::X509Store> trusted_by(const Config& config,
                                   const std::vector<ossl::X509Cert>& own_chain) {
  ossl::X509Store store = VHSM_TRY(made(ossl::X509Store(X509_STORE_new()), "X509_STORE_new"));
  VHSM_TRY(trust(store.get(), own_chain.back()));
  if (config.token_trust.empty()) return store;
  const auto others = VHSM_TRY(read_certificates(config.token_trust));
  for (const auto& certificate : others) {
    VHSM_TRY(trust(store.get(), certificate));
  }
  return store;
}

}  // namespace

Result<TokenAuthority> TokenAuthority::open(const Config& config, Clock now) {
  PrivateKey key = VHSM_TRY(PrivateKey::read(config.token_key));
  auto chain = VHSM_TRY(read_certificates(config.token_certificate));
  if (X509_check_private_key(chain.front().get(), key.get()) != 1) {
    return fail(Errc::kWrongState, "the token key is not the key of its certificate",
                config.token_certificate);
  }
  auto trusted = VHSM_TRY(trusted_by(config, chain));
  TokenAuthority authority(std::move(key), std::move(chain), std::move(trusted),
                           config.token_lifetime, std::move(now));
  // Says now, not at the first attestation, that the key or the certificate cannot serve.
  const auto trial = VHSM_TRY(authority.sign(jose::Json::object()));
  const auto verified = authority.verify(trial);
  if (!verified.ok()) return verified.error();
  return authority;
}

Result<std::string> TokenAuthority::sign(jose::Json claims) const {
  const auto issued = std::chrono::duration_cast<std::chrono::seconds>(now_().time_since_epoch());
  claims["iat"] = issued.count();
  claims["exp"] = (issued + lifetime_).count();
  return jose::sign_token(claims, key_.get(), chain_);
}

Result<jose::Json> TokenAuthority::verify(std::string_view token) const {
  return jose::verify_token(token, trusted_.get(), now_());
}

}  // namespace vhsm::kbs
