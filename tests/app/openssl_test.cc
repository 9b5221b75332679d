// SPDX-License-Identifier: Apache-2.0
//
// The main job as users do it: the stock openssl command, a KBS, an attested fetch.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/keystore/samples.h"
#include "tests/world/world.h"

namespace vhsm::tests {
namespace {

using Arguments = std::vector<std::string>;

class OpensslTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    world_ = std::make_unique<World>();
    ASSERT_TRUE(world_->ready());
    for (const char* kind :
         {"RSA2048", "RSA4096", "P-256", "P-384", "P-521", "ED25519", "X25519"}) {
      const auto key = keystore::make_key(kind);
      const bool certifies = std::string(kind) != "X25519" && std::string(kind) != "ED25519";
      world_->put(name(kind), keystore::pkcs8_pem(key.get()) +
                                  (certifies ? keystore::certificate_pem(key.get()) : ""));
      write_public(kind, key.get());
    }
    write_file(world_->file("message"), "what is signed\n");
  }
  static void TearDownTestSuite() { world_.reset(); }

  static std::string name(const std::string& kind) { return "default/tls/" + kind; }
  static std::string uri(const std::string& kind) { return "vhsm:" + name(kind); }
  static std::string path(const std::string& file) { return world_->file(file); }

  static void write_public(const std::string& kind, EVP_PKEY* key) {
    const ossl::Bio bio(BIO_new(BIO_s_mem()));
    PEM_write_bio_PUBKEY(bio.get(), key);
    write_file(world_->file(kind + ".pub"), keystore::text_of(bio.get()));
  }

  static Outcome good(const Arguments& arguments) {
    Outcome outcome = world_->openssl(arguments);
    EXPECT_EQ(outcome.status, 0) << ::testing::PrintToString(arguments) << "\n" << outcome.err;
    return outcome;
  }

  /// Refused, with a reason, and with nothing but an empty file left behind.
  static void refused(Arguments arguments, const std::string& out_option = "-out") {
    std::filesystem::remove(world_->file("leak"));
    arguments.insert(arguments.end(), {out_option, path("leak")});
    const Outcome outcome = world_->openssl(arguments);
    EXPECT_NE(outcome.status, 0) << ::testing::PrintToString(arguments);
    EXPECT_NE(outcome.err.find("protected memory"), std::string::npos)
        << ::testing::PrintToString(arguments) << "\n"
        << outcome.err;
    EXPECT_EQ(read_file(world_->file("leak")), "");
  }

  static void verify(const std::string& kind) {
    Arguments arguments{"pkeyutl", "-verify", "-pubin",        "-inkey",   path(kind + ".pub"),
                        "-rawin",  "-in",     path("message"), "-sigfile", path("signature")};
    good(arguments);
  }

  static std::unique_ptr<World> world_;
};
std::unique_ptr<World> OpensslTest::world_;

class ProviderOrderTest : public OpensslTest, public ::testing::WithParamInterface<Arguments> {};

TEST_P(ProviderOrderTest, SignsWithAKeyThatWasNotHereBefore) {
  for (const char* kind : {"RSA2048", "RSA4096", "P-256", "P-384", "P-521", "ED25519"}) {
    Arguments arguments{"pkeyutl"};
    arguments.insert(arguments.end(), GetParam().begin(), GetParam().end());
    arguments.insert(arguments.end(), {"-sign", "-inkey", uri(kind), "-rawin", "-in",
                                       path("message"), "-out", path("signature")});
    good(arguments);
    verify(kind);
  }
}

INSTANTIATE_TEST_SUITE_P(Orders, ProviderOrderTest,
                         ::testing::Values(Arguments{"-provider", "vhsm"},
                                           Arguments{"-provider", "vhsm", "-provider", "default"},
                                           Arguments{"-provider", "default", "-provider", "vhsm"}),
                         [](const auto& test) {
                           return test.param.size() == 2    ? std::string("VhsmAlone")
                                  : test.param[1] == "vhsm" ? std::string("VhsmFirst")
                                                            : std::string("DefaultFirst");
                         });

