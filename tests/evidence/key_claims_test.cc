// SPDX-License-Identifier: Apache-2.0
#include "evidence/key_claims.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/sha.h>

#include <functional>
#include <set>
#include <vector>

#include "snp/hex.h"
#include "tests/evidence/samples.h"

namespace vhsm::evidence {
namespace {

using keystore::KeyClaims;
using keystore::KeyOrigin;

TEST(KeyClaimsTest, AreAnEatClaimsSetInOneEncoding) {
  KeyClaims claims = sample_claims();
  claims.nonce = {1, 2, 3, 4, 5, 6, 7, 8};
  claims.public_key_info = {9};
  claims.name = "n";
  claims.policy = "p";
  claims.others = {"kbs"};
  const std::string profile = snp::to_hex(bytes_of(kKeyProfile));
  EXPECT_EQ(snp::to_hex(encode(claims)),
            "a3"                    // a map of 3
            "0a480102030405060708"  // eat_nonce (10)
            "190109782d" +
                profile +                 // eat_profile (265)
                "3a0001116fa6"            // -70000: a map of 6
                "014109"                  // public key
                "02616e"                  // name
                "0303"                    // version
                "046967656e657261746564"  // origin
                "056170"                  // policy
                "0681636b6273");          // others
}

TEST(KeyClaimsTest, ComeBackWithAndWithoutWhatMayBeMissing) {
  for (const bool with : {true, false}) {
    KeyClaims claims = sample_claims();
    if (!with) {
      claims.nonce.clear();
      claims.version = 0;
      claims.policy.clear();
      claims.others.clear();
    }
    const auto parsed = parse_claims(encode(claims));
    ASSERT_TRUE(parsed.ok()) << describe(parsed.error());
    EXPECT_EQ(parsed.value(), claims);
  }
}

TEST(KeyClaimsTest, AnyChangedByteIsRefusedOrSaysSomethingElse) {
  const Bytes good = encode(sample_claims());
  for (std::size_t place = 0; place < good.size(); ++place) {
    for (const int change : {0x01, 0x20, 0x80}) {
      Bytes changed = good;
      changed[place] = static_cast<std::uint8_t>(changed[place] ^ change);
      const auto parsed = parse_claims(changed);
      EXPECT_TRUE(!parsed.ok() || !(parsed.value() == sample_claims())) << place;
    }
  }
}

TEST(KeyClaimsTest, AnotherEncodingOfTheSameIsRefused) {
  const Bytes good = encode(sample_claims());
  Bytes longer_number = good;  // the nonce's key in two bytes
  longer_number[1] = 0x18;
  longer_number.insert(longer_number.begin() + 2, 0x0a);
  EXPECT_FALSE(parse_claims(longer_number).ok());
  Bytes behind = good;
  behind.push_back(0);
  EXPECT_FALSE(parse_claims(behind).ok());
}

TEST(KeyClaimsTest, TextThatATerminalWouldObeyIsRefused) {
  KeyClaims claims = sample_claims();
  claims.name = "default/tls/\x1b[2J";
  EXPECT_FALSE(parse_claims(encode(claims)).ok());
}

TEST(KeyClaimsTest, EachClaimChangesTheReportData) {
  const std::vector<std::function<void(KeyClaims&)>> changes{
      [](KeyClaims&) {},
      [](KeyClaims& claims) { claims.nonce[0] ^= 1; },
      [](KeyClaims& claims) { claims.nonce.clear(); },
      [](KeyClaims& claims) { claims.public_key_info[0] ^= 1; },
      [](KeyClaims& claims) { claims.name = "default/tls/wwx"; },
      [](KeyClaims& claims) { claims.version = 4; },
      [](KeyClaims& claims) { claims.version = 0; },
      [](KeyClaims& claims) { claims.origin = KeyOrigin::kImported; },
      [](KeyClaims& claims) { claims.origin = KeyOrigin::kFetched; },
      [](KeyClaims& claims) { claims.origin = KeyOrigin::kKbsReceiver; },
      [](KeyClaims& claims) { claims.policy.clear(); },
      [](KeyClaims& claims) { claims.others.pop_back(); },
      [](KeyClaims& claims) { claims.others = {"kbsrecovery"}; },
  };
  std::set<snp::ReportData> seen;
  for (const auto& change : changes) {
    KeyClaims claims = sample_claims();
    change(claims);
    seen.insert(report_data_of(encode(claims)));
  }
  EXPECT_EQ(seen.size(), changes.size());
}

/// What `vhsm attest --nonce` hashes has 64 bytes at most, and a KBS's protocol hashes JSON.
TEST(KeyClaimsTest, TheReportDataIsNoHashOfTheClaimsAlone) {
  const Bytes claims = encode(sample_claims());
  snp::ReportData bare{};
  SHA512(claims.data(), claims.size(), bare.data());
  EXPECT_NE(report_data_of(claims), bare);
  Bytes labelled{0x82, 0x78, 0x18};
  const Bytes label = bytes_of("vhsm evidence of a key 1");
  labelled.insert(labelled.end(), label.begin(), label.end());
  labelled.insert(labelled.end(), {0x58, static_cast<std::uint8_t>(claims.size())});
  labelled.insert(labelled.end(), claims.begin(), claims.end());
  snp::ReportData expected{};
  SHA512(labelled.data(), labelled.size(), expected.data());
  EXPECT_EQ(report_data_of(claims), expected);
  EXPECT_GT(labelled.size(), 64U);
}

}  // namespace
}  // namespace vhsm::evidence
