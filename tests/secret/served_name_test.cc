// SPDX-License-Identifier: Apache-2.0
#include "cli/served_name.h"

#include <gtest/gtest.h>

#include <string>

namespace vhsm::cli {
namespace {

std::string bound(const std::string& name) { return std::string(1, '\0') + name; }

TEST(ServedName, IsAVolumesAsCrypttabSays) {
  EXPECT_EQ(parse_served_name(bound("d7067f78d9827418/cryptsetup/myvol")),
            (ServedName{true, "", "myvol"}));
}

TEST(ServedName, IsACredentialsAsLoadCredentialSays) {
  EXPECT_EQ(parse_served_name(bound("9f9be3e2/unit/web.service/api-key")),
            (ServedName{false, "web.service", "api-key"}));
}

TEST(ServedName, IsNoneForAnythingElse) {
  for (const std::string& name :
       {std::string(), std::string("/run/socket"), bound(""), bound("abc"), bound("/cryptsetup/v"),
        bound("a/cryptsetup/"), bound("a/cryptsetup/b/c"), bound("a/cryptsetup-tpm2/v"),
        bound("a/unit/"), bound("a/unit/u"), bound("a/unit/u/"), bound("a/unit//c"),
        bound("a/unit/u/c/d"), bound(std::string("a/unit/u/c\0d", 12)),
        bound(std::string("a/cryptsetup/v\0", 15)), std::string("a/cryptsetup/v")}) {
    EXPECT_FALSE(parse_served_name(name).has_value()) << testing::PrintToString(name);
  }
}

}  // namespace
}  // namespace vhsm::cli
