// SPDX-License-Identifier: Apache-2.0
//
// Keys on disk from end to end: the vhsm command, stock openssl, an emulated machine and a KBS; in
// the process itself, and in vhsmd.
#include <sys/stat.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "tests/world/world.h"

namespace vhsm::tests {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class KeyLifeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(world_.ready());
    write_file(world_.file("message"), "the message");
    write_file(world_.file("vhsm.cnf"),
               "[vhsm]\nplatform = emulator:" + machine() + "\nkeystore = dir:" + folder() + "\n");
    const auto made = vhsm({"keystore", "init", "--new-recovery-key", recovery()});
    ASSERT_EQ(made.status, 0) << made.err;
    configure();
  }

  [[nodiscard]] std::string folder() const { return world_.file("keys").string(); }
  [[nodiscard]] std::string recovery() const { return world_.file("recovery.hex").string(); }
  [[nodiscard]] std::string machine() const { return world_.file("snp").string(); }

  void configure(const std::string& more = "", const std::string& platform = "") {
    const char* const key = World::has_daemon() ? "vhsmd_keystore" : "keystore";
    world_.configure(std::string(key) + " = dir:" + folder() + "\n" + more, platform);
  }

  Outcome vhsm(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), std::string(VHSM_BIN_DIR) + "/vhsm");
    return run(arguments, world_.environment());
  }
  void must(std::vector<std::string> arguments) const {
    const auto outcome = vhsm(std::move(arguments));
    ASSERT_EQ(outcome.status, 0) << outcome.err;
  }
  [[nodiscard]] std::string list() const { return vhsm({"key", "list"}).out; }

  [[nodiscard]] Outcome sign(const std::string& uri) const {
    return world_.openssl({"pkeyutl", "-provider", "vhsm", "-provider", "default", "-sign",
                           "-inkey", uri, "-rawin", "-in", world_.file("message"), "-out",
                           world_.file("signature")});
  }
  [[nodiscard]] std::string public_key(const std::string& uri) const {
    return world_
        .openssl({"pkey", "-provider", "vhsm", "-provider", "default", "-in", uri, "-pubout"})
        .out;
  }
  /// Whether the last signature is right under this public key, without vhsm.
  [[nodiscard]] bool verifies(const std::string& pem) const {
    write_file(world_.file("public.pem"), pem);
    return world_
               .openssl({"pkeyutl", "-verify", "-pubin", "-inkey", world_.file("public.pem"),
                         "-rawin", "-in", world_.file("message"), "-sigfile",
                         world_.file("signature")})
               .status == 0;
  }

  World world_;
};

constexpr const char* kUri = "vhsm:default/app/signer";

