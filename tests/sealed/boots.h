// SPDX-License-Identifier: Apache-2.0
//
// Copies of a KBS's keys on a machine of a test's, which boots and whose clock goes as it likes.
#pragma once

#include <memory>
#include <string>

#include "keystore/sealed/copies.h"
#include "tests/sealed/sealed_folder.h"

namespace vhsm::keystore::sealed {

inline constexpr std::uint64_t kStart = 1'800'000'000;
inline CopyTime g_time{kStart, 1000};
inline CopyTime test_time() noexcept { return g_time; }
inline void pass(std::uint64_t seconds) {
  g_time.wall += seconds;
  g_time.uptime += seconds;
}

class CopiesTest : public KeystoreTest {
 protected:
  void SetUp() override {
    g_time = {kStart, 1000};
    ASSERT_TRUE(make_folder(path_).ok());
  }

  /// As another process of this boot would.
  [[nodiscard]] std::shared_ptr<Copies> copies(const CopyLimits& limits = {std::chrono::hours(1),
                                                                           2}) const {
    return std::make_shared<Copies>(open_files(path_).value(), std::make_shared<TestKeys>(machine_),
                                    limits, boot_, test_time);
  }
  void boot() {
    ++boot_[0];
    g_time.uptime = 10;
    g_time.wall += 60;
  }
  static Status keep(Copies& copies, const std::string& name, const std::string& content) {
    return copies.keep(name, {Content::kPair, Origin::kGenerated, "EC:P-256", {}, {}},
                       secret(content));
  }
  /// The content and for how long; else the reason why not.
  static std::string lent(Copies& copies, const std::string& name = "a/b/c") {
    const auto found = copies.lend(name);
    if (!found.ok()) return found.error().what.c_str();
    if (!found.value().has_value()) return "none";
    return clear(found.value()->stored) + " " + std::to_string(found.value()->left.count());
  }
  [[nodiscard]] std::string lent() const { return lent(*copies()); }
  [[nodiscard]] std::vector<std::string> files() const {
    return open_files(path_).value()->names().value();
  }

  const test::TempDir temporary_;
  const std::string path_ = temporary_.file("copies");
  std::string machine_ = "a";
  BootId boot_{};
};

}  // namespace vhsm::keystore::sealed
