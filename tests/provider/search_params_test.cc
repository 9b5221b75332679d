// SPDX-License-Identifier: Apache-2.0
//
// Searches as a hostile or careless host puts them; libcrypto's own calls make only good ones.
#include <gtest/gtest.h>
#include <openssl/core_names.h>
#include <openssl/params.h>

#include <array>
#include <string>
#include <vector>

#include "provider/store_search.h"

namespace vhsm::provider {
namespace {

using Params = std::vector<OSSL_PARAM>;

OSSL_PARAM octets(const char* name, std::vector<std::uint8_t>& bytes) {
  return OSSL_PARAM_construct_octet_string(name, bytes.data(), bytes.size());
}

std::optional<Errc> refusal(Params params) {
  params.push_back(OSSL_PARAM_construct_end());
  const auto search = StoreSearch::parse(params.data());
  return search.ok() ? std::nullopt : std::optional(search.error().code);
}

TEST(StoreSearchParams, WithoutASearchThereIsNone) {
  std::array<char, 4> text{"DER"};
  int expect = 5;
  const OSSL_PARAM params[] = {
      OSSL_PARAM_construct_int(OSSL_STORE_PARAM_EXPECT, &expect),
      OSSL_PARAM_construct_utf8_string(OSSL_STORE_PARAM_INPUT_TYPE, text.data(), 0),
      OSSL_PARAM_construct_end()};
  EXPECT_FALSE(StoreSearch::parse(params).value().has_value());
  EXPECT_FALSE(StoreSearch::parse(nullptr).value().has_value());
}

TEST(StoreSearchParams, OnlyTheWholeDerOfANameIsOne) {
  const std::vector<std::uint8_t> name{0x30, 0x0c, 0x31, 0x0a, 0x30, 0x08, 0x06,
                                       0x03, 0x55, 0x04, 0x03, 0x0c, 0x01, 'a'};
  auto whole = name;
  EXPECT_EQ(refusal({octets(OSSL_STORE_PARAM_SUBJECT, whole)}), std::nullopt);
  for (std::size_t size = 0; size < name.size(); ++size) {
    auto part = name;
    part.resize(size);
    EXPECT_TRUE(refusal({octets(OSSL_STORE_PARAM_SUBJECT, part)}).has_value()) << size;
  }
  auto longer = name;
  longer.push_back(0);
  EXPECT_EQ(refusal({octets(OSSL_STORE_PARAM_ISSUER, longer)}), Errc::kBadFormat);
}

TEST(StoreSearchParams, OtherTypesAreRefused) {
  int number = 1;
  for (const char* name :
       {OSSL_STORE_PARAM_SUBJECT, OSSL_STORE_PARAM_ISSUER, OSSL_STORE_PARAM_FINGERPRINT,
        OSSL_STORE_PARAM_ALIAS, OSSL_STORE_PARAM_DIGEST}) {
    EXPECT_EQ(refusal({OSSL_PARAM_construct_int(name, &number)}), Errc::kInvalidArgument) << name;
  }
  std::array<char, 2> text{"1"};
  EXPECT_EQ(refusal({OSSL_PARAM_construct_utf8_string(OSSL_STORE_PARAM_SERIAL, text.data(), 0)}),
            Errc::kInvalidArgument);
}

TEST(StoreSearchParams, AFingerprintWithoutAKnownDigestIsRefusedAndNotEverythingFound) {
  std::vector<std::uint8_t> bytes(33);
  EXPECT_EQ(refusal({octets(OSSL_STORE_PARAM_FINGERPRINT, bytes)}), Errc::kUnsupported);
  std::array<char, 8> digest{"CRC-32"};
  const OSSL_PARAM named =
      OSSL_PARAM_construct_utf8_string(OSSL_STORE_PARAM_DIGEST, digest.data(), 0);
  bytes.resize(32);
  EXPECT_EQ(refusal({named, octets(OSSL_STORE_PARAM_FINGERPRINT, bytes)}), Errc::kUnsupported);
  EXPECT_EQ(refusal({octets(OSSL_STORE_PARAM_FINGERPRINT, bytes)}), std::nullopt) << "SHA-256";
  bytes.clear();
  EXPECT_EQ(refusal({octets(OSSL_STORE_PARAM_FINGERPRINT, bytes)}), Errc::kInvalidArgument);
}

TEST(StoreSearchParams, AnAliasMatchesWholeSegmentsAndAnEmptyOneNothing) {
  const auto name = keystore::KeyName::parse("default/tls/www").value();
  const auto matches = [&](std::string alias) {
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_STORE_PARAM_ALIAS, alias.data(), 0),
        OSSL_PARAM_construct_end()};
    return StoreSearch::parse(params).value()->may_be(name);
  };
  EXPECT_TRUE(matches("www"));
  EXPECT_TRUE(matches("default/tls/www"));
  EXPECT_FALSE(matches("ww"));
  EXPECT_FALSE(matches("s/www"));
  EXPECT_FALSE(matches(""));
  EXPECT_FALSE(matches("more/default/tls/www"));
}

}  // namespace
}  // namespace vhsm::provider