/// Of nobody.
constexpr const char* kJwkForPs256 =
    R"({"kty":"RSA","alg":"PS256","exp":4000000000,"e":"AQAB","n":"wnfBVKk2anx9SHmGUFWYKdIDsVHxSv)"
    R"(T-QHS-1b3bqLg-o9BMSQRfIJv4WeRhTln8nt2pBK5ugFZNxZoTYRs-W-2fYUJdmvzoNajhWi3PWUrEYuZACSZBDzA-)"
    R"(HaaLNjTTkJ7Gc1O8WDeJ6DbV6YSQmBpVRBsIh7Gbsvm8LDXJv0ElEyDlHE9DVQAtZfLcH7odsWFSkCxxlLK1JDLoDk)"
    R"(6_M0euV26XNWldu7InBpklx-ZS2GX-9PwGX9sdMpAg57lI8Ap9qhuh6biVfKPSezVLYqXy1RTiDpz-J3FvS-SSW9OR)"
    R"(Z6u5waGoFaCaWa8uRYjLbK3rUZVime7u4ah-uJ0oVQ","d":"GHVs8ru8nRyOulaUitaVJo9kSQFcJpgVQWCdnu776)"
    R"(WbQ9BQPADEFUOnlDNNRXMQrJoUNDMpumgQg0H1eOhyt1WyX2uj4snVkNFmLDGdOGLYzaJf6jlwKG0GvUlXf1P_Ea0B)"
    R"(ZB-jMe9Dybqs08OOsNwE636_BvSVcxqAr52iVeREdjTlwBeQO91sdf3cnc1NEa1xYOq-VMc5WWyW2uKfE60L0UgOym)"
    R"(NuEKkP1W83QrfiB--jUTRu_X-mwHviIOezsC1KdTUKfN7xuk0RTWigegLXKG_I9XGgB9FaviNcOHD2YHNGA-mWeUHD)"
    R"(B_BsV4oD2qOt17Qe5yEIxAyOIY1Z_SQ","p":"6SFFl1XFqxT329sBQZp9J7uVwZy72CzVwn8-7O1TblA7JK2WuuKG)"
    R"(GntVRu0FBvgYqaADpQc0yATxfn5Q9sIujqFOkxj4AmYq93ccUAPW91iTQ38ZaDMzNdB_9MN0tcNRcllFpgsGUXAlwN)"
    R"(PfvsNQdqL3JGvN3PgXd8-Iu3T9ye0","q":"1YuJqUbLiNExc3p6gBVUslv7ZGHg9CzMXaVgv65PQSu6SXPtOYyY1R)"
    R"(zIULbhQprATMWpyPQyrB2ObQ-0491YCu7onqyA1dx_XCRrUDsuA2NYw6PlHtqSK2cQyeRfVzG1hLfeYI2Jsu6mO1HN)"
    R"(WuI3TRzSAvChGhCQFB5p6XQXawk","dp":"K0mzS1Nw3cCJ-Xfj9tOB08PgHdBFjPFeS7wm6gVzTXN2V-wnpdH0Bqz)"
    R"(J-9585Xth0PVWV-lLoqxQTyWTUQ5jaLaJCYVEX-WqqsKiLjVYUBtRVOIfzJpdMuvhJoi4fhujXvE2notDhBGn4PM2g)"
    R"(4xuv2ipLUkbM6GZcfTGNdCWY00","dq":"kK3TfN68M1wYNvb6XCEXmyf6sM4nzQc1BxVu8S81_x-TPQTP6re5LFot)"
    R"(1ZGyGKAkPV-GYuIgGsCDqJyFoARtDCtFa4vQVhToLRN3qYoO6Li8gQBf0YGgmstfconJlpfVNbAleCEs9BAAjBwmF7)"
    R"(dAZHxsRRWm8LPcCeV5OHQxEZE","qi":"PHlX5UDTOUoRfinqNSunSJ3ILpel9lHqJq21cuqqUNECeNMq6CoNhjBx8)"
    R"(b4DuwzdPuXecuboGg25m-QsHQ5NZsjuOALcvdxb4KYBjiNJiOSFmHY_wky59qP3B8mG7sf0mumFaWI1fqBzmwRGABW)"
    R"(ClD9HZ9jsKhxmBX-nI4TD1_g"})";

TEST_F(KeyLifeTest, AKeyThatOpensslGeneratesUnderANameIsThereInTheNextProcess) {
  const auto made =
      world_.openssl({"genpkey", "-provider", "vhsm", "-provider", "default", "-propquery",
                      "provider=vhsm", "-algorithm", "EC", "-pkeyopt", "group:P-256", "-pkeyopt",
                      std::string("vhsm-uri:") + kUri, "-out", world_.file("stand-in.pem")});
  ASSERT_EQ(made.status, 0) << made.err;
  EXPECT_THAT(list(), AllOf(HasSubstr(kUri), HasSubstr("EC:P-256"), HasSubstr("enabled")));
  const auto signed_by_uri = sign(kUri);
  ASSERT_EQ(signed_by_uri.status, 0) << signed_by_uri.err;
  EXPECT_TRUE(verifies(public_key(kUri)));
  const auto signed_by_stand_in = sign(world_.file("stand-in.pem"));
  ASSERT_EQ(signed_by_stand_in.status, 0) << signed_by_stand_in.err;
  EXPECT_TRUE(verifies(public_key(kUri)));
}

