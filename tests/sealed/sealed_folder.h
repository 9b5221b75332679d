// SPDX-License-Identifier: Apache-2.0
//
// A sealed folder of a test's, whose slots open by numbers.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "keystore/sealed/folder.h"
#include "tests/base/temp_dir.h"
#include "tests/keystore/samples.h"

namespace vhsm::keystore::sealed {

inline SecretBytes secret(std::string_view bytes) { return SecretBytes::copy(view(bytes)).value(); }
inline SecretBytes key_of(char c) { return secret(std::string(kKeyBytes, c)); }
inline std::string clear(const SecretBytes& bytes) { return std::string(text(bytes.expose())); }

/// Has the keys of those slots whose terms it is told: thirty-two times their one byte.
class TestKeys final : public SlotKeys {
 public:
  explicit TestKeys(std::string known) : known_(std::move(known)) {}
  Result<SecretBytes> key_for(const SlotTerms& terms, TimePoint /*deadline*/) override {
    ++asked;
    const char c = terms.terms.empty() ? '-' : static_cast<char>(terms.terms[0]);
    if (known_.find(c) != std::string::npos) return key_of(c);
    return fail(Errc::kPlatform, "this was sealed on another chip");
  }
  Result<NewSlot> platform_slot(TimePoint /*deadline*/) override {
    const char c = known_.empty() ? '-' : known_[0];
    if (c == '-') return fail(Errc::kNoPlatform, "the test has no platform");
    return NewSlot{{SlotKind::kPlatform, {static_cast<std::uint8_t>(c)}}, key_of(c)};
  }
  int asked = 0;

 private:
  std::string known_;
};

inline NewSlot slot(char c, SlotKind kind = SlotKind::kPlatform) {
  return {{kind, {static_cast<std::uint8_t>(c)}}, key_of(c)};
}

inline std::vector<NewSlot> two_slots() {
  std::vector<NewSlot> slots;
  slots.push_back(slot('a'));
  slots.push_back(slot('b', SlotKind::kRecovery));
  return slots;
}

inline TimePoint soon() { return Clock::now() + std::chrono::seconds(5); }

/// For Folder::set_policy().
inline Result<NewPolicy> no_policy(const Version& /*version*/) { return NewPolicy{}; }

inline const NewVersion kSecret{Content::kSecret, Origin::kGenerated, "256", {}};

/// The successor of what is there.
inline Result<Version> rotate(Folder& folder, const std::string& name, std::string_view content) {
  const auto read = VHSM_TRY(folder.find(name, soon()));
  if (!read.has_value()) return no_such_key(name);
  return folder.add_version(*read, kSecret, secret(content));
}

class SealedFolderTest : public KeystoreTest {
 protected:
  void SetUp() override {
    ASSERT_TRUE(make_folder(path_).ok());
    const auto files = open_files(path_);
    ASSERT_TRUE(files.ok()) << describe(files.error());
    const Status made = Folder::create(*files.value(), two_slots());
    ASSERT_TRUE(made.ok()) << describe(made.error());
  }

  /// As another process would.
  [[nodiscard]] std::unique_ptr<Folder> open(const std::string& known = "a") const {
    return std::make_unique<Folder>(open_files(path_).value(), std::make_shared<TestKeys>(known));
  }
  static std::string content(Folder& folder, const std::string& name,
                             std::optional<std::uint32_t> version = std::nullopt) {
    const auto opened = folder.open(name, version, soon());
    return opened.ok() ? clear(opened.value().content) : reason(opened.error().code);
  }
  [[nodiscard]] std::vector<std::string> files() const {
    auto names = open_files(path_).value()->names().value();
    std::ranges::sort(names);
    return names;
  }

  const test::TempDir temporary_;
  const std::string path_ = temporary_.file("keys");
};

}  // namespace vhsm::keystore::sealed
