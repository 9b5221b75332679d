// SPDX-License-Identifier: Apache-2.0
#include "kbs/store.h"

#include <sys/stat.h>

#include <filesystem>
#include <optional>

#include "tests/kbs/support.h"

namespace vhsm::kbs {
namespace {

/// What an audit table was before restored keys had rows.
constexpr const char* kFirstVersion = R"(
DROP TABLE audit;
CREATE TABLE audit (
  id INTEGER PRIMARY KEY,
  time TEXT NOT NULL,
  session TEXT NOT NULL,
  peer TEXT NOT NULL,
  event TEXT NOT NULL CHECK (event IN ('auth', 'attest', 'resource')),
  resource TEXT NOT NULL,
  outcome TEXT NOT NULL CHECK (outcome IN ('granted', 'refused')),
  reason TEXT NOT NULL,
  measurement TEXT NOT NULL,
  chip_id TEXT NOT NULL
) STRICT;
INSERT INTO audit VALUES (1, 'then', '', 'old peer', 'auth', '', 'granted', '', '', '');
PRAGMA user_version = 1;
)";

class StoreTest : public testing::Test {
 protected:
  StoreTest() {
    EXPECT_TRUE(Store::create(path_).ok());
    store_.emplace(Store::open(path_).value());
  }
  std::string content(std::string_view path) {
    const auto found = store_->content(path);
    return found.ok() ? text(found.value()) : reason(found.error().code);
  }

  TemporaryFolder folder_;
  std::string path_ = folder_ / "kbs.db";
  std::optional<Store> store_;
};

TEST_F(StoreTest, KeepsResourcesForTheNextProcess) {
  ASSERT_TRUE(store_->put("a/b/c", secret(std::string_view("x\0y", 3))).ok());
  store_.reset();
  store_.emplace(Store::open(path_).value());
  EXPECT_EQ(content("a/b/c"), std::string_view("x\0y", 3));
  EXPECT_EQ(content("a/b/d"), "missing");
}

TEST_F(StoreTest, CountsVersions) {
  ASSERT_TRUE(store_->put("a/b/c", secret("1")).ok());
  EXPECT_EQ(store_->info("a/b/c").value().version, 1);
  ASSERT_TRUE(store_->put("a/b/c", secret("2")).ok());
  EXPECT_EQ(store_->info("a/b/c").value().version, 2);
  EXPECT_EQ(content("a/b/c"), "2");
  EXPECT_EQ(store_->list().value().size(), 1U);
}

TEST_F(StoreTest, KeepsADisabledResourceDisabledWhenItIsReplaced) {
  ASSERT_TRUE(store_->put("a/b/c", secret("1")).ok());
  ASSERT_TRUE(store_->set_disabled("a/b/c", true).ok());
  EXPECT_EQ(content("a/b/c"), "denied");
  ASSERT_TRUE(store_->put("a/b/c", secret("2")).ok());
  EXPECT_EQ(content("a/b/c"), "denied");
  EXPECT_TRUE(store_->info("a/b/c").value().disabled);
}

TEST_F(StoreTest, AddsOnlyWhatIsNotThere) {
  ASSERT_TRUE(store_->add("a/b/c", secret("1")).ok());
  EXPECT_EQ(store_->add("a/b/c", secret("2")).error().code, Errc::kWrongState);
  EXPECT_EQ(content("a/b/c"), "1");
  EXPECT_EQ(store_->info("a/b/c").value().version, 1);
}

TEST_F(StoreTest, TakesOverADatabaseOfTheFirstVersion) {
  ASSERT_TRUE(store_->put("a/b/c", secret("1")).ok());
  store_.reset();
  ASSERT_TRUE(Database::open(path_).value().run(kFirstVersion).ok());
  store_.emplace(Store::open(path_).value());
  AuditRow row;
  row.event = "restore";
  row.outcome = "granted";
  ASSERT_TRUE(store_->record(row).ok());
  const auto rows = store_->audit(9).value();
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows.front().peer, "old peer");
  EXPECT_EQ(rows.back().event, "restore");
  EXPECT_EQ(content("a/b/c"), "1");
  EXPECT_TRUE(Store::open(path_).ok()) << "once more";
}

