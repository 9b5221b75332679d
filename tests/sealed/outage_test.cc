// SPDX-License-Identifier: Apache-2.0
//
// A keystore that starts while its source is away, and serves the source's keys from sealed copies
// for as long as their leases and the grace last.
#include <gmock/gmock.h>

#include <array>
#include <atomic>
#include <functional>
#include <thread>

#include "keystore/keystore.h"
#include "keystore/local_key.h"
#include "tests/sealed/boots.h"

namespace vhsm::keystore {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

BootTime boot_clock() noexcept { return std::chrono::seconds(sealed::g_time.uptime); }

/// A KBS of the test's.
class FakeSource final : public KeySource {
 public:
  Result<SecretBytes> fetch(const KeyName& name, steady_clock::time_point /*deadline*/) override {
    ++asked;
    const auto error = broken.load();
    if (error) return fail(*error, "the test says so", name.uri());
    return sealed::secret(resource);
  }

  std::string resource;
  std::atomic<std::optional<Errc>> broken;
  std::atomic<int> asked{0};
};

/// Leases of ten minutes and a grace of fifty: a copy serves for an hour.
class OutageTest : public sealed::CopiesTest {
 protected:
  void SetUp() override {
    CopiesTest::SetUp();
    source_->resource = pkcs8_pem(pair_.get());
    start();
  }

  /// A process that starts.
  void start(std::shared_ptr<sealed::Folder> folder = nullptr) {
    auto records = std::make_shared<Records>(
        Records{Log(LineFile::open(temporary_.file("log")).value(), LogLevel::kInfo),
                AuditLog(LineFile::open(temporary_.file("audit")).value())});
    const Policy policy{{Gate::kLease, 10min, 50min, boot_clock}, false};
    keystore_ = make_memory_keystore(source_, {500ms, 2000ms}, std::make_shared<Metrics>(), policy,
                                     std::move(records), std::move(folder), copies());
  }
  void reboot() {
    keystore_.reset();
    boot();
    start();
  }

  static KeyUri uri() { return KeyUri::parse("vhsm:a/b/c", "default/key").value(); }
  [[nodiscard]] std::optional<Errc> opening() const {
    const auto entry = keystore_->open(uri());
    return entry.ok() ? std::nullopt : std::optional(entry.error().code);
  }
  [[nodiscard]] std::optional<Errc> signing() const {
    const auto entry = keystore_->open(uri());
    return entry.ok() ? signing(entry.value().key) : std::optional(entry.error().code);
  }
  static std::optional<Errc> signing(const KeyPtr& key) {
    const auto operation = key->begin({OperationKind::kSign, "SHA256"});
    if (!operation.ok()) return operation.error().code;
    const std::array<std::uint8_t, 32> digest{};
    std::array<std::uint8_t, 128> signature{};
    const auto size = operation.value()->run(digest, signature);
    return size.ok() ? std::nullopt : std::optional(size.error().code);
  }
  static bool happens(const std::function<bool()>& what) {
    const auto deadline = steady_clock::now() + 8s;
    while (!what()) {
      if (steady_clock::now() > deadline) return false;
      std::this_thread::sleep_for(5ms);
    }
    return true;
  }
  [[nodiscard]] std::string log() const { return temporary_.read("log"); }
  [[nodiscard]] std::string audit() const { return temporary_.read("audit"); }

