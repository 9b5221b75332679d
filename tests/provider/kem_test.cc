// SPDX-License-Identifier: Apache-2.0
//
// Key encapsulation with a key in vhsm on one side and in the default provider on the other.
#include <gtest/gtest.h>
#include <openssl/core_names.h>
#include <openssl/params.h>

#include <array>
#include <functional>
#include <string>

#include "tests/kinds.h"
#include "tests/provider/host.h"
#include "tests/provider/key_folder.h"

namespace vhsm::test {
namespace {

using tests::Kind;

struct Capsule {
  Bytes wrapped;
  Bytes secret;
};

class KemTest : public ::testing::TestWithParam<Kind> {
 protected:
  [[nodiscard]] ossl::PKey theirs() const {
    return host_.generate(GetParam().type->name, GetParam().detail, kDefault);
  }

  /// Types with a choice of ways to encapsulate want to be told.
  static void choose_operation(EVP_PKEY_CTX* ctx) {
    if (GetParam().type->family == keystore::Family::kMlKem) return;
    const bool rsa = GetParam().type->family == keystore::Family::kRsa;
    EXPECT_EQ(EVP_PKEY_CTX_set_kem_op(ctx, rsa ? "RSASVE" : "DHKEM"), 1) << take_errors();
  }

  [[nodiscard]] ossl::PKeyCtx encapsulation(EVP_PKEY* key, const char* properties = nullptr) const {
    ossl::PKeyCtx ctx(EVP_PKEY_CTX_new_from_pkey(host_.ctx(), key, properties));
    EXPECT_EQ(EVP_PKEY_encapsulate_init(ctx.get(), nullptr), 1) << take_errors();
    choose_operation(ctx.get());
    return ctx;
  }
  [[nodiscard]] ossl::PKeyCtx decapsulation(EVP_PKEY* key) const {
    ossl::PKeyCtx ctx(EVP_PKEY_CTX_new_from_pkey(host_.ctx(), key, nullptr));
    EXPECT_EQ(EVP_PKEY_decapsulate_init(ctx.get(), nullptr), 1) << take_errors();
    choose_operation(ctx.get());
    return ctx;
  }

  static Capsule encapsulate(EVP_PKEY_CTX* ctx) {
    std::size_t wrapped = 0;
    std::size_t secret = 0;
    EXPECT_EQ(EVP_PKEY_encapsulate(ctx, nullptr, &wrapped, nullptr, &secret), 1) << take_errors();
    Capsule made{Bytes(wrapped), Bytes(secret)};
    EXPECT_EQ(EVP_PKEY_encapsulate(ctx, made.wrapped.data(), &wrapped, made.secret.data(), &secret),
              1)
        << take_errors();
    made.wrapped.resize(wrapped);
    made.secret.resize(secret);
    return made;
  }
  static Bytes decapsulate(EVP_PKEY_CTX* ctx, const Bytes& wrapped) {
    std::size_t size = 0;
    EXPECT_EQ(EVP_PKEY_decapsulate(ctx, nullptr, &size, wrapped.data(), wrapped.size()), 1)
        << take_errors();
    Bytes secret(size);
    if (EVP_PKEY_decapsulate(ctx, secret.data(), &size, wrapped.data(), wrapped.size()) != 1) {
      return {};
    }
    secret.resize(size);
    return secret;
  }

  /// The public half of `key` as vhsm's key.
  [[nodiscard]] ossl::PKey public_in_vhsm(EVP_PKEY* key) const {
    OSSL_PARAM* params = nullptr;
    EXPECT_EQ(EVP_PKEY_todata(key, EVP_PKEY_PUBLIC_KEY, &params), 1);
    const ossl::PKeyCtx ctx(EVP_PKEY_CTX_new_from_name(host_.ctx(), GetParam().type->name, kVhsm));
    ossl::PKey imported;
    EXPECT_EQ(EVP_PKEY_fromdata_init(ctx.get()), 1);
    EXPECT_EQ(EVP_PKEY_fromdata(ctx.get(), ossl::Receive(imported), EVP_PKEY_PUBLIC_KEY, params), 1)
        << take_errors();
    OSSL_PARAM_free(params);
    return imported;
  }