TEST_F(StoreTest, RefusesADatabaseOfALaterVersion) {
  store_.reset();
  ASSERT_TRUE(Database::open(path_).value().run("PRAGMA user_version = 3").ok());
  EXPECT_EQ(Store::open(path_).error().code, Errc::kBadFormat);
}

TEST_F(StoreTest, LeavesNoTraceOfADeletedResource) {
  const std::string marker = "marker-" + std::string(64, 'm');
  ASSERT_TRUE(store_->put("a/b/c", secret(marker)).ok());
  const auto anywhere = [&] {
    std::string all;
    for (const auto& file : std::filesystem::directory_iterator(folder_.path())) {
      all += read_text(file.path());
    }
    return all.find(marker) != all.npos;
  };
  EXPECT_TRUE(anywhere());
  ASSERT_TRUE(store_->erase("a/b/c").ok());
  EXPECT_FALSE(anywhere());
  EXPECT_EQ(content("a/b/c"), "missing");
}

TEST_F(StoreTest, MissesWhatIsNotThere) {
  EXPECT_EQ(store_->erase("a/b/c").error().code, Errc::kMissing);
  EXPECT_EQ(store_->set_disabled("a/b/c", true).error().code, Errc::kMissing);
  EXPECT_EQ(store_->info("a/b/c").error().code, Errc::kMissing);
}

TEST_F(StoreTest, RefusesBadPathsAndBigContent) {
  for (const char* path : {"", "a", "a/b", "a/b/c/d", "/a/b", "a//b", "a/b/", ".a/b/c", "a/../b",
                           "a/b/c d", "a/b/\xc3\xa9", "a/b/c;"}) {
    EXPECT_FALSE(is_resource_path(path)) << path;
    EXPECT_EQ(store_->put(path, secret("x")).error().code, Errc::kInvalidArgument) << path;
  }
  EXPECT_TRUE(is_resource_path("default/tls/www.example-1_2"));
  const auto big = SecretBytes::zeros(kMaxResourceBytes + 1);
  ASSERT_TRUE(big.ok());
  EXPECT_EQ(store_->put("a/b/c", big.value()).error().code, Errc::kBadLength);
}

TEST_F(StoreTest, KeepsAuditRowsInOrder) {
  for (int i = 0; i < 5; ++i) {
    AuditRow row;
    row.event = "resource";
    row.outcome = "refused";
    row.reason = std::to_string(i) + "'); DROP TABLE audit; --";
    ASSERT_TRUE(store_->record(row).ok());
  }
  const auto rows = store_->audit(3).value();
  ASSERT_EQ(rows.size(), 3U);
  EXPECT_THAT(rows.front().reason, testing::StartsWith("2"));
  EXPECT_THAT(rows.back().reason, testing::StartsWith("4"));
}

TEST_F(StoreTest, IsReadableForItsOwnerOnly) {
  struct stat status {};
  ASSERT_EQ(::stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
}

TEST_F(StoreTest, RefusesForeignFilesAndOverwriting) {
  EXPECT_FALSE(Store::create(path_).ok());
  EXPECT_EQ(Store::open(folder_ / "none").error().code, Errc::kIo);
  write_text(folder_ / "text", std::string(4096, 'x'));
  EXPECT_EQ(Store::open(folder_ / "text").error().code, Errc::kBadFormat);
  write_text(folder_ / "empty", "");
  EXPECT_EQ(Store::open(folder_ / "empty").error().code, Errc::kBadFormat);
}

TEST_F(StoreTest, ServesTwoProcesses) {
  Store other = Store::open(path_).value();
  ASSERT_TRUE(other.put("a/b/c", secret("1")).ok());
  EXPECT_EQ(content("a/b/c"), "1");
}

}  // namespace
}  // namespace vhsm::kbs
