// SPDX-License-Identifier: Apache-2.0
//
// What an owner does to a key while another one makes its next version: the new version is the
// successor of what was read, or it is not made.
#include <gmock/gmock.h>

#include <functional>
#include <utility>

#include "tests/sealed/hooks.h"
#include "tests/sealed/one_key.h"

namespace vhsm::keystore {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

struct Meanwhile {
  const char* name;
  std::function<Status(HoldingKeystore&, const KeyUri&)> happens;
};

Status outcome(const auto& result) { return result.ok() ? Status() : Status(result.error()); }

Status make_anew(HoldingKeystore& keystore, const KeyUri& uri) {
  VHSM_TRY(keystore.remove(uri));
  return outcome(keystore.generate(uri.name, *find_key_type("ED25519"), nullptr, "uses=7"));
}

class SuccessorTest : public OneKeyTest {
 protected:
  /// In which another process does this when a new version is about to be written.
  [[nodiscard]] std::unique_ptr<HoldingKeystore> interrupted(const Meanwhile& meanwhile) const {
    auto files = std::make_unique<sealed::HookedFiles>(
        sealed::open_files(path_).value(),
        sealed::HookedFiles::Hooks{.before_lock = [&, first = true]() mutable {
          if (!std::exchange(first, false)) return;
          const Status happened = meanwhile.happens(*another(), uri());
          EXPECT_TRUE(happened.ok()) << describe(happened.error());
        }});
    auto folder =
        std::make_shared<sealed::Folder>(std::move(files), std::make_shared<sealed::TestKeys>("a"));
    return make_memory_keystore(nullptr, {}, std::make_shared<Metrics>(), {}, nullptr,
                                std::move(folder));
  }
  void make_secret(std::string_view policy) {
    ASSERT_TRUE(another()->generate_secret(uri().name, 32, policy).ok());
  }
  static void expect_refused(const Result<KeyLine>& made) {
    ASSERT_FALSE(made.ok());
    EXPECT_EQ(made.error().code, Errc::kInUse);
    EXPECT_THAT(describe(made.error()),
                AllOf(HasSubstr("vhsm:default/app/key"), HasSubstr("changed meanwhile"),
                      HasSubstr("try again")));
  }
};

class SuccessionTest : public SuccessorTest, public ::testing::WithParamInterface<Meanwhile> {};

TEST_P(SuccessionTest, ARotationOfAPairIsRefusedAndSucceedsWhenItIsTriedAgain) {
  make_key("EC:P-256", "operations=sign");
  const auto keystore = interrupted(GetParam());
  expect_refused(keystore->rotate(uri().name));
  const auto before = another()->list().value();
  const auto rotated = keystore->rotate(uri().name);
  ASSERT_TRUE(rotated.ok()) << describe(rotated.error());
  EXPECT_EQ(rotated.value().policy, before.back().policy);
  EXPECT_EQ(rotated.value().type, before.back().type);
  EXPECT_EQ(another()->list().value().size(), before.size() + 1);
}

TEST_P(SuccessionTest, ARotationOfASecretIsRefused) {
  make_secret("uses=9");
  expect_refused(interrupted(GetParam())->rotate(uri().name));
}

TEST_P(SuccessionTest, AnImportedSuccessorIsRefused) {
  make_secret("uses=9");
  const auto secret = KeyUri{uri().name, ObjectType::kSecret, std::nullopt};
  expect_refused(interrupted(GetParam())
                     ->import(secret, sealed::secret(std::string(32, 's')), {.successor = true}));
}

INSTANTIATE_TEST_SUITE_P(Owner, SuccessionTest,
                         ::testing::Values(Meanwhile{"SetsAPolicy",
                                                     [](auto& keystore, const auto& uri) {
                                                       return keystore.set_policy(uri, "uses=5");
                                                     }},
                                           Meanwhile{"DisablesTheKey",
                                                     [](auto& keystore, const auto& uri) {
                                                       return keystore.set_enabled(uri, false);
                                                     }},
                                           Meanwhile{"RotatesItToo",
                                                     [](auto& keystore, const auto& uri) {
                                                       return outcome(keystore.rotate(uri.name));
                                                     }},
                                           Meanwhile{"MakesAnotherOfThisName", make_anew}),
                         [](const auto& value) { return std::string(value.param.name); });

TEST_F(SuccessorTest, IsMadeOfAKeyThatWasUsedMeanwhile) {
  make_key("EC:P-256", "uses=100");
  const Meanwhile used{"Signs", [](auto& keystore, const auto& /*uri*/) {
                         return do_it(keystore, {OperationKind::kSign});
                       }};
  const auto rotated = interrupted(used)->rotate(uri().name);
  ASSERT_TRUE(rotated.ok()) << describe(rotated.error());
  EXPECT_EQ(rotated.value().uses_left, 100U);
}

}  // namespace
}  // namespace vhsm::keystore
