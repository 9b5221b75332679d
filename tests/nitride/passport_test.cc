// SPDX-License-Identifier: Apache-2.0
//
// The passport model: one service attests, others release on its token.
#include "tests/nitride/support.h"

namespace vhsm::nitride {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class PassportTest : public NitrideTest {
 protected:
  PassportTest() {
    settings.kbs = {first.url(), second.url()};
    settings.attestation_service = service.url();
    for (FakeKbs* kbs : {&first, &second}) {
      kbs->trust(service);
      kbs->hold("default/tls/www", "the key of www");
      kbs->hold("default/tls/mail", "the key of mail");
    }
  }
  FakeKbs service;
  FakeKbs first;
  FakeKbs second;
};

TEST_F(PassportTest, NonceReportApprovalThenSecrets) {
  EXPECT_EQ(outcome("default/tls/www"), "the key of www");
  EXPECT_EQ(outcome("default/tls/mail"), "the key of mail");
  EXPECT_EQ(service.auths + service.attests, 2);
  EXPECT_EQ(service.resources, 0);
  EXPECT_EQ(first.auths + first.attests, 0);
  EXPECT_EQ(first.resources, 2);
  EXPECT_EQ(metrics->reports, 1U);
}

TEST_F(PassportTest, TheTokenGoesToAKbsAndTheServicesCookieDoesNot) {
  ASSERT_TRUE(fetch().ok());
  EXPECT_THAT(first.last_authorization, StartsWith("Bearer ey"));
  EXPECT_EQ(first.last_resource_cookie, "");
}

TEST_F(PassportTest, OneTokenServesAllKbss) {
  EXPECT_EQ(outcome(), "the key of www");
  first.on_resource = [](const auto&, httplib::Response& response) {
    response.status = 503;
    return true;
  };
  EXPECT_EQ(outcome(), "the key of www");
  EXPECT_EQ(second.resources, 1);
  EXPECT_EQ(metrics->reports, 1U);
}

TEST_F(PassportTest, ATokenThatNoKbsTakesAnyMoreIsReplacedOnce) {
  EXPECT_EQ(outcome(), "the key of www");
  service.forget_sessions();
  EXPECT_EQ(outcome(), "the key of www");
  EXPECT_EQ(service.attests, 2);
  first.on_resource = refuse(401, "TokenVerifierError");
  second.on_resource = refuse(401, "TokenVerifierError");
  EXPECT_EQ(outcome(), "not attested");
}

TEST_F(PassportTest, ATokenIsReplacedShortlyBeforeItExpires) {
  service.token_seconds = 2;
  EXPECT_EQ(outcome(), "the key of www");
  EXPECT_EQ(outcome(), "the key of www");
  EXPECT_EQ(service.attests, 2);
}

TEST_F(PassportTest, TheServicesRefusalIsNamedAsItsOwn) {
  service.on_attest = refuse(401, "AttestationError");
  const auto secret = fetch();
  EXPECT_EQ(secret.error().code, Errc::kNotAttested);
  EXPECT_EQ(first.resources + second.resources, 0);
  EXPECT_THAT(folder.read("audit"), HasSubstr(R"("event":"attestation","outcome":"not attested")"));
}

TEST_F(PassportTest, AServiceThatIsDownMakesNoKbsLookDead) {
  service.on_auth = [](const auto&, httplib::Response& response) {
    response.status = 500;
    return true;
  };
  EXPECT_EQ(outcome(), "unreachable");
  EXPECT_EQ(service.auths, 1) << "its breaker is open for the second KBS";
  service.on_auth = nullptr;
  std::this_thread::sleep_for(1100ms);
  EXPECT_EQ(outcome(), "the key of www");
  EXPECT_EQ(first.resources, 1);
}

TEST_F(PassportTest, AProofIsMadeAtTheService) {
  EXPECT_TRUE(client().prove(TimePoint::min(), Clock::now() + 10s).ok());
  EXPECT_EQ(service.attests, 1);
  EXPECT_EQ(first.auths + first.resources, 0);
}

TEST_F(PassportTest, AProbeAsksTheServiceToo) {
  ASSERT_TRUE(fetch().ok());
  const auto probes = client().probe();
  ASSERT_EQ(probes.size(), 3U);
  EXPECT_EQ(probes[2].endpoint, service.url());
  EXPECT_FALSE(probes[2].failure.has_value());
}

}  // namespace
}  // namespace vhsm::nitride
