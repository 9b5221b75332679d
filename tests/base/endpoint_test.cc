// SPDX-License-Identifier: Apache-2.0
//
// URLs of a KBS: what is understood, and what is refused.
#include "base/endpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vhsm {
namespace {

using testing::HasSubstr;
using testing::Not;

struct Good {
  const char* url;
  const char* host;
  std::uint16_t port;
  bool is_loopback;
};

class Accepted : public testing::TestWithParam<Good> {};

TEST_P(Accepted, UrlIsUnderstood) {
  const auto endpoint = parse_endpoint(GetParam().url);
  ASSERT_TRUE(endpoint.ok()) << describe(endpoint.error());
  EXPECT_EQ(endpoint.value().host, GetParam().host);
  EXPECT_EQ(endpoint.value().port, GetParam().port);
  EXPECT_EQ(endpoint.value().is_loopback, GetParam().is_loopback);
}

INSTANTIATE_TEST_SUITE_P(Endpoint, Accepted,
                         testing::Values(Good{"https://kbs-a:8080", "kbs-a", 8080, false},
                                         Good{"https://kbs.example/", "kbs.example", 443, false},
                                         Good{"HTTPS://KBS.Example", "kbs.example", 443, false},
                                         Good{"http://127.0.0.1:1", "127.0.0.1", 1, true},
                                         Good{"http://127.9.9.9", "127.9.9.9", 80, true},
                                         Good{"https://[::1]:8443/", "::1", 8443, true},
                                         Good{"https://[2001:db8::1]", "2001:db8::1", 443, false},
                                         Good{"http://localhost", "localhost", 80, false},
                                         Good{"http://128.0.0.1", "128.0.0.1", 80, false}));

class Refused : public testing::TestWithParam<const char*> {};

TEST_P(Refused, UrlNamesItselfInTheError) {
  const auto endpoint = parse_endpoint(GetParam());
  ASSERT_FALSE(endpoint.ok()) << GetParam();
  EXPECT_EQ(endpoint.error().code, Errc::kBadConfig);
}

INSTANTIATE_TEST_SUITE_P(Endpoint, Refused,
                         testing::Values("", "kbs:8080", "ftp://kbs", "https:/kbs", "https://",
                                         "https:///", "https://kbs:", "https://kbs:0",
                                         "https://kbs:65536", "https://kbs:80x", "https://kbs:-1",
                                         "https://kbs/kbs/v0", "https://kbs//", "https://kbs?x",
                                         "https://kbs#x", "https://[::1", "https://[kbs]",
                                         "https://[::1]8080", "https://::1", "https://k b",
                                         "https://-kbs", "https://.kbs", "https://a..b",
                                         "https://kbs\r\nX: y", "https://user@kbs"));

TEST(Endpoint, ShowsNoPasswordInItsError) {
  const auto endpoint = parse_endpoint("https://user:hunter2@kbs");
  ASSERT_FALSE(endpoint.ok());
  EXPECT_THAT(describe(endpoint.error()), Not(HasSubstr("hunter2")));
}

TEST(Endpoint, HasOneCanonicalForm) {
  EXPECT_EQ(parse_endpoint("https://KBS/").value().url(), "https://kbs:443");
  EXPECT_EQ(parse_endpoint("http://[::1]").value().url(), "http://[::1]:80");
}

}  // namespace
}  // namespace vhsm
