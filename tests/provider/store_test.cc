// SPDX-License-Identifier: Apache-2.0
//
// Keys by URI and by PEM stand-in, as programs open them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/decoder.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/store.h>
#include <openssl/ui.h>
#include <openssl/x509.h>

#include <fstream>
#include <string>
#include <vector>

#include "tests/kinds.h"
#include "tests/provider/host.h"
#include "tests/provider/key_folder.h"

namespace vhsm::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class StoreTest : public ::testing::Test {
 protected:
  /// The kinds of objects that a URI or file yields; -1 for a failed open.
  [[nodiscard]] std::vector<int> kinds(const std::string& uri, int expect = 0) const {
    const StoreCtx store = open_store(host_, uri);
    if (store == nullptr) return {-1};
    if (expect != 0) OSSL_STORE_expect(store.get(), expect);
    std::vector<int> found;
    for (const auto& info : rest_of(store)) found.push_back(OSSL_STORE_INFO_get_type(info.get()));
    return found;
  }

  [[nodiscard]] std::string stand_in(const std::string& type) const {
    return private_pem(host_.open(folder_.uri(type)).get());
  }

  [[nodiscard]] std::string certificate(const std::string& type) const {
    const std::string pem = folder_.pem(type);
    return pem.substr(pem.find("-----BEGIN CERTIFICATE"));
  }

  [[nodiscard]] ossl::PKey read_pem(const std::string& text) const {
    return read_private_pem(host_, text);
  }

  [[nodiscard]] std::string file(const std::string& name, const std::string& text) const {
    std::string path = folder_.path() + "/" + name;
    std::ofstream(path) << text;
    return path;
  }

  const KeyFolder folder_;
  const Host host_{"vhsm_files"};
};

TEST_F(StoreTest, AUriYieldsTheKeyThenItsCertificates) {
  EXPECT_THAT(kinds(folder_.uri("EC")), ElementsAre(OSSL_STORE_INFO_PKEY, OSSL_STORE_INFO_CERT));
  const auto path = [&](const char* kind) { return folder_.uri(kind).substr(5); };
  EXPECT_THAT(kinds("vhsm://" + path("RSA")),
              ElementsAre(OSSL_STORE_INFO_PKEY, OSSL_STORE_INFO_CERT));
  EXPECT_THAT(kinds("vhsm:///" + path("X25519")), ElementsAre(OSSL_STORE_INFO_PKEY));
}

TEST_F(StoreTest, TypeInTheUriWinsOverTheExpectation) {
  const std::string uri = folder_.uri("EC");
  EXPECT_THAT(kinds(uri + "?type=private"), ElementsAre(OSSL_STORE_INFO_PKEY));
  EXPECT_THAT(kinds(uri + "?type=public"), ElementsAre(OSSL_STORE_INFO_PUBKEY));
  EXPECT_THAT(kinds(uri + "?type=cert"), ElementsAre(OSSL_STORE_INFO_CERT));
  EXPECT_THAT(kinds(uri, OSSL_STORE_INFO_PUBKEY), ElementsAre(OSSL_STORE_INFO_PUBKEY));
  EXPECT_THAT(kinds(uri, OSSL_STORE_INFO_CERT), ElementsAre(OSSL_STORE_INFO_CERT));
  EXPECT_THAT(kinds(uri, OSSL_STORE_INFO_PKEY), ElementsAre(OSSL_STORE_INFO_PKEY));
  EXPECT_THAT(kinds(uri, OSSL_STORE_INFO_CRL), IsEmpty());
  EXPECT_THAT(kinds(uri, OSSL_STORE_INFO_PARAMS), IsEmpty());
}

// T22
TEST_F(StoreTest, WhatIsNotThereOrNotAUriFailsToOpenWithOurErrorLast) {
  using Refused = std::pair<std::string, const char*>;
  for (const auto& [uri, reason] :
       {Refused{"vhsm:no/such/key", ":missing:"}, Refused{"vhsm:a/b/c/d", ":malformed URI:"},
        Refused{"vhsm:a/b*/c", ":malformed URI:"}, Refused{"vhsm:a/b/c/", ":malformed URI:"},
        Refused{"vhsm:?type=cert", ":malformed URI:"}, Refused{"vhsm:a//", ":malformed URI:"},
        Refused{folder_.uri("X448") + "?type=cert", ":missing:"},
        Refused{folder_.uri("EC") + "?type=secret", ":unsupported:"}}) {
    EXPECT_THAT(kinds(uri), ElementsAre(-1)) << uri;
    const std::string errors = take_errors();
    const std::string last = errors.substr(errors.rfind('\n', errors.size() - 2) + 1);
    EXPECT_THAT(last, HasSubstr(reason)) << uri;
  }
}

