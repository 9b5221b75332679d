// SPDX-License-Identifier: Apache-2.0
#include "jose/jwt.h"

#include <openssl/x509v3.h>

#include "jose/base64.h"
#include "jose/jcs.h"
#include "jose/jwk.h"
#include "tests/jose/support.h"

namespace vhsm::jose {
namespace {

using std::chrono::seconds;
using Clock = std::chrono::system_clock;

struct Identity {
  ossl::PKey key;
  ossl::X509Cert certificate;
};

/// A certificate for a fresh key, by `issuer` or by itself, valid for an hour from now.
Identity identity(const char* name, const Identity* issuer, const char* curve = "P-256") {
  Identity made{ossl::PKey(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", curve)),
                ossl::X509Cert(X509_new())};
  X509* certificate = made.certificate.get();
  X509_set_version(certificate, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(name), -1, -1, 0);
  X509* by = issuer == nullptr ? certificate : issuer->certificate.get();
  X509_set_issuer_name(certificate, X509_get_subject_name(by));
  X509_set_pubkey(certificate, made.key.get());
  if (issuer == nullptr) {
    X509_EXTENSION* ca = X509V3_EXT_conf_nid(nullptr, nullptr, NID_basic_constraints, "CA:TRUE");
    X509_add_ext(certificate, ca, -1);
    X509_EXTENSION_free(ca);
  }
  X509_sign(certificate, issuer == nullptr ? made.key.get() : issuer->key.get(), EVP_sha256());
  return made;
}

class Token : public testing::Test {
 protected:
  Token() { X509_STORE_add_cert(trusted_.get(), root_.certificate.get()); }

  std::vector<ossl::X509Cert> chain(const Identity& signer) {
    std::vector<ossl::X509Cert> certificates;
    X509_up_ref(signer.certificate.get());
    certificates.emplace_back(signer.certificate.get());
    return certificates;
  }

  Json claims(seconds lifetime = seconds(300)) {
    const auto now = std::chrono::duration_cast<seconds>(Clock::now().time_since_epoch());
    return Json{{"iss", "test"}, {"exp", (now + lifetime).count()}};
  }

  std::string token(const Json& with) {
    return sign_token(with, signer_.key.get(), chain(signer_)).value();
  }

  Errc refusal(std::string_view token) {
    const auto verified = verify_token(token, trusted_.get(), Clock::now());
    EXPECT_FALSE(verified.ok());
    return verified.ok() ? Errc::kInternal : verified.error().code;
  }

  /// `token` with its header or payload changed and everything else left.
  static std::string patched(const std::string& token, std::size_t part, const char* patch) {
    std::vector<std::string> parts(1);
    for (const char c : token) {
      if (c == '.')
        parts.emplace_back();
      else
        parts.back() += c;
    }
    const auto text = from_base64url(parts.at(part)).value();
    Json json = Json::parse(text.begin(), text.end());
    json.merge_patch(Json::parse(patch));
    parts[part] = base64url(canonical(json));
    return parts[0] + "." + parts[1] + "." + parts[2];
  }

  Identity root_ = identity("root", nullptr);
  Identity signer_ = identity("signer", &root_);
  ossl::X509Store trusted_{X509_STORE_new()};
};

TEST_F(Token, GivesItsClaimsBack) {
  const auto verified = verify_token(token(claims()), trusted_.get(), Clock::now());
  ASSERT_TRUE(verified.ok()) << describe(verified.error());
  EXPECT_EQ(text_member(verified.value(), "iss").value(), "test");
  EXPECT_EQ(unverified_claims(token(claims())).value()["iss"], "test");
}

TEST_F(Token, CarriesTypAlgJwkAndStandardBase64Certificates) {
  const std::string jwt = token(claims());
  const auto text = from_base64url(std::string_view(jwt).substr(0, jwt.find('.'))).value();
  const Json header = Json::parse(text.begin(), text.end());
  EXPECT_EQ(header["typ"], "JWT");
  EXPECT_EQ(header["alg"], "ES256");
  EXPECT_EQ(header["jwk"]["alg"], "ES256");
  EXPECT_EQ(header["jwk"]["crv"], "P-256");
  EXPECT_TRUE(from_base64(text_member(Json{{"c", header["jwk"]["x5c"][0]}}, "c").value()).ok());
}

TEST_F(Token, IsRefusedUnderAnotherRoot) {
  const Identity other = identity("root", nullptr);
  const ossl::X509Store store(X509_STORE_new());
  X509_STORE_add_cert(store.get(), other.certificate.get());
  EXPECT_EQ(verify_token(token(claims()), store.get(), Clock::now()).error().code,
            Errc::kUntrusted);
}

TEST_F(Token, IsRefusedWithoutCertificates) {
  EXPECT_EQ(refusal(sign_token(claims(), signer_.key.get(), {}).value()), Errc::kUntrusted);
}

TEST_F(Token, IsRefusedWhenTheKeyIsNotTheCertificates) {
  const Identity other = identity("signer", &root_);
  EXPECT_EQ(refusal(sign_token(claims(), other.key.get(), chain(signer_)).value()),
            Errc::kUntrusted);
}

TEST_F(Token, ExpiresAfterTheLeeway) {
  EXPECT_TRUE(verify_token(token(claims(seconds(-30))), trusted_.get(), Clock::now()).ok());
  EXPECT_EQ(refusal(token(claims(seconds(-61)))), Errc::kNotAttested);
}

TEST_F(Token, NeedsAnIntegerExpiry) {
  for (const char* exp : {R"({})", R"({"exp":"1"})", R"({"exp":-1})", R"({"exp":1e99})",
                          R"({"exp":18446744073709551615})", R"({"exp":null})"}) {
    EXPECT_EQ(refusal(token(Json::parse(exp))), Errc::kBadFormat) << exp;
  }
}

TEST_F(Token, IsRefusedAfterItsCertificateExpired) {
  const auto later = Clock::now() + std::chrono::hours(2);
  EXPECT_EQ(verify_token(token(claims(std::chrono::hours(24))), trusted_.get(), later).error().code,
            Errc::kUntrusted);
}

TEST_F(Token, IsRefusedWithAnyChangedByte) {
  const std::string jwt = token(claims());
  EXPECT_EQ(refusal(patched(jwt, 1, R"({"iss":"other"})")), Errc::kBadSignature);
  EXPECT_EQ(refusal(patched(jwt, 0, R"({"typ":"other"})")), Errc::kBadSignature);
  for (std::size_t i = jwt.rfind('.') + 1; i < jwt.size() - 1; ++i) {
    std::string bad = jwt;
    bad[i] = bad[i] == 'A' ? 'B' : 'A';
    EXPECT_FALSE(verify_token(bad, trusted_.get(), Clock::now()).ok()) << i;
  }
}

TEST_F(Token, IsRefusedByOtherAlgorithms) {
  const std::string jwt = token(claims());
  for (const char* alg : {R"({"alg":"none"})", R"({"alg":"HS256"})", R"({"alg":"ES384"})",
                          R"({"jwk":{"alg":"ES384"}})"}) {
    EXPECT_EQ(refusal(patched(jwt, 0, alg)), Errc::kUnsupported) << alg;
  }
  EXPECT_EQ(refusal(patched(jwt, 0, R"({"crit":["exp"]})")), Errc::kUnsupported);
  EXPECT_EQ(refusal(patched(jwt, 0, R"({"jwk":null})")), Errc::kUntrusted);
}

TEST_F(Token, OnlyP256KeysSign) {
  const Identity wide = identity("signer", &root_, "P-521");
  EXPECT_EQ(sign_token(claims(), wide.key.get(), {}).error().code, Errc::kUnsupported);
}

TEST_F(Token, IsRefusedWhenItIsNotThreeParts) {
  for (const char* text :
       {"", ".", "..", "a.b", "e30.e30.", "e30.e30.AA", "e30.e30.AA.AA", "W10.e30.AA"}) {
    EXPECT_FALSE(verify_token(text, trusted_.get(), Clock::now()).ok()) << text;
  }
}

}  // namespace
}  // namespace vhsm::jose
