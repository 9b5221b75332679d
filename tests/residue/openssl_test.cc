// SPDX-License-Identifier: Apache-2.0
//
// The system's openssl command with a key of ours: stopped while it has the key, and searched.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/residue/fixture.h"
#include "tests/residue/full_pipe.h"
#include "tests/residue/handshake.h"
#include "tests/servers/server.h"

namespace vhsm::tests {
namespace {

class OpensslTest : public ResidueTest {
 protected:
  std::vector<std::string> command(std::vector<std::string> arguments) {
    const auto providers =
        in_file() ? std::vector<std::string>{"-provider", "default"}
                  : std::vector<std::string>{"-provider", "vhsm", "-provider", "default"};
    arguments.insert(arguments.begin() + 1, providers.begin(), providers.end());
    arguments.insert(arguments.begin(), "openssl");
    return arguments;
  }
  std::string make_certificate() {
    const Outcome made =
        run({"openssl", "req", "-x509", "-key", key_file(), "-subj", "/CN=x", "-days", "1",
             "-config", "/etc/ssl/openssl.cnf", "-out", path("certificate")});
    EXPECT_EQ(made.status, 0) << made.err;
    return path("certificate");
  }
  /// Runs a command that writes its result into `pipe`, and looks at it when it is about to: at the
  /// process, and at its core dump when its signature, and so its nonce, is known.
  void look_before_output(const std::string& situation, const std::vector<std::string>& arguments,
                          FullPipe& pipe) {
    Child child(arguments, environment());
    ASSERT_TRUE(eventually([&] { return writes(child.process()); }));
    look(situation, {.process = child.process()});
    const std::string id = std::to_string(child.process());
    ASSERT_EQ(run({"gcore", "-o", path("core"), id}).status, 0);
    static_cast<void>(pipe.drain());
    child.wait();
    if (signs()) add_nonce({pipe.drain(), bytes_of(path("message")), "SHA256"});
    look(situation + ": core", {.core = path("core." + id)});
  }
};

class ServingOpensslTest : public OpensslTest {};

TEST_P(ServingOpensslTest, HasNothingOutsideProtectedMemory) {
  store();
  const int port = free_port();
  const Child server(command({"s_server", "-accept", std::to_string(port), "-www", "-cert",
                              make_certificate(), "-key", uri()}),
                     environment());
  Signature signature;
  ASSERT_TRUE(eventually([&] { return !(signature = tls_signature(port)).signature.empty(); }));
  for (int times = 0; times < 5; ++times) signature = tls_signature(port);
  add_nonce(signature);
  look("openssl s_server", {.process = server.process(), .dump = true});
}

const std::vector<std::string> kServing{"RSA2048", "P-256", "P-521", "ED25519"};

INSTANTIATE_TEST_SUITE_P(Keys, ServingOpensslTest,
                         ::testing::Combine(::testing::ValuesIn(kServing), every_place()),
                         ResidueTest::test_name);

class SigningOpensslTest : public OpensslTest {};

TEST_P(SigningOpensslTest, HasNothingOutsideProtectedMemory) {
  store();
  FullPipe pipe(path("pipe"));
  write_file(path("message"), "what is signed\n");
  look_before_output(
      "openssl dgst",
      command({"dgst", "-sha256", "-sign", uri(), "-out", path("pipe"), path("message")}), pipe);
}

const std::vector<std::string> kDigesting{"RSA2048", "P-256", "P-384", "P-521", "secp256k1"};

INSTANTIATE_TEST_SUITE_P(Keys, SigningOpensslTest,
                         ::testing::Combine(::testing::ValuesIn(kDigesting), every_place()),
                         ResidueTest::test_name);

/// By "pkeyutl", which gives up its key before it writes: the file has no control here.
class Curve25519OpensslTest : public OpensslTest {
 protected:
  std::vector<std::string> arguments() {
    if (signs()) {
      return {"pkeyutl", "-sign", "-rawin", "-in",       path("message"),
              "-inkey",  uri(),   "-out",   path("pipe")};
    }
    const Outcome made =
        run({"openssl", "pkey", "-in", key_file(), "-pubout", "-out", path("public")});
    EXPECT_EQ(made.status, 0) << made.err;
    return {"pkeyutl",  "-derive",      "-inkey", uri(),
            "-peerkey", path("public"), "-out",   path("pipe")};
  }
};

TEST_P(Curve25519OpensslTest, HasNothingOutsideProtectedMemory) {
  store();
  FullPipe pipe(path("pipe"));
  write_file(path("message"), "what is signed\n");
  look_before_output("openssl pkeyutl", command(arguments()), pipe);
}

const std::vector<std::string> kCurve25519{"ED25519", "X25519"};

INSTANTIATE_TEST_SUITE_P(Keys, Curve25519OpensslTest,
                         ::testing::Combine(::testing::ValuesIn(kCurve25519), both_memories()),
                         ResidueTest::test_name);

}  // namespace
}  // namespace vhsm::tests