// T24
TEST_F(StoreTest, AfterALoadThatFailsTheStoreIsAtItsEnd) {
  const auto open =
      provided<OSSL_FUNC_store_open_fn>(host_, OSSL_OP_STORE, "vhsm", OSSL_FUNC_STORE_OPEN);
  const auto load =
      provided<OSSL_FUNC_store_load_fn>(host_, OSSL_OP_STORE, "vhsm", OSSL_FUNC_STORE_LOAD);
  const auto eof =
      provided<OSSL_FUNC_store_eof_fn>(host_, OSSL_OP_STORE, "vhsm", OSSL_FUNC_STORE_EOF);
  const auto close =
      provided<OSSL_FUNC_store_close_fn>(host_, OSSL_OP_STORE, "vhsm", OSSL_FUNC_STORE_CLOSE);
  void* const store =
      open(OSSL_PROVIDER_get0_provider_ctx(host_.vhsm()), folder_.uri("EC").c_str());
  ASSERT_NE(store, nullptr) << take_errors();
  ASSERT_EQ(eof(store), 0);
  const auto refuse = [](const OSSL_PARAM* /*object*/, void* /*arg*/) { return 0; };
  EXPECT_EQ(load(store, refuse, nullptr, nullptr, nullptr), 0);
  EXPECT_EQ(eof(store), 1) << "a caller that loops until the end would not come to one";
  EXPECT_EQ(load(store, refuse, nullptr, nullptr, nullptr), 0);
  close(store);
}

// T5
TEST_F(StoreTest, AHostThatPrefersAnotherProviderGetsOurKeyAndNotItsPublicHalfThere) {
  EXPECT_EQ(provided<OSSL_FUNC_store_export_object_fn>(host_, OSSL_OP_STORE, "vhsm",
                                                       OSSL_FUNC_STORE_EXPORT_OBJECT),
            nullptr);
  const Host host("vhsm_files");
  ASSERT_EQ(EVP_set_default_properties(host.ctx(), "?provider=default"), 1);
  for (const char* type : {"RSA", "EC", "ED25519"}) {
    const auto key = host.open(folder_.uri(type));
    ASSERT_NE(key, nullptr) << type << take_errors();
    EXPECT_STREQ(OSSL_PROVIDER_get0_name(EVP_PKEY_get0_provider(key.get())), "vhsm_files");
    const Scheme scheme{type[1] == 'D' ? nullptr : "SHA256"};
    EXPECT_TRUE(verify(host, folder_.in_default(host, type).get(), scheme, kMessage,
                       sign(host, key.get(), scheme, kMessage)))
        << type << take_errors();
  }
}

// T17
TEST_F(StoreTest, AHundredThousandLoadsLeaveNothingInProtectedMemory) {
  const std::string uri = folder_.uri("EC");
  { const auto warm = host_.open(uri); }
  const auto before = host_.counter("vhsm-memory-in-use");
  for (int i = 0; i < 100; ++i) {
    const StoreCtx store = open_store(host_, uri);
    const auto objects = rest_of(store);
    ASSERT_EQ(objects.size(), 2U) << i << take_errors();
    const EVP_PKEY* const key = OSSL_STORE_INFO_get0_PKEY(objects.front().get());
    std::vector<ossl::PKey> copies;
    for (int copy = 0; copy < 1000; ++copy) {
      // The prototype of OpenSSL 3.0 lacks the const.
      copies.emplace_back(EVP_PKEY_dup(const_cast<EVP_PKEY*>(key)));
    }
    ASSERT_NE(copies.back(), nullptr) << take_errors();
  }
  EXPECT_LE(host_.counter("vhsm-memory-in-use"), before + 4096);
}

// T25
TEST_F(StoreTest, NobodyIsAskedForAPassphrase) {
  const ossl::Handle<UI_METHOD, UI_destroy_method> asks(UI_create_method("fails the test"));
  const auto asked = [](UI* /*ui*/, UI_STRING* /*prompt*/) {
    ADD_FAILURE() << "a passphrase was asked for";
    return 0;
  };
  UI_method_set_reader(asks.get(), asked);
  for (const std::string& uri : {folder_.uri("EC"), folder_.uri("EC") + "?type=public",
                                 folder_.uri("RSA") + "?type=cert", std::string("vhsm:")}) {
    const StoreCtx store(OSSL_STORE_open_ex(uri.c_str(), host_.ctx(), nullptr, asks.get(), nullptr,
                                            nullptr, nullptr, nullptr));
    ASSERT_NE(store, nullptr) << take_errors();
    EXPECT_FALSE(rest_of(store).empty()) << uri;
  }
}

