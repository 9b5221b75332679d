// SPDX-License-Identifier: Apache-2.0
//
// Keys as JWKs and COSE_Keys: examples of the RFCs, keys of OpenSSL's and of another
// implementation's, and what is refused. How Debian's python3-jwcrypto writes and reads them is
// compared where it is installed, as CI does.
#include <gmock/gmock.h>
#include <openssl/core_names.h>

#include <array>
#include <cstdio>
#include <fstream>
#include <map>

#include "keystore/key_policy.h"
#include "keystore/material.h"
#include "keystore/pair_check.h"
#include "keystore/secret_material.h"
#include "tests/base/temp_dir.h"
#include "tests/keystore/samples.h"
#include "tests/keystore/spelling.h"

namespace vhsm::keystore {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

class SpelledKeyTest : public KeystoreTest {};

/// RFC 7517, appendix A.2: the first key.
constexpr const char* kEcJwk = R"({"kty":"EC","crv":"P-256",
  "x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
  "y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
  "d":"870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE","use":"enc","kid":"1"})";

/// RFC 7517, appendix A.2: the second key.
constexpr const char* kRsaJwk = R"({"kty":"RSA",
  "n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
  "e":"AQAB",
  "d":"X4cTteJY_gn4FYPsXB8rdXix5vwsg1FLN5E3EaG6RJoVH-HLLKD9M7dx5oo7GURknchnrRweUkC7hT5fJLM0WbFAKNLWY2vv7B6NqXSzUvxT0_YSfqijwp3RTzlBaCxWp4doFk5N2o8Gy_nHNKroADIkJ46pRUohsXywbReAdYaMwFs9tv8d_cPVY3i07a3t8MN6TNwm0dSawm9v47UiCl3Sk5ZiG7xojPLu4sbg1U2jx4IBTNBznbJSzFHK66jT8bgkuqsk0GjskDJk19Z4qwjwbsnn4j2WBii3RL-Us2lGVkY8fkFzme1z0HbIkfz0Y6mqnOYtqc0X4jfcKoAC8Q",
  "p":"83i-7IvMGXoMXCskv73TKr8637FiO7Z27zv8oj6pbWUQyLPQBQxtPVnwD20R-60eTDmD2ujnMt5PoqMrm8RfmNhVWDtjjMmCMjOpSXicFHj7XOuVIYQyqVWlWEh6dN36GVZYk93N8Bc9vY41xy8B9RzzOGVQzXvNEvn7O0nVbfs",
  "q":"3dfOR9cuYq-0S-mkFLzgItgMEfFzB2q3hWehMuG0oCuqnb3vobLyumqjVZQO1dIrdwgTnCdpYzBcOfW5r370AFXjiWft_NGEiovonizhKpo9VVS78TzFgxkIdrecRezsZ-1kYd_s1qDbxtkDEgfAITAG9LUnADun4vIcb6yelxk",
  "dp":"G4sPXkc6Ya9y8oJW9_ILj4xuppu0lzi_H7VTkS8xj5SdX3coE0oimYwxIi2emTAue0UOa5dpgFGyBJ4c8tQ2VF402XRugKDTP8akYhFo5tAA77Qe_NmtuYZc3C3m3I24G2GvR5sSDxUyAN2zq8Lfn9EUms6rY3Ob8YeiKkTiBj0",
  "dq":"s9lAH9fggBsoFR8Oac2R_E2gw282rT2kGOAhvIllETE1efrA6huUUvMfBcMpn8lqeW6vzznYY5SSQF7pMdC_agI3nG8Ibp1BUb0JUiraRNqUfLhcQb_d9GF4Dh7e74WbRsobRonujTYN1xCaP6TO61jvWrX-L18txXw494Q_cgk",
  "qi":"GyM_p6JrXySiz1toFgKbWV-JdI3jQ4ypu9rbMWx3rQJBfmt0FoYzgUIZEVFEcOqwemRN81zoDAaa-Bk0KWNGDjJHZDdDmFhW3AN7lI-puxk_mHZGJ11rxyR8O55XLSe3SPmRfKwZI6yU24ZxvQKFYItdldUKGzO6Ia6zTKhAVRU",
  "alg":"RS256","kid":"2011-04-29"})";