TEST_F(KeyLifeTest, ARotatedKeySignsAsTheNewVersionAndItsOldOneIsStillNamed) {
  must({"key", "generate", kUri, "--algorithm", "EC:P-256"});
  const std::string old_key = public_key(kUri);
  must({"key", "pem", kUri, "--out", world_.file("old.pem")});
  must({"key", "rotate", kUri});
  const std::string new_key = public_key(kUri);
  EXPECT_NE(old_key, new_key);
  ASSERT_EQ(sign(kUri).status, 0);
  EXPECT_TRUE(verifies(new_key));
  EXPECT_EQ(public_key(std::string(kUri) + "?version=1"), old_key);
  const auto by_stand_in = sign(world_.file("old.pem"));
  ASSERT_EQ(by_stand_in.status, 0) << by_stand_in.err;
  EXPECT_TRUE(verifies(old_key)) << "a stand-in keeps its version";
}

TEST_F(KeyLifeTest, ADisabledVersionGivesWayToTheOneBeforeAndADisabledKeyIsRefused) {
  must({"key", "generate", kUri, "--algorithm", "ED25519"});
  const std::string first = public_key(kUri);
  must({"key", "rotate", kUri});
  must({"key", "disable", std::string(kUri) + "?version=2"});
  EXPECT_EQ(public_key(kUri), first);
  must({"key", "disable", kUri});
  const auto refused = sign(kUri);
  EXPECT_NE(refused.status, 0);
  EXPECT_THAT(refused.err, AllOf(HasSubstr("disabled"), HasSubstr("vhsm key enable")));
  must({"key", "enable", kUri});
  EXPECT_EQ(sign(kUri).status, 0);
}

TEST_F(KeyLifeTest, ADeletedKeyIsGoneAndItsNameIsFree) {
  must({"key", "generate", kUri, "--algorithm", "EC:P-384"});
  const std::string old_key = public_key(kUri);
  EXPECT_NE(vhsm({"key", "generate", kUri, "--algorithm", "EC:P-384"}).status, 0);
  must({"key", "delete", kUri});
  EXPECT_NE(sign(kUri).status, 0);
  EXPECT_EQ(list(), "");
  must({"key", "generate", kUri, "--algorithm", "EC:P-384"});
  EXPECT_NE(public_key(kUri), old_key);
}

TEST_F(KeyLifeTest, AnImportedKeySignsAndItsSourceIsRemovedOnRequest) {
  const std::string file = world_.file("plain.pem");
  ASSERT_EQ(world_.openssl({"genpkey", "-algorithm", "RSA", "-out", file}).status, 0);
  const std::string expected = world_.openssl({"pkey", "-in", file, "-pubout"}).out;
  must({"key", "import", kUri, file, "--wipe-source"});
  EXPECT_FALSE(std::filesystem::exists(file));
  EXPECT_EQ(public_key(kUri), expected);
  ASSERT_EQ(sign(kUri).status, 0);
  EXPECT_TRUE(verifies(expected));
  EXPECT_THAT(list(), AllOf(HasSubstr("RSA:2048"), HasSubstr("imported")));
}

TEST_F(KeyLifeTest, WhatIsNoKeyIsNotImported) {
  const auto refused = vhsm({"key", "import", kUri, world_.file("message")});
  EXPECT_EQ(refused.status, 1);
  EXPECT_THAT(refused.err, HasSubstr(kUri));
  EXPECT_EQ(list(), "");
}

TEST_F(KeyLifeTest, AnImportedJwkKeepsItsTerms) {
  write_file(world_.file("key.jwk"),
             R"({"kty":"oct","k":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8","alg":"HS256"})");
  must({"key", "import", kUri, world_.file("key.jwk"), "--secret"});
  const auto mac = [&](const std::string& digest) {
    return world_.openssl({"mac", "-provider", "vhsm", "-provider", "default", "-macopt",
                           "digest:" + digest, "-macopt",
                           std::string("vhsm-uri:") + kUri + "?type=secret", "-in",
                           world_.file("message"), "VHSM-HMAC"});
  };
  const auto good = mac("SHA256");
  ASSERT_EQ(good.status, 0) << good.err;
  const auto expected =
      world_.openssl({"mac", "-macopt", "digest:SHA256", "-macopt",
                      "hexkey:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
                      "-in", world_.file("message"), "HMAC"});
  EXPECT_EQ(good.out, expected.out);
  const auto refused = mac("SHA512");
  EXPECT_NE(refused.status, 0);
  EXPECT_THAT(refused.err, HasSubstr("refused by key policy"));
}

