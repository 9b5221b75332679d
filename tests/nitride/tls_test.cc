// SPDX-License-Identifier: Apache-2.0
//
// Whom Nitride takes for its KBS: nobody whose certificate, name or pin is not right.
#include "tests/nitride/support.h"

namespace vhsm::nitride {
namespace {

using ::testing::HasSubstr;

class TlsTest : public NitrideTest {
 protected:
  TlsTest() {
    settings.connect_timeout = 1000ms;
    settings.kbs_ca = folder.write("ca.pem", ca_.certificate_pem());
  }

  /// A KBS with this leaf, configured under `host`.
  void serve(const Identity& leaf, const std::string& host = "127.0.0.1",
             X509_STORE* clients = nullptr) {
    kbs_ = std::make_unique<FakeKbs>(leaf, clients);
    kbs_->hold("default/tls/www", "the key of www");
    settings.kbs = {kbs_->url(host)};
  }
  Identity good_leaf() const { return make_leaf(ca_, "DNS:localhost,IP:127.0.0.1"); }

  /// "forged: the sentence", or the text that was fetched.
  std::string verdict() {
    const auto secret = fetch();
    if (secret.ok()) return text_of(secret.value());
    return std::string(reason(secret.error().code)) + ": " + secret.error().what.c_str();
  }
  void expect_nothing_was_asked() const { EXPECT_EQ(kbs_->auths, 0); }

