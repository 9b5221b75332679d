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
    connect("");
  }

  /// A client by the world's configuration and `more`.
  void connect(const std::string& more) {
    world_.configure(more);
    const std::array overrides{Override{"config", world_.file("vhsm.cnf")}};
    auto loaded = load_settings(overrides);
    ASSERT_TRUE(loaded.ok()) << describe(loaded.error());
    kbs_ = loaded.value().kbs.front();
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
  std::string kbs_;
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

TEST_F(EndToEndTest, EachKindOfTeeKeyBringsTheKey) {
  for (const char* kind : {"P-256", "P-521", "RSA"}) {
    connect(std::string("tee_key = ") + kind + "\n");
    EXPECT_EQ(outcome_of("default/tls/www"), "the key of www") << kind;
  }
}

/// One program plays both here; nothing but the token goes from one part to the other.
TEST_F(EndToEndTest, ATokenOfAnAttestationServiceIsTaken) {
  connect("attestation_service = " + kbs_ + "\n");
  EXPECT_EQ(outcome_of("default/tls/www"), "the key of www");
  EXPECT_EQ(outcome_of("default/tls/mail"), "the key of mail");
  EXPECT_EQ(metrics->reports, 1U);
  EXPECT_TRUE(client_->prove(Clock::now(), Clock::now() + 10s).ok());
  EXPECT_EQ(metrics->reports, 2U);
}

}  // namespace
}  // namespace vhsm::nitride
