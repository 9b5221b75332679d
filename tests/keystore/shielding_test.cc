// SPDX-License-Identifier: Apache-2.0
//
// Keys whose clear form is gone and comes back.
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/params.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <functional>
#include <thread>

#include "tests/keystore/held_keys.h"
#include "tests/kinds.h"

namespace vhsm::keystore {
namespace {

class ShieldingTest : public KeystoreTest {
 protected:
  void SetUp() override { shield_all(); }
};

TEST_F(ShieldingTest, EverySigningTypeSignsAsBefore) {
  auto kinds = tests::names_of(tests::kinds_that(std::mem_fn(&tests::Kind::signs)));
  kinds.insert(kinds.end(), {"RSA3072", "RSA4096"});
  for (const auto& kind : kinds) {
    const auto key = held(kind);
    EXPECT_TRUE(signs(*key)) << kind;
    shield_all();
    ASSERT_FALSE(key->private_half()->hot()) << kind;
    EXPECT_TRUE(signs(*key)) << kind;
    EXPECT_TRUE(key->private_half()->hot()) << kind;
  }
}

TEST_F(ShieldingTest, SignaturesWithoutANonceAreTheSameAsBefore) {
  for (const char* kind : {"RSA2048", "ED25519", "ED448"}) {
    const auto key = held(kind);
    const auto before = sign(*key);
    shield_all();
    EXPECT_EQ(before.value(), sign(*key).value()) << kind;
  }
}

TEST_F(ShieldingTest, SharedSecretsAreTheSameAsBefore) {
  for (const auto& kind :
       tests::names_of(tests::kinds_that(std::mem_fn(&tests::Kind::exchanges)))) {
    const auto key = held(kind);
    const auto peer = held(kind);
    const auto before = run(*key, {OperationKind::kDerive}, {}, peer.get());
    ASSERT_TRUE(before.ok()) << kind;
    shield_all();
    EXPECT_EQ(before.value(), run(*key, {OperationKind::kDerive}, {}, peer.get()).value()) << kind;
  }
}

TEST_F(ShieldingTest, ACiphertextIsDecryptedAsBefore) {
  const auto key = held("RSA2048");
  const Bytes text{1, 2, 3, 4};
  const auto encrypted = run(*key, {OperationKind::kEncrypt}, text);
  ASSERT_TRUE(encrypted.ok());
  shield_all();
  EXPECT_EQ(run(*key, {OperationKind::kDecrypt}, encrypted.value()).value(), text);
}

std::vector<OSSL_PARAM> way_to_encapsulate(const tests::Kind& kind) {
  static std::array<char, 8> rsa{"RSASVE"};
  static std::array<char, 8> dhkem{"DHKEM"};
  if (kind.type->family == Family::kMlKem) return {OSSL_PARAM_construct_end()};
  const bool is_rsa = kind.type->family == Family::kRsa;
  return {OSSL_PARAM_construct_utf8_string("operation", (is_rsa ? rsa : dhkem).data(), 0),
          OSSL_PARAM_construct_end()};
}

TEST_F(ShieldingTest, ACapsuleIsOpenedAsBefore) {
  for (const auto& kind : tests::kinds_that(std::mem_fn(&tests::Kind::encapsulates))) {
    const auto key = held(kind.name);
    const auto way = way_to_encapsulate(kind);
    const auto maker = key->begin({.kind = OperationKind::kEncapsulate, .params = way.data()});
    ASSERT_TRUE(maker.ok()) << kind.name << describe(maker.error());
    const Encapsulated size = maker.value()->encapsulate({}, {}).value();
    Bytes wrapped(size.wrapped_bytes);
    Bytes secret(size.secret_bytes);
    ASSERT_TRUE(maker.value()->encapsulate(wrapped, secret).ok()) << kind.name;
    shield_all();
    ASSERT_FALSE(key->private_half()->hot()) << kind.name;
    const OperationRequest request{.kind = OperationKind::kDecapsulate, .params = way.data()};
    EXPECT_EQ(run(*key, request, wrapped).value(), secret) << kind.name;
  }
}

ossl::PKey restricted_pss_key() {
  const ossl::PKeyCtx ctx(EVP_PKEY_CTX_new_from_name(nullptr, "RSA-PSS", nullptr));
  ossl::PKey key;
  EVP_PKEY_keygen_init(ctx.get());
  EVP_PKEY_CTX_set_rsa_keygen_bits(ctx.get(), 2048);
  EVP_PKEY_CTX_set_rsa_pss_keygen_md(ctx.get(), EVP_sha384());
  EVP_PKEY_CTX_set_rsa_pss_keygen_mgf1_md(ctx.get(), EVP_sha384());
  EVP_PKEY_CTX_set_rsa_pss_keygen_saltlen(ctx.get(), 40);
  EXPECT_EQ(EVP_PKEY_generate(ctx.get(), ossl::Receive(key)), 1);
  return key;
}

TEST_F(ShieldingTest, ThePssRestrictionsOfAKeyComeBackWithIt) {
  const auto key = held(restricted_pss_key().get());
  const Bytes digest(48, 7);
  std::array<char, 4> short_salt{"20"};
  const OSSL_PARAM params[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, short_salt.data(), 0),
      OSSL_PARAM_construct_end()};
  for (int round = 0; round < 2; ++round) {
    EXPECT_TRUE(run(*key, {OperationKind::kSign, "SHA384"}, digest).ok());
    EXPECT_FALSE(key->begin({OperationKind::kSign, "SHA256"}).ok());
    EXPECT_FALSE(key->begin({OperationKind::kSign, "SHA384", params}).ok());
    shield_all();
  }
}

/// A key from some of the parts of another.
ossl::PKey with_parts(EVP_PKEY* original, std::initializer_list<std::string_view> names) {
  OSSL_PARAM* all = nullptr;
  EXPECT_EQ(EVP_PKEY_todata(original, EVP_PKEY_KEYPAIR, &all), 1);
  const OwnedParams owned(all);
  std::vector<OSSL_PARAM> kept;
  for (const OSSL_PARAM* p = all; p->key != nullptr; ++p) {
    if (std::ranges::find(names, std::string_view(p->key)) != names.end()) kept.push_back(*p);
  }
  kept.push_back(OSSL_PARAM_construct_end());
  const ossl::PKeyCtx ctx(EVP_PKEY_CTX_new_from_name(nullptr, "RSA", nullptr));
  ossl::PKey key;
  EVP_PKEY_fromdata_init(ctx.get());
  EXPECT_EQ(EVP_PKEY_fromdata(ctx.get(), ossl::Receive(key), EVP_PKEY_KEYPAIR, kept.data()), 1);
  return key;
}

TEST_F(ShieldingTest, AnRsaKeyWithoutPrimesSignsAsBefore) {
  const auto whole = make_key("RSA2048");
  const auto key = held(with_parts(whole.get(), {"n", "e", "d"}).get());
  const auto before = sign(*key);
  shield_all();
  EXPECT_EQ(before.value(), sign(*key).value());
}

TEST_F(ShieldingTest, AnRsaKeyOfThreePrimesSignsAsBefore) {
  const ossl::PKeyCtx ctx(EVP_PKEY_CTX_new_from_name(nullptr, "RSA", nullptr));
  ossl::PKey original;
  EVP_PKEY_keygen_init(ctx.get());
  EVP_PKEY_CTX_set_rsa_keygen_bits(ctx.get(), 2048);
  EVP_PKEY_CTX_set_rsa_keygen_primes(ctx.get(), 3);
  ASSERT_EQ(EVP_PKEY_generate(ctx.get(), ossl::Receive(original)), 1);
  const auto key = held(original.get());
  const auto before = sign(*key);
  shield_all();
  EXPECT_EQ(before.value(), sign(*key).value());
}

std::span<std::uint8_t> sealed_bytes(const LocalKey& key) {
  const auto sealed = key.private_half()->sealed();
  return {const_cast<std::uint8_t*>(sealed.data()), sealed.size()};
}

TEST_F(ShieldingTest, ABitFlippedAnywhereInACiphertextIsAnErrorOfThatKeyAlone) {
  const auto key = held("P-256");
  const auto other = held("P-256");
  const auto bytes = sealed_bytes(*key);
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    shield_all();
    bytes[at] ^= 1;
    const auto refused = sign(*key);
    ASSERT_FALSE(refused.ok()) << at;
    EXPECT_EQ(refused.error().code, Errc::kDamaged) << at << describe(refused.error());
    bytes[at] ^= 1;
  }
  EXPECT_TRUE(signs(*other));
  EXPECT_TRUE(signs(*key)) << "nothing of a refusal stays";
}