TEST_F(KeyLifeTest, AGeneratedSecretServesForMacs) {
  must({"key", "generate", kUri, "--algorithm", "SECRET:256"});
  const auto mac =
      world_.openssl({"mac", "-provider", "vhsm", "-provider", "default", "-macopt",
                      "digest:SHA256", "-macopt", std::string("vhsm-uri:") + kUri + "?type=secret",
                      "-in", world_.file("message"), "VHSM-HMAC"});
  EXPECT_EQ(mac.status, 0) << mac.err;
  EXPECT_THAT(list(), HasSubstr("SECRET:256"));
}

TEST_F(KeyLifeTest, OpensslIsRefusedWhatTheKeysPolicyForbids) {
  must({"key", "generate", kUri, "--algorithm", "RSA:2048"});
  must({"key", "policy", kUri, "operations=sign", "digests=SHA256", "paddings=pss"});
  EXPECT_THAT(list(), HasSubstr("operations=sign digests=SHA256 paddings=pss"));
  const auto sign_with = [&](const std::string& digest, const std::string& padding) {
    return world_.openssl({"dgst", "-provider", "vhsm", "-provider", "default", "-" + digest,
                           "-sign", kUri, "-sigopt", "rsa_padding_mode:" + padding, "-out",
                           world_.file("signature"), world_.file("message")});
  };
  const auto allowed = sign_with("sha256", "pss");
  EXPECT_EQ(allowed.status, 0) << allowed.err;
  EXPECT_THAT(sign_with("sha256", "pkcs1").err,
              AllOf(HasSubstr("refused by key policy"), HasSubstr("(paddings)")));
  EXPECT_THAT(sign_with("sha512", "pss").err, HasSubstr("(digests)"));
  must({"key", "policy", kUri, "operations=decrypt"});
  EXPECT_THAT(sign_with("sha256", "pss").err, HasSubstr("(operations)"));
  must({"key", "policy", kUri, "not-after=1000000000"});
  EXPECT_THAT(sign_with("sha256", "pss").err, HasSubstr("(not-after)"));
  must({"key", "policy", kUri, "not-before=9999999999"});
  EXPECT_THAT(sign_with("sha256", "pss").err, HasSubstr("(not-before)"));
  must({"key", "policy", kUri, "none"});
  EXPECT_EQ(sign_with("sha256", "pss").status, 0);
}

TEST_F(KeyLifeTest, OpensslUsesAKeyAsOftenAsItsPolicySays) {
  must({"key", "generate", kUri, "--algorithm", "EC:P-256", "--policy", "operations=sign",
        "--policy", "uses=3"});
  EXPECT_THAT(list(), HasSubstr("operations=sign uses=3 (3 left)"));
  ASSERT_EQ(sign(kUri).status, 0);
  EXPECT_THAT(vhsm({"key", "show", kUri}).out,
              AllOf(HasSubstr("policy       operations=sign uses=3"), HasSubstr("uses left    2")));
  EXPECT_THAT(vhsm({"key", "list", "--json"}).out, HasSubstr("\"uses_left\": 2"));
  EXPECT_EQ(sign(kUri).status, 0);
  EXPECT_EQ(sign(kUri).status, 0);
  const auto refused = sign(kUri);
  EXPECT_NE(refused.status, 0);
  EXPECT_THAT(refused.err, AllOf(HasSubstr("refused by key policy"), HasSubstr("(uses)"),
                                 HasSubstr("vhsm key show")));
  must({"key", "policy", kUri, "uses=1"});
  EXPECT_EQ(sign(kUri).status, 0);
  EXPECT_NE(sign(kUri).status, 0);
}

