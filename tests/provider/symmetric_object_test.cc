// SPDX-License-Identifier: Apache-2.0
//
// Symmetric keys as objects (OpenSSL 3.5, 3.6), and who finds their algorithms.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/core_names.h>
#include <openssl/params.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "provider/ossl/compat.h"
#include "tests/provider/symmetric_fixture.h"

namespace vhsm::test {
namespace {

using ::testing::HasSubstr;

// ----- keys as objects: OpenSSL 3.5 and 3.6 -----------------------------------------------------

namespace compat = ossl::compat;

/// Our functions as a host of any version finds them, so that what only later ones call is tried
/// with earlier ones, too.
class Functions {
 public:
  Functions(const Host& host, int operation, const std::string& name)
      : provctx_(OSSL_PROVIDER_get0_provider_ctx(host.vhsm())) {
    int no_cache = 0;
    const OSSL_ALGORITHM* row = OSSL_PROVIDER_query_operation(host.vhsm(), operation, &no_cache);
    while (row != nullptr && row->algorithm_names != nullptr && row->algorithm_names != name) ++row;
    EXPECT_TRUE(row != nullptr && row->algorithm_names != nullptr) << name;
    functions_ = row->implementation;
  }
  template <class Fn>
  [[nodiscard]] Fn* get(int id) const {
    for (const OSSL_DISPATCH* entry = functions_; entry->function_id != 0; ++entry) {
      if (entry->function_id == id) return reinterpret_cast<Fn*>(entry->function);
    }
    ADD_FAILURE() << "no function " << id;
    return nullptr;
  }
  [[nodiscard]] void* provctx() const { return provctx_; }

 private:
  void* provctx_;
  const OSSL_DISPATCH* functions_ = nullptr;
};

class SecretObjectTest : public SymmetricTest {
 protected:
  /// Frees it at the end.
  void* keep(void* object) {
    EXPECT_NE(object, nullptr) << take_errors();
    objects_.push_back(object);
    return object;
  }
  void* import(const Secret& named) {
    const Params params = Params().text("vhsm-uri", named.uri);
    return keep(management_.get<compat::SkeymgmtImportFn>(compat::kSkeymgmtImport)(
        management_.provctx(), 2, params.array().data()));
  }
  [[nodiscard]] void* generate(const Params& params) const {
    return management_.get<compat::SkeymgmtGenerateFn>(compat::kSkeymgmtGenerate)(
        management_.provctx(), params.array().data());
  }
  /// The HMAC of kMessage.
  [[nodiscard]] Bytes mac_with(void* key) const {
    const Functions hmac(host_, OSSL_OP_MAC, "VHSM-HMAC");
    void* const ctx = hmac.get<OSSL_FUNC_mac_newctx_fn>(OSSL_FUNC_MAC_NEWCTX)(hmac.provctx());
    Bytes code(32);
    std::size_t size = 0;
    const bool made = hmac.get<compat::MacInitSkeyFn>(compat::kMacInitSkey)(
                          ctx, key, hmac_digest("SHA256").array().data()) == 1 &&
                      hmac.get<OSSL_FUNC_mac_update_fn>(OSSL_FUNC_MAC_UPDATE)(
                          ctx, kMessage.data(), kMessage.size()) == 1 &&
                      hmac.get<OSSL_FUNC_mac_final_fn>(OSSL_FUNC_MAC_FINAL)(ctx, code.data(), &size,
                                                                            code.size()) == 1;
    hmac.get<OSSL_FUNC_mac_freectx_fn>(OSSL_FUNC_MAC_FREECTX)(ctx);
    return made ? code : Bytes();
  }
  void TearDown() override {
    for (void* const object : objects_) {
      management_.get<compat::SkeymgmtFreeFn>(compat::kSkeymgmtFree)(object);
    }
  }

