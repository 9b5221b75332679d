// SPDX-License-Identifier: Apache-2.0
//
// Uses of a key (uses=) are taken out of the folder. While another process changes that, vhsmd
// waits on threads that may wait, and goes on answering others.
#include <gmock/gmock.h>

#include <chrono>
#include <thread>

#include "keystore/daemon/service.h"
#include "tests/sealed/one_key.h"

namespace vhsm::keystore {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class FolderWaitTest : public OneKeyTest {
 protected:
  void SetUp() override {
    OneKeyTest::SetUp();
    make_key("EC:P-256", "uses=5");
    public_key_ = keystore_->open(uri()).value().public_key_info;
    service_ = std::make_unique<Service>(another(), Grants::load("", ::geteuid()).value(), Log(),
                                         [] { return DaemonStatus(); });
    EXPECT_FALSE(service_->answer(opening(), owner_).error.has_value());  // unlocks the folder
  }
  static Request opening() { return {.ask = Ask::kOpen, .name = "default/app/key"}; }
  [[nodiscard]] Request signing() const {
    return {.ask = Ask::kOperate,
            .name = "default/app/key",
            .public_key = public_key_,
            .kind = OperationKind::kSign,
            .digest = "SHA256",
            .input = input_,
            .capacity = 128};
  }
  [[nodiscard]] sealed::FolderLock lock() const {
    return sealed::open_files(path_).value()->lock(seconds(1)).value();
  }
  [[nodiscard]] std::optional<std::uint64_t> left() const {
    return another()->list().value().back().uses_left;
  }

  const Peer owner_{
      .uid = ::geteuid(), .gid = ::getegid(), .groups = {}, .pid = ::getpid(), .unit = {}};
  const std::vector<std::uint8_t> input_ = std::vector<std::uint8_t>(32, 1);
  std::vector<std::uint8_t> public_key_;
  std::unique_ptr<Service> service_;
};

TEST_F(FolderWaitTest, AThreadThatAnswersOthersPassesAnOperationOnThatWouldWaitForTheFolder) {
  const auto locked = lock();
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_FALSE(service_->answer_at_once(signing(), owner_).has_value());
  const auto opened = service_->answer_at_once(opening(), owner_);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, seconds(2));
  ASSERT_TRUE(opened.has_value());
  EXPECT_EQ(opened->public_key, public_key_);
  EXPECT_EQ(left(), 5U);
}

TEST_F(FolderWaitTest, AThreadThatMayWaitDoesItAndNoUseIsCountedTwice) {
  std::jthread other([locked = lock()] { std::this_thread::sleep_for(milliseconds(400)); });
  ASSERT_FALSE(service_->answer_at_once(signing(), owner_).has_value());
  const Reply reply = service_->answer(signing(), owner_);
  EXPECT_FALSE(reply.error.has_value()) << describe(*reply.error);
  EXPECT_FALSE(reply.output.bytes().empty());
  EXPECT_EQ(left(), 4U);
}

TEST_F(FolderWaitTest, WhileNobodyChangesTheFolderAnOperationIsAnsweredAtOnce) {
  const auto reply = service_->answer_at_once(signing(), owner_);
  ASSERT_TRUE(reply.has_value());
  EXPECT_FALSE(reply->output.bytes().empty());
  EXPECT_EQ(left(), 4U);
}

}  // namespace
}  // namespace vhsm::keystore