/// RFC 8037, appendix A.1.
constexpr const char* kOkpJwk = R"({"kty":"OKP","crv":"Ed25519",
  "d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
  "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})";

/// RFC 9052, appendix C.7.2: the first key.
constexpr std::string_view kEcCoseHex =
    "a601020258246d65726961646f632e6272616e64796275636b406275636b6c616e642e6578616d706c652001215820"
    "65"
    "eda5a12577c2bae829437fe338701a10aaa375e1bb5b5de108de439c08551d2258201e52ed75701163f7f9e40ddf9f"
    "34"
    "1b3dc9ba860af7e0ca7ca7e9eecd0084d19c235820aff907c99f9ad3aae6c4cdf21122bce2bd68b5283e6907154ad9"
    "11"
    "840fa208cf";

std::string from_hex(std::string_view hex) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
  }
  return bytes;
}

Result<Material> read(const std::string& text) { return parse_material(secret(text)); }

void expect_pair(const Result<Material>& parsed, const char* type) {
  ASSERT_TRUE(parsed.ok()) << describe(parsed.error());
  EVP_PKEY* const pair = parsed.value().pair.get();
  ASSERT_NE(pair, nullptr);
  EXPECT_TRUE(memory::contains(pair));
  EXPECT_EQ(EVP_PKEY_is_a(pair, type), 1);
  const auto half = PublicHalf::of(pair);
  ASSERT_TRUE(half.ok());
  EXPECT_TRUE(check_pair(half.value(), pair).ok());
}

TEST_F(SpelledKeyTest, TheExamplesOfTheRfcsAreKeyPairs) {
  expect_pair(read(kEcJwk), "EC");
  expect_pair(read(kRsaJwk), "RSA");
  expect_pair(read(kOkpJwk), "ED25519");
  expect_pair(read(from_hex(kEcCoseHex)), "EC");
}

TEST_F(SpelledKeyTest, WhatTheExamplesSayOfTheirUseIsTheirPolicy) {
  EXPECT_EQ(read(kEcJwk).value().policy, "operations=decrypt,derive");
  EXPECT_EQ(read(kRsaJwk).value().policy, "operations=sign digests=SHA256 paddings=pkcs1");
  EXPECT_EQ(read(kOkpJwk).value().policy, "");
  EXPECT_EQ(read(from_hex(kEcCoseHex)).value().policy, "");
}

/// RFC 7517, appendix A.3.
TEST_F(SpelledKeyTest, TheSymmetricExamplesAreKeys) {
  const auto wraps =
      parse_secret(secret(R"({"kty":"oct","alg":"A128KW","k":"GawgguFyGrWKav7AX4VKUg"})"));
  ASSERT_TRUE(wraps.ok()) << describe(wraps.error());
  EXPECT_EQ(wraps.value().key.size(), 16U);
  EXPECT_STREQ(wraps.value().uses.algorithm, "AES-128-WRAP");
  const auto macs = parse_secret(secret(
      R"({"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0)"
      R"(iPS4hcgUuTwjAzZr1Z9CAow","kid":"HMAC key used in JWS spec Appendix A.1 example"})"));
  ASSERT_TRUE(macs.ok()) << describe(macs.error());
  EXPECT_EQ(macs.value().key.size(), 64U);
  EXPECT_EQ(macs.value().uses.uses, KeyUses::kEvery);
}

// ----- keys of OpenSSL's ------------------------------------------------------------------------

class SpelledKindTest : public SpelledKeyTest, public ::testing::WithParamInterface<std::string> {};

