// SPDX-License-Identifier: Apache-2.0
//
// Source of the vectors: RFC 7518, appendix C; kVectorJwe was opened by an independent JOSE
// library.
#include "jose/jwe.h"

#include <openssl/core_names.h>

#include <algorithm>

#include "jose/base64.h"
#include "jose/jcs.h"
#include "jose/key_wrap.h"
#include "jose/tee_key.h"
#include "tests/jose/support.h"

namespace vhsm::jose {
namespace {

ossl::PKey bobs_key() { return private_key(kBobX, kBobY, kBobD); }

/// Result of the secret steps as base64url, so that a test can look at it.
template <class Body>
std::string revealed(Body body) {
  const auto secret = memory::run_protected(std::move(body));
  EXPECT_TRUE(secret.ok()) << (secret.ok() ? "" : describe(secret.error()));
  return secret.ok() ? base64url(secret.value().expose()) : "";
}

TEST(ConcatKdf, MatchesRfc7518AppendixC) {
  const auto own = private_key(kAliceX, kAliceY, kAliceD);
  const auto peer = to_pkey(bob()).value().release();
  const ossl::PKey owner(peer);
  EXPECT_EQ(revealed([&]() -> Result<SecretBytes> {
              const auto z = VHSM_TRY(shared_secret(own.get(), peer));
              return concat_kdf(z, "A128GCM", bytes("Alice"), bytes("Bob"), 16);
            }),
            "VqqN6vgjbSBcIijNcacQGg");
}

TEST(ConcatKdf, MatchesTheVectorsOfKeyAgreementWithKeyWrap) {
  const auto own = bobs_key();
  const auto peer = to_pkey(alice()).value();
  EXPECT_EQ(revealed([&] { return shared_secret(own.get(), peer.get()); }),
            "nlbZHYFxNdNyg0KDv4QmnPsxbqPagGpI9tqneYz-kMQ");
  EXPECT_EQ(revealed([&]() -> Result<SecretBytes> {
              const auto z = VHSM_TRY(shared_secret(own.get(), peer.get()));
              return concat_kdf(z, kKeyAgreementAlg, {}, {}, kCekBytes);
            }),
            "iauDhjN1eAW9Z4yxZPJCd3aCTo94QVLyN0cJZEmSH0Y");
}

TEST(Jwe, OpensTheVector) {
  const auto key = bobs_key();
  const auto plaintext = decrypt(kVectorJwe, key.get());
  ASSERT_TRUE(plaintext.ok()) << describe(plaintext.error());
  EXPECT_EQ(text(plaintext.value()), "this is a test data");
}

class RoundTrip : public testing::TestWithParam<std::tuple<TeeKeyKind, std::size_t>> {};
TEST_P(RoundTrip, GivesTheBytesBack) {
  const auto key = TeeKey::generate(std::get<0>(GetParam()));
  ASSERT_TRUE(key.ok()) << describe(key.error());
  std::string plain(std::get<1>(GetParam()), '\0');
  for (std::size_t i = 0; i < plain.size(); ++i) plain[i] = static_cast<char>(i * 7);
  const auto jwe = encrypt(bytes(plain), key.value().public_jwk());
  ASSERT_TRUE(jwe.ok()) << describe(jwe.error());
  const auto opened = decrypt(jwe.value(), key.value().key());
  ASSERT_TRUE(opened.ok()) << describe(opened.error());
  EXPECT_EQ(text(opened.value()), plain);
  EXPECT_TRUE(memory::contains(opened.value().expose().data()));
}
INSTANTIATE_TEST_SUITE_P(KindsAndSizes, RoundTrip,
                         testing::Combine(testing::Values(TeeKeyKind::kP256, TeeKeyKind::kP521,
                                                          TeeKeyKind::kRsa),
                                          testing::Values(0, 1, 15, 16, 17, 4096, 1 << 20)));

TEST(Jwe, HasTheByteLayoutThatTrusteesClientRebuilds) {
  const std::string jwe = encrypt(bytes("x"), bob()).value();
  EXPECT_THAT(jwe,
              testing::MatchesRegex(R"(\{"protected":"[^"]+","encrypted_key":"[^"]+","iv":"[^"]+",)"
                                    R"("ciphertext":"[^"]+","tag":"[^"]+"\})"));
  const Json json = parse_object(jwe).value();
  const auto header = from_base64url(text_member(json, "protected").value()).value();
  EXPECT_THAT(std::string(header.begin(), header.end()),
              testing::MatchesRegex(
                  R"(\{"alg":"ECDH-ES\+A256KW","enc":"A256GCM","epk":\{"crv":"P-256","kty":"EC",)"
                  R"("x":"[A-Za-z0-9_-]{43}","y":"[A-Za-z0-9_-]{43}"\}\})"));
}

TEST(Jwe, HasTheByteLayoutThatTrusteesClientRebuildsForRsaToo) {
  const auto key = TeeKey::generate(TeeKeyKind::kRsa);
  const Json json = parse_object(encrypt(bytes("x"), key.value().public_jwk()).value()).value();
  const auto header = from_base64url(text_member(json, "protected").value()).value();
  EXPECT_EQ(std::string(header.begin(), header.end()), R"({"alg":"RSA-OAEP-256","enc":"A256GCM"})");
}

TEST(Jwe, AnAlgorithmOtherThanTheTeeKeysIsMalformed) {
  const auto rsa = TeeKey::generate(TeeKeyKind::kRsa);
  const auto ec = TeeKey::generate();
  const auto for_rsa = encrypt(bytes("x"), rsa.value().public_jwk()).value();
  const auto for_ec = encrypt(bytes("x"), ec.value().public_jwk()).value();
  EXPECT_EQ(decrypt(for_rsa, ec.value().key()).error().code, Errc::kBadFormat);
  EXPECT_EQ(decrypt(for_ec, rsa.value().key()).error().code, Errc::kBadFormat);
  Json json = parse_object(for_rsa).value();
  json["protected"] = base64url(R"({"alg":"RSA1_5","enc":"A256GCM"})");
  EXPECT_EQ(decrypt(canonical(json), rsa.value().key()).error().code, Errc::kBadFormat);
}

TEST(Jwe, AContentKeyThatRsaDoesNotOpenIsForged) {
  const auto key = TeeKey::generate(TeeKeyKind::kRsa);
  const auto other = TeeKey::generate(TeeKeyKind::kRsa);
  const auto jwe = encrypt(bytes("x"), other.value().public_jwk()).value();
  EXPECT_EQ(decrypt(jwe, key.value().key()).error().code, Errc::kForged);
  Json json = parse_object(jwe).value();
  json["encrypted_key"] = base64url(std::string(255, 'x'));
  EXPECT_EQ(decrypt(canonical(json), key.value().key()).error().code, Errc::kBadFormat);
}

TEST(Jwe, UsesAFreshKeyIvAndEphemeralEachTime) {
  const Json first = parse_object(encrypt(bytes("x"), bob()).value()).value();
  const Json second = parse_object(encrypt(bytes("x"), bob()).value()).value();
  for (const char* member : {"protected", "encrypted_key", "iv", "tag"}) {
    EXPECT_NE(first[member], second[member]) << member;
  }
}

TEST(Jwe, RefusesARecipientForAnotherAlgorithm) {
  EcPublicJwk jwk = bob();
  jwk.alg = "ECDH-ES";
  EXPECT_EQ(encrypt(bytes("x"), jwk).error().code, Errc::kUnsupported);
}

TEST(Jwe, IsForgedForAnotherKey) {
  const auto other = TeeKey::generate().value().public_jwk();
  const auto key = TeeKey::generate();
  const auto opened = decrypt(encrypt(bytes("x"), other).value(), key.value().key());
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().code, Errc::kForged);
}

TEST(Jwe, RefusesAnEphemeralKeyOnAnotherCurve) {
  const auto key = TeeKey::generate(TeeKeyKind::kP521);
  const auto opened = decrypt(kVectorJwe, key.value().key());
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().code, Errc::kBadFormat);
}