TEST_F(KeyLifeTest, WhatAJwkSaysOfItsUseIsShownAndAPolicyDoesNotLoosenIt) {
  write_file(world_.file("key.jwk"), kJwkForPs256);
  must({"key", "import", kUri, world_.file("key.jwk"), "--policy", "uses=100"});
  const std::string terms = "operations=sign digests=SHA256 paddings=pss salt=digest";
  EXPECT_THAT(list(), HasSubstr(terms + " not-after=3999999999 uses=100 (100 left)"));
  must({"key", "policy", kUri, "none"});
  EXPECT_THAT(vhsm({"key", "show", kUri}).out,
              HasSubstr("policy       " + terms + " not-after=3999999999"));
  EXPECT_NE(vhsm({"key", "policy", kUri, "operations=decrypt"}).status, 0);
  const auto sign_with_salt = [&](const std::string& salt) {
    return world_.openssl({"dgst", "-provider", "vhsm", "-provider", "default", "-sha256",
                           "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:" + salt,
                           "-sign", kUri, "-out", world_.file("signature"),
                           world_.file("message")});
  };
  const auto allowed = sign_with_salt("digest");
  EXPECT_EQ(allowed.status, 0) << allowed.err;
  const auto refused = sign_with_salt("20");
  EXPECT_NE(refused.status, 0);
  EXPECT_THAT(refused.err, AllOf(HasSubstr("refused by key policy"), HasSubstr("(salt)")));
}

TEST_F(KeyLifeTest, AKeyOfTheKbsIsShownWithWhatItsJwkSaysOfItsUse) {
  world_.put("default/app/fetched", kJwkForPs256);
  const std::string fetched = "vhsm:default/app/fetched";
  EXPECT_THAT(vhsm({"key", "show", fetched}).out,
              HasSubstr("policy       operations=sign digests=SHA256 paddings=pss salt=digest "
                        "not-after=3999999999"));
}

TEST_F(KeyLifeTest, ASourceThatCannotBeWipedIsRefusedBeforeTheKeyIsSealed) {
  const std::string file = world_.file("brought.pem");
  ASSERT_EQ(run({"openssl", "genpkey", "-algorithm", "ED25519", "-out", file}).status, 0);
  const std::string bytes = read_file(file);
  const std::string link = world_.file("link.pem");
  std::filesystem::create_symlink(file, link);
  const auto refused = [&](const std::string& source) {
    const auto outcome = vhsm({"key", "import", kUri, source, "--wipe-source"});
    EXPECT_NE(outcome.status, 0) << source;
    EXPECT_THAT(outcome.err, HasSubstr("--wipe-source")) << source;
    EXPECT_EQ(list(), "") << source;
    EXPECT_EQ(read_file(file), bytes) << source;
  };
  refused(link);
  refused("-");
  refused(world_.file("."));
  const std::string other_name = world_.file("other-name.pem");
  std::filesystem::create_hard_link(file, other_name);
  refused(file);
  std::filesystem::remove(other_name);
  must({"key", "import", kUri, file, "--wipe-source"});
  EXPECT_FALSE(std::filesystem::exists(file));
}

TEST_F(KeyLifeTest, ProgramsThatEndLoseNoUseOfAKey) {
  must({"key", "generate", kUri, "--algorithm", "EC:P-256", "--policy", "uses=1000"});
  for (int i = 0; i < 5; ++i) ASSERT_EQ(sign(kUri).status, 0);
  const std::string certificate = world_.file("certificate.pem");
  const auto certified =
      world_.openssl({"req", "-provider", "vhsm", "-provider", "default", "-x509", "-key", kUri,
                      "-subj", "/CN=signer", "-out", certificate});
  ASSERT_EQ(certified.status, 0) << certified.err;
  std::vector<std::string> signs_thrice{"cms",
                                        "-provider",
                                        "vhsm",
                                        "-provider",
                                        "default",
                                        "-sign",
                                        "-nocerts",
                                        "-in",
                                        world_.file("message"),
                                        "-out",
                                        world_.file("signed")};
  for (int i = 0; i < 3; ++i) {
    signs_thrice.insert(signs_thrice.end(), {"-signer", certificate, "-inkey", kUri});
  }
  const auto signed_thrice = world_.openssl(signs_thrice);
  ASSERT_EQ(signed_thrice.status, 0) << signed_thrice.err;
  configure();  // vhsmd, where there is one, ends and starts anew
  EXPECT_THAT(list(), HasSubstr("uses=1000 (991 left)"));
}

