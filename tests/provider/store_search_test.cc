// SPDX-License-Identifier: Apache-2.0
//
// Folders of keys: what is listed, what a search finds.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/store.h>
#include <openssl/x509.h>

#include <array>
#include <string>
#include <vector>

#include "tests/provider/host.h"
#include "tests/provider/key_folder.h"

namespace vhsm::test {
namespace {

using Search = ossl::Handle<OSSL_STORE_SEARCH, OSSL_STORE_SEARCH_free>;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

Bytes der_of(X509* certificate) {
  unsigned char* der = nullptr;
  const int size = i2d_X509(certificate, &der);
  Bytes bytes(der, der + size);
  OPENSSL_free(der);
  return bytes;
}

Bytes sha256(const Bytes& bytes) {
  Bytes digest(SHA256_DIGEST_LENGTH);
  SHA256(bytes.data(), bytes.size(), digest.data());
  return digest;
}

Bytes sha1(const Bytes& bytes) {
  Bytes digest(SHA_DIGEST_LENGTH);
  SHA1(bytes.data(), bytes.size(), digest.data());
  return digest;
}

std::string pem_of(X509* certificate) {
  const ossl::Bio out(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(out.get(), certificate);
  const Bytes text = contents(out.get());
  return {text.begin(), text.end()};
}

/// "key", "certificate CN", "public key" or a name.
std::string description(const OSSL_STORE_INFO* info) {
  std::array<char, 64> name{};
  switch (OSSL_STORE_INFO_get_type(info)) {
    case OSSL_STORE_INFO_NAME: return OSSL_STORE_INFO_get0_NAME(info);
    case OSSL_STORE_INFO_PKEY: return "key";
    case OSSL_STORE_INFO_PUBKEY: return "public key";
    case OSSL_STORE_INFO_CERT:
      X509_NAME_get_text_by_NID(X509_get_subject_name(OSSL_STORE_INFO_get0_CERT(info)),
                                NID_commonName, name.data(), name.size());
      return "certificate " + std::string(name.data());
    default: return "something else";
  }
}

std::vector<std::string> descriptions(const std::vector<StoreInfo>& objects) {
  std::vector<std::string> texts;
  for (const auto& info : objects) texts.push_back(description(info.get()));
  return texts;
}

/// Two keys with a certificate each, one of which has that of its issuer beside it, and a key
/// without any.
class StoreSearchTest : public ::testing::Test {
 protected:
  StoreSearchTest() {
    const auto authority = host_.generate("EC", {}, kDefault);
    const auto issuer = self_signed(host_, authority.get(), "SHA256", {"Authority", "7"});
    folder_.put("one",
                private_pem(one_.get()) + pem_of(one_certificate_.get()) + pem_of(issuer.get()));
    folder_.put("two", private_pem(two_.get()) + pem_of(two_certificate_.get()));
    folder_.put("bare", private_pem(bare_.get()));
    for (const char* name : {"two", "bare", "one"}) {
      EXPECT_NE(host_.open(std::string("vhsm:default/test/") + name), nullptr) << take_errors();
    }
  }

  [[nodiscard]] std::vector<std::string> list(const std::string& uri) const {
    const StoreCtx store = open_store(host_, uri);
    EXPECT_NE(store, nullptr) << uri << take_errors();
    return store != nullptr ? descriptions(rest_of(store)) : std::vector<std::string>{};
  }

  [[nodiscard]] std::vector<std::string> find(const Search& search, int expect = 0,
                                              const std::string& uri = "vhsm:") const {
    const StoreCtx store = open_store(host_, uri);
    if (expect != 0) {
      EXPECT_EQ(OSSL_STORE_expect(store.get(), expect), 1);
    }
    EXPECT_EQ(OSSL_STORE_find(store.get(), search.get()), 1) << take_errors();
    return descriptions(rest_of(store));
  }

  static Search by_name(X509_NAME* name) { return Search(OSSL_STORE_SEARCH_by_name(name)); }
  static Search by_serial(X509* certificate, const ASN1_INTEGER* serial) {
    return Search(OSSL_STORE_SEARCH_by_issuer_serial(X509_get_issuer_name(certificate), serial));
  }
  static Search by_alias(const char* alias) { return Search(OSSL_STORE_SEARCH_by_alias(alias)); }
  static Search by_fingerprint(const EVP_MD* digest, const Bytes& fingerprint) {
    return Search(
        OSSL_STORE_SEARCH_by_key_fingerprint(digest, fingerprint.data(), fingerprint.size()));
  }

  const KeyFolder folder_;
  const Host host_{"vhsm_files"};
  const ossl::PKey one_ = host_.generate("EC", {}, kDefault);
  const ossl::PKey two_ = host_.generate("RSA", {}, kDefault);
  const ossl::PKey bare_ = host_.generate("X25519", {}, kDefault);
  const ossl::X509Cert one_certificate_ = self_signed(host_, one_.get(), "SHA256", {"one", "1"});
  const ossl::X509Cert two_certificate_ =
      self_signed(host_, two_.get(), "SHA256", {"two", "340282366920938463463374607431768211457"});
};

TEST_F(StoreSearchTest, AFolderListsTheNamesOfWhatIsHereInTheirOrder) {
  const auto all =
      ElementsAre("vhsm:default/test/bare", "vhsm:default/test/one", "vhsm:default/test/two");
  for (const char* uri : {"vhsm:", "vhsm://", "vhsm:///", "VHSM:", "vhsm:default/",
                          "vhsm:///default/test/", "vhsm:default/te%73t/"}) {
    EXPECT_THAT(list(uri), all) << uri;
  }
  EXPECT_THAT(list("vhsm:default/tes/"), IsEmpty());
  EXPECT_THAT(list("vhsm:test/"), IsEmpty()) << "nothing is put before a folder";
}

// T26
TEST_F(StoreSearchTest, AListIsOfNamesWhateverIsExpectedSoNobodyTakesTheFirstKey) {
  for (const int expect : {OSSL_STORE_INFO_PKEY, OSSL_STORE_INFO_CERT}) {
    const StoreCtx store = open_store(host_, "vhsm:");
    ASSERT_EQ(OSSL_STORE_expect(store.get(), expect), 1);
    EXPECT_THAT(
        descriptions(rest_of(store)),
        ElementsAre("vhsm:default/test/bare", "vhsm:default/test/one", "vhsm:default/test/two"));
  }
}

TEST_F(StoreSearchTest, ASubjectFindsTheCertificateAndTheKeyItIsFor) {
  X509_NAME* const subject = X509_get_subject_name(one_certificate_.get());
  EXPECT_THAT(find(by_name(subject)), ElementsAre("key", "certificate one"));
  EXPECT_THAT(find(by_name(subject), OSSL_STORE_INFO_PKEY), ElementsAre("key"));
  EXPECT_THAT(find(by_name(subject), OSSL_STORE_INFO_PUBKEY), ElementsAre("public key"));
  EXPECT_THAT(find(by_name(subject), OSSL_STORE_INFO_CERT), ElementsAre("certificate one"));
  EXPECT_THAT(find(by_name(subject), OSSL_STORE_INFO_CRL), IsEmpty());
}

TEST_F(StoreSearchTest, TheKeyThatASubjectFindsIsTheCertificatesOwn) {
  const StoreCtx store = open_store(host_, "vhsm:");
  const Search search = by_name(X509_get_subject_name(two_certificate_.get()));
  ASSERT_EQ(OSSL_STORE_find(store.get(), search.get()), 1);
  const auto found = rest_of(store);
  ASSERT_THAT(descriptions(found), ElementsAre("key", "certificate two"));
  EXPECT_EQ(EVP_PKEY_eq(OSSL_STORE_INFO_get0_PKEY(found[0].get()), two_.get()), 1);
}

TEST_F(StoreSearchTest, NamesAreComparedByWhatTheyMean) {
  for (const auto& [text, type] :
       {std::pair{"ONE", MBSTRING_ASC}, std::pair{" one ", MBSTRING_UTF8},
        std::pair{"one", V_ASN1_UTF8STRING}}) {
    const auto same = self_signed(host_, two_.get(), "SHA256", {text, "9", type});
    EXPECT_THAT(find(by_name(X509_get_subject_name(same.get()))),
                ElementsAre("key", "certificate one"))
        << text;
  }
  const auto other = self_signed(host_, two_.get(), "SHA256", {"on", "9"});
  EXPECT_THAT(find(by_name(X509_get_subject_name(other.get()))), IsEmpty());
}

TEST_F(StoreSearchTest, ACertificateOfAnIssuerBringsNoKeyWithIt) {
  const auto same = self_signed(host_, two_.get(), "SHA256", {"Authority", "9"});
  EXPECT_THAT(find(by_name(X509_get_subject_name(same.get()))),
              ElementsAre("certificate Authority"));
}

TEST_F(StoreSearchTest, IssuerAndSerialFindOneCertificate) {
  X509* const two = two_certificate_.get();
  EXPECT_THAT(find(by_serial(two, X509_get0_serialNumber(two))),
              ElementsAre("key", "certificate two"))
      << "a serial of 129 bits";
  X509* const one = one_certificate_.get();
  EXPECT_THAT(find(by_serial(one, X509_get0_serialNumber(one))),
              ElementsAre("key", "certificate one"));
  EXPECT_THAT(find(by_serial(one, X509_get0_serialNumber(two))), IsEmpty());
}

TEST_F(StoreSearchTest, AFingerprintIsOfACertificateOrOfAPublicKey) {
  const auto one = ElementsAre("key", "certificate one");
  const Bytes der = der_of(one_certificate_.get());
  EXPECT_THAT(find(by_fingerprint(EVP_sha256(), sha256(der))), one);
  EXPECT_THAT(find(by_fingerprint(EVP_sha1(), sha1(der))), one);
  EXPECT_THAT(find(by_fingerprint(EVP_sha256(), sha256(public_der(one_.get())))), one);
  EXPECT_THAT(find(by_fingerprint(EVP_sha256(), sha256(public_der(bare_.get())))),
              ElementsAre("key"))
      << "a key without a certificate";
  EXPECT_THAT(find(by_fingerprint(EVP_sha256(), sha256({}))), IsEmpty());
}

TEST_F(StoreSearchTest, AnAliasIsTheEndOfAName) {
  for (const char* alias : {"one", "test/one", "default/test/one"}) {
    EXPECT_THAT(find(by_alias(alias)),
                ElementsAre("key", "certificate one", "certificate Authority"))
        << alias;
  }
  for (const char* alias : {"ne", "est/one", "One", "two/", "/one", "default/test/one/"}) {
    EXPECT_THAT(find(by_alias(alias)), IsEmpty()) << alias;
  }
}

// T26
TEST_F(StoreSearchTest, AnAliasOfTwoKeysIsAnErrorThatNamesThemAndNotTheFirst) {
  const auto ours = host_.generate("EC", {}, kDefault);
  ASSERT_EQ(::system(("mkdir -p " + folder_.path() + "/other/place").c_str()), 0);
  folder_.put("../../other/place/one", private_pem(ours.get()));
  ASSERT_NE(host_.open("vhsm:other/place/one"), nullptr) << take_errors();
  const StoreCtx store = open_store(host_, "vhsm:");
  ASSERT_EQ(OSSL_STORE_expect(store.get(), OSSL_STORE_INFO_PKEY), 1);
  EXPECT_NE(OSSL_STORE_find(store.get(), by_alias("one").get()), 1);
  EXPECT_THAT(take_errors(), HasSubstr("vhsm:default/test/one, vhsm:other/place/one"));
  EXPECT_THAT(descriptions(rest_of(store)), IsEmpty()) << "nothing is told after a failure";
  EXPECT_THAT(find(by_alias("place/one")), ElementsAre("key"));
  EXPECT_THAT(find(by_alias("one"), 0, "vhsm:other/"), ElementsAre("key"));
}

TEST_F(StoreSearchTest, OnTheUriOfAKeyOnlyItsObjectsAreSearched) {
  X509_NAME* const subject = X509_get_subject_name(one_certificate_.get());
  EXPECT_THAT(find(by_name(subject), 0, "vhsm:default/test/one"),
              ElementsAre("key", "certificate one"));
  EXPECT_THAT(find(by_name(subject), 0, "vhsm:default/test/two"), IsEmpty());
  EXPECT_THAT(find(by_name(subject), 0, "vhsm:default/test/one?type=cert"),
              ElementsAre("certificate one"));
  EXPECT_THAT(find(by_alias("one"), 0, "vhsm:default/test/two"), IsEmpty());
  EXPECT_THAT(find(by_alias("two"), 0, "vhsm:default/test/two"),
              ElementsAre("key", "certificate two"));
}

TEST_F(StoreSearchTest, EveryKindOfSearchIsAnnounced) {
  const StoreCtx store = open_store(host_, "vhsm:");
  for (const int kind : {OSSL_STORE_SEARCH_BY_NAME, OSSL_STORE_SEARCH_BY_ISSUER_SERIAL,
                         OSSL_STORE_SEARCH_BY_KEY_FINGERPRINT, OSSL_STORE_SEARCH_BY_ALIAS}) {
    EXPECT_EQ(OSSL_STORE_supports_search(store.get(), kind), 1) << kind;
  }
}

TEST_F(StoreSearchTest, ListsAndSearchesFetchNothing) {
  const Host fresh("vhsm_files");
  const auto fetches = fresh.counter("vhsm-fetches");
  const StoreCtx store = open_store(fresh, "vhsm:");
  ASSERT_EQ(OSSL_STORE_find(store.get(), by_alias("EC").get()), 1) << take_errors();
  EXPECT_THAT(descriptions(rest_of(store)), IsEmpty());
  EXPECT_EQ(fresh.counter("vhsm-fetches"), fetches);
  EXPECT_THAT(list("vhsm:"), Not(Contains(HasSubstr("/EC"))));
}

TEST_F(StoreSearchTest, TheKeysOfASearchSign) {
  const StoreCtx store = open_store(host_, "vhsm:");
  ASSERT_EQ(OSSL_STORE_expect(store.get(), OSSL_STORE_INFO_PKEY), 1);
  ASSERT_EQ(OSSL_STORE_find(store.get(), by_alias("one").get()), 1);
  const auto found = rest_of(store);
  ASSERT_EQ(found.size(), 1U);
  EVP_PKEY* const key = OSSL_STORE_INFO_get0_PKEY(found[0].get());
  EXPECT_TRUE(
      verify(host_, one_.get(), {"SHA256"}, kMessage, sign(host_, key, {"SHA256"}, kMessage)))
      << take_errors();
}

}  // namespace
}  // namespace vhsm::test
