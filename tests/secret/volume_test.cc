// SPDX-License-Identifier: Apache-2.0
//
// A real LUKS volume with a file system, opened with a secret of ours: where the kernel has a
// device mapper (scripts/guest.sh --module dm-crypt).
#include <fstream>
#include <string>

#include "tests/secret/fixture.h"

namespace vhsm::tests {
namespace {

using ::testing::HasSubstr;

const std::string kPassphrase("bytes\0\xff\n of a key", 17);

class VolumeTest : public SecretFlowTest {
 protected:
  void SetUp() override {
    if (!std::fstream("/dev/mapper/control")) GTEST_SKIP() << "no device mapper for this process";
    ASSERT_NO_FATAL_FAILURE(SecretFlowTest::SetUp());
    std::filesystem::create_directory(file("mounted"));
  }
  void TearDown() override {
    static_cast<void>(shell("umount " + file("mounted") + "; cryptsetup close " + name()));
  }

  /// LUKS2 in a file, with a key derivation that costs nothing.
  void make_volume() const {
    const auto made = shell("truncate -s 20M " + file("volume.img") +
                            " && cryptsetup luksFormat -q --type luks2 --pbkdf pbkdf2 "
                            "--pbkdf-force-iterations 1000 --key-file " +
                            written("passphrase", kPassphrase) + " " + file("volume.img"));
    ASSERT_EQ(made.status, 0) << made.err;
  }
  [[nodiscard]] std::string name() const { return world_.folder().filename(); }
  [[nodiscard]] std::string device() const { return "/dev/mapper/" + name(); }

  /// Shell's lines that open and close the volume and its file system.
  [[nodiscard]] std::string opening(const std::string& secret) const {
    return "vhsm secret get " + secret + " | cryptsetup open --key-file=- " + file("volume.img") +
           " " + name();
  }
  [[nodiscard]] std::string mounting() const {
    return "mount -t ext4 " + device() + " " + file("mounted");
  }
  [[nodiscard]] std::string closing() const {
    return "umount " + file("mounted") + " && cryptsetup close " + name();
  }

  void expect_a_file_that_outlasts_closing(const std::string& secret) const {
    const std::string letter = file("mounted/letter");
    const auto put = shell(opening(secret) + " && /sbin/mke2fs -q -t ext4 " + device() + " && " +
                           mounting() + " && echo dear reader >" + letter + " && " + closing());
    ASSERT_EQ(put.status, 0) << put.err;
    ASSERT_FALSE(std::filesystem::exists(letter)) << "closed";
    EXPECT_EQ(read_file(file("volume.img")).find("dear reader"), std::string::npos);
    const auto got = shell(opening(secret) + " && " + mounting() + " && cat " + letter);
    EXPECT_EQ(got.out, "dear reader\n") << got.err;
  }
};

TEST_F(VolumeTest, OpensWithASecretOfTheFolderAndAgainAfterItWasClosed) {
  ASSERT_NO_FATAL_FAILURE(make_volume());
  seal("default/luks/data", kPassphrase);
  expect_a_file_that_outlasts_closing("default/luks/data");
}

TEST_F(VolumeTest, OpensWithASecretThatTheKbsGivesToThisVm) {
  ASSERT_NO_FATAL_FAILURE(make_volume());
  store("default/luks/root", kPassphrase);
  expect_a_file_that_outlasts_closing("default/luks/root");
}

TEST_F(VolumeTest, StaysClosedForAnotherSecretAndForOneThatDoesNotComeOut) {
  ASSERT_NO_FATAL_FAILURE(make_volume());
  seal("default/luks/other", "another passphrase");
  seal("default/luks/kept", kPassphrase, false);
  EXPECT_THAT(shell(opening("default/luks/other")).err, HasSubstr("No key available"));
  EXPECT_THAT(shell(opening("default/luks/kept")).err, HasSubstr("default/luks/kept"));
  EXPECT_FALSE(std::filesystem::exists(device()));
}

}  // namespace
}  // namespace vhsm::tests
