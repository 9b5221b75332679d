// SPDX-License-Identifier: Apache-2.0
#include "keystore/daemon/list_line.h"

#include <gtest/gtest.h>

namespace vhsm::keystore {
namespace {

KeyName name() { return KeyName::parse("default/tls/www").value(); }

TEST(ListLineTest, EveryLineIsReadAsItWasWritten) {
  const KeyLine in_memory{.name = name()};
  const KeyLine on_disk{.name = name(),
                        .version = 4294967295,
                        .enabled = false,
                        .symmetric = true,
                        .origin = sealed::Origin::kImported,
                        .created = 1767225600,
                        .type = "SECRET:256"};
  KeyLine with_policy = on_disk;
  with_policy.policy = "operations=sign digests=SHA256,SHA384 not-after=7 uses=9";
  with_policy.uses_left = 0;
  KeyLine copy = in_memory;
  copy.origin = sealed::Origin::kCopy;
  copy.type = "EC:P-256";
  copy.policy = "not-after=1767225600";
  KeyLine restored = on_disk;
  restored.origin = sealed::Origin::kRestored;
  for (const KeyLine& line : {in_memory, on_disk, with_policy, copy, restored}) {
    const auto read = parse_list_line(to_line(line));
    ASSERT_TRUE(read.ok()) << to_line(line);
    EXPECT_EQ(read.value(), line) << to_line(line);
  }
}

TEST(ListLineTest, WhatVhsmdWouldNotWriteIsRefused) {
  for (const char* const text :
       {"", "default/tls/www", "default/tls/www 1 on pair made", "default/tls/www 1 on pair made 0",
        "default/tls/www 1 on pair made 0 many", "default/tls/www x on pair made 0 -",
        "default/tls/www 1 up pair made 0 -", "default/tls/www 1 on fish made 0 -",
        "default/tls/www 1 on pair found 0 -", "default/tls/www 1 on pair made soon -",
        "default/tls/www 4294967296 on pair made 0 -", "../etc 1 on pair made 0 -"}) {
    EXPECT_FALSE(parse_list_line(text).ok()) << text;
  }
}

}  // namespace
}  // namespace vhsm::keystore