TEST_P(SpelledKindTest, IsTheSameKeyInBothSpellings) {
  const auto key = make_key(GetParam());
  const Spelling spelling = spelling_of(key.get(), GetParam());
  for (const std::string& text : {spelling.jwk(), spelling.cose()}) {
    const auto parsed = read(text);
    ASSERT_TRUE(parsed.ok()) << describe(parsed.error());
    EXPECT_EQ(EVP_PKEY_eq(parsed.value().pair.get(), key.get()), 1);
    const auto half = PublicHalf::of(parsed.value().pair.get());
    ASSERT_TRUE(half.ok());
    EXPECT_TRUE(check_pair(half.value(), parsed.value().pair.get()).ok());
  }
}

TEST_P(SpelledKindTest, LacksNoPartAndHasNoneOfAnotherLength) {
  const auto key = make_key(GetParam());
  const Spelling whole = spelling_of(key.get(), GetParam());
  for (std::size_t i = 0; i < whole.parts.size(); ++i) {
    Spelling lacking = whole;
    lacking.parts.erase(lacking.parts.begin() + static_cast<long>(i));
    const bool needless = whole.kty_number == 1 && i == 0;  // of an OKP key x is computed
    EXPECT_EQ(read(lacking.jwk()).ok(), needless) << whole.parts[i].jose;
    EXPECT_EQ(read(lacking.cose()).ok(), needless) << whole.parts[i].jose;
    if (whole.crv == nullptr) continue;
    Spelling longer = whole;
    longer.parts[i].bytes.insert(0, 1, '\0');
    EXPECT_EQ(read(longer.jwk()).error().code, Errc::kBadFormat) << whole.parts[i].jose;
    EXPECT_EQ(read(longer.cose()).error().code, Errc::kBadFormat) << whole.parts[i].jose;
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, SpelledKindTest,
                         ::testing::Values("P-256", "P-384", "P-521", "secp256k1", "RSA", "X25519",
                                           "X448", "ED25519", "ED448"),
                         [](const auto& tested) {
                           std::string name = tested.param;
                           std::erase(name, '-');
                           return name;
                         });

TEST_F(SpelledKeyTest, AnRsaKeyMayLackAllThatSpeedsItUp) {
  const auto key = make_key("RSA");
  Spelling spelling = spelling_of(key.get(), "RSA");
  spelling.parts.resize(3);
  expect_pair(read(spelling.jwk()), "RSA");
  expect_pair(read(spelling.cose()), "RSA");
}

TEST_F(SpelledKeyTest, ThePointOfACoseKeyMayBeCompressed) {
  const auto key = make_key("P-256");
  Spelling spelling = spelling_of(key.get(), "P-256");
  const bool odd = (spelling.parts[1].bytes.back() & 1) != 0;
  spelling.parts.erase(spelling.parts.begin() + 1);
  const auto with_sign = [&](bool sign) {
    return read(spelling.cose(std::string("\x22") + (sign ? "\xf5" : "\xf4"), 1));
  };
  ASSERT_TRUE(with_sign(odd).ok()) << describe(with_sign(odd).error());
  EXPECT_EQ(EVP_PKEY_eq(with_sign(odd).value().pair.get(), key.get()), 1);
  EXPECT_NE(EVP_PKEY_eq(with_sign(!odd).value().pair.get(), key.get()), 1);
}

// ----- what is said of their use ----------------------------------------------------------------

struct TermsCase {
  const char* kind;
  const char* members;
  const char* policy;  ///< null: an error
  Errc error = Errc::kBadFormat;
};

class TermsTest : public SpelledKeyTest, public ::testing::WithParamInterface<TermsCase> {};

TEST_P(TermsTest, BecomeAPolicyOrContradictEachOther) {
  const TermsCase& one = GetParam();
  static std::map<std::string, ossl::PKey> keys;
  auto& key = keys[one.kind];
  if (key == nullptr) key = make_key(one.kind);
  const auto parsed = read(spelling_of(key.get(), one.kind).jwk(std::string(",") + one.members));
  ASSERT_EQ(parsed.ok(), one.policy != nullptr)
      << one.members << (parsed.ok() ? "" : describe(parsed.error()));
  if (!parsed.ok()) {
    EXPECT_EQ(parsed.error().code, one.error) << one.members << describe(parsed.error());
    return;
  }
  EXPECT_EQ(parsed.value().policy, one.policy) << one.members;
  const auto policy = KeyPolicy::parse(parsed.value().policy);
  ASSERT_TRUE(policy.ok()) << describe(policy.error());
  EXPECT_EQ(policy.value().text(), one.policy);
}

INSTANTIATE_TEST_SUITE_P(
    Members, TermsTest,
    ::testing::Values(
        TermsCase{"P-256", R"("use":"sig")", "operations=sign"},
        TermsCase{"P-256", R"("key_ops":["sign","verify"])", "operations=sign"},
        TermsCase{"P-256", R"("key_ops":["deriveBits"],"use":"enc")", "operations=derive"},
        TermsCase{"P-256", R"("alg":"ES256")", "operations=sign digests=SHA256"},
        TermsCase{"P-384", R"("alg":"ES384")", "operations=sign digests=SHA384"},
        TermsCase{"P-521", R"("alg":"ES512")", "operations=sign digests=SHA512"},
        TermsCase{"secp256k1", R"("alg":"ES256K")", "operations=sign digests=SHA256"},
        TermsCase{"ED25519", R"("alg":"EdDSA")", "operations=sign"},
        TermsCase{"X25519", R"("alg":"ECDH-ES")", "operations=derive"},
        TermsCase{"P-256", R"("alg":"ECDH-ES+A256KW")", "operations=derive"},
        TermsCase{"RSA", R"("alg":"PS384")",
                  "operations=sign digests=SHA384 paddings=pss salt=digest"},
        TermsCase{"RSA", R"("alg":"RSA-OAEP")", "operations=decrypt digests=SHA1 paddings=oaep"},
        TermsCase{"RSA", R"("alg":"RSA-OAEP-256","key_ops":["unwrapKey"])",
                  "operations=decrypt digests=SHA256 paddings=oaep"},
        TermsCase{"RSA", R"("alg":"RSA1_5")", "operations=decrypt paddings=pkcs1"},
        TermsCase{"RSA", R"("key_ops":["sign","decrypt"])", "operations=sign,decrypt"},
        TermsCase{"P-256", R"("exp":2000000000)", "not-after=1999999999"},
        TermsCase{"P-256", R"("exp":2000000000.75,"nbf":5)", "not-before=5 not-after=1999999999"},
        TermsCase{"P-256", R"("exp":0)", "not-after=0"},
        TermsCase{"P-256", R"("use":"sig","exp":7)", "operations=sign not-after=6"},
        // contradictions
        TermsCase{"P-256", R"("use":"sig","key_ops":["deriveKey"])", nullptr},
        TermsCase{"P-256", R"("use":"enc","key_ops":["deriveKey","sign"])", nullptr},
        TermsCase{"P-256", R"("alg":"RS256")", nullptr},
        TermsCase{"P-256", R"("alg":"ES384")", nullptr},
        TermsCase{"ED25519", R"("alg":"ECDH-ES")", nullptr},
        TermsCase{"X25519", R"("alg":"EdDSA")", nullptr},
        TermsCase{"RSA", R"("alg":"HS256")", nullptr},
        TermsCase{"RSA", R"("alg":"RS256","key_ops":["decrypt"])", nullptr},
        TermsCase{"RSA", R"("alg":"RSA-OAEP","use":"sig")", nullptr},
        TermsCase{"P-256", R"("key_ops":["verify"])", nullptr},
        TermsCase{"P-256", R"("key_ops":[])", nullptr},
        TermsCase{"P-256", R"("nbf":9,"exp":9)", nullptr},
        // what nobody knows, or is malformed
        TermsCase{"P-256", R"("alg":"ES257")", nullptr, Errc::kUnsupported},
        TermsCase{"P-256", R"("use":"all")", nullptr, Errc::kUnsupported},
        TermsCase{"P-256", R"("key_ops":["fly"])", nullptr, Errc::kUnsupported},
        TermsCase{"P-256", R"("key_ops":["sign","sign"])", nullptr},
        TermsCase{"P-256", R"("key_ops":"sign")", nullptr},
        TermsCase{"P-256", R"("alg":7)", nullptr}, TermsCase{"P-256", R"("exp":-1)", nullptr},
        TermsCase{"P-256", R"("exp":"2000000000")", nullptr},
        TermsCase{"P-256", R"("exp":1e99)", nullptr},
        TermsCase{"RSA", R"("oth":[{"r":"AA","d":"AA","t":"AA"}])", nullptr, Errc::kUnsupported}));

TEST_F(SpelledKeyTest, OfACoseKeyAlgAndKeyOpsCount) {
  const auto key = make_key("P-256");
  const Spelling spelling = spelling_of(key.get(), "P-256");
  const auto policy = [&](std::string_view more, std::size_t count) {
    const auto parsed = read(spelling.cose(from_hex(more), count));
    return parsed.ok() ? parsed.value().policy : reason(parsed.error().code);
  };
  EXPECT_EQ(policy("0326", 1), "operations=sign digests=SHA256");    // alg: ES256
  EXPECT_EQ(policy("033822", 1), "operations=sign digests=SHA384");  // alg: ES384
  EXPECT_EQ(policy("04820102", 1), "operations=sign");               // sign, verify
  EXPECT_EQ(policy("0481080326", 2), reason(Errc::kBadFormat));      // derive, but ES256
  EXPECT_EQ(policy("04820101", 1), reason(Errc::kBadFormat));        // twice
  EXPECT_EQ(policy("0327", 1), reason(Errc::kBadFormat));            // alg: EdDSA
  EXPECT_EQ(policy("0305", 1), reason(Errc::kBadFormat));            // alg: HMAC
  EXPECT_EQ(policy("033903e6", 1), reason(Errc::kUnsupported));      // alg: nobody's
  EXPECT_EQ(policy("04811863", 1), reason(Errc::kUnsupported));      // key_ops: nobody's
}

TEST_F(SpelledKeyTest, ASymmetricCoseKeyIsOneWithItsTerms) {
  const std::string key = "205820" + std::string(64, 'a');  // k: 32 bytes
  const auto read_hex = [&](const std::string& hex) { return parse_secret(secret(from_hex(hex))); };
  const auto plain = read_hex("a20104" + key);
  ASSERT_TRUE(plain.ok()) << describe(plain.error());
  EXPECT_EQ(plain.value().key.size(), 32U);
  const auto macs = read_hex("a301040305" + key);
  ASSERT_TRUE(macs.ok()) << describe(macs.error());
  EXPECT_STREQ(macs.value().uses.algorithm, "HMAC");
  EXPECT_STREQ(macs.value().uses.digest, "SHA256");
  const auto seals = read_hex(
      "a301040482"
      "0304" +
      key);
  ASSERT_TRUE(seals.ok()) << describe(seals.error());
  EXPECT_EQ(seals.value().uses.uses, KeyUses::bit(Use::kEncrypt) | KeyUses::bit(Use::kDecrypt));
  EXPECT_EQ(read_hex("a301040326" + key).error().code, Errc::kBadFormat) << "ES256";
  const auto bytes = read_hex("a20104" + key + "00");
  EXPECT_EQ(bytes.value().key.size(), 39U) << "a byte too many: these are a key's bytes";
}

TEST_F(SpelledKeyTest, ASymmetricKeyThatItsTermsLeaveNothingToDoIsRefused) {
  for (const char* const terms :
       {R"("key_ops":["verify"])", R"("key_ops":[])", R"("alg":"A256GCM","use":"sig")",
        R"("alg":"HS256","key_ops":["encrypt"])", R"("alg":"HS256","key_ops":["release"])",
        R"("nbf":7,"exp":7)"}) {
    const auto parsed =
        parse_secret(secret(std::string(R"({"kty":"oct","k":"AAAA",)") + terms + "}"));
    ASSERT_FALSE(parsed.ok()) << terms;
    EXPECT_EQ(parsed.error().code, Errc::kBadFormat) << terms;
  }
}

TEST_F(SpelledKeyTest, ASymmetricKeysTimesAreKept) {
  const auto key = parse_secret(secret(R"({"kty":"oct","k":"AAAA","exp":100,"nbf":50})")).value();
  EXPECT_EQ(key.uses.not_before, 50U);
  EXPECT_EQ(key.uses.not_after, 99U);
}

TEST_F(SpelledKeyTest, APairIsNoSymmetricKeyAndASymmetricKeyNoPair) {
  const auto key = make_key("P-256");
  const Spelling spelling = spelling_of(key.get(), "P-256");
  EXPECT_EQ(parse_secret(secret(spelling.jwk())).error().code, Errc::kBadFormat);
  EXPECT_EQ(parse_secret(secret(spelling.cose())).error().code, Errc::kBadFormat);
  const auto refused = read(R"({"kty":"oct","k":"AAAA"})");
  EXPECT_EQ(refused.error().code, Errc::kBadFormat);
  EXPECT_THAT(describe(refused.error()), HasSubstr("type=secret"));
  EXPECT_EQ(read(from_hex("a20104204101")).error().code, Errc::kBadFormat);
}

// ----- the forms --------------------------------------------------------------------------------

TEST_F(SpelledKeyTest, WhatNobodyKnowsIsIgnored) {
  const auto key = make_key("ED25519");
  const Spelling spelling = spelling_of(key.get(), "ED25519");
  expect_pair(read(spelling.jwk(R"(,"kid":"a\"b\\","ext":true,"x5t":null,"n":-1.5e3,)"
                                R"("more":{"a":[1,{"b":[]}],"c":{}} , "list" : [ ])")),
              "ED25519");
  // kid, Base IV, a text label, a private label with a tagged float in an array in a map
  expect_pair(read(spelling.cose(from_hex("02420102"
                                          "054103"
                                          "6161f6"
                                          "3a00010000a10181c1fb3ff8000000000000"),
                                 4)),
              "ED25519");
}

