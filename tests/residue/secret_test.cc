// SPDX-License-Identifier: Apache-2.0
//
// Nothing of a symmetric key lies outside protected memory while operations with it are under way:
// not the key, not the states that HMAC makes of it, not the round keys of AES.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "tests/residue/host.h"
#include "tests/residue/note.h"
#include "tests/residue/scan.h"
#include "tests/residue/secret_values.h"
#include "tests/world/world.h"

namespace vhsm::tests {
namespace {

/// "secret" or "locked", the kinds of protected memory, or "file" for the control.
class SecretResidueTest : public ::testing::TestWithParam<const char*> {
 protected:
  static void SetUpTestSuite() {
    folder_ = "/tmp/vhsm-residue-XXXXXX";
    ASSERT_NE(::mkdtemp(folder_.data()), nullptr);
  }
  static void TearDownTestSuite() {
    world_.reset();
    std::filesystem::remove_all(folder_);
  }
  void SetUp() override {
    const std::string content(key_.begin(), key_.end());
    std::ofstream(where(), std::ios::binary) << content;
    if (in_file()) return;
    if (world_ == nullptr) world_ = std::make_unique<World>();
    ASSERT_TRUE(world_->ready());
    world_->configure();
    world_->put("default/residue/secret", content);
  }

  static bool in_file() { return GetParam() == std::string("file"); }
  static std::string where() { return folder_ + "/secret"; }
  static std::string key_argument() {
    return in_file() ? where() : "vhsm:default/residue/secret?type=secret";
  }
  static std::vector<std::string> environment() {
    if (in_file()) return {"OPENSSL_CONF=/dev/null"};
    auto all = world_->environment();
    all.push_back(std::string("VHSM_MEMORY=") + GetParam());
    return all;
  }
  Report look(const std::string& situation, pid_t process) {
    const Report report = scan({.process = process, .words = {}}, values_);
    EXPECT_EQ(report.error, "");
    EXPECT_GT(report.bytes, 1U << 20);
    note({situation, "secret", GetParam()}, report);
    return report;
  }

  const Bytes key_ = [] {
    Bytes key(32);
    for (std::size_t i = 0; i < key.size(); ++i) {
      key[i] = static_cast<std::uint8_t>(i * 151 + 83 + (i * i * 7));
    }
    return key;
  }();
  const std::vector<Value> values_ = values_of_secret(key_);
  static inline std::unique_ptr<World> world_;
  static inline std::string folder_;
};

TEST_P(SecretResidueTest, OperationsUnderWayHaveNothingOutsideProtectedMemory) {
  ResidueHost host(environment());
  host.tell("secret " + key_argument());
  const Report report = look("symmetric operations", host.process());
  if (in_file()) {
    EXPECT_THAT(report.leaks(), ::testing::Not(::testing::IsEmpty()));
  } else {
    EXPECT_THAT(report.leaks(), ::testing::IsEmpty());
  }
  // So that what was looked for is what there is.
  if (GetParam() == std::string("locked")) {
    EXPECT_THAT(report.at(Place::kProtected), ::testing::SizeIs(::testing::Ge(3)));
  }
}

class GoneSecretTest : public SecretResidueTest {};

TEST_P(GoneSecretTest, LeavesNothing) {
  ResidueHost host(environment());
  host.tell("secret " + key_argument());
  host.tell("end-secret");
  host.tell("unload");
  const Report report = look("symmetric key unloaded", host.process());
  EXPECT_THAT(report.leaks(), ::testing::IsEmpty());
  EXPECT_THAT(report.at(Place::kProtected), ::testing::IsEmpty());
}

std::string place_name(const ::testing::TestParamInfo<const char*>& test) { return test.param; }
INSTANTIATE_TEST_SUITE_P(Places, SecretResidueTest, ::testing::Values("secret", "locked", "file"),
                         place_name);
INSTANTIATE_TEST_SUITE_P(Places, GoneSecretTest, ::testing::Values("secret", "locked"), place_name);

}  // namespace
}  // namespace vhsm::tests