TEST_F(KeyLifeTest, AGateOfAKeyIsOpenedByAProofToTheKbs) {
  must({"key", "generate", kUri, "--algorithm", "EC:P-256", "--policy", "gate=first-use"});
  const auto proved = sign(kUri);
  ASSERT_EQ(proved.status, 0) << proved.err;
  world_.stop_kbs();
  configure("load_wait = 1s\nfetch_timeout = 2s\n");  // vhsmd starts anew: nothing is proved yet
  const auto refused = sign(kUri);
  EXPECT_NE(refused.status, 0);
  EXPECT_THAT(refused.err, AllOf(HasSubstr(kUri), HasSubstr("unreachable")));
  must({"key", "policy", kUri, "none"});
  EXPECT_EQ(sign(kUri).status, 0);
  world_.start_kbs();
  configure();  // vhsmd has no patience with a KBS that was away a moment ago
  must({"key", "policy", kUri, "gate=lease", "lease=3600", "grace=600"});
  const auto leased = sign(kUri);
  EXPECT_EQ(leased.status, 0) << leased.err;
}

/// RFC 8037, appendix A.1, and an EC key of the tests' own.
constexpr const char* kEdwardsJwk =
    R"({"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",)"
    R"("x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")";

TEST_F(KeyLifeTest, AJwkIsImportedWithItsTermsAndTheyHoldWhateverItsOwnerSays) {
  write_file(world_.file("key.jwk"),
             std::string(kEdwardsJwk) + R"(,"alg":"EdDSA","exp":9999999999})");
  must({"key", "import", kUri, world_.file("key.jwk")});
  EXPECT_THAT(list(),
              AllOf(HasSubstr("ED25519"), HasSubstr("operations=sign not-after=9999999998")));
  ASSERT_EQ(sign(kUri).status, 0);
  EXPECT_TRUE(verifies(public_key(kUri)));
  write_file(world_.file("late.jwk"), std::string(kEdwardsJwk) + R"(,"exp":1000000000})");
  must({"key", "import", "default/app/late", world_.file("late.jwk"), "--policy",
        "operations=sign"});
  EXPECT_THAT(sign("vhsm:default/app/late").err, HasSubstr("(not-after)"));
  must({"key", "policy", "default/app/late", "none"});
  EXPECT_THAT(sign("vhsm:default/app/late").err, HasSubstr("(not-after)"));
}

TEST_F(KeyLifeTest, AKbsReleasesJwksAndCoseKeysWithTheirTerms) {
  world_.put("default/app/jwk", std::string(kEdwardsJwk) + R"(,"key_ops":["sign","verify"]})");
  const auto signature = sign("vhsm:default/app/jwk");
  ASSERT_EQ(signature.status, 0) << signature.err;
  EXPECT_TRUE(verifies(public_key("vhsm:default/app/jwk")));
  world_.put("default/app/late", std::string(kEdwardsJwk) + R"(,"exp":1000000000})");
  EXPECT_THAT(sign("vhsm:default/app/late").err,
              AllOf(HasSubstr("refused by key policy"), HasSubstr("(not-after)")));
  // {1: 1 (OKP), -1: 6 (Ed25519), -4: the same d, 4: [2 (verify)]}, and without key_ops
  const std::string d(
      "\x9d\x61\xb1\x9d\xef\xfd\x5a\x60\xba\x84\x4a\xf4\x92\xec\x2c\xc4\x44\x49\xc5\x69\x7b"
      "\x32\x69\x19\x70\x3b\xac\x03\x1c\xae\x7f\x60");
  world_.put("default/app/cose", "\xa3\x01\x01\x20\x06\x23\x58\x20" + d);
  EXPECT_EQ(public_key("vhsm:default/app/cose"), public_key("vhsm:default/app/jwk"));
  world_.put("default/app/wrong", "\xa4\x01\x01\x20\x06\x23\x58\x20" + d + "\x04\x81\x02");
  EXPECT_THAT(sign("vhsm:default/app/wrong").err, HasSubstr("nothing that a private half does"));
}