TEST_F(SpelledKeyTest, AMemberThatIsThereTwiceIsRefused) {
  const auto key = make_key("ED25519");
  const Spelling spelling = spelling_of(key.get(), "ED25519");
  for (const char* const more :
       {R"(,"kty":"OKP")", R"(,"d":"AA")", R"(,"a":1,"a":1)", R"(,"\u0064":"AA")"}) {
    EXPECT_EQ(read(spelling.jwk(more)).error().code, Errc::kBadFormat) << more;
  }
  EXPECT_EQ(read(spelling.cose(from_hex("0101"), 1)).error().code, Errc::kBadFormat);
  EXPECT_EQ(read(spelling.cose(from_hex("61610161"
                                        "6101"),
                               2))
                .error()
                .code,
            Errc::kBadFormat);
}

TEST_F(SpelledKeyTest, AMalformedJwkIsRefused) {
  for (const char* const text :
       {"{", "{}", "{]", "{\"kty\"}", "{\"kty\":}", R"({"kty":"OKP"})",
        R"({"kty":"EC","crv":"P-1"})", R"({"kty":"DSA"})",
        R"({"kty":"OKP","crv":"P-256","d":"AA"})", R"({"kty":"OKP","crv":"Ed25519","d":"A"})",
        R"({"kty":"OKP","crv":"Ed25519","d":"A=="})", R"({"kty":"OKP","crv":"Ed25519","d":["AA"]})",
        R"({"kty":"\u004fKP","crv":"Ed25519"})", R"({"a":[[[[[[[[[1]]]]]]]]]})",
        R"({"keys":[]})"}) {
    const auto refused = read(text);
    ASSERT_FALSE(refused.ok()) << text;
    EXPECT_TRUE(refused.error().code == Errc::kBadFormat ||
                refused.error().code == Errc::kUnsupported)
        << text;
  }
  const std::string whole = kOkpJwk;
  for (std::size_t size = 1; size < whole.size(); ++size) {
    EXPECT_FALSE(read(whole.substr(0, size)).ok()) << size;
  }
}

