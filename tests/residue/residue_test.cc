// SPDX-License-Identifier: Apache-2.0
//
// No private component lies outside protected memory: not whole and not in any 16 bytes of it.
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "base/handle.h"
#include "tests/keystore/samples.h"
#include "tests/residue/key_needles.h"
#include "tests/world/world.h"

namespace vhsm::tests {
namespace {

const std::string kHost = std::string(VHSM_BIN_DIR) + "/residue_host";

const auto kKinds =
    ::testing::Values("RSA2048", "RSA4096", "P-256", "P-384", "P-521", "ED25519", "X25519");

std::string printable(std::string name) {
  std::erase(name, '-');
  return name;
}

class ResidueTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { world_ = std::make_unique<World>(); }
  static void TearDownTestSuite() { world_.reset(); }

  void make_key(const char* kind) {
    ASSERT_TRUE(world_->ready());
    key_ = keystore::make_key(kind);
    ASSERT_NE(key_, nullptr);
    write_file(world_->file("needles"), needle_lines(key_.get()));
  }

  static std::unique_ptr<World> world_;
  ossl::PKey key_;
};
std::unique_ptr<World> ResidueTest::world_;

class HeldKeyTest : public ResidueTest,
                    public ::testing::WithParamInterface<std::tuple<const char*, const char*>> {};
class FileKeyTest : public ResidueTest, public ::testing::WithParamInterface<const char*> {};

TEST_P(HeldKeyTest, LeavesNothingOutsideProtectedMemory) {
  const auto [kind, form] = GetParam();
  make_key(kind);
  const std::string name = std::string("default/residue/") + kind + form;
  world_->put(name, keystore::pkcs8_pem(key_.get()));
  auto environment = world_->environment();
  environment.push_back(std::string("VHSM_MEMORY=") + form);
  const auto outcome = run({kHost, world_->file("needles"), "vhsm:" + name}, environment);
  EXPECT_EQ(outcome.status, 0) << outcome.out << outcome.err;
}

TEST_P(FileKeyTest, IsFoundByTheSameSearch) {
  make_key(GetParam());
  write_file(world_->file("key.pem"), keystore::pkcs8_pem(key_.get()));
  const auto outcome =
      run({kHost, world_->file("needles"), world_->file("key.pem")}, world_->environment());
  EXPECT_EQ(outcome.status, 3) << outcome.out << outcome.err;
}

INSTANTIATE_TEST_SUITE_P(Keys, HeldKeyTest,
                         ::testing::Combine(kKinds, ::testing::Values("secret", "locked")),
                         [](const auto& test) {
                           return printable(std::string(std::get<0>(test.param)) + "_" +
                                            std::get<1>(test.param));
                         });
INSTANTIATE_TEST_SUITE_P(Keys, FileKeyTest, kKinds,
                         [](const auto& test) { return printable(test.param); });

}  // namespace
}  // namespace vhsm::tests