  const Functions management_{host_, compat::kOpSkeymgmt, "VHSM-GENERIC-SECRET"};
  std::vector<void*> objects_;
};

TEST_F(SecretObjectTest, IsImportedByItsNameAndTellsIt) {
  const Secret named = secret("any-32", pattern(32, 1));
  void* const key = import(named);
  EXPECT_STREQ(management_.get<compat::SkeymgmtGetKeyIdFn>(compat::kSkeymgmtGetKeyId)(key),
               named.uri.c_str());
  EXPECT_EQ(mac_with(key),
            mac(host_, By::kBytes, named, {"HMAC", hmac_digest("SHA256")}, kMessage));
}

TEST_F(SecretObjectTest, IsNeitherImportedInTheClearNorExported) {
  const Params raw = Params().octets("raw-bytes", pattern(32, 1));
  EXPECT_EQ(management_.get<compat::SkeymgmtImportFn>(compat::kSkeymgmtImport)(
                management_.provctx(), 2, raw.array().data()),
            nullptr);
  EXPECT_THAT(take_errors(), HasSubstr("in the clear"));
  const auto tell = [](const OSSL_PARAM[], void*) { return ADD_FAILURE(), 1; };
  for (void* const key : {import(secret("any-32", pattern(32, 1))),
                          keep(generate(Params().number("key-length", 32)))}) {
    for (const int selection : {1, 2, 3}) {
      EXPECT_EQ(management_.get<compat::SkeymgmtExportFn>(compat::kSkeymgmtExport)(key, selection,
                                                                                   tell, nullptr),
                0);
      EXPECT_THAT(take_errors(), HasSubstr("not exportable"));
    }
  }
}

TEST_F(SecretObjectTest, IsGeneratedForTheProcessAlone) {
  void* const first = keep(generate(Params().number("key-length", 32)));
  void* const second = keep(generate(Params().number("key-length", 32)));
  EXPECT_EQ(management_.get<compat::SkeymgmtGetKeyIdFn>(compat::kSkeymgmtGetKeyId)(first), nullptr);
  EXPECT_EQ(mac_with(first).size(), 32U) << take_errors();
  EXPECT_EQ(mac_with(first), mac_with(first));
  EXPECT_NE(mac_with(first), mac_with(second));
  for (const Params& wrong :
       {Params(), Params().number("key-length", 0), Params().number("key-length", 1025),
        Params().number("key-length", 32).text("vhsm-uri", "vhsm:a/b/c")}) {
    EXPECT_EQ(generate(wrong), nullptr);
  }
  take_errors();
}

TEST_F(SecretObjectTest, IsDerivedAndStays) {
  const Secret input = secret("hkdf", Bytes(22, 0x0b));
  const Functions hkdf(host_, OSSL_OP_KDF, "VHSM-HKDF");
  void* const ctx = hkdf.get<OSSL_FUNC_kdf_newctx_fn>(OSSL_FUNC_KDF_NEWCTX)(hkdf.provctx());
  const auto set_key = hkdf.get<compat::KdfSetSkeyFn>(compat::kKdfSetSkey);
  EXPECT_EQ(set_key(ctx, import(input), "salt"), 0);
  ASSERT_EQ(set_key(ctx, objects_.back(), OSSL_KDF_PARAM_KEY), 1) << take_errors();
  const auto derive_key = hkdf.get<compat::KdfDeriveSkeyFn>(compat::kKdfDeriveSkey);
  int other = 0;
  EXPECT_EQ(
      derive_key(ctx, "VHSM-GENERIC-SECRET", &other, nullptr, 42, hkdf_params().array().data()),
      nullptr);
  void* const derived = keep(derive_key(ctx, "VHSM-GENERIC-SECRET", hkdf.provctx(), nullptr, 42,
                                        hkdf_params().array().data()));
  hkdf.get<OSSL_FUNC_kdf_freectx_fn>(OSSL_FUNC_KDF_FREECTX)(ctx);
  const Secret known{
      {},
      from_hex("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b8"
               "87185865")};
  EXPECT_EQ(mac_with(derived),
            mac(host_, By::kBytes, known, {"HMAC", hmac_digest("SHA256")}, kMessage));
  take_errors();
}

#ifdef OSSL_OP_SKEYMGMT
using Skey = ossl::Handle<EVP_SKEY, EVP_SKEY_free>;

class SkeyTest : public SymmetricTest {
 protected:
  [[nodiscard]] Skey import(const Secret& named) const {
    const Params params = Params().text("vhsm-uri", named.uri);
    return Skey(EVP_SKEY_import(host_.ctx(), "VHSM-GENERIC-SECRET", kSymmetric,
                                OSSL_SKEYMGMT_SELECT_SECRET_KEY, params.array().data()));
  }
};

TEST_F(SkeyTest, SealsAndOpensLikeItsBytes) {
  const Secret named = secret("any-256", pattern(32, 3));
  const Skey key = import(named);
  ASSERT_NE(key, nullptr) << take_errors();
  EXPECT_STREQ(EVP_SKEY_get0_key_id(key.get()), named.uri.c_str());
  const CipherTask task{"AES-256-GCM", pattern(12, 4)};
  const ossl::Cipher method(EVP_CIPHER_fetch(host_.ctx(), "VHSM-AES-256-GCM", nullptr));
  const ossl::CipherCtx ctx(EVP_CIPHER_CTX_new());
  ASSERT_EQ(EVP_CipherInit_SKEY(ctx.get(), method.get(), key.get(), task.iv.data(), 12, 1, nullptr),
            1)
      << take_errors();
  std::array<std::uint8_t, 64> out{};
  int size = 0;
  int last = 0;
  ASSERT_EQ(EVP_EncryptUpdate(ctx.get(), out.data(), &size, kMessage.data(),
                              static_cast<int>(kMessage.size())),
            1);
  ASSERT_EQ(EVP_EncryptFinal_ex(ctx.get(), out.data() + size, &last), 1);
  EXPECT_EQ(Bytes(out.begin(), out.begin() + size),
            encrypt(host_, By::kBytes, named, task, kMessage)->text);
}

TEST_F(SkeyTest, MakesTheMacOfItsBytes) {
  const Secret named = secret("any-32", pattern(32, 1));
  const Skey key = import(named);
  ASSERT_NE(key, nullptr) << take_errors();
  const ossl::Mac method(EVP_MAC_fetch(host_.ctx(), "VHSM-HMAC", nullptr));
  const MacCtx ctx(EVP_MAC_CTX_new(method.get()));
  Bytes code(32);
  std::size_t size = 0;
  ASSERT_EQ(EVP_MAC_init_SKEY(ctx.get(), key.get(), hmac_digest("SHA256").array().data()), 1)
      << take_errors();
  ASSERT_EQ(EVP_MAC_update(ctx.get(), kMessage.data(), kMessage.size()), 1);
  ASSERT_EQ(EVP_MAC_final(ctx.get(), code.data(), &size, code.size()), 1);
  EXPECT_EQ(code, mac(host_, By::kBytes, named, {"HMAC", hmac_digest("SHA256")}, kMessage));
}

TEST_F(SkeyTest, NeverTellsItsBytes) {
  const Skey key = import(secret("any-256", pattern(32, 3)));
  ASSERT_NE(key, nullptr) << take_errors();
  const unsigned char* bytes = nullptr;
  std::size_t size = 0;
  EXPECT_NE(EVP_SKEY_get0_raw_key(key.get(), &bytes, &size), 1);
  EXPECT_EQ(bytes, nullptr);
  EXPECT_EQ(Skey(EVP_SKEY_to_provider(key.get(), host_.ctx(), nullptr, kDefault)), nullptr);
  const ossl::Cipher theirs(EVP_CIPHER_fetch(host_.ctx(), "AES-256-GCM", kDefault));
  const ossl::CipherCtx ctx(EVP_CIPHER_CTX_new());
  const Bytes iv(12);
  EXPECT_NE(EVP_CipherInit_SKEY(ctx.get(), theirs.get(), key.get(), iv.data(), 12, 1, nullptr), 1);
  const ossl::Mac their_mac(EVP_MAC_fetch(host_.ctx(), "HMAC", kDefault));
  const MacCtx mac_ctx(EVP_MAC_CTX_new(their_mac.get()));
  EXPECT_NE(EVP_MAC_init_SKEY(mac_ctx.get(), key.get(), hmac_digest("SHA256").array().data()), 1);
  take_errors();
}

TEST_F(SkeyTest, TheOpensslCommandGeneratesOneAndEncryptsWithANamedOne) {
  EXPECT_THAT(openssl("skeyutl -genkey -skeymgmt VHSM-GENERIC-SECRET -skeyopt key-length:32"),
              HasSubstr("Provider: vhsm"));
  const Secret named = secret("sp800-38a", from_hex("2b7e151628aed2a6abf7158809cf4f3c"));
  static_cast<void>(secret("block", from_hex("6bc1bee22e409f96e93d7e117393172a")));
  EXPECT_THAT(openssl("enc -VHSM-AES-128-CBC -e -nopad -a -iv 000102030405060708090a0b0c0d0e0f"
                      " -skeymgmt VHSM-GENERIC-SECRET -skeyopt vhsm-uri:" +
                      named.uri + " -in " + folder_.path() + "/default/test/block"),
              HasSubstr("dkmrrIEZskbO6Y6bEukZfQ=="));
}
#endif

// ----- who finds it -----------------------------------------------------------------------------

TEST(SymmetricNamesTest, NoUnrelatedFetchFindsVhsmWhateverTheOrder) {
  for (const Order order : {Order::kDefaultFirst, Order::kVhsmFirst}) {
    const Host host("vhsm_files", order);
    for (const char* properties : {static_cast<const char*>(nullptr), "?provider=vhsm"}) {
      const ossl::Mac mac(EVP_MAC_fetch(host.ctx(), "HMAC", properties));
      ASSERT_NE(mac, nullptr);
      EXPECT_STREQ(OSSL_PROVIDER_get0_name(EVP_MAC_get0_provider(mac.get())), "default");
      const ossl::Cipher cipher(EVP_CIPHER_fetch(host.ctx(), "AES-256-GCM", properties));
      ASSERT_NE(cipher, nullptr);
      EXPECT_STREQ(OSSL_PROVIDER_get0_name(EVP_CIPHER_get0_provider(cipher.get())), "default");
      const ossl::Kdf kdf(EVP_KDF_fetch(host.ctx(), "HKDF", properties));
      ASSERT_NE(kdf, nullptr);
      EXPECT_STREQ(OSSL_PROVIDER_get0_name(EVP_KDF_get0_provider(kdf.get())), "default");
    }
    EXPECT_EQ(ossl::Mac(EVP_MAC_fetch(host.ctx(), "HMAC", kVhsm)), nullptr);
    EXPECT_EQ(ossl::Cipher(EVP_CIPHER_fetch(host.ctx(), "AES-256-GCM", kVhsm)), nullptr);
    EXPECT_EQ(ossl::Kdf(EVP_KDF_fetch(host.ctx(), "HKDF", kVhsm)), nullptr);
    EXPECT_EQ(ossl::Mac(EVP_MAC_fetch(host.ctx(), "HMAC", kSymmetric)), nullptr);
    EXPECT_NE(ossl::Mac(EVP_MAC_fetch(host.ctx(), "VHSM-HMAC", kSymmetric)), nullptr);
    EXPECT_NE(ossl::Mac(EVP_MAC_fetch(host.ctx(), "VHSM-HMAC", nullptr)), nullptr);
    take_errors();
  }
}

TEST(SymmetricNamesTest, NoParameterTellsAKey) {
  const KeyFolder folder;
  const Host host("vhsm_files");
  const Secret key = store_secret(folder, "any-32", pattern(32, 1));
  const auto mac = begin_mac(host, By::kName, key, {"HMAC", hmac_digest("SHA256")});
  const auto cipher = begin_cipher(host, By::kName, key, {"AES-256-GCM", pattern(12, 4)}, true);
  ASSERT_NE(mac, nullptr);
  ASSERT_NE(cipher, nullptr);
  for (const char* name : {"key", "raw-bytes", "secret", "seed", "vhsm-uri", "iv", "updated-iv"}) {
    Bytes buffer(256);
    OSSL_PARAM params[] = {OSSL_PARAM_construct_octet_string(name, buffer.data(), buffer.size()),
                           OSSL_PARAM_construct_end()};
    EVP_MAC_CTX_get_params(mac.get(), params);
    EVP_CIPHER_CTX_get_params(cipher.get(), params);
    EXPECT_EQ(std::search(buffer.begin(), buffer.end(), key.bytes.begin(), key.bytes.begin() + 8),
              buffer.end())
        << name;
  }
  for (const OSSL_PARAM* list :
       {EVP_MAC_CTX_settable_params(mac.get()), EVP_CIPHER_CTX_settable_params(cipher.get())}) {
    EXPECT_NE(OSSL_PARAM_locate_const(list, "vhsm-uri"), nullptr);
    EXPECT_EQ(OSSL_PARAM_locate_const(list, OSSL_MAC_PARAM_KEY), nullptr);
  }
  take_errors();
}

}  // namespace
}  // namespace vhsm::test