TEST_F(SpelledKeyTest, AMalformedCoseKeyIsRefused) {
  const std::string whole = from_hex(kEcCoseHex);
  for (std::size_t size = 1; size < whole.size(); ++size) {
    EXPECT_FALSE(read(whole.substr(0, size)).ok()) << size;
  }
  for (const char* const hex : {"a0", "a10102", "a1010a", "a201022006", "bf0104204101ff",
                                "a20104205f4101ff", "a3010103f620064", "a2010120fb3ff8000000000000",
                                "a2000101f6", "a2010181818181818181818101"}) {
    EXPECT_FALSE(read(from_hex(hex)).ok()) << hex;
  }
}

TEST_F(SpelledKeyTest, APublicHalfThatIsAnothersIsNoticed) {
  const auto key = make_key("ED25519");
  const auto other = make_key("ED25519");
  Spelling spelling = spelling_of(key.get(), "ED25519");
  spelling.parts[0].bytes = octets_of(other.get(), "pub");
  const auto parsed = read(spelling.jwk());
  if (!parsed.ok()) return;  // by OpenSSL
  const auto half = PublicHalf::of(parsed.value().pair.get());
  EXPECT_EQ(check_pair(half.value(), parsed.value().pair.get()).error().code, Errc::kBadFormat);
}

