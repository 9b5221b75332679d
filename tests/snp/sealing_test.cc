// SPDX-License-Identifier: Apache-2.0
//
// Sealing keys on emulated machines: which changes of machine and guest they survive.
#include "snp/sealing.h"

#include "snp/emulator.h"
#include "snp/sev_guest.h"
#include "tests/snp/machine.h"
#include "tests/snp/support.h"

namespace vhsm::snp {
namespace {

using nlohmann::json;
using Change = std::function<void(json&)>;

/// Counts what the firmware is asked.
class Counting final : public Platform {
 public:
  Counting(std::unique_ptr<Platform> platform, int& keys)
      : platform_(std::move(platform)), keys_(keys) {}
  [[nodiscard]] PlatformInfo info() const override { return platform_->info(); }
  Result<Evidence> attest(const ReportData& data, TimePoint deadline) override {
    return platform_->attest(data, deadline);
  }
  Result<SecretBytes> derive_key(const DerivedKeyRequest& request, TimePoint deadline) override {
    ++keys_;
    return platform_->derive_key(request, deadline);
  }

 private:
  std::unique_ptr<Platform> platform_;
  int& keys_;
};

class SealingTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { ASSERT_EQ(outcome(memory::initialise({})), "ok"); }

  /// The shared emulated machine, or what `change` makes of it.
  SealingKeys boot(const Change& change = [](json&) {}) {
    const TemporaryFolder folder;
    const std::string copy = folder.copy_of(VHSM_TEST_EMULATOR);
    change_emulator(copy, change);
    auto platform = std::make_shared<Counting>(open_emulator(copy, {}).value(), asked_);
    return SealingKeys::open(std::move(platform), kNoDeadline).value();
  }
  SecretBytes key_of(SealingKeys& keys, const SealingBinding& binding,
                     std::string_view label = "test") {
    auto key = keys.sealing_key(binding, label, kNoDeadline);
    EXPECT_EQ(outcome(key), "ok");
    return key.ok() ? std::move(key).value() : SecretBytes();
  }
  static std::string refusal(SealingKeys keys, const SealingBinding& binding) {
    const auto key = keys.sealing_key(binding, "test", kNoDeadline);
    if (key.ok()) return "opened";
    return std::string(key.error().subject.text()) + ": " + key.error().what.c_str();
  }

