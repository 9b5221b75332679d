// SPDX-License-Identifier: Apache-2.0
//
// Key management as libcrypto calls it: copies of parts, comparison, import and export of what is
// public, and which parameters these carry.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "tests/provider/host.h"

namespace vhsm::test {
namespace {

using ossl::Receive;
using ::testing::Contains;
using ::testing::Not;

constexpr int kImportTypesEx = 45;  // OSSL_FUNC_KEYMGMT_IMPORT_TYPES_EX, OpenSSL 3.2
constexpr int kExportTypesEx = 46;
using TypesFn = const OSSL_PARAM*(void* provctx, int selection);

constexpr int kPrivate = OSSL_KEYMGMT_SELECT_PRIVATE_KEY;
constexpr int kPublic = OSSL_KEYMGMT_SELECT_PUBLIC_KEY;
constexpr int kDomain = OSSL_KEYMGMT_SELECT_DOMAIN_PARAMETERS;
constexpr const char* kTypes[] = {"RSA", "RSA-PSS", "EC", "ED25519", "X25519", "ED448", "X448"};

std::vector<std::string> names_of(const OSSL_PARAM* params) {
  std::vector<std::string> names;
  for (; params != nullptr && params->key != nullptr; ++params) names.emplace_back(params->key);
  return names;
}

/// The calls of one type's key management, and a key of that type as libcrypto holds it.
class Managed {
 public:
  Managed(const Host& host, const char* type) : host_(host), type_(type) {
    void* const generation = call<OSSL_FUNC_keymgmt_gen_init_fn>(OSSL_FUNC_KEYMGMT_GEN_INIT)(
        OSSL_PROVIDER_get0_provider_ctx(host.vhsm()), OSSL_KEYMGMT_SELECT_KEYPAIR,
        std::string_view(type) == "EC" ? group().data() : nullptr);
    key_ = call<OSSL_FUNC_keymgmt_gen_fn>(OSSL_FUNC_KEYMGMT_GEN)(generation, nullptr, nullptr);
    call<OSSL_FUNC_keymgmt_gen_cleanup_fn>(OSSL_FUNC_KEYMGMT_GEN_CLEANUP)(generation);
    EXPECT_NE(key_, nullptr) << type << take_errors();
  }
  Managed(const Managed&) = delete;
  Managed& operator=(const Managed&) = delete;
  ~Managed() { free(key_); }

  template <class Fn>
  [[nodiscard]] Fn* call(int id) const {
    Fn* const found = provided<Fn>(host_, OSSL_OP_KEYMGMT, type_, id);
    EXPECT_NE(found, nullptr) << type_ << " " << id;
    return found;
  }

  [[nodiscard]] void* key() const noexcept { return key_; }
  [[nodiscard]] void* duplicate(int selection) const {
    return call<OSSL_FUNC_keymgmt_dup_fn>(OSSL_FUNC_KEYMGMT_DUP)(key_, selection);
  }
  [[nodiscard]] bool has(const void* key, int selection) const {
    return call<OSSL_FUNC_keymgmt_has_fn>(OSSL_FUNC_KEYMGMT_HAS)(key, selection) == 1;
  }
  [[nodiscard]] bool match(const void* one, const void* other, int selection) const {
    return call<OSSL_FUNC_keymgmt_match_fn>(OSSL_FUNC_KEYMGMT_MATCH)(one, other, selection) == 1;
  }
  void free(void* key) const { call<OSSL_FUNC_keymgmt_free_fn>(OSSL_FUNC_KEYMGMT_FREE)(key); }

 private:
  static std::array<OSSL_PARAM, 2> group() {
    static char name[] = "P-256";
    return {OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, name, 0),
            OSSL_PARAM_construct_end()};
  }

