// SPDX-License-Identifier: Apache-2.0
//
// Proof of origin from end to end: evidence is made on an emulated machine, with the keys in the
// process or in vhsmd, and checked where there is neither platform nor KBS nor keystore.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <string>
#include <vector>

#include "tests/world/world.h"

namespace vhsm::tests {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;

using Arguments = std::vector<std::string>;

constexpr const char* kUri = "vhsm:default/app/signer";
constexpr const char* kNonce = "00112233445566778899aabbccddeeff";

class OriginTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(world_.ready());
    write_file(world_.file("vhsm.cnf"), "[vhsm]\nplatform = emulator:" + path("snp") +
                                            "\nkeystore = dir:" + path("keys") + "\n");
    must({"keystore", "init", "--new-recovery-key", path("recovery.hex")});
    const char* const key = World::has_daemon() ? "vhsmd_keystore" : "keystore";
    world_.configure(std::string(key) + " = dir:" + path("keys") + "\n");
    write_file(path("empty.cnf"), "[vhsm]\nplatform = none\n");
    std::filesystem::copy(path("snp/ark.pem"), path("ark.pem"));
    write_policy(measurement());
  }

  [[nodiscard]] std::string path(const std::string& name) const {
    return world_.file(name).string();
  }
  [[nodiscard]] std::string measurement() const {
    return json::parse(read_file(path("snp/emulator.json")))["measurement"];
  }
  void write_policy(const std::string& measurement, const std::string& vmpl = "0") const {
    write_file(path("policy.cnf"), "[snp_policy]\nreport_data = any\nminimum_tcb = any\nvmpl = " +
                                       vmpl + "\nmeasurement = " + measurement + "\n");
  }

  Outcome vhsm(Arguments arguments) const {
    arguments.insert(arguments.begin(), std::string(VHSM_BIN_DIR) + "/vhsm");
    return run(arguments, world_.environment());
  }
  void must(Arguments arguments) const {
    const auto outcome = vhsm(std::move(arguments));
    ASSERT_EQ(outcome.status, 0) << outcome.err;
  }
  /// On a machine that has nothing but the roots. The folder has a recovery key, which a CA must
  /// know of.
  Outcome check(const std::string& file, Arguments more = {"--nonce", kNonce},
                const std::string& allowed = "recovery") const {
    Arguments arguments{std::string(VHSM_BIN_DIR) + "/vhsm",
                        "--config",
                        path("empty.cnf"),
                        "key",
                        "verify-attestation",
                        path(file),
                        "--trust-test-root",
                        path("ark.pem"),
                        "--policy",
                        path("policy.cnf"),
                        "--json"};
    if (!allowed.empty()) arguments.insert(arguments.end(), {"--allow", allowed});
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run(arguments, {"VHSM_CONF=" + path("empty.cnf"), "OPENSSL_CONF=/dev/null"});
  }
  void attest(const std::string& file, const std::string& format = "json",
              const std::string& nonce = kNonce) const {
    must({"key", "attest", kUri, "--nonce", nonce, "--format", format, "--out", path(file)});
  }
  [[nodiscard]] std::string public_key(const std::string& uri) const {
    return world_
        .openssl({"pkey", "-provider", "vhsm", "-provider", "default", "-in", uri, "-pubout"})
        .out;
  }

  World world_;
};

std::string hex_of(const std::string& bytes) {
  constexpr const char* kDigits = "0123456789abcdef";
  std::string hex;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    hex += {kDigits[byte >> 4], kDigits[byte & 15]};
  }
  return hex;
}

json verdict_of(const Outcome& outcome) { return json::parse(outcome.out, nullptr, false); }

TEST_F(OriginTest, AGeneratedKeyIsProvedInBothFormats) {
  must({"key", "generate", kUri, "--algorithm", "EC:P-256"});
  for (const char* const format : {"json", "cbor"}) {
    attest("evidence", format);
    const auto checked = check("evidence");
    ASSERT_EQ(checked.status, 0) << checked.err << checked.out;
    const json verdict = verdict_of(checked);
    EXPECT_EQ(verdict["accepted"], true);
    EXPECT_EQ(verdict["key"]["origin"], "generated");
    EXPECT_EQ(verdict["key"]["name"], "default/app/signer");
    EXPECT_EQ(verdict["key"]["version"], 1);
    EXPECT_EQ(verdict["key"]["nonce"], kNonce);
    EXPECT_EQ(verdict["key"]["others"], json::array({"recovery"}));
    std::string pem = "-----BEGIN PUBLIC KEY-----\n";
    const std::string base64 = verdict["key"]["public_key"];
    for (std::size_t at = 0; at < base64.size(); at += 64) pem += base64.substr(at, 64) + "\n";
    EXPECT_EQ(pem + "-----END PUBLIC KEY-----\n", public_key(kUri));
  }
}

