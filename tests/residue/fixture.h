// SPDX-License-Identifier: Apache-2.0
//
// A key of each kind in each place, and what is to be found of it.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "tests/keystore/samples.h"
#include "tests/residue/host.h"
#include "tests/residue/kinds.h"
#include "tests/residue/note.h"
#include "tests/residue/parts.h"
#include "tests/residue/scan.h"
#include "tests/residue/values.h"
#include "tests/world/world.h"

namespace vhsm::tests {

/// Its parameters: the kind of key; and "secret" or "locked", the kinds of protected memory, or
/// "file" for the control, a key in a file with OpenSSL's own provider.
class ResidueTest : public ::testing::Test,
                    public ::testing::WithParamInterface<std::tuple<std::string, const char*>> {
 public:
  static std::string test_name(const ::testing::TestParamInfo<ParamType>& test) {
    return plain(std::get<0>(test.param)) + "_" + std::get<1>(test.param);
  }

 protected:
  static void SetUpTestSuite() { ASSERT_NE(::mkdtemp(folder_.data()), nullptr); }
  static void TearDownTestSuite() {
    world_.reset();
    std::filesystem::remove_all(folder_);
  }

  void SetUp() override {
    if (!in_file() && world_ == nullptr) {
      world_ = std::make_unique<World>();
      ASSERT_TRUE(world_->ready());
      world_->configure("import_private = yes\n");
    }
    key_ = read_key(key_file());
    ASSERT_NE(key_, nullptr) << key_file();
    values_ = values_of_key(key_.get());
  }

  static std::string kind() { return std::get<0>(GetParam()); }
  static std::string memory() { return std::get<1>(GetParam()); }
  static bool in_file() { return memory() == "file"; }
  [[nodiscard]] const keystore::KeyType& type() const { return type_of(key_.get()); }
  [[nodiscard]] bool signs() const { return type().signature.exist(); }
  /// Signatures of these tell their nonce to who has the key.
  [[nodiscard]] bool has_nonce() const {
    return type().family == keystore::Family::kEc || kind() == "ED25519";
  }
  static std::string key_file() { return std::string(VHSM_RESIDUE_KEYS) + "/" + kind() + ".pem"; }
  static std::string name() { return "default/residue/" + kind(); }
  /// Where programs find the key.
  static std::string uri() { return in_file() ? key_file() : "vhsm:" + name(); }
  static std::string path(const std::string& file) { return folder_ + "/" + file; }

  static std::vector<std::string> environment() {
    if (in_file()) return {"OPENSSL_CONF=/dev/null"};
    auto all = world_->environment();
    all.push_back("VHSM_MEMORY=" + memory());
    return all;
  }

  /// Puts it where it is to be.
  void store() {
    if (!in_file()) world_->put(name(), read_file(key_file()));
  }

  /// From now on the nonce is looked for, too.
  void add_nonce(const Signature& signature) {
    const auto nonce = values_of_signature(key_.get(), signature);
    EXPECT_EQ(nonce.empty(), !has_nonce());
    values_.insert(values_.end(), nonce.begin(), nonce.end());
  }
  /// Of the files that the host has been told to write.
  void add_nonce() {
    if (signs()) add_nonce({bytes_of(path("signature")), bytes_of(path("message")), "SHA256"});
  }
  static Bytes bytes_of(const std::string& file) {
    const std::string text = read_file(file);
    return {text.begin(), text.end()};
  }

  /// Looks, and expects of protected memory and of a file what is to be expected of them.
  Report look(const std::string& situation, const Target& target) {
    const Report report = scan(target, values_);
    EXPECT_EQ(report.error, "");
    EXPECT_GT(report.bytes + report.core_bytes, 1U << 20);
    if (in_file()) {
      EXPECT_THAT(report.leaks(), ::testing::Not(::testing::IsEmpty()));
    } else {
      EXPECT_THAT(report.leaks(), ::testing::IsEmpty());
    }
    note({situation, kind(), memory()}, report);
    return report;
  }

  static inline std::unique_ptr<World> world_;  // none until a key is put into it
  static inline std::string folder_ = "/tmp/vhsm-residue-XXXXXX";
  ossl::PKey key_;
  std::vector<Value> values_;
};

inline auto every_key() { return ::testing::ValuesIn(residue_kinds()); }
inline auto both_memories() { return ::testing::Values("secret", "locked"); }
inline auto every_place() { return ::testing::Values("secret", "locked", "file"); }

}  // namespace vhsm::tests
