// SPDX-License-Identifier: Apache-2.0
//
// Nothing of a private key lies outside protected memory: not whole and not in any part of it, in
// no form, wherever the key has been and whatever was done with it.
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "tests/keystore/spelling.h"
#include "tests/residue/fixture.h"

namespace vhsm::tests {
namespace {

using ::testing::HasSubstr;

/// Leads a host with the key.
class HostTest : public ResidueTest {
 protected:
  void load(ResidueHost& host) {
    store();
    host.tell("load " + uri());
  }
  void sign(ResidueHost& host) {
    if (signs()) host.tell("sign " + path("signature") + " " + path("message"));
    add_nonce();
  }
};

TEST_P(HostTest, WithThreadsHasNothingOutsideProtectedMemory) {
  ResidueHost host(environment());
  load(host);
  sign(host);
  const Range stacks = range_of(host.tell("use"));
  const Report report =
      look("threads",
           {.process = host.process(), .words = {stacks}, .words_everywhere = true, .dump = true});
  EXPECT_EQ(report.core, "by gcore");
  EXPECT_EQ(report.protected_memory.empty(), memory() != "locked");
  EXPECT_EQ(report.at(Place::kProtected).empty(), memory() != "locked");
}

TEST_P(HostTest, AtWorkHasNothingOutsideProtectedMemory) {
  ResidueHost host(environment());
  load(host);
  const Range stacks = range_of(host.tell("start"));
  for (int times = 0; times < 3; ++times) {
    look("threads at work", {.process = host.process(), .words = {stacks}});
  }
  host.tell("stop");
}

TEST_P(HostTest, AfterAForkHasNothingAndNeitherHasTheChild) {
  ResidueHost host(environment());
  load(host);
  sign(host);
  const std::string child = host.tell("fork " + path("signature") + " " + path("message"));
  add_nonce();
  look("fork: parent", {.process = host.process()});
  look("fork: child", {.process = std::stoi(child)});
  host.tell("end " + child);
}

INSTANTIATE_TEST_SUITE_P(Keys, HostTest, ::testing::Combine(every_key(), every_place()),
                         ResidueTest::test_name);

/// The FIPS provider works on keys with its own code, in its own library context.
class FipsHostTest : public HostTest {
 protected:
  void SetUp() override {
    if (::access(VHSM_FIPS_CONFIG, R_OK) != 0) {
      GTEST_SKIP() << "no FIPS provider of OpenSSL 3.5 or newer here";
    }
    HostTest::SetUp();
    world_->configure("fips = " VHSM_FIPS_CONFIG "\n");
  }
  void TearDown() override {
    if (world_ != nullptr) world_->configure("import_private = yes\n");
  }
};

TEST_P(FipsHostTest, WithThreadsHasNothingOutsideProtectedMemory) {
  ResidueHost host(environment());
  load(host);
  sign(host);
  const Range stacks = range_of(host.tell("use"));
  const Report report =
      look("FIPS: threads",
           {.process = host.process(), .words = {stacks}, .words_everywhere = true, .dump = true});
  EXPECT_EQ(report.at(Place::kProtected).empty(), memory() != "locked");
}

TEST_P(FipsHostTest, AfterAForkHasNothingAndNeitherHasTheChild) {
  ResidueHost host(environment());
  load(host);
  sign(host);
  const std::string child = host.tell("fork " + path("signature") + " " + path("message"));
  add_nonce();
  look("FIPS: fork, parent", {.process = host.process()});
  look("FIPS: fork, child", {.process = std::stoi(child)});
  host.tell("end " + child);
}

INSTANTIATE_TEST_SUITE_P(
    Keys, FipsHostTest,
    ::testing::Combine(::testing::Values("RSA2048", "P-256", "P-384", "ED25519"), both_memories()),
    ResidueTest::test_name);

class SignalStackTest : public HostTest {};

TEST_P(SignalStackTest, OfAHostWithTheKeyInAFileHasWordsOfIt) {
  ResidueHost host(environment());
  load(host);
  std::size_t words = 0;
  for (int tries = 0; tries < 20 && words == 0; ++tries) {
    const Range stacks = range_of(host.tell("use"));
    words = scan({.process = host.process(), .words = {stacks}}, values_).at(Place::kWords).size();
  }
  EXPECT_GT(words, 0U);
}

INSTANTIATE_TEST_SUITE_P(Keys, SignalStackTest,
                         ::testing::Combine(::testing::Values(std::string("RSA2048")),
                                            ::testing::Values("file")),
                         ResidueTest::test_name);

/// The control of what OpenSSL makes of an ML-DSA key each time that it signs.
class TransformedKeyTest : public HostTest {
 protected:
  void SetUp() override {
    const auto kinds = residue_kinds();
    if (std::ranges::find(kinds, kind()) == kinds.end()) {
      GTEST_SKIP() << "the private OpenSSL has no " << kind();
    }
    HostTest::SetUp();
  }
};

TEST_P(TransformedKeyTest, IsFoundWhileAKeyInAFileSigns) {
  const auto is_transformed = [](const Finding& finding) {
    return finding.match.value.starts_with("NTT of");
  };
  ResidueHost host(environment());
  load(host);
  static_cast<void>(host.tell("start"));
  bool found = false;
  for (int tries = 0; tries < 50 && !found; ++tries) {
    const Report report = scan({.process = host.process()}, values_);
    found = std::ranges::any_of(report.at(Place::kMemory), is_transformed);
  }
  host.tell("stop");
  EXPECT_TRUE(found);
}

INSTANTIATE_TEST_SUITE_P(Keys, TransformedKeyTest,
                         ::testing::Combine(::testing::Values("ML-DSA-44", "ML-DSA-65",
                                                              "ML-DSA-87"),
                                            ::testing::Values("file")),
                         ResidueTest::test_name);

/// What has come and gone, or has not come.
class GoneKeyTest : public HostTest {
 protected:
  /// Not even in protected memory.
  void expect_gone(const std::string& situation, const ResidueHost& host) {
    const Report report = look(situation, {.process = host.process()});
    EXPECT_THAT(report.at(Place::kProtected), ::testing::IsEmpty());
  }
  /// Has the host try to load `content`, and expects a refusal for what stands in it.
  void refuse(ResidueHost& host, const std::string& content) {
    const std::string broken = "default/broken/" + kind() + std::to_string(++count_);
    world_->put(broken, content);
    EXPECT_THAT(host.tell("refuse vhsm:" + broken), HasSubstr(kReason));
  }
  static constexpr const char* kReason = "malformed data";

