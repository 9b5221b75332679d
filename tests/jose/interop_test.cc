// SPDX-License-Identifier: Apache-2.0
//
// Two independent JOSE implementations against ours: Debian's `jose` (C) and python3-jwcrypto.
#include <stdlib.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "jose/jcs.h"
#include "jose/jwe.h"
#include "jose/jwt.h"
#include "jose/tee_key.h"
#include "tests/jose/support.h"

namespace vhsm::jose {
namespace {

constexpr std::string_view kPlaintext = "-----BEGIN PRIVATE KEY-----";

// Debian's, which has Debian's modules, whatever stands first in PATH.
const std::string kPython = "/usr/bin/python3";

struct Outcome {
  int status = -1;
  std::string output;
};

Outcome shell(const std::string& command) {
  Outcome outcome;
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return outcome;
  std::array<char, 4096> part{};
  while (const std::size_t size = fread(part.data(), 1, part.size(), pipe)) {
    outcome.output.append(part.data(), size);
  }
  outcome.status = WEXITSTATUS(pclose(pipe));
  return outcome;
}

class Interop : public testing::Test {
 protected:
  Interop() {
    std::string name = std::filesystem::temp_directory_path() / "vhsm-jose-XXXXXX";
    folder_ = mkdtemp(name.data());
    Json key = to_json(bob());
    key["d"] = kBobD;
    key["alg"] = "ECDH-ES+A256KW";
    write("key.jwk", canonical(key));
    write("public.jwk", canonical(to_json(bob())));
  }
  ~Interop() override { std::filesystem::remove_all(folder_); }

  void write(const std::string& name, std::string_view text) {
    std::ofstream(path(name), std::ios::binary) << text;
  }
  [[nodiscard]] std::string path(const std::string& name) const { return folder_ + "/" + name; }

  std::string folder_;
};

TEST_F(Interop, JoseOpensOurJwe) {
  if (shell("command -v jose").status != 0) GTEST_SKIP() << "no `jose` command (package jose)";
  write("jwe", encrypt(bytes(kPlaintext), bob()).value());
  const auto opened = shell("jose jwe dec -i " + path("jwe") + " -k " + path("key.jwk") + " -O -");
  EXPECT_EQ(opened.status, 0);
  EXPECT_EQ(opened.output, kPlaintext);
}

// ----- they make, we open
// -------------------------------------------------------------------------

struct Kind {
  const char* name;
  TeeKeyKind kind;
};

/// A TEE key of this kind, whose public half lies in public.jwk.
class ForeignJwe : public Interop, public testing::WithParamInterface<Kind> {
 protected:
  ForeignJwe() {
    write("public.jwk", canonical(to_json(key_.public_jwk())));
    write("plain", kPlaintext);
  }
  void expect_opened(const Outcome& made) const {
    ASSERT_EQ(made.status, 0) << made.output;
    const auto opened = decrypt(flattened(made.output), key_.key());
    ASSERT_TRUE(opened.ok()) << describe(opened.error()) << made.output;
    EXPECT_EQ(text(opened.value()), kPlaintext);
  }
  TeeKey key_ = TeeKey::generate(GetParam().kind).value();
};

TEST_P(ForeignJwe, OfJoseIsOpened) {
  const std::string alg = to_json(key_.public_jwk())["alg"];
  if (shell("command -v jose").status != 0) GTEST_SKIP() << "no `jose` command (package jose)";
  if (shell("jose alg | grep -qx " + alg).status != 0) {
    GTEST_SKIP() << "this `jose` (package jose) is too old for " << alg;
  }
  expect_opened(shell("cd " + folder_ + R"( && jose jwe enc -c -k public.jwk -I plain )" +
                      R"(-i '{"protected":{"enc":"A256GCM","alg":")" + alg + R"("}}' 2>&1)"));
}

TEST_P(ForeignJwe, OfJwcryptoIsOpened) {
  if (shell(kPython + " -c 'import jwcrypto' 2>&1").status != 0) {
    GTEST_SKIP() << "no module jwcrypto (package python3-jwcrypto)";
  }
  write("program.py", R"(
from jwcrypto import jwe, jwk
import json
key = json.load(open('public.jwk'))
token = jwe.JWE(open('plain', 'rb').read(), json.dumps({'alg': key['alg'], 'enc': 'A256GCM'}))
token.add_recipient(jwk.JWK(**key))
print(token.serialize(compact=True), end='')
)");
  expect_opened(shell("cd " + folder_ + " && " + kPython + " program.py 2>&1"));
}

INSTANTIATE_TEST_SUITE_P(TeeKeys, ForeignJwe,
                         testing::Values(Kind{"P256", TeeKeyKind::kP256},
                                         Kind{"P521", TeeKeyKind::kP521},
                                         Kind{"RSA", TeeKeyKind::kRsa}),
                         [](const auto& test) { return std::string(test.param.name); });

// ----- we make, they open
// -------------------------------------------------------------------------

class Jwcrypto : public Interop {
 protected:
  void SetUp() override {
    if (shell(kPython + " -c 'import jwcrypto' 2>&1").status != 0) {
      GTEST_SKIP() << "no module jwcrypto (package python3-jwcrypto)";
    }
  }
  Outcome python(std::string_view program) {
    write("program.py", program);
    return shell("cd " + folder_ + " && " + kPython + " program.py");
  }
};

TEST_F(Jwcrypto, OpensOurJwe) {
  write("jwe", encrypt(bytes(kPlaintext), bob()).value());
  const auto opened = python(R"(
from jwcrypto import jwe, jwk
token = jwe.JWE()
token.deserialize(open('jwe').read(), jwk.JWK.from_json(open('key.jwk').read()))
print(token.payload.decode(), end='')
)");
  EXPECT_EQ(opened.status, 0);
  EXPECT_EQ(opened.output, kPlaintext);
}

TEST_F(Jwcrypto, VerifiesOurToken) {
  const auto key = private_key(kBobX, kBobY, kBobD);
  write("token", sign_token(Json{{"exp", 4102444800}, {"iss", "vhsm"}}, key.get(), {}).value());
  const auto verified = python(R"(
from jwcrypto import jws, jwk
import json
key = json.load(open('public.jwk'))
key['alg'] = 'ES256'
token = jws.JWS()
token.deserialize(open('token').read(), jwk.JWK(**key))
print(json.loads(token.payload)['iss'], end='')
)");
  EXPECT_EQ(verified.status, 0);
  EXPECT_EQ(verified.output, "vhsm");
}

}  // namespace
}  // namespace vhsm::jose