TEST_F(OpensslTest, AllSpellingsOfAUriNameTheSameKey) {
  for (const char* spelling : {"vhsm:default/tls/P-256", "vhsm://default/tls/P-256",
                               "vhsm:///default/tls/P-256", "vhsm:default/tls/P%2D256"}) {
    good({"pkeyutl", "-provider", "vhsm", "-sign", "-inkey", spelling, "-rawin", "-in",
          path("message"), "-out", path("signature")});
    verify("P-256");
  }
}

TEST_F(OpensslTest, PubOutIsThePublicKey) {
  for (const char* kind : {"RSA2048", "P-256", "P-521", "ED25519", "X25519"}) {
    for (const Arguments& with : {Arguments{}, Arguments{"-provider", "default"}}) {
      Arguments arguments{"pkey", "-provider", "vhsm", "-in", uri(kind), "-pubout"};
      arguments.insert(arguments.end(), with.begin(), with.end());
      EXPECT_EQ(good(arguments).out, read_file(world_->file(std::string(kind) + ".pub"))) << kind;
    }
  }
}

TEST_F(OpensslTest, DgstSigns) {
  for (const char* kind : {"RSA2048", "P-256", "P-384"}) {
    good({"dgst", "-provider", "vhsm", "-provider", "default", "-sha384", "-sign", uri(kind),
          "-out", path("signature"), path("message")});
    good({"dgst", "-sha384", "-verify", path(std::string(kind) + ".pub"), "-signature",
          path("signature"), path("message")});
  }
}

TEST_F(OpensslTest, DgstSignsWithPss) {
  good({"dgst", "-provider", "vhsm", "-provider", "default", "-sha256", "-sigopt",
        "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:-1", "-sign", uri("RSA2048"), "-out",
        path("signature"), path("message")});
  good({"dgst", "-sha256", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:-1",
        "-verify", path("RSA2048.pub"), "-signature", path("signature"), path("message")});
}

TEST_F(OpensslTest, ReqMakesARequestThatVerifies) {
  write_file(world_->file("req.cnf"),
             "[req]\ndistinguished_name = dn\nprompt = no\n[dn]\nCN = vhsm\n");
  for (const char* kind : {"RSA2048", "P-256", "ED25519"}) {
    for (const Arguments& order : {Arguments{"-provider", "vhsm", "-provider", "default"},
                                   Arguments{"-provider", "default", "-provider", "vhsm"}}) {
      Arguments arguments{"req"};
      arguments.insert(arguments.end(), order.begin(), order.end());
      arguments.insert(arguments.end(), {"-new", "-config", path("req.cnf"), "-key", uri(kind),
                                         "-out", path("request")});
      good(arguments);
      good({"req", "-config", path("req.cnf"), "-verify", "-noout", "-in", path("request")});
    }
  }
}

TEST_F(OpensslTest, StoreutlListsKeyAndCertificates) {
  const auto outcome = good(
      {"storeutl", "-provider", "vhsm", "-provider", "default", "-noout", "-text", uri("RSA2048")});
  EXPECT_NE(outcome.out.find("Total found: 2"), std::string::npos) << outcome.out;
  EXPECT_NE(outcome.out.find("Certificate"), std::string::npos);
  const auto certificates =
      good({"storeutl", "-provider", "vhsm", "-provider", "default", "-certs", uri("P-256")});
  EXPECT_NE(certificates.out.find("BEGIN CERTIFICATE"), std::string::npos);
  EXPECT_NE(certificates.out.find("Total found: 1"), std::string::npos) << certificates.out;
}

TEST_F(OpensslTest, OaepIsDecrypted) {
  good({"pkeyutl", "-encrypt", "-pubin", "-inkey", path("RSA2048.pub"), "-pkeyopt",
        "rsa_padding_mode:oaep", "-pkeyopt", "rsa_oaep_md:sha256", "-in", path("message"), "-out",
        path("ciphertext")});
  const auto plain = good({"pkeyutl", "-provider", "vhsm", "-provider", "default", "-decrypt",
                           "-inkey", uri("RSA2048"), "-pkeyopt", "rsa_padding_mode:oaep",
                           "-pkeyopt", "rsa_oaep_md:sha256", "-in", path("ciphertext")});
  EXPECT_EQ(plain.out, "what is signed\n");
}