  int asked_ = 0;
};

TEST_F(SealingTest, TheSameMachineAndGuestDeriveTheSameKeyAgain) {
  SealingKeys first = boot();
  for (const SealTo selection : {SealTo::kMeasurement, SealTo::kImage}) {
    const SealingBinding binding = first.binding(selection).value();
    const SecretBytes key = key_of(first, binding);
    EXPECT_EQ(key.size(), SealingKeys::kKeyBytes);
    SealingKeys again = boot();
    EXPECT_TRUE(key.equals(key_of(again, binding)));
    EXPECT_TRUE(memory::contains(key.expose().data()));
  }
}

TEST_F(SealingTest, LabelSaltAndSelectionEachMakeAnotherKey) {
  SealingKeys keys = boot();
  const SealingBinding binding = keys.binding(SealTo::kMeasurement).value();
  const SecretBytes key = key_of(keys, binding);
  EXPECT_FALSE(key.equals(key_of(keys, binding, "other")));
  EXPECT_FALSE(key.equals(key_of(keys, keys.binding(SealTo::kMeasurement).value())));
  SealingBinding image = binding;
  image.selection = SealTo::kImage;
  EXPECT_FALSE(key.equals(key_of(keys, image)));
}

TEST_F(SealingTest, TheFirmwareIsAskedOnceForEachKindOfBinding) {
  SealingKeys keys = boot();
  for (int i = 0; i < 3; ++i) {
    key_of(keys, keys.binding(SealTo::kMeasurement).value(), "label " + std::to_string(i));
  }
  EXPECT_EQ(asked_, 1);
  key_of(keys, keys.binding(SealTo::kImage).value());
  EXPECT_EQ(asked_, 2);
}

TEST_F(SealingTest, EachMoveHasItsOwnError) {
  const SealingBinding binding = boot().binding(SealTo::kMeasurement).value();
  const auto with = [](const char* name, json value) {
    return [name, value](json& state) { state[name] = value; };
  };
  EXPECT_EQ(refusal(boot(with("chip_id", std::string(128, 'a'))), binding),
            "chip: this was sealed on another chip");
  EXPECT_EQ(refusal(boot(with("measurement", std::string(96, 'b'))), binding),
            "measurement: this was sealed by a guest with another measurement");
  EXPECT_EQ(refusal(boot(with("policy", 0xB0000)), binding),
            "policy: this was sealed by a guest with another policy");
  EXPECT_EQ(refusal(boot(with("host_data", std::string(64, 'c'))), binding),
            "HOST_DATA: this was sealed by a guest that was launched with other HOST_DATA "
            "(init-data)");
  EXPECT_EQ(refusal(boot(with("vmpl", 1)), binding), "VMPL: this was sealed at another VMPL");
  EXPECT_EQ(refusal(boot(with("committed_tcb", "0400000000001700")), binding),
            "TCB: this was sealed with newer firmware: that of this machine has been rolled back");
}

TEST_F(SealingTest, AnImageLineOpensInLaterVersionsAndInNoOther) {
  const auto image = [](const char* family, int svn, const char* measurement) {
    return [=](json& state) {
      state["family_id"] = std::string(32, *family);
      state["guest_svn"] = svn;
      state["measurement"] = std::string(96, *measurement);
    };
  };
  SealingKeys first = boot(image("1", 2, "1"));
  const SealingBinding binding = first.binding(SealTo::kImage).value();
  const SecretBytes key = key_of(first, binding);
  SealingKeys later = boot(image("1", 3, "2"));
  EXPECT_TRUE(key.equals(key_of(later, binding)));
  EXPECT_EQ(refusal(boot(image("1", 1, "0")), binding),
            "GUEST_SVN: this was sealed by a later version of the image");
  EXPECT_EQ(refusal(boot(image("2", 3, "2")), binding),
            "image: this was sealed by another image (FAMILY_ID, IMAGE_ID)");
}

TEST_F(SealingTest, AnImageOfAnotherOwnerDerivesAnotherKey) {
  const auto signed_by = [](char digit) {
    return [=](json& state) { state["id_key_digest"] = std::string(96, digit); };
  };
  SealingKeys first = boot(signed_by('1'));
  const SealingBinding binding = first.binding(SealTo::kImage).value();
  SealingKeys impostor = boot(signed_by('2'));
  EXPECT_FALSE(key_of(first, binding).equals(key_of(impostor, binding)));
}

TEST_F(SealingTest, NewerFirmwareOpensWhatOlderSealed) {
  SealingKeys old = boot([](json& state) { state["committed_tcb"] = "0400000000001700"; });
  const SealingBinding binding = old.binding(SealTo::kMeasurement).value();
  const SecretBytes key = key_of(old, binding);
  SealingKeys updated = boot();
  EXPECT_TRUE(key.equals(key_of(updated, binding)));
  EXPECT_FALSE(key.equals(key_of(updated, updated.binding(SealTo::kMeasurement).value())));
}

TEST_F(SealingTest, ABindingThatWasChangedGivesNoKeyThatOpens) {
  SealingKeys keys = boot();
  const SealingBinding binding = keys.binding(SealTo::kMeasurement).value();
  const SecretBytes key = key_of(keys, binding);
  SealingBinding weaker = binding;
  weaker.tcb = {};
  EXPECT_FALSE(key.equals(key_of(keys, weaker)));
}

TEST_F(SealingTest, AMaskedChipKeySealsNothing) {
  SealingKeys keys = boot([](json& state) { state["signer"] = "masked"; });
  const SealingBinding binding = keys.binding(SealTo::kMeasurement).value();
  EXPECT_EQ(outcome(keys.sealing_key(binding, "test", kNoDeadline)),
            "platform failure: the firmware has no key of the kind asked for");
}

TEST_F(SealingTest, NoCallerWaitsForABusyHostBeyondItsDeadline) {
  std::promise<void> go;
  {
    SevGuest guest(std::make_unique<StuckDevice>(go.get_future().share()), 0);
    EXPECT_EQ(outcome(guest.derive_key({}, Clock::now() + std::chrono::milliseconds(50))),
              "platform failure: the platform did not answer in time");
  }
  go.set_value();
}

TEST_F(SealingTest, ItsTermsSurviveTheirTripToAFile) {
  SealingBinding binding = boot().binding(SealTo::kImage).value();
  binding.guest_svn = 0x01020304;
  const auto bytes = to_bytes(binding);
  EXPECT_EQ(binding_from_bytes(bytes).value(), binding);
}

TEST_F(SealingTest, BrokenTermsAreRefused) {
  const auto good = to_bytes(SealingBinding{});
  for (std::size_t size = 0; size < good.size(); ++size) {
    EXPECT_EQ(binding_from_bytes(std::span(good).first(size)).error().code, Errc::kBadFormat);
  }
  auto longer = good;
  longer.push_back(0);
  EXPECT_EQ(binding_from_bytes(longer).error().code, Errc::kBadFormat);
  for (const auto& [offset, value, code] :
       std::vector<std::tuple<std::size_t, int, Errc>>{{0, 2, Errc::kUnsupported},
                                                       {0, 0, Errc::kBadFormat},
                                                       {1, 2, Errc::kBadFormat},
                                                       {2, 4, Errc::kBadFormat},
                                                       {3, 1, Errc::kBadFormat}}) {
    auto broken = good;
    broken[offset] = static_cast<std::uint8_t>(value);
    EXPECT_EQ(binding_from_bytes(broken).error().code, code) << offset;
  }
}

}  // namespace
}  // namespace vhsm::snp