// ----- certificates -----------------------------------------------------------------------------

/// The certificate in a PEM.
std::string base64_of(const std::string& pem) {
  const std::size_t begin = pem.find('\n') + 1;
  std::string text = pem.substr(begin, pem.find("\n-----END") - begin);
  std::erase(text, '\n');
  return text;
}

std::string der_of(const std::string& base64) {
  std::string der(base64.size(), '\0');
  const int size = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(der.data()),
                                   reinterpret_cast<const unsigned char*>(base64.data()),
                                   static_cast<int>(base64.size()));
  der.resize(static_cast<std::size_t>(size - std::ranges::count(base64, '=')));
  return der;
}

std::string cbor_bytes(const std::string& bytes) {
  std::vector<std::uint8_t> out;
  CborWriter(out).bytes({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()});
  return {out.begin(), out.end()};
}

TEST_F(SpelledKeyTest, CertificatesComeBesideTheKey) {
  const auto key = make_key("P-256");
  const auto other = make_key("P-256");
  const Spelling spelling = spelling_of(key.get(), "P-256");
  const std::string own = base64_of(certificate_pem(key.get()));
  const std::string issuer = base64_of(certificate_pem(other.get()));
  std::string escaped = issuer;
  for (std::size_t at = 0; (at = escaped.find('/', at)) != std::string::npos; at += 2) {
    escaped.insert(at, 1, '\\');
  }
  const auto jwk = read(spelling.jwk(R"(,"x5c":[")" + own + R"(",")" + escaped + R"("])"));
  ASSERT_TRUE(jwk.ok()) << describe(jwk.error());
  EXPECT_THAT(jwk.value().certificates, SizeIs(2));
  const std::string der = der_of(own);
  EXPECT_EQ(jwk.value().certificates[0], std::vector<std::uint8_t>(der.begin(), der.end()));

  const auto one = read(spelling.cose("\x18\x21" + cbor_bytes(der), 1));
  ASSERT_TRUE(one.ok()) << describe(one.error());
  ASSERT_THAT(one.value().certificates, SizeIs(1));
  EXPECT_EQ(one.value().certificates[0], jwk.value().certificates[0]);
  const auto two =
      read(spelling.cose("\x18\x21\x82" + cbor_bytes(der) + cbor_bytes(der_of(issuer)), 1));
  EXPECT_EQ(two.value().certificates, jwk.value().certificates);
}

