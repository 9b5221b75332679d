// SPDX-License-Identifier: Apache-2.0
//
// openssl.cnf.d/vhsm.cnf as it stands, in the two ways that it says it can be used: programs that
// know nothing of providers take our keys. (The drop-ins of servers are tested with them.)
#include <gtest/gtest.h>

#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "tests/keystore/samples.h"
#include "tests/world/world.h"

namespace vhsm::tests {
namespace {

const std::string kDropIn = VHSM_SOURCE_DIR "/openssl.cnf.d/vhsm.cnf";

class DropInTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    world_ = std::make_unique<World>();
    ASSERT_TRUE(world_->ready());
    world_->put("default/tls/www", keystore::pkcs8_pem(keystore::make_key("RSA2048").get()));
    write_file(world_->file("message"), "what is signed\n");
  }
  static void TearDownTestSuite() { world_.reset(); }

  static Outcome openssl(const std::string& configuration, std::vector<std::string> arguments) {
    auto environment = world_->environment();
    std::erase_if(environment,
                  [](const auto& entry) { return entry.starts_with("OPENSSL_CONF="); });
    environment.push_back("OPENSSL_CONF=" + configuration);
    arguments.insert(arguments.begin(), "openssl");
    return run(arguments, environment);
  }

  /// Signs with our key and verifies with the default provider's, in commands that name neither.
  static void expect_works(const std::string& configuration) {
    const std::string message = world_->file("message");
    const std::string signature = world_->file("signature");
    const std::string pub = world_->file("pub");
    const Outcome signed_ =
        openssl(configuration,
                {"dgst", "-sha256", "-sign", "vhsm:default/tls/www", "-out", signature, message});
    EXPECT_EQ(signed_.status, 0) << signed_.err;
    const Outcome out =
        openssl(configuration, {"pkey", "-in", "vhsm:default/tls/www", "-pubout", "-out", pub});
    EXPECT_EQ(out.status, 0) << out.err;
    const Outcome verified = openssl(
        configuration, {"dgst", "-sha256", "-verify", pub, "-signature", signature, message});
    EXPECT_EQ(verified.out, "Verified OK\n") << verified.err;
  }

  static std::unique_ptr<World> world_;
};
std::unique_ptr<World> DropInTest::world_;

TEST_F(DropInTest, WorksAsAConfigurationOfItsOwn) { expect_works(kDropIn); }

TEST_F(DropInTest, WorksIncludedAtTheTopOfTheSystemsConfiguration) {
  std::istringstream system(read_file("/etc/ssl/openssl.cnf"));
  std::string text = ".include " + kDropIn + "\n";
  bool has_sections = false;
  for (std::string line; std::getline(system, line);) {
    has_sections = has_sections || line.starts_with("[");
    if (!line.starts_with("openssl_conf")) text += line + "\n";
  }
  ASSERT_TRUE(has_sections) << "this is not Debian's configuration";
  write_file(world_->file("openssl.cnf"), text);
  expect_works(world_->file("openssl.cnf"));
}

TEST_F(DropInTest, TheDefaultProviderStaysAndItsKeysWorkAsBefore) {
  const std::string key = world_->file("plain.key");
  ASSERT_EQ(openssl(kDropIn, {"genpkey", "-algorithm", "RSA", "-out", key}).status, 0);
  EXPECT_EQ(openssl("/dev/null", {"pkey", "-in", key, "-noout"}).status, 0);
  EXPECT_EQ(openssl(kDropIn, {"enc", "-aes-128-cbc", "-k", "x", "-pbkdf2", "-in", key, "-out",
                              world_->file("plain.enc")})
                .status,
            0);
}

}  // namespace
}  // namespace vhsm::tests
