// SPDX-License-Identifier: Apache-2.0
//
// Init-data: whose hash is HOST_DATA, and what is read of it.
#include "base/init_data.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>

#include <array>
#include <vector>

namespace vhsm {
namespace {

using testing::HasSubstr;
using testing::Pair;
using testing::UnorderedElementsAre;

constexpr std::string_view kHead = "version = \"0.1.0\"\nalgorithm = \"sha256\"\n";

std::vector<std::uint8_t> host_data(std::string_view text, const char* hash = "SHA2-256") {
  std::array<std::uint8_t, EVP_MAX_MD_SIZE> digest{};
  EVP_Q_digest(nullptr, hash, nullptr, text.data(), text.size(), digest.data(), nullptr);
  return {digest.begin(), digest.begin() + 32};
}

std::string with(std::string_view data) { return std::string(kHead) + std::string(data); }

Documents documents_of(std::string_view data) {
  const auto parsed = parse_init_data(with(data));
  EXPECT_TRUE(parsed.ok()) << describe(parsed.error()) << data;
  return parsed.ok() ? parsed.value().documents : Documents();
}

TEST(InitData, IsReadWhereItsHashIsHostData) {
  const std::string toml = with("[data]\na = \"b\"\n");
  const auto read = measured_documents(toml, host_data(toml));
  ASSERT_TRUE(read.ok()) << describe(read.error());
  EXPECT_THAT(read.value(), UnorderedElementsAre(Pair("a", "b")));
}

TEST(InitData, OfTheLongerHashesHostDataHasTheFirstBytes) {
  for (const auto& [name, hash] : {std::pair("sha384", "SHA2-384"), {"sha512", "SHA2-512"}}) {
    const std::string toml =
        std::string("version = \"0.1.0\"\nalgorithm = \"") + name + "\"\n[data]\na = \"b\"\n";
    EXPECT_TRUE(measured_documents(toml, host_data(toml, hash)).ok()) << name;
    EXPECT_FALSE(measured_documents(toml, host_data(toml)).ok()) << "another than it names";
  }
}

TEST(InitData, WithAnyOtherByteIsRefusedAndTheErrorTellsBothHashes) {
  const std::string toml = with("[data]\na = \"b\"\n");
  const auto expected = host_data(toml);
  for (std::size_t i = 0; i < toml.size(); ++i) {
    std::string changed = toml;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    EXPECT_FALSE(measured_documents(changed, expected).ok()) << i;
  }
  const auto refused = measured_documents(toml + "\n", expected);
  EXPECT_EQ(refused.error().code, Errc::kBadConfig);
  EXPECT_THAT(std::string(refused.error().subject.text()), HasSubstr("HOST_DATA"));
}

TEST(InitData, OfAVmThatWasLaunchedWithNoneIsRefused) {
  const std::vector<std::uint8_t> zeros(32);
  EXPECT_FALSE(measured_documents(with("[data]\n"), zeros).ok());
  EXPECT_FALSE(measured_documents("", zeros).ok());
}

TEST(InitData, HostDataOfAnotherLengthIsRefused) {
  const std::string toml = with("[data]\n");
  auto expected = host_data(toml);
  expected.pop_back();
  EXPECT_FALSE(measured_documents(toml, expected).ok());
  EXPECT_FALSE(measured_documents(toml, {}).ok()) << "no comparison of nothing";
}

TEST(InitData, HasTextsInEveryFormOfToml) {
  EXPECT_THAT(documents_of(R"(# of our site
[data] # what follows
"vhsm.cnf" = '''
[vhsm]
kbs = "https://kbs"
'''
'aa.toml'="one\tline\\ \"quoted\""
  plain-key_1 = 'a\b'
lines = """
two
lines \
   in one"""
quotes = """"a" ""b"""""
end = ''''quoted'''''
)"),
              UnorderedElementsAre(Pair("vhsm.cnf", "[vhsm]\nkbs = \"https://kbs\"\n"),
                                   Pair("aa.toml", "one\tline\\ \"quoted\""),
                                   Pair("plain-key_1", "a\\b"), Pair("lines", "two\nlines in one"),
                                   Pair("quotes", "\"a\" \"\"b\"\""), Pair("end", "'quoted''")));
}

TEST(InitData, MayHaveLinesThatEndInCarriageReturns) {
  const auto parsed = parse_init_data(
      "version = \"0.1.0\"\r\nalgorithm = \"sha256\"\r\n\r\n[data]\r\na = '''\r\nb\r\n'''\r\n");
  ASSERT_TRUE(parsed.ok()) << describe(parsed.error());
  EXPECT_THAT(parsed.value().documents, UnorderedElementsAre(Pair("a", "b\r\n")));
}

class BadInitData : public testing::TestWithParam<const char*> {};
TEST_P(BadInitData, IsRefused) {
  const auto parsed = parse_init_data(GetParam());
  ASSERT_FALSE(parsed.ok());
  EXPECT_EQ(parsed.error().code, Errc::kBadFormat);
}
#define HEAD "version = \"0.1.0\"\nalgorithm = \"sha256\"\n"
INSTANTIATE_TEST_SUITE_P(
    Texts, BadInitData,
    testing::Values("", "[data]\n", "version = \"0.2.0\"\nalgorithm = \"sha256\"\n[data]\n",
                    "version = \"0.1.0\"\nalgorithm = \"sm3\"\n[data]\n",
                    "version = \"0.1.0\"\nalgorithm = \"md5\"\n[data]\n",
                    HEAD "more = \"x\"\n[data]\n", HEAD "[data]\na = 5\n", HEAD "[data]\na = []\n",
                    HEAD "[data]\na = \"b\n", HEAD "[data]\na = \"b", HEAD "[data]\na = '''b''\n",
                    HEAD "[data]\na = \"b\" c = \"d\"\n", HEAD "[data]\na = \"b\"\na = \"c\"\n",
                    HEAD "[data]\na.b = \"c\"\n", HEAD "[data.x]\na = \"c\"\n",
                    HEAD "[data]\n[data]\n", HEAD "[[data]]\n", HEAD "[data]\na = \"\\u0041\"\n",
                    HEAD "[data]\na = \"\\", HEAD "[data]\n= \"x\"\n", HEAD "[data]\na\n",
                    "{\"version\":\"0.1.0\"}"));
#undef HEAD

TEST(InitData, AnErrorTellsTheLine) {
  EXPECT_EQ(parse_init_data(with("[data]\na = '''\n\n'''\nb = 7\n")).error().subject.text(),
            "line 7");
}

}  // namespace
}  // namespace vhsm