class Tampered : public testing::TestWithParam<const char*> {};
TEST_P(Tampered, BitOfThisMemberIsForged) {
  const auto key = bobs_key();
  const Json good = parse_object(kVectorJwe).value();
  const auto octets = from_base64url(text_member(good, GetParam()).value()).value();
  for (std::size_t i = 0; i < octets.size(); ++i) {
    auto bad = octets;
    bad[i] ^= 0x01;
    Json json = good;
    json[GetParam()] = base64url(bad);
    const auto opened = decrypt(canonical(json), key.get());
    ASSERT_FALSE(opened.ok()) << i;
    EXPECT_EQ(opened.error().code, Errc::kForged) << i;
  }
}
INSTANTIATE_TEST_SUITE_P(Members, Tampered,
                         testing::Values("encrypted_key", "iv", "ciphertext", "tag"));

TEST(Jwe, TakesTheProtectedHeaderVerbatimAsAssociatedData) {
  const auto key = bobs_key();
  Json json = parse_object(kVectorJwe).value();
  const auto header = from_base64url(text_member(json, "protected").value()).value();
  const std::string spaced = "{ " + std::string(header.begin() + 1, header.end());  // same meaning
  json["protected"] = base64url(spaced);
  EXPECT_EQ(decrypt(canonical(json), key.get()).error().code, Errc::kForged);
}

TEST(Jwe, BindsTheAadMember) {
  const auto key = bobs_key();
  Json json = parse_object(kVectorJwe).value();
  json["aad"] = "";
  EXPECT_EQ(decrypt(canonical(json), key.get()).error().code, Errc::kForged);
}

