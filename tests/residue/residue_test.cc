// SPDX-License-Identifier: Apache-2.0
//
// Nothing of a private key lies outside protected memory: not whole and not in any part of it, in
// no form, wherever the key has been and whatever was done with it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <memory>
#include <string>

#include "base/handle.h"
#include "tests/keystore/samples.h"
#include "tests/residue/host.h"
#include "tests/residue/scan.h"
#include "tests/residue/values.h"
#include "tests/world/world.h"

namespace vhsm::tests {
namespace {

using ::testing::IsEmpty;
using ::testing::Not;

const auto kKinds =
    ::testing::Values("RSA2048", "RSA4096", "P-256", "P-384", "P-521", "ED25519", "X25519");

std::string printable(std::string name) {
  std::erase(name, '-');
  return name;
}

/// A key of some kind, in the KBS for the two kinds of protected memory, or in a file.
class ResidueTest : public ::testing::Test,
                    public ::testing::WithParamInterface<std::tuple<const char*, const char*>> {
 protected:
  static void SetUpTestSuite() { world_ = std::make_unique<World>(); }
  static void TearDownTestSuite() { world_.reset(); }

  void SetUp() override {
    ASSERT_TRUE(world_->ready());
    key_ = keystore::make_key(kind());
    ASSERT_NE(key_, nullptr);
    values_ = values_of_key(key_.get());
    write_file(world_->file("key.pem"), keystore::pkcs8_pem(key_.get()));
  }

  static std::string kind() { return std::get<0>(GetParam()); }
  static std::string memory() { return std::get<1>(GetParam()); }
  static bool in_file() { return memory() == "file"; }
  static bool signs() { return kind() != "X25519"; }
  static std::string name() { return "default/residue/" + kind() + memory(); }
  static std::string path(const std::string& file) { return world_->file(file); }

  static std::vector<std::string> environment() {
    auto all = world_->environment();
    if (!in_file()) all.push_back("VHSM_MEMORY=" + memory());
    return all;
  }

  /// Has the host load the key from where it is.
  void load(ResidueHost& host) {
    if (!in_file()) world_->put(name(), keystore::pkcs8_pem(key_.get()));
    host.tell("load " + (in_file() ? path("key.pem") : "vhsm:" + name()));
  }

  /// Has the host sign; the nonce is looked for from now on.
  void sign(ResidueHost& host) {
    if (!signs()) return;
    host.tell("sign " + path("signature") + " " + path("message"));
    add_nonce();
  }
  void add_nonce() {
    const auto bytes = [&](const char* file) {
      const std::string text = read_file(path(file));
      return Bytes(text.begin(), text.end());
    };
    const auto nonce =
        values_of_signature(key_.get(), {bytes("signature"), bytes("message"), "SHA256"});
    EXPECT_EQ(nonce.empty(), kind().starts_with("RSA") || !signs());
    values_.insert(values_.end(), nonce.begin(), nonce.end());
  }

  /// Looks, and expects what is to be expected of protected memory or of a file.
  Report look(const std::string& situation, const Target& target) {
    const Report report = scan(target, values_);
    EXPECT_EQ(report.error, "");
    EXPECT_GT(report.bytes, 1U << 20);
    if (in_file()) {
      EXPECT_THAT(report.leaks(), Not(IsEmpty()));
    } else {
      EXPECT_THAT(report.leaks(), IsEmpty());
      EXPECT_EQ(report.protected_memory.empty(), memory() == "secret");
    }
    note({situation, kind(), memory()}, report);
    return report;
  }

  static std::unique_ptr<World> world_;
  ossl::PKey key_;
  std::vector<Value> values_;
};
std::unique_ptr<World> ResidueTest::world_;

TEST_P(ResidueTest, AThreadedHostHasNothingOutsideProtectedMemory) {
  ResidueHost host(environment());
  load(host);
  sign(host);
  const Range stacks = range_of(host.tell("use"));
  const Report report =
      look("threads, signals", {.process = host.process(), .words = {stacks}, .dump = true});
  EXPECT_EQ(report.core, "by gcore");
  EXPECT_GT(report.core_bytes, 1U << 20);
  EXPECT_EQ(report.at(Place::kProtected).empty(), memory() != "locked");
}

TEST_P(ResidueTest, AHostAtWorkHasNothingOutsideProtectedMemory) {
  ResidueHost host(environment());
  load(host);
  const Range stacks = range_of(host.tell("start"));
  for (int times = 0; times < 3; ++times) {
    look("at work", {.process = host.process(), .words = {stacks}});
  }
  host.tell("stop");
}

TEST_P(ResidueTest, NeitherParentNorChildOfAForkHasAnything) {
  ResidueHost host(environment());
  load(host);
  sign(host);
  const std::string child = host.tell("fork " + path("signature") + " " + path("message"));
  if (signs()) add_nonce();
  look("fork, parent", {.process = host.process()});
  look("fork, child", {.process = std::stoi(child)});
  host.tell("end " + child);
}

TEST_P(ResidueTest, NothingAtAllIsLeftWhenTheKeyIsGone) {
  ResidueHost host(environment());
  load(host);
  sign(host);
  host.tell("use");
  host.tell("unload");
  const Report report = scan({.process = host.process()}, values_);
  note({"key gone", kind(), memory()}, report);
  EXPECT_EQ(report.error, "");
  if (in_file()) return;  // OpenSSL wipes a key's numbers too, though not all that it made of them
  EXPECT_THAT(report.findings, IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Keys, ResidueTest,
                         ::testing::Combine(kKinds, ::testing::Values("secret", "locked", "file")),
                         [](const auto& test) {
                           return printable(std::string(std::get<0>(test.param)) + "_" +
                                            std::get<1>(test.param));
                         });

}  // namespace
}  // namespace vhsm::tests