  ossl::PKey pair_ = make_key("P-256");
  std::shared_ptr<FakeSource> source_ = std::make_shared<FakeSource>();
  std::unique_ptr<HoldingKeystore> keystore_;
};

TEST_F(OutageTest, AfterARebootWithoutTheSourceAKeyIsServedAndTheRecordsSaySo) {
  ASSERT_EQ(signing(), std::nullopt);
  source_->broken = Errc::kUnreachable;
  reboot();
  EXPECT_EQ(signing(), std::nullopt);
  EXPECT_THAT(log(), HasSubstr("vhsm:a/b/c is served from its sealed copy in an outage of the KBS, "
                               "for 3540 s at most"));
  EXPECT_THAT(audit(), HasSubstr(R"("event":"copy","outcome":"used","key":"a/b/c")"));
}

TEST_F(OutageTest, WhatWasNeverReleasedHereIsNot) {
  source_->broken = Errc::kUnreachable;
  EXPECT_EQ(opening(), Errc::kUnreachable);
}

TEST_F(OutageTest, TheKeyStopsWhenItsTimeIsOverAlsoInHandsThatHaveIt) {
  ASSERT_EQ(signing(), std::nullopt);
  source_->broken = Errc::kUnreachable;
  reboot();
  const KeyPtr key = keystore_->open(uri()).value().key;
  sealed::pass(3539);
  EXPECT_EQ(signing(key), std::nullopt);
  sealed::pass(1);
  EXPECT_EQ(signing(key), Errc::kUnreachable);
  start();
  EXPECT_EQ(opening(), Errc::kUnreachable);
  EXPECT_THAT(log(), HasSubstr("is over"));
}

TEST_F(OutageTest, WhenTheSourceIsBackTheKeyGoesOnAndItsTimeBeginsAnew) {
  ASSERT_EQ(signing(), std::nullopt);
  source_->broken = Errc::kUnreachable;
  reboot();
  sealed::pass(3000);
  const KeyPtr key = keystore_->open(uri()).value().key;
  EXPECT_EQ(signing(key), std::nullopt);
  source_->broken = std::nullopt;
  const int before = source_->asked;
  ASSERT_TRUE(happens([&] { return signing(key) == std::nullopt && source_->asked > before; }));
  ASSERT_TRUE(happens([&] { return lent().ends_with(" 3600"); })) << lent();
  sealed::pass(590);
  EXPECT_EQ(signing(key), std::nullopt) << "a lease of its own";
}

TEST_F(OutageTest, ARenewalBeginsTheCopysTimeAnew) {
  const KeyPtr key = keystore_->open(uri()).value().key;
  ASSERT_EQ(signing(key), std::nullopt);
  sealed::pass(500);
  ASSERT_THAT(lent(), ::testing::EndsWith(" 3100"));
  ASSERT_EQ(signing(key), std::nullopt);
  EXPECT_TRUE(happens([&] { return lent().ends_with(" 3600"); })) << lent();
}

class LastWordTest : public OutageTest, public ::testing::WithParamInterface<Errc> {};

TEST_P(LastWordTest, RemovesTheCopyAndALaterOutageFindsNone) {
  ASSERT_EQ(signing(), std::nullopt);
  source_->broken = GetParam();
  reboot();
  EXPECT_EQ(opening(), GetParam());
  EXPECT_THAT(audit(), HasSubstr(R"("event":"copy","outcome":"removed","key":"a/b/c")"));
  EXPECT_THAT(log(), HasSubstr("the sealed copy of vhsm:a/b/c is removed"));
  source_->broken = Errc::kUnreachable;
  EXPECT_EQ(opening(), Errc::kUnreachable);
  EXPECT_EQ(lent(), "none");
}

TEST_P(LastWordTest, AtARenewalRemovesItToo) {
  const KeyPtr key = keystore_->open(uri()).value().key;
  ASSERT_EQ(signing(key), std::nullopt);
  source_->broken = GetParam();
  sealed::pass(590);
  EXPECT_TRUE(happens([&] { return signing(key) == GetParam(); }));
  EXPECT_TRUE(happens([&] { return lent() == "none"; }));
}

TEST_P(LastWordTest, EndsAKeyThatIsServedFromItsCopy) {
  ASSERT_EQ(signing(), std::nullopt);
  source_->broken = Errc::kUnreachable;
  reboot();
  const KeyPtr key = keystore_->open(uri()).value().key;
  ASSERT_EQ(signing(key), std::nullopt);
  source_->broken = GetParam();
  EXPECT_TRUE(happens([&] { return signing(key) == GetParam(); }));
  EXPECT_TRUE(happens([&] { return lent() == "none"; }));
}

INSTANTIATE_TEST_SUITE_P(Source, LastWordTest, ::testing::Values(Errc::kDenied, Errc::kMissing),
                         [](const auto& value) { return std::string(reason(value.param)); });

class NoOutageTest : public OutageTest, public ::testing::WithParamInterface<Errc> {};

TEST_P(NoOutageTest, NeitherUsesTheCopyNorRemovesIt) {
  ASSERT_EQ(signing(), std::nullopt);
  source_->broken = GetParam();
  reboot();
  EXPECT_EQ(opening(), GetParam());
  EXPECT_THAT(audit(), Not(HasSubstr("copy")));
  source_->broken = Errc::kUnreachable;
  EXPECT_EQ(opening(), std::nullopt);
}

INSTANTIATE_TEST_SUITE_P(Source, NoOutageTest,
                         ::testing::Values(Errc::kForged, Errc::kVersion, Errc::kNotAttested,
                                           Errc::kPlatform),
                         [](const auto& value) { return "Error" + std::to_string(value.index); });

TEST_F(OutageTest, AKeyThatWasReplacedGivesItsSuccessorsCopy) {
  ASSERT_EQ(signing(), std::nullopt);
  const std::string first = lent();
  source_->resource = pkcs8_pem(make_key("P-256").get());
  start();
  ASSERT_EQ(signing(), std::nullopt);
  EXPECT_NE(lent(), first);
  EXPECT_EQ(lent(), source_->resource + " 3600");
}

TEST_F(OutageTest, ASymmetricKeyIsServedToo) {
  source_->resource = std::string(32, 'k');
  const auto secret = KeyUri::parse("vhsm:a/b/c?type=secret", "default/key").value();
  ASSERT_TRUE(keystore_->open(secret).ok());
  source_->broken = Errc::kUnreachable;
  reboot();
  const auto entry = keystore_->open(secret);
  ASSERT_TRUE(entry.ok()) << describe(entry.error());
  EXPECT_NE(entry.value().symmetric, nullptr);
  EXPECT_NE(entry.value().permit, nullptr);
}

TEST_F(OutageTest, CertificatesAloneAreNotKept) {
  source_->resource = certificate_pem(pair_.get());
  EXPECT_EQ(opening(), std::nullopt);
  EXPECT_EQ(lent(), "none");
}

TEST_F(OutageTest, TheListTellsCopiesFromKeysAndOwnersCommandsRefuseThem) {
  ASSERT_EQ(signing(), std::nullopt);
  reboot();
  const auto lines = keystore_->list().value();
  ASSERT_THAT(lines, SizeIs(1));
  EXPECT_EQ(lines[0].origin, sealed::Origin::kCopy);
  EXPECT_EQ(lines[0].type, "EC:P-256");
  EXPECT_EQ(lines[0].policy, "not-after=" + std::to_string(sealed::kStart + 3600));
  for (const Error& error :
       {keystore_->rotate(uri().name).error(), keystore_->set_enabled(uri(), false).error(),
        keystore_->set_policy(uri(), "operations=sign").error(),
        keystore_->backup(uri(), {}).error()}) {
    EXPECT_EQ(error.code, Errc::kUnsupported);
    EXPECT_THAT(describe(error), AllOf(HasSubstr("vhsm:a/b/c"), HasSubstr("a copy of the KBS's")));
  }
}

TEST_F(OutageTest, ToDeleteAKeyDeletesItsCopy) {
  ASSERT_EQ(signing(), std::nullopt);
  EXPECT_TRUE(keystore_->remove(uri()).ok());
  EXPECT_EQ(lent(), "none");
  EXPECT_EQ(keystore_->remove(uri()).error().code, Errc::kMissing);
}

TEST_F(OutageTest, ANameWhoseCopyIsHereIsTaken) {
  ASSERT_EQ(signing(), std::nullopt);
  source_->broken = Errc::kUnreachable;
  reboot();
  const auto made = keystore_->generate(uri().name, *find_key_type("EC"), nullptr);
  ASSERT_FALSE(made.ok());
  EXPECT_THAT(describe(made.error()), HasSubstr("the name is taken"));
}

TEST_F(OutageTest, AStandInServesFromACopyFromTheFirstOperationOn) {
  const auto info = PublicHalf::of(pair_.get()).value().key_info().value();
  ASSERT_EQ(signing(), std::nullopt);
  source_->broken = Errc::kUnreachable;
  reboot();
  const auto key = keystore_->open_stand_in(uri(), *find_key_type("EC"), info);
  ASSERT_TRUE(key.ok()) << describe(key.error());
  EXPECT_EQ(signing(key.value()), std::nullopt);
}

TEST_F(OutageTest, AFolderThatCannotBeWrittenCostsNoKey) {
  std::filesystem::remove_all(path_);
  EXPECT_EQ(signing(), std::nullopt);
  EXPECT_THAT(log(), HasSubstr("no sealed copy of vhsm:a/b/c is kept: "));
}

}  // namespace
}  // namespace vhsm::keystore
