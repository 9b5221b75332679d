// SPDX-License-Identifier: Apache-2.0
//
// vhsm report fetch against a local server that speaks the URLs of AMD's service, and gives a real
// certificate.
#include <httplib.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>

#include "tests/base/temp_dir.h"
#include "tests/world/world.h"

namespace vhsm::tests {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

/// A revocation list by nobody in particular.
std::string some_list() {
  EVP_PKEY* key = EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256");
  X509_CRL* list = X509_CRL_new();
  ASN1_TIME* now = ASN1_TIME_set(nullptr, std::time(nullptr));
  X509_CRL_set_version(list, 1);
  X509_CRL_set1_lastUpdate(list, now);
  X509_CRL_set1_nextUpdate(list, now);
  X509_CRL_sign(list, key, EVP_sha256());
  std::uint8_t* der = nullptr;
  const int size = i2d_X509_CRL(list, &der);
  std::string text(der, der + size);
  OPENSSL_free(der);
  ASN1_TIME_free(now);
  X509_CRL_free(list);
  EVP_PKEY_free(key);
  return text;
}

std::string vectors() {
  const char* const named = std::getenv("VHSM_VECTORS");
  return std::string(named != nullptr ? named : VHSM_TEST_VECTORS) + "/snp/11-genoa-v3-vcek-ccf/";
}

class FetchTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(vectors())) GTEST_SKIP() << "no vectors at " << vectors();
    server_.Get(R"(/vcek/v1/Genoa/([0-9a-f]{128}))",
                [this](const httplib::Request& request, httplib::Response& response) {
                  give_certificate(request, response);
                });
    server_.Get("/vcek/v1/Genoa/crl", [](const httplib::Request&, httplib::Response& response) {
      response.set_content(some_list(), "application/pkix-crl");
    });
    port_ = server_.bind_to_any_port("127.0.0.1");
    thread_ = std::thread([this] { server_.listen_after_bind(); });
  }
  void TearDown() override {
    server_.stop();
    if (thread_.joinable()) thread_.join();
  }

  /// After asking to wait for a second.
  void give_certificate(const httplib::Request& request, httplib::Response& response) {
    if (++asked_ == 1) {
      response.status = 429;
      response.set_header("Retry-After", "1");
      return;
    }
    for (const char* level : {"blSPL", "teeSPL", "snpSPL", "ucodeSPL"}) {
      if (request.get_param_value_count(level) != 1) response.status = 400;
    }
    response.set_content(read_file(vectors() + "vcek.der"), "application/octet-stream");
  }

  static Outcome vhsm(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {std::string(VHSM_BIN_DIR) + "/vhsm", "report"});
    return run(arguments);
  }
  [[nodiscard]] Outcome fetch(const std::string& report = vectors() + "report.bin") const {
    return vhsm({"fetch", report, "--certs", folder_.file(""), "--kds",
                 "http://127.0.0.1:" + std::to_string(port_)});
  }

  const test::TempDir folder_;
  httplib::Server server_;
  std::thread thread_;
  std::atomic<int> asked_ = 0;
  int port_ = 0;
};

TEST_F(FetchTest, FetchesWhatVerifyNeedsAndWaitsWhenAskedTo) {
  const Outcome fetched = fetch();
  ASSERT_EQ(fetched.status, 0) << fetched.err;
  EXPECT_THAT(fetched.out, HasSubstr("vcek-Genoa-"));
  EXPECT_THAT(fetched.out, HasSubstr("Genoa-vcek.crl\n"));
  EXPECT_EQ(asked_, 2);
  const Outcome verified = vhsm({"verify", vectors() + "report.bin", "--certs", folder_.file("")});
  EXPECT_EQ(verified.status, 0) << verified.err;
  EXPECT_THAT(verified.out, StartsWith("genuine and accepted: made by an AMD Genoa processor"));
  ASSERT_EQ(fetch().status, 0);
  EXPECT_EQ(asked_, 2) << "the certificate is in the folder";
}

TEST_F(FetchTest, ATurinHasEightBytesAndAnFmc) {
  const std::string machine = VHSM_TEST_TURIN;
  const test::TempDir guest;
  const std::string report = guest.file("report");
  const std::string settings =
      guest.write("vhsm.cnf", "[vhsm]\nplatform = emulator:" + machine + "\n");
  ASSERT_EQ(
      run({std::string(VHSM_BIN_DIR) + "/vhsm", "--config", settings, "attest", "--out", report})
          .status,
      0);
  std::string asked;
  server_.Get(R"(/vcek/v1/Turin/([0-9a-f]{16}))",
              [&](const httplib::Request& request, httplib::Response& response) {
                asked = request.target.substr(request.target.find('?'));
                response.set_content(read_file(machine + "/vcek.pem"), "application/x-pem-file");
              });
  server_.Get("/vcek/v1/Turin/crl", [](const httplib::Request&, httplib::Response& response) {
    response.set_content(some_list(), "application/pkix-crl");
  });
  const Outcome fetched = fetch(report);
  ASSERT_EQ(fetched.status, 0) << fetched.err;
  EXPECT_EQ(asked, "?fmcSPL=1&blSPL=1&teeSPL=1&snpSPL=4&ucodeSPL=81");
  std::filesystem::copy(machine + "/ask.pem", folder_.file("ask.pem"));
  const Outcome verified = vhsm({"verify", report, "--certs", folder_.file(""), "--product",
                                 "Turin", "--trust-test-root", machine + "/ark.pem"});
  EXPECT_EQ(verified.status, 0) << verified.out << verified.err;
}

TEST_F(FetchTest, AnAnswerThatIsTooLargeIsRefused) {
  server_.Get("/vcek/v1/Milan/crl", [](const httplib::Request&, httplib::Response& response) {
    response.set_content(std::string(8 << 20, 'x'), "application/pkix-crl");
  });
  const Outcome fetched =
      vhsm({"fetch", vectors() + "report.bin", "--certs", folder_.file(""), "--product", "Milan",
            "--kds", "http://127.0.0.1:" + std::to_string(port_)});
  EXPECT_EQ(fetched.status, 1);
  EXPECT_THAT(fetched.err, HasSubstr("http://127.0.0.1"));
  EXPECT_TRUE(std::filesystem::is_empty(folder_.file("")));
}

TEST_F(FetchTest, SaysWhatIsMissing) {
  const Outcome product =
      vhsm({"fetch", vectors() + "report.bin", "--certs", folder_.file(""), "--product", "Turin",
            "--kds", "http://127.0.0.1:" + std::to_string(port_)});
  EXPECT_EQ(product.status, 1);
  const Outcome plain = vhsm({"fetch", vectors() + "report.bin", "--certs", folder_.file(""),
                              "--kds", "http://example.org"});
  EXPECT_EQ(plain.status, 2);
  EXPECT_THAT(plain.err, HasSubstr("--kds: plain http reaches this machine alone"));
}

}  // namespace
}  // namespace vhsm::tests