  const KeyFolder folder_;
  const Host host_{"vhsm_files"};
  const ossl::PKey ephemeral_ = host_.generate(GetParam().type->name, GetParam().detail);
  const ossl::PKey named_ = host_.open(folder_.uri(GetParam().name));
};

TEST_P(KemTest, WhatTheDefaultProviderEncapsulatesIsOpenedByOurs) {
  for (EVP_PKEY* key : {ephemeral_.get(), named_.get()}) {
    const auto peer = host_.public_in_default(key);
    const Capsule made = encapsulate(encapsulation(peer.get()).get());
    EXPECT_EQ(decapsulate(decapsulation(key).get(), made.wrapped), made.secret) << take_errors();
  }
}

TEST_P(KemTest, WhatOursEncapsulatesIsOpenedByTheDefaultProvider) {
  const auto pair = theirs();
  const auto peer = public_in_vhsm(pair.get());
  const auto ctx = encapsulation(peer.get(), kVhsm);
  const Capsule first = encapsulate(ctx.get());
  const Capsule second = encapsulate(ctx.get());
  EXPECT_NE(first.secret, second.secret);
  const auto opening = decapsulation(pair.get());
  EXPECT_EQ(decapsulate(opening.get(), first.wrapped), first.secret);
  EXPECT_EQ(decapsulate(opening.get(), second.wrapped), second.secret);
}

TEST_P(KemTest, AChangedCapsuleDoesNotGiveTheSecret) {
  for (EVP_PKEY* key : {ephemeral_.get(), named_.get()}) {
    Capsule made = encapsulate(encapsulation(key).get());
    made.wrapped.back() ^= 1;
    EXPECT_NE(decapsulate(decapsulation(key).get(), made.wrapped), made.secret);
    take_errors();
  }
}

TEST_P(KemTest, ACapsuleOfAnotherLengthIsAnErrorOrNotTheSecret) {
  for (EVP_PKEY* key : {ephemeral_.get(), named_.get()}) {
    const Capsule made = encapsulate(encapsulation(key).get());
    for (const std::size_t size : {std::size_t{1}, made.wrapped.size() - 1}) {
      Bytes secret(made.secret.size());
      std::size_t room = secret.size();
      EXPECT_NE(EVP_PKEY_decapsulate(decapsulation(key).get(), secret.data(), &room,
                                     made.wrapped.data(), size),
                1);
    }
    take_errors();
  }
}

TEST_P(KemTest, NothingIsWrittenWhereThereIsNoRoom) {
  for (EVP_PKEY* key : {ephemeral_.get(), named_.get()}) {
    const Capsule made = encapsulate(encapsulation(key).get());
    Bytes secret(made.secret.size(), 0xa5);
    std::size_t room = secret.size() - 1;
    EXPECT_NE(EVP_PKEY_decapsulate(decapsulation(key).get(), secret.data(), &room,
                                   made.wrapped.data(), made.wrapped.size()),
              1);
    EXPECT_EQ(secret, Bytes(secret.size(), 0xa5));
    Bytes wrapped(made.wrapped.size(), 0xa5);
    std::size_t wrapped_room = wrapped.size();
    EXPECT_NE(EVP_PKEY_encapsulate(encapsulation(key).get(), wrapped.data(), &wrapped_room,
                                   secret.data(), &room),
              1);
    EXPECT_EQ(secret, Bytes(secret.size(), 0xa5));
    take_errors();
  }
}

TEST_P(KemTest, TheSizeIsToldWithoutAPrivateOperation) {
  const Capsule made = encapsulate(encapsulation(named_.get()).get());
  const auto opening = decapsulation(named_.get());
  const auto before = host_.counter("vhsm-operations");
  std::size_t size = 0;
  EXPECT_EQ(
      EVP_PKEY_decapsulate(opening.get(), nullptr, &size, made.wrapped.data(), made.wrapped.size()),
      1);
  EXPECT_EQ(size, made.secret.size());
  EXPECT_EQ(host_.counter("vhsm-operations"), before);
  static_cast<void>(decapsulate(opening.get(), made.wrapped));
  EXPECT_EQ(host_.counter("vhsm-operations"), before + 1);
}

/// OpenSSL 3.5 copies RSA's alone.
TEST_P(KemTest, ACopyOfAnOperationGoesOnByItselfWhereTheDefaultProviderHasOne) {
  const auto pair = theirs();
  const ossl::PKeyCtx model(EVP_PKEY_CTX_dup(decapsulation(pair.get()).get()));
  for (EVP_PKEY* key : {ephemeral_.get(), named_.get()}) {
    const Capsule made = encapsulate(encapsulation(key).get());
    const auto opening = decapsulation(key);
    const ossl::PKeyCtx copy(EVP_PKEY_CTX_dup(opening.get()));
    ASSERT_EQ(copy == nullptr, model == nullptr) << take_errors();
    if (copy == nullptr) continue;
    EXPECT_EQ(decapsulate(copy.get(), made.wrapped), made.secret) << take_errors();
  }
}

TEST_P(KemTest, AnUnknownWayToEncapsulateIsRefused) {
  if (GetParam().type->family == keystore::Family::kMlKem) return;  // it has one way only
  for (EVP_PKEY* key : {ephemeral_.get(), named_.get()}) {
    const ossl::PKeyCtx ctx(EVP_PKEY_CTX_new_from_pkey(host_.ctx(), key, nullptr));
    ASSERT_EQ(EVP_PKEY_decapsulate_init(ctx.get(), nullptr), 1) << take_errors();
    EXPECT_NE(EVP_PKEY_CTX_set_kem_op(ctx.get(), "nonsense"), 1);
    take_errors();
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, KemTest,
                         ::testing::ValuesIn(tests::kinds_that(std::mem_fn(&Kind::encapsulates))),
                         [](const auto& test) { return tests::plain(test.param.name); });

TEST(RsaKemTest, KeyMaterialForAnEphemeralKeyIsNotSilentlyIgnored) {
  const Host host;
  const auto key = host.generate("RSA");
  const ossl::PKeyCtx ctx(EVP_PKEY_CTX_new_from_pkey(host.ctx(), key.get(), nullptr));
  std::array<unsigned char, 32> material{};
  OSSL_PARAM params[] = {
      OSSL_PARAM_construct_octet_string("ikme", material.data(), material.size()),
      OSSL_PARAM_construct_end()};
  EXPECT_NE(EVP_PKEY_encapsulate_init(ctx.get(), params), 1);
  EXPECT_NE(take_errors().find("ikme"), std::string::npos);
}

#if OPENSSL_VERSION_NUMBER >= 0x30200000L
/// RFC 9180, section 5.1.3: the sender is known by its key.
class AuthKemTest : public KemTest {};

TEST_P(AuthKemTest, TheSendersKeyIsPartOfTheSecret) {
  const auto sender = host_.open(folder_.uri(GetParam().name));
  const auto recipient = host_.generate(GetParam().type->name, GetParam().detail);
  const auto stranger = host_.generate(GetParam().type->name, GetParam().detail);
  const auto recipient_public = public_in_vhsm(recipient.get());
  const ossl::PKeyCtx sending(
      EVP_PKEY_CTX_new_from_pkey(host_.ctx(), recipient_public.get(), kVhsm));
  ASSERT_EQ(EVP_PKEY_auth_encapsulate_init(sending.get(), sender.get(), nullptr), 1)
      << take_errors();
  choose_operation(sending.get());
  const Capsule made = encapsulate(sending.get());
  const auto open_as_from = [&](EVP_PKEY* who) {
    const auto known = public_in_vhsm(who);
    const ossl::PKeyCtx opening(EVP_PKEY_CTX_new_from_pkey(host_.ctx(), recipient.get(), kVhsm));
    EXPECT_EQ(EVP_PKEY_auth_decapsulate_init(opening.get(), known.get(), nullptr), 1)
        << take_errors();
    choose_operation(opening.get());
    return decapsulate(opening.get(), made.wrapped);
  };
  EXPECT_EQ(open_as_from(sender.get()), made.secret) << take_errors();
  EXPECT_NE(open_as_from(stranger.get()), made.secret);
}

TEST_P(AuthKemTest, TheDefaultProviderAgreesOnBothSides) {
  const auto pair = theirs();
  const auto pair_public = public_in_vhsm(pair.get());
  const auto ours_public = host_.public_in_default(named_.get());
  const ossl::PKeyCtx sending(EVP_PKEY_CTX_new_from_pkey(host_.ctx(), ours_public.get(), nullptr));
  ASSERT_EQ(EVP_PKEY_auth_encapsulate_init(sending.get(), pair.get(), nullptr), 1) << take_errors();
  choose_operation(sending.get());
  const Capsule made = encapsulate(sending.get());
  const ossl::PKeyCtx opening(EVP_PKEY_CTX_new_from_pkey(host_.ctx(), named_.get(), kVhsm));
  ASSERT_EQ(EVP_PKEY_auth_decapsulate_init(opening.get(), pair_public.get(), nullptr), 1)
      << take_errors();
  choose_operation(opening.get());
  EXPECT_EQ(decapsulate(opening.get(), made.wrapped), made.secret) << take_errors();
}

INSTANTIATE_TEST_SUITE_P(Kinds, AuthKemTest,
                         ::testing::ValuesIn(tests::kinds_that([](const Kind& kind) {
                           return kind.encapsulates() && kind.exchanges();
                         })),
                         [](const auto& test) { return tests::plain(test.param.name); });
#endif

}  // namespace
}  // namespace vhsm::test
