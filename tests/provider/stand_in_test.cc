// SPDX-License-Identifier: Apache-2.0
#include "provider/stand_in.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "provider/der.h"

namespace vhsm::provider {
namespace {

using Bytes = std::vector<std::uint8_t>;

const StandIn kExample{
    .uri = "vhsm:default/tls/www", .type = "EC", .public_key_info = {0x30, 0x03, 0x02, 0x01, 0x05}};

TEST(StandInTest, WhatIsEncodedParses) {
  const auto parsed = parse_stand_in(encode_stand_in(kExample));
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(parsed.value(), kExample);
}

TEST(StandInTest, LongContentsUseLongLengths) {
  StandIn big = kExample;
  big.public_key_info = {0x30, 0x82, 0x10, 0x00};
  big.public_key_info.resize(4 + 0x1000);
  const auto parsed = parse_stand_in(encode_stand_in(big));
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(parsed.value(), big);
}

TEST(StandInTest, ItsHeadIsRecognised) {
  EXPECT_TRUE(looks_like_stand_in(encode_stand_in(kExample)));
  EXPECT_FALSE(looks_like_stand_in({}));
  EXPECT_FALSE(looks_like_stand_in(kExample.public_key_info));
}

TEST(StandInTest, EveryTruncationIsRefused) {
  const Bytes whole = encode_stand_in(kExample);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(parse_stand_in(std::span(whole).first(size)).ok()) << size;
  }
}

TEST(StandInTest, BytesAfterTheEndAreRefused) {
  Bytes whole = encode_stand_in(kExample);
  whole.push_back(0);
  EXPECT_FALSE(parse_stand_in(whole).ok());
}

TEST(StandInTest, AnotherVersionIsRefused) {
  Bytes whole = encode_stand_in(kExample);
  ASSERT_EQ(whole[4], 1);
  whole[4] = 2;
  EXPECT_FALSE(parse_stand_in(whole).ok());
}

TEST(StandInTest, TextsWithControlBytesAreRefused) {
  for (const char bad : {'\0', '\n', '\x7f', '\x80'}) {
    StandIn stand_in = kExample;
    stand_in.uri += bad;
    EXPECT_FALSE(parse_stand_in(encode_stand_in(stand_in)).ok()) << int{bad};
  }
}

TEST(StandInTest, PemComesBack) {
  const Bytes der = encode_stand_in(kExample);
  const std::string pem = to_pem(kStandInLabel, der);
  ASSERT_TRUE(pem.starts_with("-----BEGIN VHSM KEY URI-----\n"));
  ASSERT_TRUE(pem.ends_with("\n-----END VHSM KEY URI-----\n"));
  const std::size_t begin = pem.find('\n') + 1;
  const auto back = from_base64(pem.substr(begin, pem.find("-----END") - begin));
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(back.value(), der);
}

TEST(StandInTest, OnlyWholeBase64IsTaken) {
  for (const char* bad :
       {"", "A", "AAA", "AAAA=", "A===", "====", "AA=A", "AA*A", "AAAA====AAAA"}) {
    EXPECT_FALSE(from_base64(bad).ok()) << bad;
  }
}

TEST(DerTest, OnlyMinimalDefiniteLengthsAreTaken) {
  for (const Bytes& bad :
       {Bytes{0x30, 0x80, 0, 0}, Bytes{0x30, 0x81, 0x01, 0}, Bytes{0x30, 0x82, 0x00, 0x80},
        Bytes{0x30, 0x84, 1, 0, 0, 0}, Bytes{0x30}, Bytes{0x30, 0x01}, Bytes{0x31, 0x00}}) {
    EXPECT_FALSE(der::Reader(bad).take(der::kSequence).ok());
  }
}

}  // namespace
}  // namespace vhsm::provider