TEST(Jwe, AuthenticatesWhatStandsBesideInTheClear) {
  for (const TeeKeyKind kind : {TeeKeyKind::kP256, TeeKeyKind::kRsa}) {
    const auto key = TeeKey::generate(kind);
    const auto jwe = encrypt(bytes("x"), key.value().public_jwk(), "said of x").value();
    EXPECT_EQ(aad_of(jwe).value(), "said of x");
    EXPECT_EQ(text(decrypt(jwe, key.value().key()).value()), "x");
    Json json = parse_object(jwe).value();
    json["aad"] = base64url("said of y");
    EXPECT_EQ(decrypt(canonical(json), key.value().key()).error().code, Errc::kForged);
    json.erase("aad");
    EXPECT_EQ(decrypt(canonical(json), key.value().key()).error().code, Errc::kForged);
    EXPECT_EQ(aad_of(canonical(json)).error().code, Errc::kBadFormat);
  }
}

TEST(Jwe, RefusesTruncationAndExtensionOfEachMember) {
  const auto key = bobs_key();
  const Json good = parse_object(kVectorJwe).value();
  for (const char* member : {"protected", "encrypted_key", "iv", "tag", "ciphertext"}) {
    const auto octets = from_base64url(text_member(good, member).value()).value();
    for (const std::size_t size : {octets.size() - 1, octets.size() + 1}) {
      auto other = octets;
      other.resize(size);
      Json json = good;
      json[member] = base64url(other);
      EXPECT_FALSE(decrypt(canonical(json), key.get()).ok()) << member << size;
    }
    Json json = good;
    json.erase(member);
    EXPECT_EQ(decrypt(canonical(json), key.get()).error().code, Errc::kBadFormat) << member;
    json[member] = 1;
    EXPECT_EQ(decrypt(canonical(json), key.get()).error().code, Errc::kBadFormat) << member;
  }
}

struct Header {
  const char* name;
  const char* patch;  ///< JSON merge patch
};
class BadHeader : public testing::TestWithParam<Header> {};
TEST_P(BadHeader, IsMalformed) {
  const auto key = bobs_key();
  Json json = parse_object(kVectorJwe).value();
  const auto text = from_base64url(text_member(json, "protected").value()).value();
  Json header = Json::parse(text.begin(), text.end());
  header.merge_patch(Json::parse(GetParam().patch));
  json["protected"] = base64url(canonical(header));
  const auto opened = decrypt(canonical(json), key.get());
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().code, Errc::kBadFormat) << describe(opened.error());
}
INSTANTIATE_TEST_SUITE_P(
    Patches, BadHeader,
    testing::Values(
        Header{"DirectAgreement", R"({"alg":"ECDH-ES"})"},
        Header{"OtherWrap", R"({"alg":"ECDH-ES+A128KW"})"},
        Header{"Rsa", R"({"alg":"RSA-OAEP-256"})"}, Header{"Rsa15", R"({"alg":"RSA1_5"})"},
        Header{"NoneAlg", R"({"alg":"none"})"}, Header{"NoAlg", R"({"alg":null})"},
        Header{"OtherEnc", R"({"enc":"A128GCM"})"}, Header{"CbcEnc", R"({"enc":"A256CBC-HS512"})"},
        Header{"Critical", R"({"crit":["b64"]})"}, Header{"EmptyCritical", R"({"crit":[]})"},
        Header{"Compressed", R"({"zip":"DEF"})"}, Header{"NoEpk", R"({"epk":null})"},
        Header{"OffCurve", R"({"epk":{"y":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}})"},
        Header{"OtherCurve", R"({"epk":{"crv":"P-384"}})"}, Header{"ApuNumber", R"({"apu":1})"},
        Header{"ApuPadded", R"({"apu":"QQ=="})"}),
    [](const auto& test) { return std::string(test.param.name); });

TEST(Jwe, RefusesUnprotectedHeaders) {
  const auto key = bobs_key();
  for (const char* member : {"header", "unprotected", "recipients"}) {
    Json json = parse_object(kVectorJwe).value();
    json[member] = Json::object();
    EXPECT_EQ(decrypt(canonical(json), key.get()).error().code, Errc::kBadFormat) << member;
  }
}

TEST(Jwe, RefusesWhatIsNoJsonObject) {
  const auto key = bobs_key();
  for (const std::string_view text : {"", "[]", "null", "{", "\"x\"", "a.b.c.d.e"}) {
    EXPECT_EQ(decrypt(text, key.get()).error().code, Errc::kBadFormat) << text;
  }
  EXPECT_FALSE(decrypt(std::string(100000, '['), key.get()).ok());
}

TEST(Jwe, LeavesNothingInProtectedMemoryAfterAFailure) {
  const auto key = bobs_key();
  Json json = parse_object(kVectorJwe).value();
  json["tag"] = "AAAAAAAAAAAAAAAAAAAAAA";
  const std::string forged = canonical(json);
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(decrypt(forged, key.get()).ok());
  const std::size_t before = memory::in_use_bytes();
  for (int i = 0; i < 20; ++i) EXPECT_FALSE(decrypt(forged, key.get()).ok());
  EXPECT_EQ(memory::in_use_bytes(), before);
  EXPECT_EQ(ERR_peek_error(), 0U);
}

}  // namespace
}  // namespace vhsm::jose
