// SPDX-License-Identifier: Apache-2.0
//
// A refusal says what failed, on which secret, and what helps.
#include <chrono>
#include <string>
#include <thread>

#include "tests/secret/fixture.h"

namespace vhsm::tests {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

TEST_F(SecretFlowTest, AnUnknownNameIsMissing) {
  const auto refused = vhsm({"secret", "get", "default/api/nobody"});
  EXPECT_EQ(refused.status, 1);
  EXPECT_THAT(refused.err, HasSubstr("default/api/nobody"));
}

TEST_F(SecretFlowTest, ASecretThatTheKbsDeniesStaysThere) {
  store("default/api/denied", "sesame");
  ASSERT_EQ(kbs({"disable", "default/api/denied"}).status, 0);
  const auto refused = vhsm({"secret", "get", "default/api/denied"});
  EXPECT_EQ(refused.status, 1);
  EXPECT_EQ(refused.out, "");
  EXPECT_THAT(refused.err, HasSubstr("default/api/denied"));
}

TEST_F(SecretFlowTest, AKbsThatIsDownIsSaidAndWaitedForOnRequest) {
  store("default/api/key", "sesame");
  world_.stop_kbs();
  const auto refused = vhsm({"secret", "get", "default/api/key"});
  EXPECT_EQ(refused.status, 1);
  EXPECT_EQ(refused.out, "");
  std::thread starter([this] {
    std::this_thread::sleep_for(std::chrono::milliseconds(1500));
    world_.start_kbs();
  });
  const auto waited = vhsm({"secret", "get", "default/api/key", "--wait", "30"});
  starter.join();
  EXPECT_EQ(waited.status, 0) << waited.err;
  EXPECT_EQ(waited.out, "sesame");
}

TEST_F(SecretFlowTest, FetchWaitsForAKbsThatComesUpLater) {
  world_.put("default/key/mac", std::string(32, 'k'));
  world_.stop_kbs();
  std::thread starter([this] {
    std::this_thread::sleep_for(std::chrono::milliseconds(1500));
    world_.start_kbs();
  });
  const auto fetched = vhsm({"fetch", "vhsm:default/key/mac?type=secret", "--wait", "30"});
  starter.join();
  EXPECT_EQ(fetched.status, 0) << fetched.out << fetched.err;
  EXPECT_EQ(vhsm({"fetch", "vhsm:default/key/nobody", "--wait", "30"}).status, 1)
      << "what is missing is not waited for";
}

TEST_F(SecretFlowTest, ATerminalGetsNothingUnlessItIsToldTo) {
  seal("default/api/key", "sesame");
  const auto refused =
      shell("script -qec \"" + program() + " secret get default/api/key\" /dev/null");
  EXPECT_EQ(refused.status, 2);
  EXPECT_THAT(refused.out, AllOf(HasSubstr("terminal"), Not(HasSubstr("sesame"))));
  const auto told =
      shell("script -qec \"" + program() + " secret get default/api/key --terminal\" /dev/null");
  EXPECT_THAT(told.out, HasSubstr("sesame"));
}

TEST_F(SecretFlowTest, AClosedPipeOrDescriptorIsSaid) {
  seal("default/api/key", "sesame");
  const auto pipe = run({"python3", "-c",
                         "import os, subprocess, sys\n"
                         "r, w = os.pipe()\nos.close(r)\n"
                         "sys.exit(subprocess.run(sys.argv[1:], stdout=w).returncode)\n",
                         program(), "secret", "get", "default/api/key"},
                        world_.environment());
  EXPECT_EQ(pipe.status, 1);
  EXPECT_THAT(pipe.err, HasSubstr("pipe is closed"));
  const auto none = vhsm({"secret", "get", "default/api/key", "--fd", "77"});
  EXPECT_EQ(none.status, 2);
  EXPECT_THAT(none.err, HasSubstr("descriptor 77"));
}

TEST_F(SecretFlowTest, WhatNoEnvironmentCanHoldIsRefused) {
  seal("default/api/zero", std::string("a\0b", 3));
  const auto zero = vhsm({"secret", "run", "--env", "A=default/api/zero", "--", "env"});
  EXPECT_EQ(zero.status, 1);
  EXPECT_THAT(zero.err, AllOf(HasSubstr("zero byte"), HasSubstr("default/api/zero")));
  seal("default/api/key", "sesame");
  for (const char* const variable : {"=default/api/key", "1A=default/api/key", "A", "A-B=x"}) {
    EXPECT_EQ(vhsm({"secret", "run", "--env", variable, "--", "env"}).status, 2) << variable;
  }
  EXPECT_EQ(vhsm({"secret", "run", "--env", "A=default/api/key"}).status, 2) << "no command";
  const auto nothing = vhsm({"secret", "run", "--env", "A=default/api/key", "--", "/no/command"});
  EXPECT_EQ(nothing.status, 1);
  EXPECT_THAT(nothing.err, HasSubstr("/no/command"));
}

TEST_F(SecretFlowTest, AKeyPairIsNotSealedAsASecret) {
  const std::string pem = file("pair.pem");
  ASSERT_EQ(world_.openssl({"genpkey", "-algorithm", "ED25519", "-out", pem}).status, 0);
  const auto refused = vhsm({"secret", "put", "default/api/pair", pem, "--releasable"});
  EXPECT_EQ(refused.status, 1);
  EXPECT_THAT(refused.err, HasSubstr("key pair"));
}

TEST_F(SecretFlowTest, ASecretPathIsAFolderOfTheKbs) {
  for (const char* const path : {"/", "default/secret/one", "a//b", "..", "default/"}) {
    write_file(world_.file("vhsm.cnf"),
               std::string("[vhsm]\nplatform = none\nsecret_paths = ") + path + "\n");
    const auto refused = vhsm({"secret", "get", "default/api/key"});
    EXPECT_NE(refused.status, 0) << path;
    EXPECT_THAT(refused.err, HasSubstr("secret_paths")) << path;
  }
}

// ----- vhsmd -------------------------------------------------------------------------------------

TEST_F(SecretFlowTest, AGrantForEveryKeyGivesNoSecretAndOneWithItsNameDoes) {
  if (!World::has_daemon()) GTEST_SKIP() << "grants are vhsmd's";
  seal("default/api/key", "sesame");
  must({"key", "grant", "--default", "--user", "54321"});
  const std::string as_stranger = "setpriv --reuid 54321 --regid 54321 --clear-groups " + program();
  const auto refused = shell(as_stranger + " secret get default/api/key");
  EXPECT_EQ(refused.status, 1);
  EXPECT_EQ(refused.out, "");
  EXPECT_THAT(refused.err, AllOf(HasSubstr("grant"), HasSubstr("default/api/key")));
  must({"key", "grant", "default/api/key", "--user", "54321"});
  const auto given = shell(as_stranger + " secret get default/api/key");
  EXPECT_EQ(given.out, "sesame") << given.err;
}

}  // namespace
}  // namespace vhsm::tests