  const Host& host_;
  const char* type_;
  void* key_ = nullptr;
};

TEST(KeyManagementTest, ACopyHasThePartsThatWereAskedForAndNoOthers) {
  const Host host;
  for (const char* type : {"EC", "ED25519", "X25519"}) {
    const Managed managed(host, type);
    const bool is_ec = std::string_view(type) == "EC";
    for (const int selection :
         {kPrivate | kPublic | kDomain, kPublic | kDomain, kPublic, kDomain, 0}) {
      void* const copy = managed.duplicate(selection);
      ASSERT_NE(copy, nullptr) << type << selection << take_errors();
      EXPECT_EQ(managed.has(copy, kPrivate), (selection & kPrivate) != 0) << type << selection;
      EXPECT_EQ(managed.has(copy, kPublic), (selection & kPublic) != 0) << type << selection;
      if ((selection & kPublic) != 0) {
        EXPECT_TRUE(managed.match(copy, managed.key(), kPublic)) << type << selection;
      }
      if (is_ec && (selection & kDomain) != 0) {
        EXPECT_TRUE(managed.match(managed.key(), copy, kDomain)) << selection;
      }
      managed.free(copy);
    }
  }
}

TEST(KeyManagementTest, AMatchIsTheSameInBothOrdersAndNeedsTheSamePublicHalf) {
  const Host host;
  for (const char* type : {"EC", "ED25519", "X25519", "ED448", "X448"}) {
    const Managed one(host, type);
    const Managed other(host, type);
    void* const half = one.duplicate(kPublic | kDomain);
    for (const int selection : {kPublic, kPublic | kPrivate, kPublic | kDomain}) {
      EXPECT_TRUE(one.match(one.key(), half, selection)) << type << selection;
      EXPECT_TRUE(one.match(half, one.key(), selection)) << type << selection;
      EXPECT_FALSE(one.match(one.key(), other.key(), selection)) << type << selection;
      EXPECT_FALSE(one.match(other.key(), half, selection)) << type << selection;
    }
    one.free(half);
  }
}

TEST(KeyManagementTest, APublicHalfGoesOutAndComesInAgainUnchanged) {
  const Host host;
  for (const char* type : kTypes) {
    const auto key = host.generate(type);
    OSSL_PARAM* params = nullptr;
    ASSERT_EQ(EVP_PKEY_todata(key.get(), EVP_PKEY_PUBLIC_KEY, &params), 1) << type << take_errors();
    for (const char* secret : {"d", "priv", "rsa-factor1", "rsa-exponent1", "seed"}) {
      EXPECT_THAT(names_of(params), Not(Contains(secret))) << type;
    }
    for (const int selection : {EVP_PKEY_PUBLIC_KEY, EVP_PKEY_KEYPAIR}) {
      const ossl::PKeyCtx ctx(EVP_PKEY_CTX_new_from_name(host.ctx(), type, kVhsm));
      ossl::PKey half;
      ASSERT_EQ(EVP_PKEY_fromdata_init(ctx.get()), 1) << type;
      ASSERT_EQ(EVP_PKEY_fromdata(ctx.get(), Receive(half), selection, params), 1)
          << type << take_errors();
      EXPECT_STREQ(OSSL_PROVIDER_get0_name(EVP_PKEY_get0_provider(half.get())), "vhsm");
      EXPECT_EQ(EVP_PKEY_eq(half.get(), key.get()), 1) << type;
      EXPECT_EQ(public_der(half.get()), public_der(key.get())) << type;
      EXPECT_TRUE(sign(host, half.get(), {"SHA256"}, kMessage).empty()) << type;
    }
    OSSL_PARAM_free(params);
    take_errors();
  }
}

TEST(KeyManagementTest, TheTypesOfImportAndExportNameNothingThatIsRefused) {
  const Host host;
  void* const context = OSSL_PROVIDER_get0_provider_ctx(host.vhsm());
  for (const char* type : {"RSA", "EC", "ED25519", "X25519"}) {
    auto* const imports = provided<TypesFn>(host, OSSL_OP_KEYMGMT, type, kImportTypesEx);
    auto* const exports = provided<TypesFn>(host, OSSL_OP_KEYMGMT, type, kExportTypesEx);
    ASSERT_TRUE(imports != nullptr && exports != nullptr) << type;
    for (const auto& names : {names_of(imports(context, kPrivate | kPublic)),
                              names_of(exports(context, kPrivate | kPublic))}) {
      EXPECT_FALSE(names.empty()) << type;
      for (const char* secret : {"d", "priv"}) EXPECT_THAT(names, Not(Contains(secret))) << type;
    }
  }
}

}  // namespace
}  // namespace vhsm::test
