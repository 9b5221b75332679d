// SPDX-License-Identifier: Apache-2.0
//
// Loading vhsm changes nothing for anyone else, in whatever order providers are loaded.
#include <gtest/gtest.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tests/kinds.h"
#include "tests/provider/host.h"
#include "tests/provider/key_folder.h"

namespace vhsm::test {
namespace {

using Names = std::set<std::string>;

template <class T>
using EachProvided = void (*)(OSSL_LIB_CTX*, void (*)(T*, void*), void*);

/// "name: provider" of everything that a library context has of one kind.
template <class T>
Names provided(OSSL_LIB_CTX* ctx, EachProvided<T> each, const char* (*name)(const T*),
               const OSSL_PROVIDER* (*provider)(const T*)) {
  struct Into {
    Names names{};
    const char* (*name)(const T*);
    const OSSL_PROVIDER* (*provider)(const T*);
  } into{{}, name, provider};
  each(
      ctx,
      [](T* one, void* arg) {
        auto& to = *static_cast<Into*>(arg);
        to.names.insert(std::string(to.name(one)) + ": " +
                        OSSL_PROVIDER_get0_name(to.provider(one)));
      },
      &into);
  return into.names;
}

/// What a fetch without properties finds, for each name that the default provider has.
template <class T>
void expect_from_default(const Host& plain, const Host& host, EachProvided<T> each,
                         const char* (*name)(const T*), const OSSL_PROVIDER* (*provider)(const T*),
                         T* (*fetch)(OSSL_LIB_CTX*, const char*, const char*), void (*release)(T*),
                         const char* properties = nullptr) {
  for (const std::string& entry : provided(plain.ctx(), each, name, provider)) {
    const std::string wanted = entry.substr(0, entry.find(": "));
    T* const found = fetch(host.ctx(), wanted.c_str(), properties);
    ASSERT_NE(found, nullptr) << wanted;
    EXPECT_STREQ(OSSL_PROVIDER_get0_name(provider(found)), "default") << wanted;
    release(found);
  }
}

std::string provider_of(const EVP_PKEY* key) {
  return OSSL_PROVIDER_get0_name(EVP_PKEY_get0_provider(key));
}

class DisturbanceTest : public ::testing::TestWithParam<Order> {
 protected:
  /// A key of a file, read as programs read it: without a word on providers.
  [[nodiscard]] ossl::PKey from_file(const std::string& kind) const {
    const std::string pem = folder_.pem(kind);
    const ossl::Bio in(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
    return ossl::PKey(
        PEM_read_bio_PrivateKey_ex(in.get(), nullptr, nullptr, nullptr, host_.ctx(), nullptr));
  }
  const KeyFolder folder_;
  const Host plain_{nullptr};
  const Host host_{"vhsm_files", GetParam()};
};

TEST_P(DisturbanceTest, DigestsCiphersAndTheirLikeComeFromTheDefaultProvider) {
  for (const char* properties :
       {static_cast<const char*>(nullptr), "?provider=vhsm", "provider!=vhsm"}) {
    expect_from_default<EVP_MD>(plain_, host_, EVP_MD_do_all_provided, EVP_MD_get0_name,
                                EVP_MD_get0_provider, EVP_MD_fetch, EVP_MD_free, properties);
    expect_from_default<EVP_CIPHER>(plain_, host_, EVP_CIPHER_do_all_provided, EVP_CIPHER_get0_name,
                                    EVP_CIPHER_get0_provider, EVP_CIPHER_fetch, EVP_CIPHER_free,
                                    properties);
    expect_from_default<EVP_MAC>(plain_, host_, EVP_MAC_do_all_provided, EVP_MAC_get0_name,
                                 EVP_MAC_get0_provider, EVP_MAC_fetch, EVP_MAC_free, properties);
    expect_from_default<EVP_KDF>(plain_, host_, EVP_KDF_do_all_provided, EVP_KDF_get0_name,
                                 EVP_KDF_get0_provider, EVP_KDF_fetch, EVP_KDF_free, properties);
    expect_from_default<EVP_RAND>(plain_, host_, EVP_RAND_do_all_provided, EVP_RAND_get0_name,
                                  EVP_RAND_get0_provider, EVP_RAND_fetch, EVP_RAND_free,
                                  properties);
  }
}

TEST_P(DisturbanceTest, AFileKeyIsReadByTheDefaultProviderAndWorksThere) {
  const auto before = host_.counter("vhsm-operations");
  for (const tests::Kind& kind : tests::every_kind()) {
    const auto key = from_file(kind.name);
    ASSERT_NE(key, nullptr) << kind.name << take_errors();
    EXPECT_EQ(provider_of(key.get()), "default") << kind.name;
    if (!kind.signs()) continue;
    const ossl::MdCtx ctx(EVP_MD_CTX_new());
    EVP_PKEY_CTX* inner = nullptr;
    ASSERT_EQ(EVP_DigestSignInit_ex(ctx.get(), &inner, kind.digest(), host_.ctx(), nullptr,
                                    key.get(), nullptr),
              1)
        << kind.name << take_errors();
    Bytes signature(64 << 10);
    std::size_t size = signature.size();
    EXPECT_EQ(EVP_DigestSign(ctx.get(), signature.data(), &size, kMessage.data(), kMessage.size()),
              1);
    EXPECT_EQ(EVP_PKEY_CTX_get0_provider(inner), EVP_PKEY_get0_provider(key.get())) << kind.name;
  }
  EXPECT_EQ(host_.counter("vhsm-operations"), before);
}

// T13
TEST_P(DisturbanceTest, CertificatesAreVerifiedByTheDefaultProvider) {
  for (const char* kind : {"RSA", "P-256", "ED25519"}) {
    const std::string pem = folder_.pem(kind);
    const ossl::Bio in(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
    X509* raw = X509_new_ex(host_.ctx(), nullptr);
    ASSERT_NE(PEM_read_bio_X509(in.get(), &raw, nullptr, nullptr), nullptr) << take_errors();
    const ossl::X509Cert certificate(raw);
    EVP_PKEY* const key = X509_get0_pubkey(raw);
    ASSERT_NE(key, nullptr) << kind;
    EXPECT_EQ(provider_of(key), "default") << kind;
    EXPECT_EQ(X509_verify(raw, key), 1) << kind << take_errors();
  }
}

TEST_P(DisturbanceTest, RandomNumbersStillComeFromTheHost) {
  Bytes bytes(32);
  EXPECT_EQ(RAND_bytes_ex(host_.ctx(), bytes.data(), bytes.size(), 0), 1);
  EVP_RAND_CTX* const generator = RAND_get0_public(host_.ctx());
  ASSERT_NE(generator, nullptr);
  EXPECT_STREQ(OSSL_PROVIDER_get0_name(EVP_RAND_get0_provider(EVP_RAND_CTX_get0_rand(generator))),
               "default");
}

TEST_P(DisturbanceTest, DefaultPropertiesForOrAgainstVhsmDisturbNobody) {
  for (const char* properties : {"?provider=vhsm", "?provider!=vhsm"}) {
    const Host host("vhsm_files", GetParam());
    ASSERT_EQ(EVP_set_default_properties(host.ctx(), properties), 1);
    const std::string pem = folder_.pem("RSA");
    const ossl::Bio in(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
    const ossl::PKey file(
        PEM_read_bio_PrivateKey_ex(in.get(), nullptr, nullptr, nullptr, host.ctx(), nullptr));
    ASSERT_NE(file, nullptr) << properties << take_errors();
    const auto held = host.open(folder_.uri("RSA"));
    ASSERT_NE(held, nullptr) << properties << take_errors();
    const Scheme scheme{"SHA256", "pss", "digest"};
    for (EVP_PKEY* signer : {file.get(), held.get()}) {
      const Bytes signature = sign(host, signer, scheme, kMessage);
      ASSERT_FALSE(signature.empty()) << properties << take_errors();
      for (EVP_PKEY* verifier : {file.get(), held.get()})
        EXPECT_TRUE(verify(host, verifier, scheme, kMessage, signature)) << properties;
    }
  }
}

TEST_P(DisturbanceTest, NothingIsLeftBehindWhenItIsUnloaded) {
  const ossl::LibCtx ctx(OSSL_LIB_CTX_new());
  const LoadedProvider base = load(ctx.get(), "default");
  {
    const LoadedProvider vhsm = load(ctx.get(), "vhsm");
    const ossl::PKeyCtx generation(EVP_PKEY_CTX_new_from_name(ctx.get(), "EC", kVhsm));
    ASSERT_NE(generation, nullptr);
  }
  EXPECT_EQ(ERR_peek_error(), 0U) << take_errors();
  EXPECT_EQ(OSSL_PROVIDER_available(ctx.get(), "vhsm"), 0);
  EVP_SIGNATURE* const ours = EVP_SIGNATURE_fetch(ctx.get(), "RSA", kVhsm);
  EXPECT_EQ(ours, nullptr) << "an unloaded provider's algorithm is still offered";
  EVP_SIGNATURE_free(ours);
  ERR_clear_error();
  const ossl::PKeyCtx generation(EVP_PKEY_CTX_new_from_name(ctx.get(), "EC", nullptr));
  ossl::PKey key;
  ASSERT_EQ(EVP_PKEY_keygen_init(generation.get()), 1) << take_errors();
  EVP_PKEY_CTX_set_group_name(generation.get(), "P-256");
  EXPECT_EQ(EVP_PKEY_generate(generation.get(), ossl::Receive(key)), 1) << take_errors();
}

// T12
TEST_P(DisturbanceTest, AContextForTlsIsMadeBeforeOrAfterTheKey) {
  using SslCtx = ossl::Handle<SSL_CTX, SSL_CTX_free>;
  for (const bool context_first : {true, false}) {
    SslCtx ctx;
    if (context_first) ctx.reset(SSL_CTX_new_ex(host_.ctx(), nullptr, TLS_server_method()));
    const auto key = host_.open(folder_.uri("P-256"));
    ASSERT_NE(key, nullptr) << take_errors();
    if (!context_first) ctx.reset(SSL_CTX_new_ex(host_.ctx(), nullptr, TLS_server_method()));
    const std::string pem = folder_.pem("P-256");
    const ossl::Bio in(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
    const ossl::X509Cert certificate(PEM_read_bio_X509(in.get(), nullptr, nullptr, nullptr));
    EXPECT_EQ(SSL_CTX_use_certificate(ctx.get(), certificate.get()), 1) << take_errors();
    EXPECT_EQ(SSL_CTX_use_PrivateKey(ctx.get(), key.get()), 1) << take_errors();
    EXPECT_EQ(SSL_CTX_check_private_key(ctx.get()), 1) << take_errors();
  }
}

INSTANTIATE_TEST_SUITE_P(Orders, DisturbanceTest,
                         ::testing::Values(Order::kDefaultFirst, Order::kVhsmFirst),
                         [](const auto& test) {
                           return test.param == Order::kVhsmFirst ? "VhsmFirst" : "DefaultFirst";
                         });

}  // namespace
}  // namespace vhsm::test