TEST_F(ShieldingTest, ADamagedKeySaysWhatHappenedAndWhatToDo) {
  const auto key = held("ED25519");
  shield_all();
  sealed_bytes(*key).front() ^= 0x80;
  const std::string text = describe(sign(*key).error());
  EXPECT_NE(text.find("changed since it was shielded"), std::string::npos) << text;
  EXPECT_NE(text.find("restart"), std::string::npos) << text;
}

TEST_F(ShieldingTest, TheCiphertextOfAnotherKeyIsRefused) {
  for (const char* kind : {"P-256", "ED25519", "RSA2048"}) {
    const auto key = held(kind);
    auto other = held(kind);
    while (sealed_bytes(*key).size() != sealed_bytes(*other).size()) other = held(kind);
    shield_all();
    std::ranges::copy(sealed_bytes(*other), sealed_bytes(*key).begin());
    EXPECT_EQ(sign(*key).error().code, Errc::kDamaged) << kind;
    EXPECT_TRUE(signs(*other)) << kind;
  }
}

TEST_F(ShieldingTest, EachKeyHasItsOwnNonce) {
  const auto original = make_key("P-256");
  const auto one = held(original.get());
  const auto two = held(original.get());
  EXPECT_NE(Bytes(one->private_half()->sealed().begin(), one->private_half()->sealed().end()),
            Bytes(two->private_half()->sealed().begin(), two->private_half()->sealed().end()));
}

