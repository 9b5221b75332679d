// SPDX-License-Identifier: Apache-2.0
//
// Instances that come and go: contexts without configuration, several at once, loaded many times.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/core_names.h>
#include <openssl/params.h>

#include <string>
#include <thread>
#include <vector>

#include "tests/provider/host.h"

namespace vhsm::test {
namespace {

// T3 T15
TEST(LifetimeTest, AContextWithoutConfigurationOrDefaultProviderSigns) {
  const Host alone("vhsm", Order::kVhsmAlone);
  const auto key = alone.generate("ED25519");
  ASSERT_NE(key, nullptr) << take_errors();
  const Bytes signature = sign(alone, key.get(), {}, kMessage);
  EXPECT_TRUE(verify(alone, key.get(), {}, kMessage, signature)) << take_errors();
  EXPECT_FALSE(public_der(key.get()).empty());
}

TEST(LifetimeTest, TwoContextsKeepTheirKeysAndCountersApart) {
  const Host one;
  const auto key = one.generate("EC");
  {
    const Host other;
    const auto foreign = other.generate("EC");
    EXPECT_FALSE(sign(other, foreign.get(), {"SHA256"}, kMessage).empty());
  }
  EXPECT_FALSE(sign(one, key.get(), {"SHA256"}, kMessage).empty()) << take_errors();
}

TEST(LifetimeTest, AKeyOutlivesTheUnloadingOfItsProvider) {
  const ossl::LibCtx ctx(OSSL_LIB_CTX_new());
  const LoadedProvider base = load(ctx.get(), "default");
  LoadedProvider vhsm = load(ctx.get(), "vhsm");
  ossl::PKey key;
  {
    const ossl::PKeyCtx gen(EVP_PKEY_CTX_new_from_name(ctx.get(), "ED25519", kVhsm));
    EVP_PKEY_keygen_init(gen.get());
    EVP_PKEY_generate(gen.get(), ossl::Receive(key));
  }
  ASSERT_NE(key, nullptr);
  vhsm.reset();
  EXPECT_EQ(EVP_PKEY_get_bits(key.get()), 256);
}

TEST(LifetimeTest, HundredsOfLoadsLeaveNoProtectedMemoryBehind) {
  const Host witness;
  { const Host warm; }
  const auto before = witness.counter("vhsm-memory-in-use");
  for (int i = 0; i < 300; ++i) {
    const Host host;
    const auto key = host.generate("ED25519");
    ASSERT_FALSE(sign(host, key.get(), {}, kMessage).empty()) << i << take_errors();
  }
  EXPECT_LE(witness.counter("vhsm-memory-in-use"), before + 4096);
}

TEST(LifetimeTest, ManyKeysAndCopiesLeaveNoProtectedMemoryBehind) {
  const Host host;
  { const auto warm = host.generate("EC"); }
  const auto before = host.counter("vhsm-memory-in-use");
  for (int i = 0; i < 2000; ++i) {
    const auto key = host.generate("EC");
    const ossl::PKey copy(EVP_PKEY_dup(key.get()));
    ASSERT_FALSE(sign(host, copy.get(), {"SHA256"}, kMessage).empty()) << i << take_errors();
  }
  EXPECT_LE(host.counter("vhsm-memory-in-use"), before + 4096);
}

TEST(LifetimeTest, ThreadsSignWithOneKeyAtOnce) {
  const Host host;
  const auto key = host.generate("EC");
  const auto theirs = host.public_in_default(key.get());
  std::vector<int> good(4);
  std::vector<std::thread> threads;
  for (int& count : good) {
    threads.emplace_back([&] {
      for (int i = 0; i < 200; ++i) {
        const Bytes signature = sign(host, key.get(), {"SHA256"}, kMessage);
        count += verify(host, theirs.get(), {"SHA256"}, kMessage, signature) ? 1 : 0;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_THAT(good, ::testing::Each(200));
}

TEST(LifetimeTest, TheProviderSaysWhatItIs) {
  const Host host;
  const char* name = nullptr;
  const char* version = nullptr;
  const char* kind = nullptr;
  int status = 0;
  OSSL_PARAM params[] = {
      OSSL_PARAM_construct_utf8_ptr(OSSL_PROV_PARAM_NAME, const_cast<char**>(&name), 0),
      OSSL_PARAM_construct_utf8_ptr(OSSL_PROV_PARAM_VERSION, const_cast<char**>(&version), 0),
      OSSL_PARAM_construct_utf8_ptr("vhsm-memory-kind", const_cast<char**>(&kind), 0),
      OSSL_PARAM_construct_int(OSSL_PROV_PARAM_STATUS, &status), OSSL_PARAM_construct_end()};
  ASSERT_EQ(OSSL_PROVIDER_get_params(host.vhsm(), params), 1);
  EXPECT_STREQ(name, "vhsm");
  EXPECT_STREQ(version, VHSM_VERSION);
  EXPECT_THAT(std::string(kind), ::testing::AnyOf("memfd_secret", "mlock"));
  EXPECT_EQ(status, 1);
}

TEST(LifetimeTest, ErrorsCarrySubjectCauseAndCure) {
  const Host host;
  EXPECT_EQ(host.open("vhsm:no/such/key"), nullptr);
  const std::string errors = take_errors();
  EXPECT_THAT(errors, ::testing::HasSubstr("vhsm:no/such/key"));
  EXPECT_THAT(errors, ::testing::HasSubstr("no KBS is configured"));
  EXPECT_THAT(errors, ::testing::HasSubstr("vhsm-kbs resource put"));
  EXPECT_EQ(errors.find('\n', errors.find("vhsm:no/such/key: ")), errors.size() - 1)
      << "our own error is the last";
}

}  // namespace
}  // namespace vhsm::test
