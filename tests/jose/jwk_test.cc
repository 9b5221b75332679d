// SPDX-License-Identifier: Apache-2.0
#include "jose/jwk.h"

#include <openssl/core_names.h>

#include "jose/base64.h"
#include "jose/jcs.h"
#include "jose/tee_key.h"
#include "memory/protected_memory.h"
#include "tests/jose/support.h"

namespace vhsm::jose {
namespace {

TEST(Jwk, ComesBackFromItsKeyUnchanged) {
  const auto key = to_pkey(bob());
  ASSERT_TRUE(key.ok()) << describe(key.error());
  EXPECT_EQ(from_pkey(key.value().get(), kKeyAgreementAlg).value(), bob());
}

TEST(Jwk, HasFiveMembersAndDropsTheRest) {
  Json json = to_json(bob());
  EXPECT_EQ(json.size(), 5U);
  json["kid"] = "1";
  json["use"] = "enc";
  EXPECT_EQ(jwk_from_json(json).value(), bob());
}

TEST(Jwk, KeepsLeadingZerosOfP521Coordinates) {
  for (int i = 0; i < 8; ++i) {
    const auto key = TeeKey::generate(TeeKeyKind::kP521);
    ASSERT_TRUE(key.ok()) << describe(key.error());
    const auto& jwk = std::get<EcPublicJwk>(key.value().public_jwk());
    EXPECT_EQ(from_base64url(jwk.x).value().size(), 66U);
    EXPECT_EQ(from_base64url(jwk.y).value().size(), 66U);
    EXPECT_EQ(jwk_from_json(to_json(jwk)).value(), jwk);
  }
}

struct Bad {
  const char* name;
  const char* member;
  Json value;
  Errc code;
};
class BadJwk : public testing::TestWithParam<Bad> {};
TEST_P(BadJwk, IsRefused) {
  Json json = to_json(bob());
  json[GetParam().member] = GetParam().value;
  const auto jwk = jwk_from_json(json);
  ASSERT_FALSE(jwk.ok());
  EXPECT_EQ(jwk.error().code, GetParam().code) << describe(jwk.error());
}
INSTANTIATE_TEST_SUITE_P(
    Members, BadJwk,
    testing::Values(Bad{"OtherType", "kty", "RSA", Errc::kUnsupported},
                    Bad{"OtherCurve", "crv", "P-384", Errc::kUnsupported},
                    Bad{"WrongCurve", "crv", "P-521", Errc::kBadFormat},
                    Bad{"OffTheCurve", "y", std::string(kAliceY), Errc::kBadFormat},
                    Bad{"ShortX", "x", "AA", Errc::kBadFormat},
                    Bad{"PaddedX", "x", std::string(kBobX) + "=", Errc::kBadFormat},
                    Bad{"NumberX", "x", 7, Errc::kBadFormat},
                    Bad{"NullX", "x", nullptr, Errc::kBadFormat},
                    Bad{"EmptyAlg", "alg", "", Errc::kBadFormat},
                    Bad{"ArrayCurve", "crv", Json::array(), Errc::kBadFormat}),
    [](const auto& test) { return std::string(test.param.name); });

TEST(Jwk, NeedsEveryMember) {
  for (const char* member : {"kty", "crv", "x", "y", "alg"}) {
    Json json = to_json(bob());
    json.erase(member);
    EXPECT_FALSE(jwk_from_json(json).ok()) << member;
  }
  EXPECT_FALSE(jwk_from_json(Json::array()).ok());
  EXPECT_FALSE(jwk_from_json(nullptr).ok());
}

TEST(TeeKey, DiffersEachTimeAndLivesInProtectedMemory) {
  const std::size_t before = memory::in_use_bytes();
  const auto first = TeeKey::generate();
  const auto second = TeeKey::generate();
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_NE(first.value().public_jwk(), second.value().public_jwk());
  EXPECT_EQ(std::get<EcPublicJwk>(first.value().public_jwk()).alg, kKeyAgreementAlg);
  EXPECT_GT(memory::in_use_bytes(), before);
}

TEST(TeeKey, GivesItsMemoryBack) {
  static_cast<void>(TeeKey::generate());  // what libcrypto fetches once and keeps
  const std::size_t before = memory::in_use_bytes();
  for (int i = 0; i < 10; ++i) static_cast<void>(TeeKey::generate());
  EXPECT_EQ(memory::in_use_bytes(), before);
}

TEST(TeeKey, OfEachKindComesBackFromItsJwkAndItsExport) {
  for (const auto kind : {TeeKeyKind::kP256, TeeKeyKind::kP521, TeeKeyKind::kRsa}) {
    const auto key = TeeKey::generate(kind);
    ASSERT_TRUE(key.ok()) << describe(key.error());
    const TeeJwk& jwk = key.value().public_jwk();
    EXPECT_EQ(tee_jwk_from_json(to_json(jwk)).value(), jwk);
    const auto copy = TeeKey::imported(key.value().exported().value());
    ASSERT_TRUE(copy.ok()) << describe(copy.error());
    EXPECT_EQ(copy.value().public_jwk(), jwk);
  }
}

TEST(Jwk, AnRsaKeyHasFourMembersAndOneForm) {
  const auto key = TeeKey::generate(TeeKeyKind::kRsa);
  const Json good = to_json(key.value().public_jwk());
  EXPECT_EQ(good.size(), 4U);
  EXPECT_EQ(good["alg"], "RSA-OAEP-256");
  EXPECT_EQ(good["e"], "AQAB");
  const std::string n = good["n"];
  for (const std::string& bad : {std::string("AA") + n, n.substr(0, 4), n + "=", std::string()}) {
    Json json = good;
    json["n"] = bad;
    EXPECT_FALSE(tee_jwk_from_json(json).ok()) << bad;
  }
  for (const char* member : {"alg", "n", "e"}) {
    Json json = good;
    json.erase(member);
    EXPECT_EQ(tee_jwk_from_json(json).error().code, Errc::kBadFormat) << member;
  }
}

}  // namespace
}  // namespace vhsm::jose