TEST_F(OriginTest, WhoElseCanOpenAKeyIsRefusedUnlessAllowed) {
  must({"key", "generate", kUri, "--algorithm", "EC:P-256"});
  attest("evidence");
  const auto refused = check("evidence", {"--nonce", kNonce}, "");
  EXPECT_EQ(refused.status, 1);
  EXPECT_THAT(refused.out, HasSubstr("others than this VM can open the key"));
}

TEST_F(OriginTest, AnImportedKeyIsSaidToBeOneAndRefusedUnlessAllowed) {
  ASSERT_EQ(world_.openssl({"genpkey", "-algorithm", "ED25519", "-out", path("plain.pem")}).status,
            0);
  must({"key", "import", kUri, path("plain.pem")});
  attest("evidence");
  const auto refused = check("evidence");
  EXPECT_EQ(refused.status, 1);
  EXPECT_EQ(verdict_of(refused)["key"]["origin"], "imported");
  EXPECT_EQ(check("evidence", {"--nonce", kNonce}, "recovery,imported").status, 0);
}

TEST_F(OriginTest, AKeyOfTheKbsIsSaidToBeFetchedAndRefusedUnlessAllowed) {
  ASSERT_EQ(world_.openssl({"genpkey", "-algorithm", "ED25519", "-out", path("plain.pem")}).status,
            0);
  world_.put("default/app/signer", read_file(path("plain.pem")));
  attest("evidence");
  EXPECT_EQ(verdict_of(check("evidence"))["key"]["origin"], "fetched");
  EXPECT_EQ(check("evidence").status, 1);
  EXPECT_EQ(check("evidence", {"--nonce", kNonce}, "fetched").status, 0);
}

TEST_F(OriginTest, TheEvidenceSaysTheKeysPolicyAndVersion) {
  must({"key", "generate", kUri, "--algorithm", "RSA:2048"});
  must({"key", "rotate", kUri});
  must({"key", "policy", kUri, "operations=sign", "digests=SHA256"});
  attest("evidence");
  const json verdict = verdict_of(check("evidence"));
  EXPECT_EQ(verdict["key"]["version"], 2);
  EXPECT_EQ(verdict["key"]["policy"], "operations=sign digests=SHA256");
  must({"key", "attest", std::string(kUri) + "?version=1", "--nonce", kNonce, "--out",
        path("evidence")});
  EXPECT_EQ(verdict_of(check("evidence"))["key"]["version"], 1);
}

TEST_F(OriginTest, AnotherNoncePolicyOrRootIsRefused) {
  must({"key", "generate", kUri, "--algorithm", "EC:P-256"});
  attest("evidence");
  ASSERT_EQ(check("evidence").status, 0);
  EXPECT_EQ(check("evidence", {"--nonce", "ffffffffffffffff"}).status, 1);
  write_policy(std::string(96, 'b'));
  EXPECT_EQ(check("evidence").status, 1);
  write_policy(measurement(), "1");
  EXPECT_EQ(check("evidence").status, 1);
  write_policy(measurement());
  EXPECT_EQ(check("evidence", {"--nonce", kNonce, "--at", "2001-01-01T00:00:00Z"}).status, 1);
  const auto untrusted = vhsm({"key", "verify-attestation", path("evidence")});
  EXPECT_EQ(untrusted.status, 1);
  EXPECT_THAT(untrusted.out, HasSubstr("not genuine"));
}

TEST_F(OriginTest, EvidenceIsNotMadeForANonceOfAnotherLengthOrWithoutAKey) {
  must({"key", "generate", kUri, "--algorithm", "EC:P-256"});
  EXPECT_EQ(vhsm({"key", "attest", kUri, "--nonce", "00"}).status, 2);
  EXPECT_EQ(vhsm({"key", "attest", kUri, "--nonce", std::string(130, '0')}).status, 2);
  EXPECT_EQ(vhsm({"key", "attest", kUri}).status, 2);
  const auto missing = vhsm({"key", "attest", "vhsm:default/app/none", "--nonce", kNonce});
  EXPECT_EQ(missing.status, 1);
  EXPECT_THAT(missing.err, HasSubstr("vhsm:default/app/none"));
  must({"key", "disable", kUri});
  EXPECT_THAT(vhsm({"key", "attest", kUri, "--nonce", kNonce}).err, HasSubstr("disabled"));
}

TEST_F(OriginTest, ASymmetricKeyHasNothingToAttest) {
  must({"key", "generate", kUri, "--algorithm", "SECRET:256"});
  const auto refused =
      vhsm({"key", "attest", std::string(kUri) + "?type=secret", "--nonce", kNonce});
  EXPECT_NE(refused.status, 0);
  EXPECT_THAT(refused.err, HasSubstr("symmetric key"));
}

