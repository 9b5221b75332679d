// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "tests/sealed/hooks.h"
#include "tests/sealed/sealed_folder.h"

namespace vhsm::keystore::sealed {
namespace {

using ::testing::SizeIs;

Record record(int number) {
  Version version;
  version.number = 1;
  version.type = "EC:P-256";
  version.created = 1700000000;
  version.digest.fill(static_cast<std::uint8_t>(number));
  return {"default/many/key-" + std::to_string(number), 2, {version}};
}

std::vector<Record> many(int count) {
  std::vector<Record> records;
  for (int i = 0; i < count; ++i) records.push_back(record(i));
  return records;
}

TEST(IndexTest, WhatWasWrittenIsFoundAndNothingElse) {
  for (const int count : {0, 1, 2, 3, 100}) {
    const auto index = Index::parse(Index::build(many(count)).value());
    ASSERT_TRUE(index.ok()) << count;
    EXPECT_THAT(index.value().records().value(), SizeIs(count));
    for (int i = 0; i < count; ++i) {
      EXPECT_EQ(index.value().find("default/many/key-" + std::to_string(i)).value(), record(i));
    }
    EXPECT_FALSE(index.value().find("default/many/key-100").value().has_value());
    EXPECT_FALSE(index.value().find("").value().has_value());
  }
}

TEST(IndexTest, ARecordWithAllThatItCanHaveComesBack) {
  Record full{std::string(kMaxNameBytes, 'n'), 1001, {}};
  for (std::uint32_t i = 1; i <= kMaxVersions; ++i) {
    Version version;
    version.number = i;
    version.state = i % 2 == 0 ? State::kEnabled : State::kDisabled;
    version.content = Content::kSecret;
    version.origin = Origin::kImported;
    version.policy = Bytes(i == 1 ? kMaxPolicyBytes : 0, 7);
    full.versions.push_back(version);
  }
  const auto index = Index::parse(Index::build({full}).value()).value();
  EXPECT_EQ(index.find(full.name).value(), full);
  full.versions.emplace_back();
  EXPECT_EQ(Index::build({full}).error().code, Errc::kBadLength);
}

TEST(IndexTest, EachTruncationIsAnErrorOrARecordLessAndNeverAnOverread) {
  const Bytes good = Index::build(many(3)).value();
  for (std::size_t size = 0; size < good.size(); ++size) {
    const auto index = Index::parse(Bytes(good.begin(), good.begin() + static_cast<long>(size)));
    if (!index.ok()) continue;
    EXPECT_FALSE(index.value().records().ok()) << size;
    for (int i = 0; i < 3; ++i) {
      static_cast<void>(index.value().find("default/many/key-" + std::to_string(i)));
    }
  }
}

/// Counts what is asked of the disk.
class CountingFiles final : public OtherFiles {
 public:
  struct Counts {
    int reads = 0;
    int listings = 0;
  };
  CountingFiles(std::unique_ptr<Files> real, Counts& counts)
      : OtherFiles(std::move(real)), counts_(counts) {}
  Result<Bytes> read(const std::string& name, std::size_t most) override {
    ++counts_.reads;
    return OtherFiles::read(name, most);
  }
  Result<std::vector<std::string>> names() override {
    ++counts_.listings;
    return OtherFiles::names();
  }

 private:
  Counts& counts_;
};

class ManyKeysTest : public SealedFolderTest {
 protected:
  /// Puts an index of so many keys, whose files are not there, into the folder.
  void fill(int keys) const {
    const auto files = open_files(path_).value();
    const Bytes root_file = files->read("root.1", 1 << 16).value();
    const SecretBytes root = open_slot(parse_slots(root_file).value()[0], key_of('a')).value();
    const Bytes index =
        seal_box(root, BoxKind::kIndex, {}, ByteView(Index::build(many(keys)).value())).value();
    const Bytes head = Writer()
                           .number(std::uint64_t{1})
                           .number(std::uint64_t{1})
                           .bytes(digest_of(root_file).value())
                           .bytes(digest_of(index).value())
                           .done();
    ASSERT_TRUE(files->write("index.1", index).ok());
    ASSERT_TRUE(
        files->write("head", seal_box(root, BoxKind::kHead, head, ByteView()).value()).ok());
  }

  /// What the first look-up in a folder costs, and one more.
  [[nodiscard]] std::vector<int> reads(int keys) const {
    CountingFiles::Counts counts;
    Folder folder(std::make_unique<CountingFiles>(open_files(path_).value(), counts),
                  std::make_shared<TestKeys>("a"));
    std::vector<int> reads;
    for (const int i : {0, keys - 1}) {
      const int before = counts.reads;
      EXPECT_EQ(folder.find("default/many/key-" + std::to_string(i), soon()).value(), record(i));
      reads.push_back(counts.reads - before);
    }
    EXPECT_EQ(counts.listings, 0);
    return reads;
  }
};

TEST_F(ManyKeysTest, AHundredThousandKeysTakeAsManyReadsAsTwo) {
  fill(2);
  const auto few = reads(2);
  fill(100000);
  EXPECT_EQ(reads(100000), few);
  EXPECT_EQ(few, (std::vector<int>{5, 1}));
}

}  // namespace
}  // namespace vhsm::keystore::sealed
