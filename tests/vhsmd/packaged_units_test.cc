// SPDX-License-Identifier: Apache-2.0
//
// What the packaged units leave within reach of the programs that hold keys.
#include <gmock/gmock.h>

#include <fstream>
#include <string>
#include <vector>

namespace vhsm {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

/// The values of one setting, in their order.
std::vector<std::string> values_of(const std::string& unit, const std::string& setting) {
  std::ifstream file(VHSM_SOURCE_DIR "/packaging/systemd/" + unit + ".in");
  EXPECT_TRUE(file.is_open()) << unit;
  std::vector<std::string> values;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(setting + "=")) values.push_back(line.substr(setting.size() + 1));
  }
  return values;
}

/// Copies of keys count boots by /proc/sys/kernel/random/boot_id. ProcSubset=pid hides all of /proc
/// but processes: systemd.exec(5).
TEST(PackagedUnitsTest, EachThatHoldsKeysCanReadWhichBootThisIs) {
  for (const std::string unit : {"vhsmd.service", "vhsm-secrets.service"}) {
    EXPECT_THAT(values_of(unit, "ProcSubset"), IsEmpty()) << unit;
  }
}

/// Log and audit file, copies and sealed keys. Where the modes differ, each unit that starts
/// changes them for the other.
TEST(PackagedUnitsTest, EachThatHoldsKeysCanWriteInTheSameFoldersOfTheSameModes) {
  for (const std::string unit : {"vhsmd.service", "vhsm-secrets.service"}) {
    EXPECT_THAT(values_of(unit, "LogsDirectory"), ElementsAre("vhsm")) << unit;
    EXPECT_THAT(values_of(unit, "LogsDirectoryMode"), ElementsAre("0750")) << unit;
    EXPECT_THAT(values_of(unit, "StateDirectory"), ElementsAre("vhsm")) << unit;
    EXPECT_THAT(values_of(unit, "StateDirectoryMode"), ElementsAre("0700")) << unit;
  }
}

/// systemd gives these folders to the user that a unit names, and leaves them as they are where it
/// names none: path_chown_recursive() in systemd's src/core.
TEST(PackagedUnitsTest, OneAloneOwnsTheFolders) {
  EXPECT_THAT(values_of("vhsmd.service", "User"), ElementsAre("vhsm"));
  EXPECT_THAT(values_of("vhsm-secrets.service", "User"), IsEmpty());
}

}  // namespace
}  // namespace vhsm
