// SPDX-License-Identifier: Apache-2.0
//
// What one process has read from the folder, and another one deletes or changes.
#include <memory>

#include "tests/sealed/one_key.h"

namespace vhsm::keystore {
namespace {

class OtherProcessTest : public OneKeyTest {
 protected:
  void SetUp() override {
    OneKeyTest::SetUp();
    make_key("EC:P-256");
    reader_ = another();
  }
  static KeyUri version(std::uint32_t number) { return {uri().name, {}, number}; }
  /// The key as the other process has it; nobody there has a handle.
  [[nodiscard]] std::weak_ptr<const Key> read(const KeyUri& what) const {
    return reader_->open(what).value().key;
  }

  std::unique_ptr<HoldingKeystore> reader_;
};

TEST_F(OtherProcessTest, AKeyThatIsDeletedLeavesTheMemoryOfThoseWhoHaveReadIt) {
  const auto key = read(uri());
  EXPECT_FALSE(key.expired()) << "it is read once";
  ASSERT_TRUE(keystore_->remove(uri()).ok());
  EXPECT_EQ(reader_->open(uri()).error().code, Errc::kMissing);
  EXPECT_TRUE(key.expired());
}

TEST_F(OtherProcessTest, LookingForADeletedKeyIsEnough) {
  const auto key = read(uri());
  ASSERT_TRUE(keystore_->remove(uri()).ok());
  EXPECT_FALSE(reader_->find(uri()).value().has_value());
  EXPECT_TRUE(key.expired());
}

TEST_F(OtherProcessTest, AKeyUnderAnotherPolicyIsReadAnewAndTheOldOneGoes) {
  const auto key = read(uri());
  ASSERT_TRUE(keystore_->set_policy(uri(), "operations=sign").ok());
  EXPECT_FALSE(read(uri()).expired());
  EXPECT_TRUE(key.expired());
}

TEST_F(OtherProcessTest, AKeyThatIsDisabledGoes) {
  const auto key = read(uri());
  ASSERT_TRUE(keystore_->set_enabled(uri(), false).ok());
  EXPECT_EQ(reader_->open(uri()).error().code, Errc::kPolicy);
  EXPECT_TRUE(key.expired());
}

TEST_F(OtherProcessTest, OfTwoVersionsTheOneThatIsDeletedGoes) {
  ASSERT_TRUE(keystore_->rotate(uri().name).ok());
  const auto first = read(version(1));
  const auto second = read(version(2));
  EXPECT_FALSE(first.expired()) << "both are current";
  ASSERT_TRUE(keystore_->remove(version(1)).ok());
  EXPECT_EQ(read(uri()).lock(), second.lock());
  EXPECT_TRUE(first.expired());
}

TEST_F(OtherProcessTest, AHandleThatIsOpenGoesOn) {
  const KeyPtr key = reader_->open(uri()).value().key;
  ASSERT_TRUE(keystore_->remove(uri()).ok());
  EXPECT_EQ(reader_->open(uri()).error().code, Errc::kMissing);
  EXPECT_TRUE(do_with(*key, {}).ok());
}

}  // namespace
}  // namespace vhsm::keystore
