// SPDX-License-Identifier: Apache-2.0
//
// What --help says and what the manual pages say are the same.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "tests/world/world.h"

namespace vhsm::tests {
namespace {

using Names = std::set<std::string>;

/// A manual page without its fonts and escapes.
std::string manual(const std::string& name) {
  std::string text = read_file(std::string(VHSM_MANUALS) + "/" + name);
  text = std::regex_replace(text, std::regex(R"(\\f[BRIP])"), "");
  return std::regex_replace(text, std::regex(R"(\\-)"), "-");
}

Names options_in(const std::string& text) {
  static const std::regex kOption("(^|[^-a-z])(--[a-z][-a-z]*)");
  Names options;
  for (std::sregex_iterator at(text.begin(), text.end(), kOption), end; at != end; ++at) {
    options.insert((*at)[2]);
  }
  return options;
}

/// The synopsis of `command`: from its name to where the next command begins.
std::string synopsis(const std::string& page, const std::string& program,
                     const std::string& command) {
  std::istringstream lines(page.substr(0, page.find(".SH DESCRIPTION")));
  const std::regex begins("^" + program + "( \\[--config FILE\\])? " + command + "( .*)?$");
  std::string found;
  for (std::string line; std::getline(lines, line);) {
    const bool continues = !found.empty() && line.starts_with(' ');
    if (std::regex_match(line, begins) || continues) {
      found += line + "\n";
    } else if (!found.empty()) {
      break;
    }
  }
  return found;
}

/// The options that the page describes, each as the tag of a paragraph.
Names described_in(const std::string& page) {
  std::istringstream lines(page);
  std::string tags;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(".B")) tags += line + "\n";
  }
  return options_in(tags);
}

Names options_of(std::vector<std::string> words) {
  words.front() = std::string(VHSM_BIN_DIR) + "/" + words.front();
  Names options = options_in(run(words).out);
  for (const char* everywhere : {"--help", "--version", "--config"}) options.erase(everywhere);
  return options;
}

class HelpTest : public testing::TestWithParam<const char*> {};

TEST_P(HelpTest, TheManualHasTheOptionsOfEachCommand) {
  const std::string page = manual("vhsm.1");
  std::vector<std::string> words{"vhsm"};
  std::istringstream command(GetParam());
  for (std::string word; command >> word;) words.push_back(word);
  words.emplace_back("--help");
  const Names offered = options_of(words);
  ASSERT_FALSE(offered.empty());
  Names written = options_in(synopsis(page, "vhsm", GetParam()));
  written.erase("--config");
  EXPECT_EQ(written, offered);
  const Names described = described_in(page);
  for (const std::string& option : offered) {
    EXPECT_TRUE(option == "--json" || described.contains(option)) << option;
  }
}

INSTANTIATE_TEST_SUITE_P(Every, HelpTest,
                         testing::Values("doctor", "key show", "key pem", "key backup",
                                         "key restore", "fetch", "resource sign", "attest",
                                         "report show", "report verify", "report fetch", "measure",
                                         "secret put", "secret get", "secret run", "secret serve",
                                         "mac", "ticket-keys"),
                         [](const auto& test) {
                           std::string name = test.param;
                           std::ranges::replace_if(
                               name, [](char c) { return c == ' ' || c == '-'; }, '_');
                           return name;
                         });

TEST(EmulatorHelpTest, TheManualHasTheOptionsOfBothForms) {
  const std::string page = manual("vhsm-snp-emulator.1");
  const Names made = options_of({"vhsm-snp-emulator", "init", "--help"});
  EXPECT_GT(made.size(), 10U);
  EXPECT_EQ(options_in(synopsis(page, "vhsm-snp-emulator", "init")), made);
  const Names host = options_of({"vhsm-snp-emulator", "DIR", "--help", "--", "true"});
  EXPECT_GT(host.size(), 10U);
  EXPECT_EQ(described_in(page.substr(page.find(".SH HOST OPTIONS"))), host);
}

}  // namespace
}  // namespace vhsm::tests