TEST_F(SpelledKeyTest, ACertificateThatIsNoneOrOfAnotherKeyIsRefused) {
  const auto key = make_key("P-256");
  const auto other = make_key("P-256");
  const Spelling spelling = spelling_of(key.get(), "P-256");
  const auto refused =
      read(spelling.jwk(R"(,"x5c":[")" + base64_of(certificate_pem(other.get())) + R"("])"));
  EXPECT_EQ(refused.error().code, Errc::kBadFormat);
  EXPECT_THAT(describe(refused.error()), HasSubstr("another key"));
  for (const char* const chain : {R"(,"x5c":["AAAA"])", R"(,"x5c":["a"])", R"(,"x5c":"AAAA")"}) {
    EXPECT_EQ(read(spelling.jwk(chain)).error().code, Errc::kBadFormat) << chain;
  }
  EXPECT_FALSE(read(spelling.cose(from_hex("18214101"), 1)).ok());
}

// ----- another implementation -------------------------------------------------------------------

/// Debian's python, which has Debian's modules, whatever stands first in PATH.
std::string python(const std::string& program) {
  const test::TempDir folder;
  std::ofstream(folder.file("program.py")) << program;
  FILE* const pipe = ::popen(("/usr/bin/python3 " + folder.file("program.py")).c_str(), "r");
  std::string output;
  std::array<char, 4096> part{};
  while (const std::size_t size = std::fread(part.data(), 1, part.size(), pipe)) {
    output.append(part.data(), size);
  }
  EXPECT_EQ(::pclose(pipe), 0) << "python3-jwcrypto";
  return output;
}

