// SPDX-License-Identifier: Apache-2.0
//
// Project Wycheproof's vectors of JWE, those with keys of our kinds. The folder is that of Debian's
// golang-github-c2sp-wycheproof-dev, or VHSM_WYCHEPROOF. We offer one algorithm for each kind of
// key, and one content cipher: of the valid ones those are opened, and everything else is refused.
#include <stdlib.h>

#include <openssl/core_names.h>
#include <openssl/param_build.h>

#include <algorithm>
#include <array>
#include <fstream>

#include "jose/base64.h"
#include "jose/jcs.h"
#include "jose/jwe.h"
#include "tests/jose/support.h"

namespace vhsm::jose {
namespace {

constexpr const char* kPackaged = "/usr/share/gocode/src/github.com/c2sp/wycheproof/testvectors_v1";

std::string folder() {
  const char* const given = ::getenv("VHSM_WYCHEPROOF");
  return given != nullptr ? given : kPackaged;
}

using Param = ossl::Handle<OSSL_PARAM, OSSL_PARAM_free>;
using ParamBuild = ossl::Handle<OSSL_PARAM_BLD, OSSL_PARAM_BLD_free>;

ossl::PKey rsa_key(const Json& jwk) {
  constexpr std::array<std::pair<const char*, const char*>, 8> kNumbers{
      {{"n", OSSL_PKEY_PARAM_RSA_N},
       {"e", OSSL_PKEY_PARAM_RSA_E},
       {"d", OSSL_PKEY_PARAM_RSA_D},
       {"p", OSSL_PKEY_PARAM_RSA_FACTOR1},
       {"q", OSSL_PKEY_PARAM_RSA_FACTOR2},
       {"dp", OSSL_PKEY_PARAM_RSA_EXPONENT1},
       {"dq", OSSL_PKEY_PARAM_RSA_EXPONENT2},
       {"qi", OSSL_PKEY_PARAM_RSA_COEFFICIENT1}}};
  const ParamBuild build(OSSL_PARAM_BLD_new());
  std::vector<ossl::Bignum> numbers;  // live as long as `build`
  for (const auto& [name, param] : kNumbers) {
    if (!jwk.contains(name)) continue;
    const auto bytes = from_base64url(jwk[name].get_ref<const std::string&>()).value();
    numbers.emplace_back(BN_bin2bn(bytes.data(), static_cast<int>(bytes.size()), nullptr));
    OSSL_PARAM_BLD_push_BN(build.get(), param, numbers.back().get());
  }
  const Param params(OSSL_PARAM_BLD_to_param(build.get()));
  const ossl::PKeyCtx ctx(EVP_PKEY_CTX_new_from_name(nullptr, "RSA", nullptr));
  ossl::PKey key;
  EVP_PKEY_fromdata_init(ctx.get());
  EXPECT_EQ(EVP_PKEY_fromdata(ctx.get(), ossl::Receive(key), EVP_PKEY_KEYPAIR, params.get()), 1);
  return key;
}

/// Null for keys of other kinds than ours.
ossl::PKey key_of(const Json& jwk) {
  if (jwk["kty"] == "RSA") return rsa_key(jwk);
  if (jwk["kty"] != "EC" || jwk["crv"] != "P-256") return ossl::PKey();
  const auto text = [&](const char* name) { return jwk[name].get<std::string>(); };
  return private_key(text("x"), text("y"), text("d"));
}

std::string hex_of(const SecretBytes& secret) {
  std::string hex;
  for (const unsigned byte : secret.expose()) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    hex.push_back(kDigits[byte >> 4]);
    hex.push_back(kDigits[byte & 15]);
  }
  return hex;
}

TEST(Wycheproof, JwesOfOurAlgorithmsAreOpenedAndAllOthersRefused) {
  std::ifstream file(folder() + "/json_web_encryption_test.json");
  if (!file) {
    GTEST_SKIP() << "no " << folder() << ": apt-get install golang-github-c2sp-wycheproof-dev";
  }
  int opened = 0;
  int refused = 0;
  const Json vectors = Json::parse(file);
  for (const Json& group : vectors["testGroups"]) {
    const Json& jwk = group["private"];
    const auto key = key_of(jwk);
    if (key == nullptr) continue;
    const bool ours = jwk["alg"] == (jwk["kty"] == "RSA" ? kKeyTransportAlg : kKeyAgreementAlg);
    for (const Json& test : group["tests"]) {
      const auto answer = decrypt(flattened(test["jwe"]), key.get());
      const bool good = ours && test["result"] == "valid" && test["enc"] == "A256GCM";
      EXPECT_EQ(answer.ok(), good) << test["tcId"] << test["comment"];
      if (answer.ok() && good) {
        EXPECT_EQ(hex_of(answer.value()), test["pt"].get<std::string>()) << test["tcId"];
      }
      (answer.ok() ? opened : refused) += 1;
    }
  }
  EXPECT_GT(opened, 0);
  EXPECT_GT(refused, 0);
}

}  // namespace
}  // namespace vhsm::jose