  const Identity ca_ = make_ca("vhsm test CA");
  std::unique_ptr<FakeKbs> kbs_;
};

TEST_F(TlsTest, AVerifiedServerIsAsked) {
  serve(good_leaf());
  EXPECT_EQ(verdict(), "the key of www");
  const auto probes = client().probe();
  EXPECT_EQ(probes.front().tls, "TLSv1.3");
}

TEST_F(TlsTest, AServerIsKnownByItsDnsNameToo) {
  serve(good_leaf(), "localhost");
  EXPECT_EQ(verdict(), "the key of www");
}

TEST_F(TlsTest, AnotherCasServerIsNotTrusted) {
  serve(make_leaf(make_ca("vhsm test CA"), "IP:127.0.0.1"));
  EXPECT_THAT(verdict(), HasSubstr("forged: the KBS's certificate does not verify"));
  expect_nothing_was_asked();
}

TEST_F(TlsTest, ASelfSignedServerIsNotTrusted) {
  serve(make_ca("127.0.0.1"));
  EXPECT_THAT(verdict(), HasSubstr("self-signed and not in kbs_ca"));
  expect_nothing_was_asked();
}

TEST_F(TlsTest, TheErrorNamesTheEndpoint) {
  serve(make_ca("127.0.0.1"));
  const auto secret = fetch();
  EXPECT_THAT(std::string(secret.error().subject.text()), HasSubstr(kbs_->url()));
}

TEST_F(TlsTest, ACertificateForAnotherAddressIsRefused) {
  serve(make_leaf(ca_, "DNS:localhost,IP:127.0.0.2"));
  EXPECT_THAT(verdict(), HasSubstr("it is for another address"));
  expect_nothing_was_asked();
}

TEST_F(TlsTest, ACertificateForAnotherNameIsRefused) {
  serve(make_leaf(ca_, "DNS:kbs.example,IP:127.0.0.1"), "localhost");
  EXPECT_THAT(verdict(), HasSubstr("it is for another host name"));
  expect_nothing_was_asked();
}

TEST_F(TlsTest, AnExpiredCertificateIsRefused) {
  serve(make_leaf(ca_, "IP:127.0.0.1", -1));
  EXPECT_THAT(verdict(), HasSubstr("it has expired"));
  expect_nothing_was_asked();
}

// The next two look so to a VM whose clock is ten years ahead or behind: the one thing that asks
// it.

TEST_F(TlsTest, ACertificateOfTheLastDecadeIsRefusedAndTheErrorSaysWhy) {
  constexpr int kTenYears = 3652;
  serve(make_leaf(ca_, "IP:127.0.0.1", 30 - kTenYears, kTenYears + 30));
  EXPECT_THAT(verdict(), HasSubstr("it has expired"));
  expect_nothing_was_asked();
}

TEST_F(TlsTest, ACertificateOfTheNextDecadeIsRefusedAndTheErrorSaysWhy) {
  constexpr int kTenYears = 3652;
  serve(make_leaf(ca_, "IP:127.0.0.1", kTenYears + 30, -kTenYears));
  EXPECT_THAT(verdict(), HasSubstr("not valid yet"));
  expect_nothing_was_asked();
}

TEST_F(TlsTest, TheSystemsTrustStoreDoesNotHelpAnUnknownCa) {
  settings.kbs_ca.clear();
  serve(good_leaf());
  EXPECT_THAT(verdict(), HasSubstr("forged: the KBS's certificate does not verify"));
}

TEST_F(TlsTest, APinnedServerIsAsked) {
  const Identity leaf = good_leaf();
  settings.kbs_pin = {ca_.pin(), leaf.pin()};
  serve(leaf);
  EXPECT_EQ(verdict(), "the key of www");
}

TEST_F(TlsTest, AVerifiedServerWithAnotherPinIsRefused) {
  settings.kbs_pin = {good_leaf().pin()};
  serve(good_leaf());
  EXPECT_EQ(verdict(), "forged: the KBS's public key is none of kbs_pin");
  expect_nothing_was_asked();
}

TEST_F(TlsTest, AServerBelowTls12IsRefused) {
  serve(good_leaf());
  RawServer old(answering("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"));
  settings.kbs = {old.url("https")};
  EXPECT_THAT(verdict(), HasSubstr("unreachable: the KBS does not speak TLS"));
}

// ----- our own certificate -----------------------------------------------------------------------

class ClientCertificateTest : public TlsTest {
 protected:
  ClientCertificateTest() : clients_(X509_STORE_new()) {
    X509_STORE_add_cert(clients_, ca_.certificate.get());
    serve(good_leaf(), "127.0.0.1", clients_);  // the server owns the store
  }
  void present(const Identity& certificate, const Identity& key) {
    settings.kbs_cert = folder.write("client.pem", certificate.certificate_pem());
    settings.kbs_key = folder.write("client.key", key.key_pem());
  }
  X509_STORE* clients_;
};

TEST_F(ClientCertificateTest, IsPresentedToAServerThatAsks) {
  const Identity own = make_leaf(ca_, "DNS:vm");
  present(own, own);
  EXPECT_EQ(verdict(), "the key of www");
}

TEST_F(ClientCertificateTest, ItsLackIsNamed) {
  EXPECT_THAT(verdict(), HasSubstr("kbs_cert"));
  expect_nothing_was_asked();
}

TEST_F(ClientCertificateTest, AKeyOfAnotherCertificateIsABadConfiguration) {
  present(make_leaf(ca_, "DNS:vm"), make_leaf(ca_, "DNS:vm"));
  const auto made = Client::create(settings, platform, metrics, std::make_shared<Records>());
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.error().code, Errc::kBadConfig);
}

// ----- configuration -----------------------------------------------------------------------------

class ConfigurationTest : public NitrideTest {
 protected:
  Errc refusal() {
    const auto made = Client::create(settings, platform, metrics, std::make_shared<Records>());
    return made.ok() ? Errc{} : made.error().code;
  }
};

TEST_F(ConfigurationTest, PlainHttpToAnotherHostNeedsConsent) {
  settings.kbs = {"http://192.0.2.1:8080"};
  EXPECT_EQ(refusal(), Errc::kBadConfig);
  settings.kbs_insecure = true;
  EXPECT_EQ(refusal(), Errc{});
}

TEST_F(ConfigurationTest, NoEndpointIsAnError) { EXPECT_EQ(refusal(), Errc::kBadConfig); }

TEST_F(ConfigurationTest, AMissingCaFileIsNamed) {
  settings.kbs = {"https://127.0.0.1:1"};
  settings.kbs_ca = "/nonexistent/ca.pem";
  const auto made = Client::create(settings, platform, metrics, std::make_shared<Records>());
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.error().code, Errc::kIo);
  EXPECT_EQ(made.error().subject.text(), "/nonexistent/ca.pem");
}

TEST_F(ConfigurationTest, ACaFileOfGarbageIsAnError) {
  settings.kbs = {"https://127.0.0.1:1"};
  settings.kbs_ca =
      folder.write("ca.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
  EXPECT_EQ(refusal(), Errc::kBadConfig);
}

TEST_F(ConfigurationTest, ACaFileWithoutACertificateIsAnError) {
  settings.kbs = {"https://127.0.0.1:1"};
  settings.kbs_ca = folder.write("ca.pem", "nothing here\n");
  EXPECT_EQ(refusal(), Errc::kBadConfig);
  const auto made = Client::create(settings, platform, metrics, std::make_shared<Records>());
  EXPECT_EQ(made.error().subject.text(), settings.kbs_ca);
}

TEST_F(ConfigurationTest, APinMustBeASha256) {
  settings.kbs = {"https://127.0.0.1:1"};
  settings.kbs_pin = {"abcd"};
  EXPECT_EQ(refusal(), Errc::kBadConfig);
}

}  // namespace
}  // namespace vhsm::nitride