TEST_F(SpelledKeyTest, JwksOfJwcryptoAreTheKeysThatItsPemsAre) {
  const std::string output = python(
      "from jwcrypto import jwk\n"
      "for kind in [dict(kty='RSA', size=2048), dict(kty='EC', crv='P-256'),\n"
      "             dict(kty='EC', crv='P-384'), dict(kty='EC', crv='P-521'),\n"
      "             dict(kty='EC', crv='secp256k1'), dict(kty='OKP', crv='Ed25519'),\n"
      "             dict(kty='OKP', crv='Ed448'), dict(kty='OKP', crv='X25519'),\n"
      "             dict(kty='OKP', crv='X448')]:\n"
      "  key = jwk.JWK.generate(kid='of a test', **kind)\n"
      "  print(key.export(), end='\\0')\n"
      "  print(key.export_to_pem(private_key=True, password=None).decode(), end='\\0')\n");
  std::vector<std::string> texts;
  for (std::size_t at = 0; at < output.size();) {
    texts.push_back(output.substr(at, output.find('\0', at) - at));
    at += texts.back().size() + 1;
  }
  ASSERT_THAT(texts, SizeIs(18));
  for (std::size_t i = 0; i < texts.size(); i += 2) {
    const auto spelled = read(texts[i]);
    ASSERT_TRUE(spelled.ok()) << i << describe(spelled.error());
    const auto pem = read(texts[i + 1]);
    ASSERT_TRUE(pem.ok()) << i << describe(pem.error());
    EXPECT_EQ(EVP_PKEY_eq(spelled.value().pair.get(), pem.value().pair.get()), 1) << i;
  }
}

}  // namespace
}  // namespace vhsm::keystore