// T27
TEST_F(StoreTest, WithFipsAsADefaultPropertyAKeyIsOpenedByMinusFipsAndNothingElseInItsPlace) {
  const Host host("vhsm_files");
  ASSERT_EQ(EVP_set_default_properties(host.ctx(), "fips=yes"), 1);
  EXPECT_EQ(open_store(host, folder_.uri("EC")), nullptr);
  take_errors();
  const StoreCtx store(OSSL_STORE_open_ex(folder_.uri("EC").c_str(), host.ctx(), "-fips", nullptr,
                                          nullptr, nullptr, nullptr, nullptr));
  ASSERT_NE(store, nullptr) << take_errors();
  const auto objects = rest_of(store);
  ASSERT_FALSE(objects.empty()) << take_errors();
  EXPECT_EQ(OSSL_STORE_INFO_get_type(objects.front().get()), OSSL_STORE_INFO_PKEY);
}

TEST_F(StoreTest, AnOpenedKeyIsFetchedOnce) {
  const Host fresh("vhsm_files");
  EXPECT_NE(fresh.open(folder_.uri("EC")), nullptr);
  EXPECT_NE(fresh.open(folder_.uri("EC")), nullptr);
  EXPECT_EQ(fresh.counter("vhsm-fetches"), 1U);
}

TEST_F(StoreTest, AStandInOfEachTypeIsReadBackAndWorks) {
  for (const auto& kind : tests::every_kind()) {
    const auto key = read_pem(stand_in(kind.name));
    ASSERT_NE(key, nullptr) << kind.name << take_errors();
    const auto theirs = folder_.in_default(host_, kind.name);
    EXPECT_EQ(EVP_PKEY_eq(key.get(), theirs.get()), 1) << kind.name;
    if (kind.exchanges()) {
      const auto pair = host_.generate(kind.type->name, kind.detail, kDefault);
      const auto peer = host_.public_in_default(pair.get());
      EXPECT_EQ(derive(host_, key.get(), peer.get()), derive(host_, theirs.get(), peer.get()));
    }
    if (kind.signs() && !kind.is_slow()) {
      const Scheme scheme{kind.digest()};
      EXPECT_TRUE(
          verify(host_, theirs.get(), scheme, kMessage, sign(host_, key.get(), scheme, kMessage)))
          << kind.name << take_errors();
    }
  }
}