// ----- requests and certificates -----------------------------------------------------------------

struct Kind {
  const char* algorithm;
  Arguments more{};
  const char* signature;  ///< as openssl prints it
};

class RequestTest : public OriginTest {
 protected:
  void request(Arguments more) const {
    Arguments arguments{
        "key",   "csr",          kUri, "--subject", "/O=Example\\/Org/CN=www.example",
        "--out", path("out.pem")};
    arguments.insert(arguments.end(), more.begin(), more.end());
    must(arguments);
  }
  [[nodiscard]] std::string text(const char* command) const {
    return world_
        .openssl({command, "-in", path("out.pem"), "-noout", "-text", "-nameopt", "RFC2253"})
        .out;
  }
};

TEST_F(RequestTest, ARequestOfEachKindOfKeyVerifiesWithStockOpenssl) {
  const std::vector<Kind> kinds{
      {"EC:P-256", {}, "ecdsa-with-SHA256"},
      {"EC:P-384", {"--digest", "SHA384"}, "ecdsa-with-SHA384"},
      {"RSA:2048", {}, "sha256WithRSAEncryption"},
      {"RSA:2048", {"--pss", "--digest", "SHA384"}, "rsassaPss"},
      {"RSA-PSS:2048", {}, "rsassaPss"},
      {"ED25519", {}, "ED25519"},
      {"ED448", {}, "ED448"},
  };
  for (const Kind& kind : kinds) {
    must({"key", "generate", kUri, "--algorithm", kind.algorithm});
    request(kind.more);
    const auto verified = world_.openssl({"req", "-in", path("out.pem"), "-noout", "-verify"});
    EXPECT_EQ(verified.status, 0) << kind.algorithm << verified.err;
    EXPECT_THAT(verified.out + verified.err, HasSubstr("OK")) << kind.algorithm;
    EXPECT_THAT(text("req"), AllOf(HasSubstr(std::string("Signature Algorithm: ") + kind.signature),
                                   HasSubstr("O=Example/Org")));
    const auto key = world_.openssl({"req", "-in", path("out.pem"), "-noout", "-pubkey"});
    EXPECT_EQ(key.out, public_key(kUri));
    must({"key", "delete", kUri});
  }
}

TEST_F(RequestTest, KeysThatDoNotSignHaveNoRequest) {
  must({"key", "generate", kUri, "--algorithm", "X25519"});
  const auto refused = vhsm({"key", "csr", kUri, "--subject", "/CN=x"});
  EXPECT_EQ(refused.status, 1);
  EXPECT_THAT(refused.err, HasSubstr("do not sign"));
}

TEST_F(RequestTest, TheKeysPolicyIsAskedAndCanBeKept) {
  must({"key", "generate", kUri, "--algorithm", "RSA:2048"});
  must({"key", "policy", kUri, "digests=SHA384", "paddings=pss"});
  EXPECT_THAT(vhsm({"key", "csr", kUri, "--subject", "/CN=x"}).err,
              HasSubstr("forbids this digest"));
  request({"--digest", "SHA384", "--pss"});
  EXPECT_EQ(world_.openssl({"req", "-in", path("out.pem"), "-noout", "-verify"}).status, 0);
}

TEST_F(RequestTest, NamesAndSubjectsAreReadAsOpensslReadsThemOrAreWrongUsage) {
  must({"key", "generate", kUri, "--algorithm", "EC:P-256"});
  request({"--san", "DNS:www.example", "--san", "IP:192.0.2.1"});
  EXPECT_THAT(text("req"), AllOf(HasSubstr("DNS:www.example"), HasSubstr("IP Address:192.0.2.1")));
  for (const char* const subject : {"CN=x", "/", "/CN", "/CN=", "/nonsense=x"}) {
    EXPECT_EQ(vhsm({"key", "csr", kUri, "--subject", subject}).status, 2) << subject;
  }
  for (const char* const name :
       {"nonsense", "dirName:x", "critical,DNS:x", "DER:30:00", "DNS:", "DNS:a b", "DNS:m\xc3\xbc",
        "IP:300.1.1.1", "otherName:1.2.3;UTF8:x"}) {
    EXPECT_EQ(vhsm({"key", "csr", kUri, "--subject", "/CN=x", "--san", name}).status, 2) << name;
  }
  EXPECT_EQ(vhsm({"key", "csr", kUri, "--subject", "/CN=x", "--nonce", kNonce}).status, 2);
}