TEST_F(ShieldingTest, AnOperationUnderWayOutlivesTheShieldingOfItsKey) {
  const auto key = held("P-256");
  const std::size_t before = [&] {
    shield_all();
    return memory::in_use_bytes();
  }();
  Bytes signature(128);
  {
    const auto signer = key->begin({OperationKind::kSign, "SHA256"});
    ASSERT_TRUE(signer.ok());
    shield_all();
    ASSERT_FALSE(key->private_half()->hot());
    signature.resize(signer.value()->run(kDigest, signature).value());
    EXPECT_GT(memory::in_use_bytes(), before);
  }
  EXPECT_TRUE(verifies(*key, signature));
  EXPECT_LE(memory::in_use_bytes(), before + 512) << "the context of a shielded key was kept";
}

TEST_F(ShieldingTest, AnOperationUnderWayIsTheLastToHaveAKeyThatIsWiped) {
  EXPECT_TRUE(signs(*held("P-256")));  // what the first one allocates stays
  const std::size_t before = memory::in_use_bytes();
  const auto key = held("P-256");
  {
    const auto signer = key->begin({OperationKind::kSign, "SHA256"});
    ASSERT_TRUE(signer.ok());
    key->wipe();
    EXPECT_FALSE(key->private_half()->hot());
    EXPECT_GT(memory::in_use_bytes(), before);
  }
  EXPECT_LE(memory::in_use_bytes(), before + 512) << "its context was kept for the next one";
}

TEST_F(ShieldingTest, AShieldedKeyLeavesNothingInProtectedMemory) {
  std::vector<std::shared_ptr<LocalKey>> keys;
  const auto original = make_key("P-256");
  keys.push_back(held(original.get()));
  EXPECT_TRUE(signs(*keys.front()));
  shield_all();
  const std::size_t before = memory::in_use_bytes();
  for (int i = 0; i < 200; ++i) {
    keys.push_back(held(original.get()));
    EXPECT_TRUE(signs(*keys.back()));
  }
  shield_all();
  EXPECT_LE(memory::in_use_bytes(), before + 1024);
}

