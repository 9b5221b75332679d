// SPDX-License-Identifier: Apache-2.0
#include "kbs/pki.h"

#include <sys/stat.h>

#include <openssl/x509v3.h>

#include <filesystem>

#include "kbs/init.h"
#include "tests/kbs/support.h"

namespace vhsm::kbs {
namespace {

TEST(Pki, LeafVerifiesUnderItsCaForItsHosts) {
  const auto ca_key = PrivateKey::generate_p256().value();
  const auto key = PrivateKey::generate_p256().value();
  const auto ca = make_ca(ca_key.get()).value();
  const auto leaf =
      make_leaf(key.get(), ca_key.get(), ca.get(), {"kbs.example", "192.0.2.7", "::1"}).value();
  const ossl::X509Store store(X509_STORE_new());
  X509_STORE_add_cert(store.get(), ca.get());
  const ossl::X509StoreCtx ctx(X509_STORE_CTX_new());
  ASSERT_EQ(X509_STORE_CTX_init(ctx.get(), store.get(), leaf.get(), nullptr), 1);
  X509_STORE_CTX_set_purpose(ctx.get(), X509_PURPOSE_SSL_SERVER);
  EXPECT_EQ(X509_verify_cert(ctx.get()), 1);
  EXPECT_EQ(X509_check_host(leaf.get(), "kbs.example", 0, 0, nullptr), 1);
  EXPECT_EQ(X509_check_host(leaf.get(), "other.example", 0, 0, nullptr), 0);
  EXPECT_EQ(X509_check_ip_asc(leaf.get(), "192.0.2.7", 0), 1);
  EXPECT_EQ(X509_check_ip_asc(leaf.get(), "::1", 0), 1);
  EXPECT_EQ(X509_check_ca(leaf.get()), 0);
  EXPECT_EQ(X509_check_ca(ca.get()), 1);
}

TEST(Pki, RefusesHostsThatAreNone) {
  const auto key = PrivateKey::generate_p256().value();
  const auto ca = make_ca(key.get()).value();
  for (const char* host : {"", "a b", "a,DNS:evil", "-a", "a;b", "a\n", "2001:db8::zz"}) {
    EXPECT_EQ(make_leaf(key.get(), key.get(), ca.get(), {host}).error().code,
              Errc::kInvalidArgument)
        << host;
  }
  EXPECT_FALSE(make_leaf(key.get(), key.get(), ca.get(), {}).ok());
}

TEST(Init, KeysAreForTheirOwnerOnly) {
  const TemporaryFolder folder;
  ASSERT_TRUE(init({folder / "kbs/vhsm-kbs.cnf", {}, "127.0.0.1:0", "", {"any"}}).ok());
  for (const char* file : {"ca.key", "server.key", "token.key", "kbs.db"}) {
    struct stat status {};
    ASSERT_EQ(::stat((folder / "kbs/" + file).c_str(), &status), 0) << file;
    EXPECT_EQ(status.st_mode & 0777, 0600U) << file;
  }
  const auto config = read_config(folder / "kbs/vhsm-kbs.cnf");
  EXPECT_TRUE(config.ok()) << describe(config.error());
}

TEST(Init, OverwritesNothing) {
  const TemporaryFolder folder;
  write_text(folder / "token.key", "precious");
  const Status made = init({folder / "vhsm-kbs.cnf", {}, "127.0.0.1:0", "", {"any"}});
  ASSERT_FALSE(made.ok());
  EXPECT_THAT(describe(made.error()), testing::HasSubstr("token.key"));
  EXPECT_EQ(read_text(folder / "token.key"), "precious");
  EXPECT_FALSE(std::filesystem::exists(folder / "ca.key"));
}

TEST(Init, RefusesWhatAConfigurationCannotHold) {
  const TemporaryFolder folder;
  const std::string config = folder / "vhsm-kbs.cnf";
  EXPECT_FALSE(init({config, {}, "nonsense", "", {"any"}}).ok());
  EXPECT_FALSE(init({config, {}, "127.0.0.1:0", "a\nallow_debug = yes", {"any"}}).ok());
  EXPECT_FALSE(init({config, {}, "127.0.0.1:0", "", {"xyz"}}).ok());
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(PrivateKeyFile, ComesBackAndLivesInProtectedMemory) {
  const TemporaryFolder folder;
  const auto key = PrivateKey::generate_p256().value();
  ASSERT_TRUE(key.write(folder / "key").ok());
  EXPECT_FALSE(key.write(folder / "key").ok());  // never over another
  const auto again = PrivateKey::read(folder / "key");
  ASSERT_TRUE(again.ok()) << describe(again.error());
  EXPECT_EQ(EVP_PKEY_eq(key.get(), again.value().get()), 1);
  EXPECT_TRUE(memory::contains(again.value().get()));
}

TEST(PrivateKeyFile, RefusesNonsense) {
  const TemporaryFolder folder;
  write_text(folder / "key", "nonsense");
  EXPECT_EQ(PrivateKey::read(folder / "key").error().code, Errc::kBadFormat);
  EXPECT_EQ(PrivateKey::read(folder / "none").error().code, Errc::kIo);
  write_text(folder / "key", std::string(100'000, 'x'));
  EXPECT_EQ(PrivateKey::read(folder / "key").error().code, Errc::kBadLength);
}

}  // namespace
}  // namespace vhsm::kbs
