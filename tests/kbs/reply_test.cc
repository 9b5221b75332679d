// SPDX-License-Identifier: Apache-2.0
#include "kbs/reply.h"

#include "tests/kbs/support.h"

namespace vhsm::kbs {
namespace {

const std::string kId = "0123456789ab4def8123456789abcdef";

TEST(Reply, ErrorsHaveTypeThenDetail) {
  EXPECT_EQ(refusal(401, "JweError", "JWE failed").body,
            R"({"type":"https://github.com/confidential-containers/kbs/errors/JweError",)"
            R"("detail":"JWE failed"})");
}

TEST(Reply, ErrorsSurviveBytesThatAreNoUtf8) {
  EXPECT_FALSE(Json::parse(refusal(401, "x", "\xff\"").body, nullptr, false).is_discarded());
}

TEST(Reply, CookieHasAnImfDate) {
  EXPECT_EQ(session_cookie({kId, "", Time(std::chrono::seconds(784111777))}),
            "kbs-session-id=" + kId + "; Expires=Sun, 06 Nov 1994 08:49:37 GMT");
}

TEST(Reply, FindsTheSessionAmongOtherCookies) {
  EXPECT_EQ(session_in("kbs-session-id=" + kId), kId);
  EXPECT_EQ(session_in("a=b; kbs-session-id=" + kId + "; c=d"), kId);
  EXPECT_EQ(session_in("a=b;kbs-session-id=" + kId), kId);
}

TEST(Reply, IgnoresCookiesOfAnotherForm) {
  for (const std::string& cookie :
       {std::string(), std::string("kbs-session-id"), std::string("kbs-session-id="),
        "kbs-session-id=" + kId + "0", "kbs-session-id=" + kId.substr(1),
        std::string("kbs-session-id=0123456789AB4DEF8123456789ABCDEF"), "xkbs-session-id=" + kId,
        std::string(";;; ;")}) {
    EXPECT_EQ(session_in(cookie), "") << cookie;
  }
}

}  // namespace
}  // namespace vhsm::kbs
