// SPDX-License-Identifier: Apache-2.0
//
// Keys of the published vectors, and protected memory before the first test.
#include "tests/jose/support.h"

#include <openssl/core_names.h>
#include <openssl/param_build.h>

#include <algorithm>
#include <array>

#include "jose/base64.h"
#include "jose/jcs.h"

namespace vhsm::jose {
namespace {

class ProtectedMemory : public testing::Environment {
 public:
  void SetUp() override {
    const Status started = memory::initialise({});
    ASSERT_TRUE(started.ok()) << describe(started.error());
  }
};
// Before main(), so before anything uses libcrypto.
const auto* const kMemory = testing::AddGlobalTestEnvironment(new ProtectedMemory);

}  // namespace

const std::string_view kVectorJwe =
    R"({"protected":"eyJhbGciOiJFQ0RILUVTK0EyNTZLVyIsImVuYyI6IkEyNTZHQ00iLCJlcGsiOnsiY3J2IjoiUC0yNTYiLCJrdHkiOiJFQyIsIngiOiJnSTBHQUlMQmR1N1Q1M2FrckZtTXlHY3NGM241ZE83TW13TkJIS1c1U1YwIiwieSI6IlNMV194U2ZmemxQV3JIRVZJMzBESE1fNGVnVnd0M05RcWVVRDduTUZwcHMifX0",)"
    R"("encrypted_key":"T0NVWKoWucQiDmmVc2dmvQ8xVyt-7o5H1C0MnaCf5KFFpsfACs-0RQ","iv":"AAECAwQFBgcICQoL",)"
    R"("ciphertext":"M2q_aOWMsTvsYePuwp1YCeKi5g","tag":"5Lrw3qgUPPWfTPZ9y7e03A"})";

EcPublicJwk bob() {
  return {"P-256", std::string(kKeyAgreementAlg), std::string(kBobX), std::string(kBobY)};
}

EcPublicJwk alice() {
  return {"P-256", std::string(kKeyAgreementAlg), std::string(kAliceX), std::string(kAliceY)};
}

ossl::PKey private_key(std::string_view x, std::string_view y, std::string_view d) {
  std::vector<std::uint8_t> point{0x04};
  for (const std::string_view coordinate : {x, y}) {
    const auto octets = from_base64url(coordinate).value();
    point.insert(point.end(), octets.begin(), octets.end());
  }
  const auto scalar = from_base64url(d).value();
  const ossl::Bignum number(BN_bin2bn(scalar.data(), static_cast<int>(scalar.size()), nullptr));
  OSSL_PARAM_BLD* builder = OSSL_PARAM_BLD_new();
  OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0);
  OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size());
  OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_PRIV_KEY, number.get());
  OSSL_PARAM* params = OSSL_PARAM_BLD_to_param(builder);
  const ossl::PKeyCtx ctx(EVP_PKEY_CTX_new_from_name(nullptr, "EC", nullptr));
  EXPECT_EQ(EVP_PKEY_fromdata_init(ctx.get()), 1);
  ossl::PKey key;
  EXPECT_EQ(EVP_PKEY_fromdata(ctx.get(), ossl::Receive(key), EVP_PKEY_KEYPAIR, params), 1);
  OSSL_PARAM_free(params);
  OSSL_PARAM_BLD_free(builder);
  return key;
}

std::string text(const SecretBytes& secret) {
  const auto octets = secret.expose();
  return {octets.begin(), octets.end()};
}

std::span<const std::uint8_t> bytes(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

std::string flattened(const std::string& compact) {
  constexpr std::array<const char*, 5> kMembers{"protected", "encrypted_key", "iv", "ciphertext",
                                                "tag"};
  if (std::ranges::count(compact, '.') != kMembers.size() - 1) return compact;
  Json json;
  std::size_t from = 0;
  for (const char* member : kMembers) {
    const std::size_t to = std::min(compact.find('.', from), compact.size());
    json[member] = compact.substr(from, to - from);
    from = to + 1;
  }
  return canonical(json);
}

}  // namespace vhsm::jose
