// SPDX-License-Identifier: Apache-2.0
//
// `assume_fips`: what a host finds that asks for fips=yes wherever it asks.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/encoder.h>
#include <openssl/pem.h>

#include <cstdlib>
#include <string>

#include "tests/base/temp_dir.h"
#include "tests/provider/host.h"
#include "tests/provider/key_folder.h"

namespace vhsm::test {
namespace {

using KeyManagement = ossl::Handle<EVP_KEYMGMT, EVP_KEYMGMT_free>;
using KeyExchange = ossl::Handle<EVP_KEYEXCH, EVP_KEYEXCH_free>;
using Encoder = ossl::Handle<OSSL_ENCODER, OSSL_ENCODER_free>;

/// Settings for what is loaded during its life.
class Configured {
 public:
  explicit Configured(const std::string& line) {
    ::setenv("VHSM_CONF", folder_.write("vhsm.cnf", "[vhsm]\n" + line + "\n").c_str(), 1);
  }
  Configured(const Configured&) = delete;
  Configured& operator=(const Configured&) = delete;
  ~Configured() { ::unsetenv("VHSM_CONF"); }

 private:
  TempDir folder_;
};

/// A host whose every fetch says fips=yes, unless it says otherwise.
class FipsHost {
 public:
  explicit FipsHost(const std::string& line) : settings_(line), host("vhsm_files") {
    EXPECT_EQ(EVP_set_default_properties(host.ctx(), "fips=yes"), 1);
  }

 private:
  Configured settings_;

 public:
  Host host;
};

class AssumeFipsTest : public ::testing::TestWithParam<const char*> {
 protected:
  static const char* digest() {
    return std::string(GetParam()).starts_with("ED") ? nullptr : "SHA256";
  }
  const KeyFolder folder_;
};

TEST_P(AssumeFipsTest, AHostThatAsksForFipsOpensTheUriAndSigns) {
  const FipsHost fips("assume_fips = yes");
  const auto key = fips.host.open(folder_.uri(GetParam()));
  ASSERT_NE(key, nullptr) << take_errors();
  const Bytes signature = sign(fips.host, key.get(), {digest()}, kMessage);
  const Host plain(nullptr);
  EXPECT_TRUE(
      verify(plain, folder_.in_default(plain, GetParam()).get(), {digest()}, kMessage, signature))
      << take_errors();
}

TEST_P(AssumeFipsTest, AStandInIsWrittenAndReadByAHostThatAsksForFips) {
  const FipsHost fips("assume_fips = yes");
  const auto key = fips.host.open(folder_.uri(GetParam()));
  const ossl::Bio file(BIO_new(BIO_s_mem()));
  ASSERT_EQ(PEM_write_bio_PrivateKey(file.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr),
            1)
      << take_errors();
  const ossl::PKey again(
      PEM_read_bio_PrivateKey_ex(file.get(), nullptr, nullptr, nullptr, fips.host.ctx(), nullptr));
  ASSERT_NE(again, nullptr) << take_errors();
  EXPECT_FALSE(sign(fips.host, again.get(), {digest()}, kMessage).empty()) << take_errors();
}

TEST_P(AssumeFipsTest, WithoutItTheUriIsNobodys) {
  const FipsHost fips("assume_fips = no");
  EXPECT_EQ(fips.host.open(folder_.uri(GetParam())), nullptr);
}

INSTANTIATE_TEST_SUITE_P(Keys, AssumeFipsTest,
                         ::testing::Values("RSA", "RSA-PSS", "EC", "ED25519", "ED448"),
                         [](const auto& test) {
                           std::string name = test.param;
                           std::erase(name, '-');
                           return name;
                         });

TEST(AssumeFipsRowsTest, WhatFipsDoesNotApproveSaysSo) {
  const Configured settings("assume_fips = yes");
  const Host host;
  for (const char* type : {"X25519", "X448"}) {
    const auto found = [&](const char* properties) {
      return KeyManagement(EVP_KEYMGMT_fetch(host.ctx(), type, properties)) != nullptr &&
             KeyExchange(EVP_KEYEXCH_fetch(host.ctx(), type, properties)) != nullptr &&
             Encoder(OSSL_ENCODER_fetch(host.ctx(), type, properties)) != nullptr;
    };
    EXPECT_FALSE(found("provider=vhsm,fips=yes")) << type;
    EXPECT_TRUE(found("provider=vhsm,fips=no")) << type;
  }
}

TEST(AssumeFipsRowsTest, WithoutItNoRowSpeaksOfFips) {
  const Configured settings("assume_fips = no");
  const Host host;
  for (const char* type : {"RSA", "EC", "X25519"}) {
    const KeyManagement management(EVP_KEYMGMT_fetch(host.ctx(), type, kVhsm));
    ASSERT_NE(management, nullptr) << type;
    EXPECT_EQ(KeyManagement(EVP_KEYMGMT_fetch(host.ctx(), type, "provider=vhsm,fips=yes")), nullptr)
        << type;
  }
}

TEST(AssumeFipsRowsTest, EachInstanceGoesByItsOwnSetting) {
  const Host without = [] {
    const Configured settings("assume_fips = no");
    return Host();
  }();
  const Configured settings("assume_fips = yes");
  const Host with;
  const auto found = [](const Host& host) {
    return KeyManagement(EVP_KEYMGMT_fetch(host.ctx(), "EC", "provider=vhsm,fips=yes")) != nullptr;
  };
  EXPECT_TRUE(found(with));
  EXPECT_FALSE(found(without));
}

}  // namespace
}  // namespace vhsm::test
