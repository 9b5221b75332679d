// SPDX-License-Identifier: Apache-2.0
//
// vhsm: URIs: every way to write one name, and every way to write none.
#include "keystore/key_name.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vhsm::keystore {
namespace {

constexpr std::string_view kPrefix = "default/key";

TEST(KeyUri, WritesOneNameInManyWays) {
  for (const char* text :
       {"vhsm:default/tls/www", "vhsm://default/tls/www", "vhsm:///default/tls/www",
        "VHSM:default/tls/www", "vhsm:%64efault/tls/ww%77", "vhsm:tls/www"}) {
    const auto uri = KeyUri::parse(text, kPrefix);
    ASSERT_TRUE(uri.ok()) << text << ": " << describe(uri.error());
    EXPECT_EQ(uri.value().name.path(), "default/tls/www");
    EXPECT_EQ(uri.value().name.uri(), "vhsm:default/tls/www");
  }
}

TEST(KeyUri, FillsMissingSegmentsFromThePrefix) {
  EXPECT_EQ(KeyUri::parse("vhsm:www", kPrefix).value().name.path(), "default/key/www");
  EXPECT_EQ(KeyUri::parse("vhsm:www", "site/tls").value().name.path(), "site/tls/www");
  EXPECT_EQ(KeyUri::parse("vhsm:a/b/c", {}).value().name.path(), "a/b/c");
  EXPECT_EQ(KeyUri::parse("vhsm:www", {}).error().code, Errc::kBadUri);
  EXPECT_EQ(KeyUri::parse("vhsm:www", "one").error().code, Errc::kBadUri);
}

TEST(KeyUri, ReadsTheQuery) {
  EXPECT_EQ(KeyUri::parse("vhsm:a?type=public", kPrefix).value().type, ObjectType::kPublic);
  EXPECT_EQ(KeyUri::parse("vhsm:a?type=private", kPrefix).value().type, ObjectType::kPrivate);
  EXPECT_EQ(KeyUri::parse("vhsm:a?type=cert", kPrefix).value().type, ObjectType::kCertificate);
  const auto both = KeyUri::parse("vhsm:a?version=4294967295&type=secret", kPrefix);
  EXPECT_EQ(both.value().type, ObjectType::kSecret);
  EXPECT_EQ(both.value().version, 4294967295U);
  EXPECT_FALSE(KeyUri::parse("vhsm:a", kPrefix).value().type.has_value());
}

TEST(KeyUri, TakesABarePathOnlyWhereAsked) {
  EXPECT_EQ(KeyUri::parse("tls/www", kPrefix, true).value().name.path(), "default/tls/www");
  EXPECT_EQ(KeyUri::parse("vhsm:tls/www", kPrefix, true).value().name.path(), "default/tls/www");
  EXPECT_EQ(KeyUri::parse("tls/www", kPrefix).error().code, Errc::kBadUri);
}

struct Bad {
  const char* text;
  const char* offending;
};

class Refused : public testing::TestWithParam<Bad> {};

TEST_P(Refused, UriShowsItsOffendingPart) {
  const auto uri = KeyUri::parse(GetParam().text, kPrefix);
  ASSERT_FALSE(uri.ok()) << GetParam().text;
  EXPECT_EQ(uri.error().code, Errc::kBadUri);
  EXPECT_EQ(uri.error().subject.text(), GetParam().offending);
}

INSTANTIATE_TEST_SUITE_P(
    KeyUri, Refused,
    testing::Values(Bad{"", ""}, Bad{"vhsm", "vhsm"}, Bad{"pkcs11:a", "pkcs11:a"}, Bad{"vhsm:", ""},
                    Bad{"vhsm:/a/b/c", "/a/b/c"}, Bad{"vhsm:////a", "////a"},
                    Bad{"vhsm:a//c", "a//c"}, Bad{"vhsm:a/b/c/d", "a/b/c/d"},
                    Bad{"vhsm:a/b/", "a/b/"}, Bad{"vhsm:a/../c", ".."}, Bad{"vhsm:.a", ".a"},
                    Bad{"vhsm:%2e%2e", "%2e%2e"}, Bad{"vhsm:a%2fb", "a%2fb"},
                    Bad{"vhsm:a%00", "a%00"}, Bad{"vhsm:a%", "%"}, Bad{"vhsm:a%4", "%4"},
                    Bad{"vhsm:a%zz", "%zz"}, Bad{"vhsm:a%+1", "%+1"}, Bad{"vhsm:a%-1", "%-1"},
                    Bad{"vhsm:a b", "a b"}, Bad{"vhsm:a#b", "a#b"}, Bad{"vhsm:a\x01", "a?"},
                    Bad{"vhsm:a?", ""}, Bad{"vhsm:a?type=", ""}, Bad{"vhsm:a?type=key", "key"},
                    Bad{"vhsm:a?pin=1", "pin=1"}, Bad{"vhsm:a?type=cert&", ""},
                    Bad{"vhsm:a?type=cert&type=cert", "cert"}, Bad{"vhsm:a?version=0", "0"},
                    Bad{"vhsm:a?version=01", "01"}, Bad{"vhsm:a?version=", ""},
                    Bad{"vhsm:a?version=-1", "-1"}, Bad{"vhsm:a?version=4294967296", "4294967296"},
                    Bad{"vhsm:a?version=1&version=1", "1"}, Bad{"vhsm:a?type=cert?x", "cert?x"}));

TEST(KeyUri, BoundsItsLengths) {
  EXPECT_TRUE(KeyName::parse(std::string(128, 'a'), kPrefix).ok());
  EXPECT_FALSE(KeyName::parse(std::string(129, 'a'), kPrefix).ok());
  EXPECT_FALSE(KeyUri::parse("vhsm:" + std::string(5000, '/'), kPrefix).ok());
}

TEST(KeyFolder, HoldsTheNamesBelowIt) {
  const auto name = KeyName::parse("default/tls/www").value();
  for (const char* text : {"vhsm:", "vhsm://", "vhsm:///", "vhsm:default/", "VHSM://default/tls/",
                           "vhsm:%64efault/"}) {
    const auto folder = KeyFolder::parse(text);
    ASSERT_TRUE(folder.ok()) << text << ": " << describe(folder.error());
    EXPECT_TRUE(folder.value().holds(name)) << text;
  }
  for (const char* text : {"vhsm:tls/", "vhsm:def/", "vhsm:default/tl/", "vhsm:default/www/"}) {
    EXPECT_FALSE(KeyFolder::parse(text).value().holds(name)) << text;
  }
  EXPECT_EQ(KeyFolder::parse("vhsm:///default/tls/").value().uri(), "vhsm:default/tls/");
}

TEST(KeyFolder, IsWhatASlashOrNothingEnds) {
  for (const char* text : {"vhsm:", "vhsm:a/", "vhsm:/", "vhsm:?type=cert", "vhsm:a/?b/c"}) {
    EXPECT_TRUE(KeyFolder::is_named_by(text)) << text;
  }
  for (const char* text : {"", "vhsm", "a/", "file:a/", "vhsm:a", "vhsm:a?b/", "vhsm:a/b/c"}) {
    EXPECT_FALSE(KeyFolder::is_named_by(text)) << text;
    EXPECT_EQ(KeyFolder::parse(text).error().code, Errc::kBadUri) << text;
  }
}

TEST(KeyFolder, WithAnythingElseInItIsRefused) {
  for (const auto& text :
       {std::string("vhsm:/"), std::string("vhsm:////"), std::string("vhsm:a//"),
        std::string("vhsm:a/b/c/"), std::string("vhsm:a/b/c/d/"), std::string("vhsm:../"),
        std::string("vhsm:a*/"), std::string("vhsm:a%2f/"), std::string("vhsm:a%/"),
        std::string("vhsm:?type=cert"), std::string("vhsm:a/?"),
        "vhsm:" + std::string(5000, 'a') + "/"}) {
    const auto folder = KeyFolder::parse(text);
    ASSERT_FALSE(folder.ok()) << text;
    EXPECT_EQ(folder.error().code, Errc::kBadUri) << text;
  }
}

TEST(KeyName, IsOrderedByItsPath) {
  const auto a = KeyName::parse("a/b/c").value();
  const auto b = KeyName::parse("a/b/d").value();
  EXPECT_LT(a, b);
  EXPECT_EQ(a, KeyName::parse("a/b/c").value());
}

}  // namespace
}  // namespace vhsm::keystore