TEST_F(ShieldingTest, AChildUnshieldsWhatWasShieldedBeforeTheFork) {
  const auto key = held("P-256");
  shield_all();
  const pid_t child = ::fork();
  if (child == 0) {
    const bool first = signs(*key);
    shield_all();
    ::_exit(first && signs(*key) && signs(*held("ED25519")) ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_TRUE(signs(*key));
}

TEST_F(ShieldingTest, MoreKeysThanAreHotAreUsedByManyThreadsAndEvictedUnderUse) {
  std::vector<std::shared_ptr<LocalKey>> keys;
  for (int i = 0; i < 30; ++i) keys.push_back(held("P-256"));
  for (int i = 0; i < 10; ++i) keys.push_back(held("ED25519"));
  std::atomic<bool> done = false;
  std::atomic<int> failures = 0;
  std::thread evictor([&] {
    while (!done) shield_all();
  });
  const auto work = [&](std::size_t seed) {
    for (std::size_t round = 0; round < 150; ++round) {
      if (!signs(*keys[(seed * 13 + round * 7) % keys.size()])) ++failures;
    }
  };
  std::vector<std::thread> threads;
  for (std::size_t seed = 0; seed < 8; ++seed) threads.emplace_back(work, seed);
  for (auto& thread : threads) thread.join();
  done = true;
  evictor.join();
  EXPECT_EQ(failures, 0);
  keys.clear();
}

TEST_F(ShieldingTest, ForksAmongThreadsThatUnshieldGiveChildrenThatWork) {
  std::vector<std::shared_ptr<LocalKey>> keys;
  for (int i = 0; i < 20; ++i) keys.push_back(held("P-256"));
  std::atomic<bool> done = false;
  std::vector<std::thread> threads;
  for (std::size_t seed = 0; seed < 3; ++seed) {
    threads.emplace_back([&, seed] {
      for (std::size_t round = seed; !done; ++round) {
        static_cast<void>(sign(*keys[round % keys.size()]));
        if (round % 16 == 0) shield_all();
      }
    });
  }
  for (int round = 0; round < 10; ++round) {
    const pid_t child = ::fork();
    if (child == 0) {
      ::_exit(std::ranges::all_of(keys, [](const auto& key) { return signs(*key); }) ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  }
  done = true;
  for (auto& thread : threads) thread.join();
}

TEST_F(ShieldingTest, WorkThatFindsNoRoomIsDoneOnceMoreWhenIdleKeysHaveMadeSome) {
  const auto idle = held("P-256");
  int tries = 0;
  const Status done = run_with_room([&]() -> Status {
    if (++tries == 1) return fail(Errc::kMemoryLimit, "full");
    return {};
  });
  EXPECT_TRUE(done.ok());
  EXPECT_EQ(tries, 2);
  EXPECT_FALSE(idle->private_half()->hot());
}

TEST_F(ShieldingTest, TheCountersTellHotFromShielded) {
  const auto start = hot_set().counters();
  const auto one = held("P-256");
  const auto two = held("P-256");
  EXPECT_EQ(hot_set().counters().hot, start.hot + 2);
  shield_all();
  EXPECT_EQ(hot_set().counters().hot, 0U);
  EXPECT_EQ(hot_set().counters().shielded, start.shielded + start.hot + 2);
  EXPECT_EQ(hot_set().counters().evictions, start.evictions + start.hot + 2);
  EXPECT_TRUE(signs(*one) && signs(*one));
  EXPECT_EQ(hot_set().counters().unshieldings, start.unshieldings + 1);
}

// ----- the ring
// -----------------------------------------------------------------------------------

class Fake final : public HotMember {
 public:
  bool busy = false;
  using HotMember::touch;

 private:
  bool shield() noexcept override { return !busy; }
};

TEST(HotSetTest, WhatWasUsedStaysAndWhatIsBusyToo) {
  HotSet set;
  std::array<Fake, 5> members;
  for (Fake& member : members) set.add(member);
  members[0].touch();
  members[1].busy = true;
  EXPECT_EQ(set.evict(2), 2U);
  EXPECT_TRUE(members[0].hot() && members[1].hot() && members[4].hot());
  EXPECT_FALSE(members[2].hot() || members[3].hot());
  EXPECT_EQ(set.evict(5), 2U);
  EXPECT_TRUE(members[1].hot());
  set.remove(members[1]);
  set.remove(members[2]);
  EXPECT_EQ(set.counters().hot, 0U);
  EXPECT_EQ(set.evict(1), 0U);
}

TEST(HotSetTest, AMemberThatComesBackIsLookedAtLast) {
  HotSet set;
  std::array<Fake, 3> members;
  for (Fake& member : members) set.add(member);
  EXPECT_EQ(set.evict(1), 1U);
  set.add(members[0]);
  EXPECT_EQ(set.evict(2), 2U);
  EXPECT_TRUE(members[0].hot());
}

}  // namespace
}  // namespace vhsm::keystore