// Made once: to make one takes up to a minute.
TEST_F(OpensslTest, AnRsaKeyMayBeLongerThan4096Bits) {
  const std::string file = VHSM_SOURCE_DIR "/tests/app/rsa8192.pem";
  world_->put(name("RSA8192"), read_file(file));
  good({"pkey", "-in", file, "-pubout", "-out", path("RSA8192.pub")});
  good({"pkeyutl", "-provider", "vhsm", "-sign", "-inkey", uri("RSA8192"), "-rawin", "-in",
        path("message"), "-out", path("signature")});
  verify("RSA8192");
  good({"pkeyutl", "-encrypt", "-pubin", "-inkey", path("RSA8192.pub"), "-pkeyopt",
        "rsa_padding_mode:oaep", "-in", path("message"), "-out", path("ciphertext")});
  const auto plain =
      good({"pkeyutl", "-provider", "vhsm", "-provider", "default", "-decrypt", "-inkey",
            uri("RSA8192"), "-pkeyopt", "rsa_padding_mode:oaep", "-in", path("ciphertext")});
  EXPECT_EQ(plain.out, "what is signed\n");
}

TEST_F(OpensslTest, DeriveAgreesWithAFileKey) {
  for (const char* kind : {"P-256", "X25519"}) {
    const auto peer = keystore::make_key(kind);
    write_file(world_->file("peer.pem"), keystore::pkcs8_pem(peer.get()));
    write_public("peer", peer.get());
    const auto ours = good({"pkeyutl", "-provider", "vhsm", "-provider", "default", "-derive",
                            "-inkey", uri(kind), "-peerkey", path("peer.pub")});
    const auto theirs = good({"pkeyutl", "-derive", "-inkey", path("peer.pem"), "-peerkey",
                              path(std::string(kind) + ".pub")});
    EXPECT_EQ(ours.out, theirs.out);
    EXPECT_EQ(ours.out.size(), 32U);
  }
}

TEST_F(OpensslTest, PrivateExportIsRefusedInEveryFormAndWritesNoByte) {
  for (const char* kind : {"RSA2048", "P-256", "ED25519", "X25519"}) {
    // `openssl pkcs8` takes files only.
    good({"pkey", "-provider", "vhsm", "-in", uri(kind), "-out", path("stand-in.pem")});
    refused({"pkey", "-provider", "vhsm", "-in", uri(kind), "-outform", "DER"});
    const Arguments both{"-provider", "vhsm", "-provider", "default"};
    for (Arguments command :
         {Arguments{"pkey", "-in", uri(kind), "-outform", "DER"},
          Arguments{"pkcs8", "-topk8", "-nocrypt", "-in", path("stand-in.pem")},
          Arguments{"pkcs8", "-topk8", "-nocrypt", "-outform", "DER", "-in", path("stand-in.pem")},
          Arguments{"pkcs8", "-topk8", "-passout", "pass:secret", "-in", path("stand-in.pem")}}) {
      command.insert(command.end(), both.begin(), both.end());
      refused(command);
    }
  }
  refused({"rsa", "-provider", "vhsm", "-provider", "default", "-in", uri("RSA2048"), "-outform",
           "DER"});
  refused(
      {"ec", "-provider", "vhsm", "-provider", "default", "-in", uri("P-256"), "-outform", "DER"});
}

TEST_F(OpensslTest, PemWithAPassphraseIsTheStandInToo) {
  good({"pkey", "-provider", "vhsm", "-provider", "default", "-in", uri("P-256"), "-aes-256-cbc",
        "-passout", "pass:secret", "-out", path("stand-in.pem")});
  EXPECT_TRUE(read_file(world_->file("stand-in.pem")).starts_with("-----BEGIN VHSM KEY URI-----"));
}

TEST_F(OpensslTest, APkcs12OfAHeldKeyIsRefused) {
  const auto certificate =
      good({"storeutl", "-provider", "vhsm", "-provider", "default", "-certs", uri("RSA2048")});
  write_file(world_->file("cert.pem"), certificate.out.substr(certificate.out.find("-----BEGIN")));
  refused({"pkcs12", "-provider", "vhsm", "-provider", "default", "-export", "-inkey",
           uri("RSA2048"), "-in", path("cert.pem"), "-passout", "pass:secret"});
}

