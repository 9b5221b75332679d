// SPDX-License-Identifier: Apache-2.0
//
// The subcommands of the stock openssl command that use a private key: with a URI, and with a PEM
// stand-in where the file of a key would be. What they make is verified without vhsm.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/world/world.h"

namespace vhsm::tests {
namespace {

using ::testing::HasSubstr;
using Arguments = std::vector<std::string>;

/// How a command names a key.
enum class Form { kUri, kStandIn };
void PrintTo(Form form, std::ostream* out) { *out << (form == Form::kUri ? "Uri" : "StandIn"); }

class SubcommandsTest : public ::testing::TestWithParam<Form> {
 protected:
  static void SetUpTestSuite() {
    world_ = std::make_unique<World>();
    ASSERT_TRUE(world_->ready());
    write_file(path("message"), "what is signed\n");
    make("ca", {"rsa:2048"}, {"basicConstraints=critical,CA:TRUE", "keyUsage=keyCertSign,cRLSign"});
    make("rsa", {"rsa:2048"});
    make("ec", {"ec", "-pkeyopt", "ec_paramgen_curve:P-256"});
    make("tsa", {"rsa:2048"}, {"extendedKeyUsage=critical,timeStamping"});
    write_configuration();
  }
  static void TearDownTestSuite() { world_.reset(); }

  static std::string path(const std::string& name) { return world_->file(name); }
  static std::string uri(const std::string& name) { return "vhsm:default/sub/" + name; }
  static std::string key(const std::string& name) {
    return GetParam() == Form::kUri ? uri(name) : path(name + "-stand-in.pem");
  }
  static std::string certificate(const std::string& name) { return path(name + ".crt"); }

  static Outcome good(const Arguments& arguments) {
    Outcome outcome = world_->openssl(arguments);
    EXPECT_EQ(outcome.status, 0) << ::testing::PrintToString(arguments) << "\n" << outcome.err;
    return outcome;
  }
  /// The same with our provider.
  static Arguments ours(Arguments arguments) {
    arguments.insert(arguments.begin() + 1, {"-provider", "vhsm", "-provider", "default"});
    return arguments;
  }
  static Outcome with_vhsm(const Arguments& arguments) { return good(ours(arguments)); }

  /// A request for a certificate, signed by the key.
  static std::string make_request(const std::string& name) {
    const std::string request = path(name + ".csr");
    with_vhsm(
        {"req", "-new", "-key", key(name), "-subj", "/CN=" + name + ".example", "-out", request});
    return request;
  }

  static std::unique_ptr<World> world_;

 private:
  /// A key and a certificate for it, in the KBS, and the certificate and a stand-in in files.
  static void make(const std::string& name, const Arguments& type,
                   const Arguments& extensions = {"basicConstraints=CA:FALSE"}) {
    Arguments arguments{"req",         "-x509", "-nodes",          "-days",   "30",      "-subj",
                        "/CN=" + name, "-out",  certificate(name), "-keyout", path("k"), "-newkey"};
    arguments.insert(arguments.end(), type.begin(), type.end());
    for (const auto& extension : extensions) {
      arguments.insert(arguments.end(), {"-addext", extension});
    }
    good(arguments);
    world_->put("default/sub/" + name, read_file(path("k")) + read_file(certificate(name)));
    std::filesystem::remove(path("k"));
    const Outcome stand_in = run({std::string(VHSM_BIN_DIR) + "/vhsm", "key", "pem",
                                  "default/sub/" + name, "--out", path(name + "-stand-in.pem")},
                                 world_->environment());
    ASSERT_EQ(stand_in.status, 0) << stand_in.err;
  }

