// SPDX-License-Identifier: Apache-2.0
//
// Source of the vectors: RFC 4648, section 10.
#include "jose/base64.h"

#include "tests/jose/support.h"

namespace vhsm::jose {
namespace {

struct Vector {
  std::string_view plain;
  std::string_view standard;
  std::string_view url;
};
constexpr Vector kVectors[] = {{"", "", ""},
                               {"f", "Zg==", "Zg"},
                               {"fo", "Zm8=", "Zm8"},
                               {"foo", "Zm9v", "Zm9v"},
                               {"foobar", "Zm9vYmFy", "Zm9vYmFy"},
                               {"\xff\xfe\xfd", "//79", "__79"}};

TEST(Base64, MatchesThePublishedVectorsBothWays) {
  for (const Vector& vector : kVectors) {
    const std::vector<std::uint8_t> plain(vector.plain.begin(), vector.plain.end());
    EXPECT_EQ(base64(plain), vector.standard);
    EXPECT_EQ(base64url(plain), vector.url);
    EXPECT_EQ(from_base64(vector.standard).value(), plain);
    EXPECT_EQ(from_base64url(vector.url).value(), plain);
  }
}

class RefusedUrl : public testing::TestWithParam<std::string_view> {};
TEST_P(RefusedUrl, IsNotDecoded) {
  const auto decoded = from_base64url(GetParam());
  ASSERT_FALSE(decoded.ok());
  EXPECT_EQ(decoded.error().code, Errc::kBadFormat);
}
INSTANTIATE_TEST_SUITE_P(Spellings, RefusedUrl,
                         testing::Values("Zg==", "Zg=", "Zh", "Zm9", "Z", "Zm9vY", "Zm 9v",
                                         "Zm9v\n", "//79", "Zm\0v", "Zm\xc3\xa9"));

class RefusedStandard : public testing::TestWithParam<std::string_view> {};
TEST_P(RefusedStandard, IsNotDecoded) { EXPECT_FALSE(from_base64(GetParam()).ok()); }
INSTANTIATE_TEST_SUITE_P(Spellings, RefusedStandard,
                         testing::Values("Zg", "Zg=", "Zg===", "Zh==", "====", "Zm9v====", "__79",
                                         "Zg==Zg==", "=Zg="));

}  // namespace
}  // namespace vhsm::jose