 private:
  int count_ = 0;
};

TEST_P(GoneKeyTest, LeavesNothingWhenItIsUnloaded) {
  ResidueHost host(environment());
  load(host);
  sign(host);
  host.tell("use");
  host.tell("unload");
  expect_gone("key unloaded", host);
}

TEST_P(GoneKeyTest, LeavesNothingWhenItsImportFailsMidway) {
  const std::string pem = read_file(key_file());
  const std::string der = keystore::pkcs8_der(key_.get());
  ResidueHost host(environment());
  refuse(host, der.substr(0, der.size() - 5));
  refuse(host, pem.substr(0, pem.size() * 3 / 4));
  refuse(host, pem.substr(0, pem.size() * 3 / 4) + "\n-----END PRIVATE KEY-----\n");
  refuse(host, pem + pem);
  if (type().signing == keystore::Signing::kDigest) {  // of others a file has no public half
    refuse(host, keystore::pkcs8_pem(with_foreign_public_half(key_.get()).get()));
  }
  write_mixed_parts(key_.get(), path("parts"));
  const std::string type_name = type().name;
  EXPECT_THAT(host.tell("refuse-parts " + type_name + " " + path("parts")), HasSubstr(kReason));
  expect_gone("import failed", host);
}

/// A key that comes as a JWK or a COSE_Key.
class SpelledKeyTest : public GoneKeyTest {
 protected:
  void SetUp() override {
    GoneKeyTest::SetUp();
    const auto spelling = keystore::spelling_of(key_.get(), kind());
    texts_ = {spelling.jwk(), spelling.cose()};
    auto foreign = spelling;
    foreign.parts[0].bytes.back() = static_cast<char>(foreign.parts[0].bytes.back() ^ 1);
    broken_ = {texts_[0].substr(0, texts_[0].size() - 2), texts_[1].substr(0, texts_[1].size() - 1),
               foreign.jwk(), foreign.cose()};
  }
  std::vector<std::string> texts_;
  std::vector<std::string> broken_;
};

TEST_P(SpelledKeyTest, LeavesNothingOutsideProtectedMemoryAndNothingAtAllWhenItIsUnloaded) {
  for (const std::string& text : texts_) {
    ResidueHost host(environment());
    world_->put(name(), text);
    host.tell("load " + uri());
    sign(host);
    look("spelled key", {.process = host.process()});
    host.tell("unload");
    expect_gone("spelled key unloaded", host);
  }
}

TEST_P(SpelledKeyTest, LeavesNothingWhenItsImportFailsMidway) {
  ResidueHost host(environment());
  for (const std::string& text : broken_) refuse(host, text);
  expect_gone("import of a spelled key failed", host);
}

INSTANTIATE_TEST_SUITE_P(Keys, SpelledKeyTest,
                         ::testing::Combine(::testing::Values("RSA2048", "P-256", "P-384", "P-521",
                                                              "ED25519", "X25519"),
                                            both_memories()),
                         ResidueTest::test_name);

INSTANTIATE_TEST_SUITE_P(Keys, GoneKeyTest, ::testing::Combine(every_key(), both_memories()),
                         ResidueTest::test_name);

}  // namespace
}  // namespace vhsm::tests
