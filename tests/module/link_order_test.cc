// SPDX-License-Identifier: Apache-2.0
//
// Whether the code that a signature runs through still lies side by side: functions get new names,
// and the linker does not complain of a line that names nothing.
#include <fnmatch.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

namespace vhsm::tests {
namespace {

constexpr std::uint64_t kPage = 4096;

/// Addresses of what the module defines, by mangled name.
std::map<std::string, std::uint64_t> symbols() {
  std::map<std::string, std::uint64_t> found;
  const std::unique_ptr<FILE, int (*)(FILE*)> nm(
      ::popen("nm --defined-only --format=posix '" VHSM_MODULE "'", "r"), &::pclose);
  char line[8192];
  while (nm != nullptr && std::fgets(line, sizeof line, nm.get()) != nullptr) {
    std::istringstream words(line);
    std::string name;
    std::string type;
    std::uint64_t address = 0;
    if (words >> name >> type >> std::hex >> address) found.emplace(name, address);
  }
  return found;
}

/// The patterns of names in one line of the link order; none in one that names objects.
std::vector<std::string> patterns_in(const std::string& line) {
  std::vector<std::string> found;
  const auto open = line.find("*(.text.");
  if (open == std::string::npos) return found;
  std::istringstream words(line.substr(open + 2, line.find(')', open) - open - 2));
  for (std::string word; words >> word;) found.push_back(word.substr(sizeof(".text.") - 1));
  return found;
}

class LinkOrderTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_GT(symbols_.size(), 1000U) << VHSM_MODULE; }

  [[nodiscard]] bool names_something(const std::vector<std::string>& patterns) const {
    return std::ranges::any_of(symbols_, [&](const auto& symbol) {
      return std::ranges::any_of(patterns, [&](const std::string& pattern) {
        return ::fnmatch(pattern.c_str(), symbol.first.c_str(), 0) == 0;
      });
    });
  }

  /// Bytes from the first of `names` to the last.
  [[nodiscard]] std::uint64_t span_of(const std::vector<std::string>& names) const {
    std::vector<std::uint64_t> addresses;
    for (const auto& name : names) {
      const auto symbol = symbols_.find(name);
      EXPECT_NE(symbol, symbols_.end()) << name;
      if (symbol != symbols_.end()) addresses.push_back(symbol->second);
    }
    if (addresses.empty()) return 0;
    const auto [first, last] = std::ranges::minmax(addresses);
    return last - first;
  }

  std::map<std::string, std::uint64_t> symbols_ = symbols();
};

TEST_F(LinkOrderTest, EachOfItsLinesNamesSomething) {
  std::ifstream order(VHSM_SIGNATURE_PATH);
  int lines = 0;
  for (std::string line; std::getline(order, line);) {
    const auto patterns = patterns_in(line);
    if (patterns.empty()) continue;
    ++lines;
    EXPECT_TRUE(names_something(patterns)) << line;
  }
  EXPECT_GT(lines, 20) << VHSM_SIGNATURE_PATH;
}

TEST_F(LinkOrderTest, PutsWhatASignatureRunsThroughSideBySide) {
  EXPECT_LT(span_of({"vhsm_call_on_stack", "_ZN4vhsm6memory6detail3runEPDoFvPvES2_",
                     "OPENSSL_LH_retrieve", "EVP_DigestFinal_ex", "BN_CTX_get",
                     "bn_mul_mont_fixed_top", "ossl_ecdsa_simple_sign_sig"}),
            48 * kPage);
}

TEST_F(LinkOrderTest, PutsItsConstantsAndItsTablesSideBySide) {
  EXPECT_LT(span_of({"_ZN4vhsm6memory11kClassBytesE", "ctype_char_map"}), 2 * kPage);
  EXPECT_LT(span_of({"_ZTVN4vhsm8keystore14LocalOperationE", "openssl_ec_key_method"}), 2 * kPage);
}

}  // namespace
}  // namespace vhsm::tests