TEST_F(RequestTest, AnAttestedRequestIsAcceptedOnAMachineThatHasOnlyTheRoots) {
  must({"key", "generate", kUri, "--algorithm", "EC:P-256"});
  request({"--attest", "--nonce", kNonce});
  EXPECT_EQ(world_.openssl({"req", "-in", path("out.pem"), "-noout", "-verify"}).status, 0);
  const auto accepted = check("out.pem");
  EXPECT_EQ(accepted.status, 0) << accepted.err << accepted.out;
  EXPECT_EQ(verdict_of(accepted)["form"], "certificate request");
  ASSERT_EQ(
      world_.openssl({"req", "-in", path("out.pem"), "-outform", "DER", "-out", path("out.der")})
          .status,
      0);
  EXPECT_EQ(check("out.der").status, 0);
  EXPECT_EQ(check("out.pem", {"--nonce", "ffffffffffffffff"}).status, 1);
}

TEST_F(RequestTest, ARequestWithoutEvidenceIsRefused) {
  must({"key", "generate", kUri, "--algorithm", "EC:P-256"});
  request({});
  const auto refused = check("out.pem");
  EXPECT_EQ(refused.status, 1);
  EXPECT_THAT(refused.err, HasSubstr("no evidence"));
}

TEST_F(RequestTest, EvidenceThatIsMovedIntoARequestOfAnotherKeyIsRefused) {
  must({"key", "generate", kUri, "--algorithm", "EC:P-256"});
  attest("evidence", "cbor");
  const auto hex = world_.openssl({"asn1parse", "-genstr",
                                   "FORMAT:HEX,OCTETSTRING:" + hex_of(read_file(path("evidence"))),
                                   "-noout", "-out", path("extension.der")});
  ASSERT_EQ(hex.status, 0) << hex.err;
  const std::string extension =
      "1.3.6.1.5.5.7.1.35=DER:" + hex_of(read_file(path("extension.der")));
  write_file(path("thief.cnf"), "[req]\ndistinguished_name = dn\n[dn]\n[ext]\n" + extension + "\n");
  const auto made =
      world_.openssl({"req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                      "-nodes", "-keyout", path("thief.key"), "-subj", "/CN=thief", "-config",
                      path("thief.cnf"), "-reqexts", "ext", "-out", path("out.pem")});
  ASSERT_EQ(made.status, 0) << made.err;
  const auto refused = check("out.pem");
  EXPECT_EQ(refused.status, 1);
  EXPECT_THAT(refused.out, HasSubstr("about another key"));
}

TEST_F(RequestTest, AChangedRequestIsNotSignedByItsKey) {
  must({"key", "generate", kUri, "--algorithm", "EC:P-256"});
  request({"--attest", "--nonce", kNonce});
  ASSERT_EQ(
      world_.openssl({"req", "-in", path("out.pem"), "-outform", "DER", "-out", path("out.der")})
          .status,
      0);
  std::string der = read_file(path("out.der"));
  der[der.find("www.example")] = 'v';
  write_file(path("out.der"), der);
  const auto refused = check("out.der");
  EXPECT_EQ(refused.status, 1);
  EXPECT_THAT(refused.out, HasSubstr("not signed by the key that is in it"));
}

TEST_F(RequestTest, ASelfSignedCertificateCarriesTheEvidence) {
  must({"key", "generate", kUri, "--algorithm", "ED25519"});
  request(
      {"--self-signed", "--days", "3", "--attest", "--nonce", kNonce, "--san", "DNS:a.example"});
  const auto verified = world_.openssl({"verify", "-CAfile", path("out.pem"), path("out.pem")});
  EXPECT_EQ(verified.status, 0) << verified.err;
  EXPECT_THAT(text("x509"), HasSubstr("DNS:a.example"));
  const auto accepted = check("out.pem");
  EXPECT_EQ(accepted.status, 0) << accepted.err << accepted.out;
  EXPECT_EQ(verdict_of(accepted)["form"], "certificate");
}

TEST_F(OriginTest, AReportOfVhsmAttestIsNoEvidenceOfAKey) {
  must({"key", "generate", kUri, "--algorithm", "EC:P-256"});
  attest("evidence");
  must({"attest", "--nonce", kNonce, "--out", path("report.bin")});
  json evidence = json::parse(read_file(path("evidence")));
  const std::string report = read_file(path("report.bin"));
  write_file(path("report.b64"), report);
  const auto base64 = world_.openssl({"base64", "-A", "-in", path("report.bin")});
  std::string url = base64.out;
  for (char& c : url) c = c == '+' ? '-' : c == '/' ? '_' : c;
  url.erase(url.find_last_not_of("=\n") + 1);
  evidence["report"][1] = url;
  write_file(path("evidence"), evidence.dump());
  const auto refused = check("evidence");
  EXPECT_EQ(refused.status, 1);
  EXPECT_EQ(verdict_of(refused)["genuine"], false);
}

}  // namespace
}  // namespace vhsm::tests
