// SPDX-License-Identifier: Apache-2.0
#include "kbs/sessions.h"

#include <set>

#include "tests/kbs/support.h"

namespace vhsm::kbs {
namespace {

using std::chrono::seconds;

class SessionsTest : public testing::Test {
 protected:
  Time now_ = Time(seconds(1'000'000));
  Sessions sessions_{seconds(300), 3, [this] { return now_; }};
};

TEST_F(SessionsTest, NonceServesOnce) {
  const Challenge started = sessions_.start().value();
  EXPECT_EQ(sessions_.use(started.id).value().nonce, started.nonce);
  EXPECT_EQ(sessions_.use(started.id).error().code, Errc::kWrongState);
}

TEST_F(SessionsTest, TokenComesAfterTheAttestation) {
  const Challenge started = sessions_.start().value();
  EXPECT_EQ(sessions_.token(started.id).error().code, Errc::kNotAttested);
  ASSERT_TRUE(sessions_.attested(started.id, "token").ok());
  EXPECT_EQ(sessions_.token(started.id).value(), "token");
}

TEST_F(SessionsTest, ExpiryIsNeverExtended) {
  const Challenge started = sessions_.start().value();
  EXPECT_EQ(started.expires, now_ + seconds(300));
  now_ += seconds(299);
  ASSERT_TRUE(sessions_.use(started.id).ok());
  ASSERT_TRUE(sessions_.attested(started.id, "token").ok());
  now_ += seconds(1);
  EXPECT_EQ(sessions_.token(started.id).error().code, Errc::kMissing);
  EXPECT_EQ(sessions_.attested(started.id, "token").error().code, Errc::kMissing);
}

TEST_F(SessionsTest, AreBoundedAndMakeRoomByExpiry) {
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(sessions_.start().ok());
  EXPECT_EQ(sessions_.start().error().code, Errc::kDenied);
  now_ += seconds(300);
  EXPECT_TRUE(sessions_.start().ok());
}

TEST_F(SessionsTest, IdsAndNoncesDoNotRepeat) {
  Sessions many(seconds(300), 1000, [this] { return now_; });
  std::set<std::string> seen;
  for (int i = 0; i < 500; ++i) {
    const Challenge started = many.start().value();
    EXPECT_EQ(started.id.size(), 32U);
    EXPECT_EQ(started.nonce.size(), 44U);
    seen.insert(started.id);
    seen.insert(started.nonce);
  }
  EXPECT_EQ(seen.size(), 1000U);
}

TEST_F(SessionsTest, UnknownIdsAreMissing) {
  EXPECT_EQ(sessions_.use("").error().code, Errc::kMissing);
  EXPECT_EQ(sessions_.token("x").error().code, Errc::kMissing);
}

}  // namespace
}  // namespace vhsm::kbs