TEST_F(KeyLifeTest, ARotatedRsaPssKeyIsRestrictedAsItsPredecessorIs) {
  const auto made = world_.openssl({"genpkey",
                                    "-provider",
                                    "vhsm",
                                    "-provider",
                                    "default",
                                    "-propquery",
                                    "provider=vhsm",
                                    "-algorithm",
                                    "RSA-PSS",
                                    "-pkeyopt",
                                    "rsa_keygen_bits:2048",
                                    "-pkeyopt",
                                    "rsa_pss_keygen_md:sha384",
                                    "-pkeyopt",
                                    "rsa_pss_keygen_mgf1_md:sha256",
                                    "-pkeyopt",
                                    "rsa_pss_keygen_saltlen:40",
                                    "-pkeyopt",
                                    std::string("vhsm-uri:") + kUri,
                                    "-out",
                                    world_.file("stand-in.pem")});
  ASSERT_EQ(made.status, 0) << made.err;
  EXPECT_THAT(list(), HasSubstr("RSA-PSS:2048:SHA2-384:SHA2-256:40"));
  must({"key", "rotate", kUri});
  write_file(world_.file("public.pem"), public_key(kUri));
  const std::string text =
      world_.openssl({"pkey", "-pubin", "-in", world_.file("public.pem"), "-noout", "-text"}).out;
  EXPECT_THAT(text, AllOf(HasSubstr("Hash Algorithm: SHA2-384"), HasSubstr("with SHA2-256"),
                          HasSubstr("Minimum Salt Length: 40")));
  must({"key", "generate", "default/app/second", "--algorithm", "RSA-PSS:2048:SHA256:SHA256:32"});
  EXPECT_THAT(list(), HasSubstr("RSA-PSS:2048:SHA2-256:SHA2-256:32"));
  for (const char* const wrong : {"RSA-PSS:2048:SHA256", "RSA-PSS:2048:SHA256:SHA256:x",
                                  "RSA:2048:SHA256:SHA256:32", "RSA-PSS:2048:MD17:SHA256:32"}) {
    EXPECT_NE(vhsm({"key", "generate", "default/app/third", "--algorithm", wrong}).status, 0)
        << wrong;
  }
}

TEST_F(KeyLifeTest, AChangedFileIsNoticedByOpensslAndNamedByCheck) {
  must({"key", "generate", kUri, "--algorithm", "EC:P-256"});
  for (const auto& entry : std::filesystem::directory_iterator(folder())) {
    const std::string name = entry.path().filename();
    if (name.size() < 33) continue;
    std::string bytes = read_file(entry.path());
    bytes.back() = static_cast<char>(bytes.back() ^ 1);
    write_file(entry.path(), bytes);
  }
  configure();  // vhsmd starts anew: the key is not in its memory
  const auto refused = sign(kUri);
  EXPECT_NE(refused.status, 0);
  EXPECT_THAT(refused.err, HasSubstr("keystore damaged"));
  const auto checked = vhsm({"keystore", "check"});
  EXPECT_EQ(checked.status, 1);
  EXPECT_THAT(checked.out, AllOf(HasSubstr("1 keys, 1 damaged"), HasSubstr(kUri)));
}

TEST_F(KeyLifeTest, OnAnotherMachineTheRecoveryKeyOpensItAndMakesASlot) {
  must({"key", "generate", kUri, "--algorithm", "EC:P-256"});
  const std::string expected = public_key(kUri);
  const std::string other = world_.file("other").string();
  ASSERT_EQ(run({std::string(VHSM_BIN_DIR) + "/vhsm-snp-emulator", "init", other}).status, 0);
  configure("load_wait = 1s\nfetch_timeout = 2s\n", "emulator:" + other);
  const auto refused = sign(kUri);
  EXPECT_NE(refused.status, 0);
  EXPECT_THAT(refused.err, AllOf(HasSubstr("keystore sealed"),
                                 HasSubstr("snp: this was sealed on another chip")));
  must({"keystore", "add-slot", "snp", "--recovery-key", recovery()});
  configure("", "emulator:" + other);
  EXPECT_EQ(public_key(kUri), expected);
  const auto signature = sign(kUri);
  ASSERT_EQ(signature.status, 0) << signature.err;
  EXPECT_TRUE(verifies(expected));
}

