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

TEST_F(Jwcrypto, MakesAJweThatWeOpen) {
  const auto made = python(R"(
from jwcrypto import jwe, jwk
import json
token = jwe.JWE(b'-----BEGIN PRIVATE KEY-----', json.dumps({'alg': 'ECDH-ES+A256KW', 'enc': 'A256GCM'}))
token.add_recipient(jwk.JWK.from_json(open('public.jwk').read()))
names = ['protected', 'encrypted_key', 'iv', 'ciphertext', 'tag']
print(json.dumps(dict(zip(names, token.serialize(compact=True).split('.')))))
)");
  ASSERT_EQ(made.status, 0) << made.output;
  const auto key = private_key(kBobX, kBobY, kBobD);
  const auto opened = decrypt(made.output, key.get());
  ASSERT_TRUE(opened.ok()) << describe(opened.error());
  EXPECT_EQ(text(opened.value()), kPlaintext);
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