  /// For the commands that take everything from a file.
  static void write_configuration() {
    write_file(path("openssl.cnf"), R"([ca]
default_ca = here
[here]
database = )" + path("index.txt") + R"(
serial = )" + path("serial") + R"(
crlnumber = )" + path("crlnumber") + R"(
new_certs_dir = )" + world_->folder().string() +
                                        R"(
default_md = sha256
default_days = 10
default_crl_days = 10
policy = any
[any]
commonName = supplied
[tsa]
default_tsa = here_tsa
[here_tsa]
serial = )" + path("tsa-serial") + R"(
default_policy = 1.2.3.4
digests = sha256, sha384
signer_digest = sha256
)");
  }
};
std::unique_ptr<World> SubcommandsTest::world_;

INSTANTIATE_TEST_SUITE_P(Keys, SubcommandsTest, ::testing::Values(Form::kUri, Form::kStandIn),
                         [](const auto& test) { return ::testing::PrintToString(test.param); });

class UriAloneTest : public SubcommandsTest {};
INSTANTIATE_TEST_SUITE_P(Keys, UriAloneTest, ::testing::Values(Form::kUri));
class StandInAloneTest : public SubcommandsTest {};
INSTANTIATE_TEST_SUITE_P(Keys, StandInAloneTest, ::testing::Values(Form::kStandIn));

TEST_P(SubcommandsTest, ReqMakesRequestsAndSelfSignedCertificates) {
  for (const char* name : {"rsa", "ec"}) {
    good({"req", "-in", make_request(name), "-noout", "-verify"});
    with_vhsm({"req", "-x509", "-new", "-key", key(name), "-subj", "/CN=self", "-days", "2", "-out",
               path("self.crt")});
    good({"verify", "-CAfile", path("self.crt"), path("self.crt")});
  }
}

TEST_P(SubcommandsTest, X509SignsWithItsOwnKeyAndWithACas) {
  const std::string request = make_request("ec");
  with_vhsm({"x509", "-req", "-in", request, "-signkey", key("ec"), "-out", path("own.crt")});
  good({"verify", "-CAfile", path("own.crt"), path("own.crt")});
  with_vhsm({"x509", "-req", "-in", request, "-CA", certificate("ca"), "-CAkey", key("ca"),
             "-set_serial", "7", "-out", path("leaf.crt")});
  good({"verify", "-CAfile", certificate("ca"), path("leaf.crt")});
  with_vhsm({"pkey", "-in", key("ec"), "-pubout", "-out", path("ec-pub.pem")});
  with_vhsm({"x509", "-new", "-subj", "/CN=forced", "-force_pubkey", path("ec-pub.pem"), "-CA",
             certificate("ca"), "-CAkey", key("ca"), "-set_serial", "8", "-out", path("leaf.crt")});
  good({"verify", "-CAfile", certificate("ca"), path("leaf.crt")});
}

TEST_P(SubcommandsTest, CaIssuesRevokesAndListsWhatIsRevoked) {
  write_file(path("index.txt"), "");
  write_file(path("serial"), "01\n");
  write_file(path("crlnumber"), "01\n");
  const Arguments ca{"ca",    "-batch",          "-config",  path("openssl.cnf"),
                     "-cert", certificate("ca"), "-keyfile", key("ca")};
  const auto run_ca = [&](const Arguments& more) {
    Arguments all = ca;
    all.insert(all.end(), more.begin(), more.end());
    with_vhsm(all);
  };
  run_ca({"-in", make_request("rsa"), "-out", path("issued.crt"), "-notext"});
  good({"verify", "-CAfile", certificate("ca"), path("issued.crt")});
  run_ca({"-gencrl", "-out", path("empty.crl")});
  EXPECT_THAT(good({"crl", "-in", path("empty.crl"), "-noout", "-CAfile", certificate("ca")}).err,
              HasSubstr("verify OK"));
  run_ca({"-revoke", path("issued.crt")});
  run_ca({"-gencrl", "-out", path("full.crl")});
  const Outcome revoked = world_->openssl({"verify", "-crl_check", "-CRLfile", path("full.crl"),
                                           "-CAfile", certificate("ca"), path("issued.crt")});
  EXPECT_THAT(revoked.err, HasSubstr("certificate revoked"));
}

TEST_P(SubcommandsTest, CrlIsSignedByOurKey) {
  write_file(path("index.txt"), "");
  write_file(path("crlnumber"), "01\n");
  for (const char* list : {"old.crl", "new.crl"}) {
    with_vhsm({"ca", "-config", path("openssl.cnf"), "-cert", certificate("ca"), "-keyfile",
               key("ca"), "-gencrl", "-out", path(list)});
  }
  with_vhsm({"crl", "-in", path("old.crl"), "-gendelta", path("new.crl"), "-key", key("ca"), "-out",
             path("delta.crl")});
  EXPECT_THAT(good({"crl", "-in", path("delta.crl"), "-noout", "-CAfile", certificate("ca")}).err,
              HasSubstr("verify OK"));
}

TEST_P(SubcommandsTest, CmsAndSmimeSign) {
  for (const char* command : {"cms", "smime"}) {
    for (const char* name : {"rsa", "ec"}) {
      with_vhsm({command, "-sign", "-in", path("message"), "-signer", certificate(name), "-inkey",
                 key(name), "-out", path("signed")});
      good({command, "-verify", "-in", path("signed"), "-CAfile", certificate(name), "-purpose",
            "any", "-out", path("verified")});
      EXPECT_THAT(read_file(path("verified")), HasSubstr("what is signed")) << command << name;
    }
  }
}

/// RSA recipients get PKCS#1 v1.5 unless the sender chooses OAEP.
TEST_P(SubcommandsTest, CmsAndSmimeDecrypt) {
  world_->configure("pkcs1_v15_decrypt = yes\n");
  struct Recipient {
    const char* command;
    const char* name;
  };
  for (const auto& [command, name] :
       {Recipient{"cms", "rsa"}, Recipient{"cms", "ec"}, Recipient{"smime", "rsa"}}) {
    good({command, "-encrypt", "-aes-256-cbc", "-in", path("message"), "-out", path("encrypted"),
          certificate(name)});
    with_vhsm({command, "-decrypt", "-in", path("encrypted"), "-recip", certificate(name), "-inkey",
               key(name), "-out", path("decrypted")});
    EXPECT_THAT(read_file(path("decrypted")), HasSubstr("what is signed")) << command << name;
  }
  world_->configure();
}

TEST_P(SubcommandsTest, CmsDecryptsOaep) {
  good({"cms", "-encrypt", "-aes-256-cbc", "-in", path("message"), "-out", path("encrypted"),
        "-recip", certificate("rsa"), "-keyopt", "rsa_padding_mode:oaep", "-keyopt",
        "rsa_oaep_md:sha256"});
  with_vhsm({"cms", "-decrypt", "-in", path("encrypted"), "-recip", certificate("rsa"), "-inkey",
             key("rsa"), "-out", path("decrypted")});
  EXPECT_THAT(read_file(path("decrypted")), HasSubstr("what is signed"));
}

TEST_P(SubcommandsTest, CmsDecryptsForEcWithAnyDigestOfTheKdfAndWithTheCofactor) {
  for (const Arguments& options :
       {Arguments{"-keyopt", "ecdh_kdf_md:sha384"}, Arguments{"-keyopt", "ecdh_cofactor_mode:1"}}) {
    Arguments arguments{"cms",
                        "-encrypt",
                        "-aes-256-cbc",
                        "-in",
                        path("message"),
                        "-out",
                        path("encrypted"),
                        "-recip",
                        certificate("ec")};
    arguments.insert(arguments.end(), options.begin(), options.end());
    good(arguments);
    with_vhsm({"cms", "-decrypt", "-in", path("encrypted"), "-recip", certificate("ec"), "-inkey",
               key("ec"), "-out", path("decrypted")});
    EXPECT_THAT(read_file(path("decrypted")), HasSubstr("what is signed"));
  }
}

/// `ts` opens its key as a PEM file in every version: a URI is the name of no file.
TEST_P(StandInAloneTest, TsStampsWithAStandIn) {
  good({"ts", "-query", "-data", path("message"), "-sha256", "-cert", "-out", path("query.tsq")});
  with_vhsm({"ts", "-reply", "-config", path("openssl.cnf"), "-section", "here_tsa", "-queryfile",
             path("query.tsq"), "-signer", certificate("tsa"), "-inkey", key("tsa"), "-out",
             path("reply.tsr")});
  EXPECT_THAT(good({"ts", "-verify", "-data", path("message"), "-in", path("reply.tsr"), "-CAfile",
                    certificate("tsa")})
                  .out,
              HasSubstr("Verification: OK"));
}

TEST_P(SubcommandsTest, OcspAnswers) {
  with_vhsm({"x509", "-req", "-in", make_request("ec"), "-CA", certificate("ca"), "-CAkey",
             key("ca"), "-set_serial", "9", "-out", path("leaf.crt")});
  write_file(path("ocsp-index.txt"), "V\t401231235959Z\t\t09\tunknown\t/CN=ec.example\n");
  good({"ocsp", "-issuer", certificate("ca"), "-cert", path("leaf.crt"), "-no_nonce", "-reqout",
        path("req.der")});
  with_vhsm({"ocsp", "-index", path("ocsp-index.txt"), "-CA", certificate("ca"), "-rsigner",
             certificate("ca"), "-rkey", key("ca"), "-reqin", path("req.der"), "-respout",
             path("resp.der")});
  const Outcome outcome =
      good({"ocsp", "-issuer", certificate("ca"), "-cert", path("leaf.crt"), "-no_nonce", "-respin",
            path("resp.der"), "-CAfile", certificate("ca")});
  EXPECT_THAT(outcome.out + outcome.err, HasSubstr("Response verify OK"));
  EXPECT_THAT(outcome.out, HasSubstr("leaf.crt: good"));
}

TEST_P(SubcommandsTest, SpkacIsSignedAndVerifies) {
  with_vhsm({"spkac", "-key", key("rsa"), "-challenge", "hello", "-out", path("spkac")});
  const Outcome outcome = good({"spkac", "-in", path("spkac"), "-noout", "-verify"});
  EXPECT_THAT(outcome.out + outcome.err, HasSubstr("Signature OK"));
}

TEST_P(SubcommandsTest, Pkcs12IsRefusedAndHoldsNothing) {
  const std::string file = path("leak.p12");
  std::filesystem::remove(file);
  const Outcome outcome =
      world_->openssl(ours({"pkcs12", "-export", "-inkey", key("rsa"), "-in", certificate("rsa"),
                            "-passout", "pass:x", "-out", file}));
  EXPECT_NE(outcome.status, 0);
  EXPECT_THAT(outcome.err, HasSubstr("protected memory"));
  EXPECT_EQ(read_file(file), "");
}

/// A server for one connection, and a client that asks for its page, in one shell.
/// @param server, client  the arguments that differ.
Outcome converse(const World& world, const std::string& server, const std::string& client) {
  const std::string script =
      "timeout 20 openssl s_server -accept 127.0.0.1:0 -naccept 1 -www " + server +
      " >server.out 2>server.err & until grep -q '^ACCEPT ' server.out; do kill -0 $! || break; "
      "sleep 0.05; done; port=$(sed -n 's/^ACCEPT .*://p' server.out); "
      "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | timeout 20 openssl s_client -quiet -ign_eof "
      "-verify_return_error -connect 127.0.0.1:$port " +
      client + "; status=$?; kill $! 2>/dev/null; cat server.err >&2; exit $status";
  return run(
      {"sh", "-c", "cd '" + world.folder().string() + "' || exit 3; : >server.out; " + script},
      world.environment());
}

TEST_P(SubcommandsTest, SServerServes) {
  const std::string providers = "-provider vhsm -provider default ";
  for (const char* name : {"rsa", "ec"}) {
    for (const char* version : {"-tls1_2", "-tls1_3"}) {
      const Outcome outcome =
          converse(*world_, providers + "-cert " + certificate(name) + " -key " + key(name),
                   std::string(version) + " -CAfile " + certificate(name));
      EXPECT_EQ(outcome.status, 0) << outcome.err;
      EXPECT_THAT(outcome.out, HasSubstr("200 ok")) << name << version << outcome.err;
    }
  }
}

TEST_P(SubcommandsTest, SClientHasACertificate) {
  good({"req", "-x509", "-nodes", "-newkey", "rsa:2048", "-subj", "/CN=server", "-keyout",
        path("server.key"), "-out", path("server.crt")});
  for (const char* name : {"rsa", "ec"}) {
    for (const char* version : {"-tls1_2", "-tls1_3"}) {
      const Outcome outcome = converse(
          *world_,
          "-cert server.crt -key server.key -Verify 1 -verify_return_error -CAfile " +
              certificate(name),
          std::string(version) + " -provider vhsm -provider default -CAfile server.crt -cert " +
              certificate(name) + " -key " + key(name));
      EXPECT_EQ(outcome.status, 0) << outcome.err;
      EXPECT_THAT(outcome.out, HasSubstr("200 ok")) << name << version << outcome.err;
    }
  }
}

TEST_P(UriAloneTest, CertificatesBesideAKeyComeFromItsUri) {
  const Outcome shown = with_vhsm({"x509", "-in", uri("ec"), "-outform", "PEM"});
  EXPECT_EQ(shown.out, read_file(certificate("ec")));
  EXPECT_THAT(with_vhsm({"storeutl", "-certs", uri("ec")}).out,
              HasSubstr(read_file(certificate("ec"))));
  EXPECT_THAT(with_vhsm({"verify", "-CAfile", certificate("ca"), uri("ca")}).out, HasSubstr("OK"));
  with_vhsm({"x509", "-req", "-in", make_request("ec"), "-CA", uri("ca"), "-CAkey", uri("ca"),
             "-set_serial", "8", "-out", path("by-uri.crt")});
  good({"verify", "-CAfile", certificate("ca"), path("by-uri.crt")});
  const Outcome served = converse(
      *world_, "-provider vhsm -provider default -cert " + uri("ec") + " -key " + uri("ec"),
      "-CAfile " + certificate("ec"));
  EXPECT_THAT(served.out, HasSubstr("200 ok")) << served.err;
}

}  // namespace
}  // namespace vhsm::tests