TEST_F(KeyLifeTest, DoctorSaysWhatOpensTheFolderAndWhyTheRestDoesNot) {
  if (World::has_daemon()) GTEST_SKIP() << "vhsmd has the folder: doctor asks vhsmd";
  must({"key", "generate", kUri, "--algorithm", "EC:P-256"});
  EXPECT_THAT(vhsm({"doctor"}).out,
              AllOf(HasSubstr("1 keys in " + folder()),
                    HasSubstr("slots: snp opens, recovery (its owner has the key)")));
  must({"key", "delete", kUri});
  must({"keystore", "remove-slot", "1"});
  EXPECT_THAT(vhsm({"doctor"}).out,
              AllOf(HasSubstr("warn  folder of keys"), HasSubstr("vhsm keystore add-slot")));
  const std::string other = world_.file("other").string();
  ASSERT_EQ(run({std::string(VHSM_BIN_DIR) + "/vhsm-snp-emulator", "init", other}).status, 0);
  configure("", "emulator:" + other);
  const auto moved = vhsm({"doctor"});
  EXPECT_EQ(moved.status, 1);
  EXPECT_THAT(moved.out, AllOf(HasSubstr("fail  folder of keys"),
                               HasSubstr("snp (this was sealed on another chip)")));
}

TEST_F(KeyLifeTest, TheKbsOpensItWhereNoOtherSlotDoes) {
  world_.put("default/keystore/root", std::string(32, 'k'));
  configure("keystore_kbs_key = default/keystore/root\n");
  must({"key", "generate", kUri, "--algorithm", "EC:P-256"});
  must({"keystore", "add-slot", "kbs"});
  must({"keystore", "remove-slot", "0"});  // this machine's
  EXPECT_THAT(vhsm({"keystore", "slots"}).out,
              AllOf(HasSubstr("kbs"), HasSubstr("recovery"), Not(HasSubstr("snp"))));
  configure("keystore_kbs_key = default/keystore/root\n");
  const auto signature = sign(kUri);
  EXPECT_EQ(signature.status, 0) << signature.err;
  configure("fetch_timeout = 2s\nload_wait = 1s\n");
  const auto refused = sign(kUri);
  EXPECT_NE(refused.status, 0) << "a name that only the file says";
  EXPECT_THAT(refused.err, HasSubstr("keystore_kbs_key"));
}

TEST_F(KeyLifeTest, NobodyTakesAwayTheLastSlotThatOpensHere) {
  must({"keystore", "add-slot", "recovery", "--new-recovery-key", world_.file("second.hex")});
  EXPECT_THAT(vhsm({"keystore", "slots"}).out,
              AllOf(HasSubstr("derive the key, and opens here"), HasSubstr("has the key\n")));
  const auto refused = vhsm({"keystore", "remove-slot", "0"});
  EXPECT_EQ(refused.status, 1);
  EXPECT_THAT(refused.err, AllOf(HasSubstr("no other slot opens"), HasSubstr("--recovery-key")));
  EXPECT_EQ(vhsm({"keystore", "check"}).status, 0) << "nothing has changed";
  must({"keystore", "remove-slot", "0", "--recovery-key", recovery()});
}

TEST_F(KeyLifeTest, WithOneSlotNoKeyIsMade) {
  must({"keystore", "remove-slot", "1"});
  const auto refused = vhsm({"key", "generate", kUri, "--algorithm", "EC:P-256"});
  EXPECT_EQ(refused.status, 1);
  EXPECT_THAT(refused.err, HasSubstr("vhsm keystore add-slot"));
}

TEST_F(KeyLifeTest, AFolderThatIsOpenToOthersIsRefusedByOpenssl) {
  if (World::has_daemon()) return;  // it does not even start: sandbox_test
  must({"key", "generate", kUri, "--algorithm", "EC:P-256"});
  ASSERT_EQ(::chmod(folder().c_str(), 0750), 0);
  const auto refused = sign(kUri);
  EXPECT_NE(refused.status, 0);
  EXPECT_THAT(refused.err, HasSubstr("chmod 700"));
}

TEST_F(KeyLifeTest, EveryAlgorithmThatIsHeldCanBeSealedAndRotated) {
  std::vector<std::string> algorithms{"EC:P-521", "EC:secp256k1", "RSA:2048", "RSA-PSS:2048",
                                      "ED448",    "X25519",       "X448"};
  for (const std::string& algorithm : algorithms) {
    std::string name = "default/all/" + algorithm;
    std::ranges::replace(name, ':', '-');
    must({"key", "generate", name, "--algorithm", algorithm});
    must({"key", "rotate", name});
    EXPECT_THAT(vhsm({"key", "show", name}).out, HasSubstr("?version=2")) << algorithm;
  }
}

}  // namespace
}  // namespace vhsm::tests