TEST_F(OpensslTest, PemOutputIsAStandInThatSignsAndHoldsNoSecret) {
  for (const char* kind : {"RSA2048", "P-256", "ED25519"}) {
    good({"pkey", "-provider", "vhsm", "-provider", "default", "-in", uri(kind), "-out",
          path("stand-in.pem")});
    const std::string pem = read_file(world_->file("stand-in.pem"));
    EXPECT_TRUE(pem.starts_with("-----BEGIN VHSM KEY URI-----")) << pem;
    EXPECT_LT(pem.size(), 1000U);
    good({"pkeyutl", "-provider", "vhsm", "-provider", "default", "-sign", "-inkey",
          path("stand-in.pem"), "-rawin", "-in", path("message"), "-out", path("signature")});
    verify(kind);
  }
}

TEST_F(OpensslTest, GenpkeyMakesKeysInsideButHasNothingToWriteForANamelessOne) {
  refused({"genpkey", "-provider", "vhsm", "-provider", "default", "-propquery", "provider=vhsm",
           "-algorithm", "EC", "-pkeyopt", "group:P-256"});
}

TEST_F(OpensslTest, CaseATouchesNeitherPlatformNorNetwork) {
  const auto outcome =
      run({std::string(VHSM_BIN_DIR) + "/vhsm-case-ab", uri("P-256")}, world_->environment());
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  const auto line = [&](const std::string& start) {
    const auto at = outcome.out.find(start);
    return at == std::string::npos ? "" : outcome.out.substr(at, outcome.out.find('\n', at) - at);
  };
  EXPECT_NE(line("Case B: open").find("reports +1   fetches +1"), std::string::npos) << outcome.out;
  EXPECT_NE(line("Case A: open").find("reports +0   fetches +0"), std::string::npos) << outcome.out;
  EXPECT_NE(line("sign again").find("reports +0   fetches +0"), std::string::npos) << outcome.out;
}

TEST_F(OpensslTest, TheCommandLineToolShowsKeysAndReports) {
  const std::string tool = std::string(VHSM_BIN_DIR) + "/vhsm";
  const auto environment = world_->environment();
  const auto shown = run({tool, "key", "show", "default/tls/RSA2048"}, environment);
  EXPECT_EQ(shown.status, 0) << shown.err;
  EXPECT_NE(shown.out.find("RSA"), std::string::npos);
  const auto pem = run({tool, "key", "pem", uri("P-256")}, environment);
  EXPECT_EQ(pem.status, 0) << pem.err;
  EXPECT_TRUE(pem.out.starts_with("-----BEGIN VHSM KEY URI-----"));
  EXPECT_EQ(run({tool, "attest", "--nonce", "00ff", "--out", path("report")}, environment).status,
            0);
  const auto report = run({tool, "report", "show", path("report"), "--json"}, environment);
  EXPECT_EQ(report.status, 0) << report.err;
  EXPECT_NE(report.out.find(std::string(96, 'a')), std::string::npos);
  const auto doctor = run({tool, "doctor"}, environment);
  EXPECT_NE(doctor.out.find("emulator"), std::string::npos) << doctor.out << doctor.err;
}

TEST_F(OpensslTest, EveryFetchLeavesAnAuditLineOnBothSides) {
  world_->configure("audit = " + path("audit.log") + "\n");
  good({"pkey", "-provider", "vhsm", "-provider", "default", "-in", uri("P-384"), "-noout"});
  world_->configure();
  const std::string line = read_file(world_->file("audit.log"));
  EXPECT_NE(line.find("default/tls/P-384"), std::string::npos) << line;
  EXPECT_NE(line.find("granted"), std::string::npos) << line;
  const auto audit = world_->kbs({"audit", "list", "--config", path("kbs/vhsm-kbs.cnf")});
  EXPECT_NE(audit.out.find("default/tls/P-384"), std::string::npos) << audit.out << audit.err;
}

}  // namespace
}  // namespace vhsm::tests
