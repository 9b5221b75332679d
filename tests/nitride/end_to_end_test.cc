// SPDX-License-Identifier: Apache-2.0
//
// Nitride against the reference KBS: TLS, a signed report, a verified chain, a real token.
#include "tests/nitride/support.h"
#include "tests/world/world.h"

namespace vhsm::nitride {
namespace {

class EndToEndTest : public NitrideTest {
 protected:
  void SetUp() override {
    ASSERT_TRUE(world_.ready());
    world_.put("default/tls/www", "the key of www");
    world_.put("default/tls/mail", "the key of mail");
    const std::array overrides{Override{"config", world_.file("vhsm.cnf")}};
    auto loaded = load_settings(overrides);
    ASSERT_TRUE(loaded.ok()) << describe(loaded.error());
    auto opened = snp::open_platform(loaded.value().platform, loaded.value().vmpl);
    ASSERT_TRUE(opened.ok()) << describe(opened.error());
    auto made = Client::create(loaded.value(), std::move(opened.value()), metrics,
                               std::make_shared<Records>());
    ASSERT_TRUE(made.ok()) << describe(made.error());
    client_ = made.value();
  }

  std::string outcome_of(const char* name) {
    const auto secret = client_->fetch(name_of(name), Clock::now() + 10s);
    return secret.ok() ? text_of(secret.value()) : reason(secret.error().code);
  }

  tests::World world_;
  std::shared_ptr<Client> client_;
};

TEST_F(EndToEndTest, OneAttestationBringsKeysAndTellsWhatIsMissing) {
  EXPECT_EQ(outcome_of("default/tls/www"), "the key of www");
  EXPECT_EQ(outcome_of("default/tls/mail"), "the key of mail");
  EXPECT_EQ(outcome_of("default/tls/none"), "missing");
  EXPECT_EQ(metrics->reports, 1U);
  const auto probes = client_->probe();
  ASSERT_EQ(probes.size(), 1U);
  EXPECT_FALSE(probes.front().failure.has_value()) << describe(*probes.front().failure);
  EXPECT_EQ(probes.front().tls, "TLSv1.3");
  world_.stop_kbs();
  EXPECT_EQ(outcome_of("default/tls/www"), "unreachable");
}

}  // namespace
}  // namespace vhsm::nitride