// T23
TEST_F(StoreTest, StandInAndCertificatesStandInOneFileInAnyOrder) {
  const std::string ours = stand_in("EC");
  const std::string cert = certificate("EC");
  const std::string other = certificate("RSA");
  for (const auto& text : {ours + cert, cert + ours, cert + ours + other, cert + other + ours,
                           "a comment\n" + cert + "\n\nmore\n" + ours}) {
    const auto key = read_pem(text);
    ASSERT_NE(key, nullptr) << text << take_errors();
    EXPECT_STREQ(OSSL_PROVIDER_get0_name(EVP_PKEY_get0_provider(key.get())), "vhsm_files");
    const ossl::Bio in(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
    EXPECT_NE(ossl::X509Cert(PEM_read_bio_X509(in.get(), nullptr, nullptr, nullptr)), nullptr);
    const auto found = kinds(file("mixed.pem", text));
    EXPECT_EQ(std::ranges::count(found, OSSL_STORE_INFO_PKEY), 1) << text;
    EXPECT_GE(std::ranges::count(found, OSSL_STORE_INFO_CERT), 1) << text;
  }
}

TEST_F(StoreTest, OtherKeysInPemAndDerAreReadAsWithoutUs) {
  for (const Order order : {Order::kDefaultFirst, Order::kVhsmFirst}) {
    const Host host("vhsm_files", order);
    for (const char* type : {"RSA", "RSA-PSS", "EC", "ED25519", "X25519"}) {
      const std::string pem = folder_.pem(type);
      const ossl::Bio in(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
      const ossl::PKey key(
          PEM_read_bio_PrivateKey_ex(in.get(), nullptr, nullptr, nullptr, host.ctx(), nullptr));
      ASSERT_NE(key, nullptr) << type << take_errors();
      EXPECT_STREQ(OSSL_PROVIDER_get0_name(EVP_PKEY_get0_provider(key.get())), "default");
      unsigned char* der = nullptr;
      const int size = i2d_PrivateKey(key.get(), &der);
      const unsigned char* next = der;
      EXPECT_NE(ossl::PKey(d2i_AutoPrivateKey_ex(nullptr, &next, size, host.ctx(), nullptr)),
                nullptr)
          << type << take_errors();
      OPENSSL_free(der);
      EXPECT_EQ(take_errors(), "") << type;
    }
  }
}

TEST_F(StoreTest, ForeignBlocksPassUntouchedAndOpenNoKeyOfOurs) {
  const std::string foreign =
      "-----BEGIN DH PARAMETERS-----\nMAcCAgDtAgECAgE=\n-----END DH PARAMETERS-----\n"
      "-----BEGIN SOMETHING ELSE-----\nAAAA\n-----END SOMETHING ELSE-----\n" +
      certificate("RSA");
  const std::string plain = folder_.pem("RSA");
  const Host host("vhsm_files", Order::kVhsmFirst);
  const auto key_of = [&](const std::string& text, OSSL_LIB_CTX* ctx) {
    const ossl::Bio in(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
    return ossl::PKey(
        PEM_read_bio_PrivateKey_ex(in.get(), nullptr, nullptr, nullptr, ctx, nullptr));
  };
  EXPECT_NE(key_of(foreign + plain, host.ctx()), nullptr) << take_errors();
  const auto read = kinds(file("foreign.pem", foreign + plain));
  EXPECT_EQ(std::ranges::count(read, OSSL_STORE_INFO_PKEY), 1);
  EXPECT_EQ(std::ranges::count(read, OSSL_STORE_INFO_CERT), 2);
  EXPECT_EQ(host.counter("vhsm-fetches"), 0U);
  EXPECT_EQ(host_.counter("vhsm-fetches"), 0U);
}

TEST_F(StoreTest, DecodersOfOtherTypesDeclineAStandInWithoutFetchingItsKey) {
  const std::string text = stand_in("EC");
  const Host host("vhsm_files");  // one that has fetched nothing
  for (const char* type : {"RSA", "ED25519", "X25519", "DH"}) {
    EVP_PKEY* raw = nullptr;
    const ossl::Handle<OSSL_DECODER_CTX, OSSL_DECODER_CTX_free> decoder(
        OSSL_DECODER_CTX_new_for_pkey(&raw, "PEM", nullptr, type, EVP_PKEY_KEYPAIR, host.ctx(),
                                      nullptr));
    const ossl::Bio in(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
    EXPECT_EQ(OSSL_DECODER_from_bio(decoder.get(), in.get()), 0) << type;
    EXPECT_EQ(raw, nullptr) << type;
    take_errors();
  }
  EXPECT_EQ(host.counter("vhsm-fetches"), 0U);
}

TEST_F(StoreTest, AServerTakesKeyAndCertificateFromOneFileInAnyOrder) {
  const ossl::Handle<SSL_CTX, SSL_CTX_free> ssl(
      SSL_CTX_new_ex(host_.ctx(), nullptr, TLS_server_method()));
  for (const char* type : {"RSA", "EC"}) {
    for (const auto& text :
         {stand_in(type) + certificate(type), certificate(type) + stand_in(type)}) {
      const std::string path = file("server.pem", text);
      EXPECT_EQ(SSL_CTX_use_certificate_chain_file(ssl.get(), path.c_str()), 1) << take_errors();
      EXPECT_EQ(SSL_CTX_use_PrivateKey_file(ssl.get(), path.c_str(), SSL_FILETYPE_PEM), 1)
          << take_errors();
      EXPECT_EQ(SSL_CTX_check_private_key(ssl.get()), 1) << take_errors();
    }
  }
}

TEST_F(StoreTest, ADamagedStandInIsAnErrorThatSaysSo) {
  std::string text = stand_in("EC");
  text[text.find('\n') + 5] ^= 1;
  EXPECT_EQ(read_pem(text), nullptr);
  EXPECT_THAT(take_errors(), HasSubstr("malformed data"));
}

TEST_F(StoreTest, AStandInWhoseKeyIsAnotherIsRefused) {
  // The public half of one key under the name of another.
  std::string text = stand_in("EC");
  const std::string path = folder_.path() + "/default/test/swapped";
  std::ofstream(path) << folder_.pem("EC");
  const Host first("vhsm_files");
  const auto key = first.open("vhsm:default/test/swapped");
  const ossl::Bio out(BIO_new(BIO_s_mem()));
  ASSERT_EQ(PEM_write_bio_PrivateKey(out.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr),
            1);
  const Bytes written = contents(out.get());
  const auto other = host_.generate("EC", {}, kDefault);
  const ossl::Bio replaced(BIO_new_file(path.c_str(), "w"));
  PEM_write_bio_PrivateKey(replaced.get(), other.get(), nullptr, nullptr, 0, nullptr, nullptr);
  BIO_flush(replaced.get());
  EXPECT_EQ(read_pem({written.begin(), written.end()}), nullptr);
  EXPECT_NE(take_errors(), "");
}

}  // namespace
}  // namespace vhsm::test
