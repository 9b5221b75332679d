// SPDX-License-Identifier: Apache-2.0
//
// No private component lies outside protected memory: not whole and not in any 16 bytes of it.
#include <gtest/gtest.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>

#include <array>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "base/handle.h"
#include "tests/keystore/samples.h"
#include "tests/residue/needles.h"
#include "tests/world/world.h"

namespace vhsm::tests {
namespace {

const std::string kHost = std::string(VHSM_BIN_DIR) + "/residue_host";

void add_line(std::string& lines, const std::string& name, const unsigned char* bytes,
              std::size_t size) {
  lines += name + " ";
  for (std::size_t i = 0; i < size; ++i) {
    std::array<char, 3> hex{};
    std::snprintf(hex.data(), hex.size(), "%02x", static_cast<unsigned>(bytes[i] ^ kMask));
    lines += hex.data();
  }
  lines += "\n";
}

void add_number(std::string& lines, EVP_PKEY* key, const char* name) {
  ossl::Bignum number;
  ASSERT_EQ(EVP_PKEY_get_bn_param(key, name, ossl::Receive(number)), 1) << name;
  std::vector<unsigned char> bytes(static_cast<std::size_t>(BN_num_bytes(number.get())));
  BN_bn2bin(number.get(), bytes.data());
  add_line(lines, name, bytes.data(), bytes.size());
}

/// Seed, and for Ed25519 what it expands to: the clamped scalar and the nonce prefix
/// (RFC 8032, section 5.1.5).
void add_raw(std::string& lines, EVP_PKEY* key) {
  std::array<unsigned char, 32> seed{};
  std::size_t size = seed.size();
  ASSERT_EQ(EVP_PKEY_get_raw_private_key(key, seed.data(), &size), 1);
  add_line(lines, "seed", seed.data(), size);
  if (EVP_PKEY_is_a(key, "ED25519") != 1) return;
  std::array<unsigned char, SHA512_DIGEST_LENGTH> expanded{};
  SHA512(seed.data(), size, expanded.data());
  add_line(lines, "prefix", expanded.data() + 32, 32);
  expanded[0] &= 0xF8;
  expanded[31] = static_cast<unsigned char>((expanded[31] & 0x7F) | 0x40);
  add_line(lines, "scalar", expanded.data(), 32);
}

std::string needle_lines(EVP_PKEY* key) {
  std::string lines;
  if (EVP_PKEY_is_a(key, "RSA") == 1) {
    for (const char* name : {OSSL_PKEY_PARAM_RSA_D, OSSL_PKEY_PARAM_RSA_FACTOR1,
                             OSSL_PKEY_PARAM_RSA_FACTOR2, OSSL_PKEY_PARAM_RSA_EXPONENT1,
                             OSSL_PKEY_PARAM_RSA_EXPONENT2, OSSL_PKEY_PARAM_RSA_COEFFICIENT1}) {
      add_number(lines, key, name);
    }
  } else if (EVP_PKEY_is_a(key, "EC") == 1) {
    add_number(lines, key, OSSL_PKEY_PARAM_PRIV_KEY);
  } else {
    add_raw(lines, key);
  }
  return lines;
}

const auto kKinds =
    ::testing::Values("RSA2048", "RSA4096", "P-256", "P-384", "P-521", "ED25519", "X25519");

std::string printable(std::string name) {
  std::erase(name, '-');
  return name;
}

class ResidueTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { world_ = std::make_unique<World>(); }
  static void TearDownTestSuite() { world_.reset(); }

  void make_key(const char* kind) {
    ASSERT_TRUE(world_->ready());
    key_ = keystore::make_key(kind);
    ASSERT_NE(key_, nullptr);
    write_file(world_->file("needles"), needle_lines(key_.get()));
  }

  static std::unique_ptr<World> world_;
  ossl::PKey key_;
};
std::unique_ptr<World> ResidueTest::world_;

class HeldKeyTest : public ResidueTest,
                    public ::testing::WithParamInterface<std::tuple<const char*, const char*>> {};
class FileKeyTest : public ResidueTest, public ::testing::WithParamInterface<const char*> {};

TEST_P(HeldKeyTest, LeavesNothingOutsideProtectedMemory) {
  const auto [kind, form] = GetParam();
  make_key(kind);
  const std::string name = std::string("default/residue/") + kind + form;
  world_->put(name, keystore::pkcs8_pem(key_.get()));
  auto environment = world_->environment();
  environment.push_back(std::string("VHSM_MEMORY=") + form);
  const auto outcome = run({kHost, world_->file("needles"), "vhsm:" + name}, environment);
  EXPECT_EQ(outcome.status, 0) << outcome.out << outcome.err;
}

TEST_P(FileKeyTest, IsFoundByTheSameSearch) {
  make_key(GetParam());
  write_file(world_->file("key.pem"), keystore::pkcs8_pem(key_.get()));
  const auto outcome =
      run({kHost, world_->file("needles"), world_->file("key.pem")}, world_->environment());
  EXPECT_EQ(outcome.status, 3) << outcome.out << outcome.err;
}

INSTANTIATE_TEST_SUITE_P(Keys, HeldKeyTest,
                         ::testing::Combine(kKinds, ::testing::Values("secret", "locked")),
                         [](const auto& test) {
                           return printable(std::string(std::get<0>(test.param)) + "_" +
                                            std::get<1>(test.param));
                         });
INSTANTIATE_TEST_SUITE_P(Keys, FileKeyTest, kKinds,
                         [](const auto& test) { return printable(test.param); });

}  // namespace
}  // namespace vhsm::tests
