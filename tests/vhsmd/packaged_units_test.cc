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

/// Log and audit file, copies and sealed keys. Only vhsmd's unit makes the folders, so that they
/// are its user's.
TEST(PackagedUnitsTest, EachThatHoldsKeysCanWriteInTheFoldersThatVhsmdsUnitMakes) {
  EXPECT_THAT(values_of("vhsmd.service", "User"), ElementsAre("vhsm"));
  EXPECT_THAT(values_of("vhsmd.service", "LogsDirectory"), ElementsAre("vhsm"));
  EXPECT_THAT(values_of("vhsmd.service", "StateDirectory"), ElementsAre("vhsm"));
  EXPECT_THAT(values_of("vhsm-secrets.service", "StateDirectory"), IsEmpty());
  EXPECT_THAT(values_of("vhsm-secrets.service", "LogsDirectory"), IsEmpty());
  EXPECT_THAT(values_of("vhsm-secrets.service", "ReadWritePaths"),
              ElementsAre("-/sys/kernel/config/tsm -/var/lib/vhsm -/var/log/vhsm"));
}

}  // namespace
}  // namespace vhsm
