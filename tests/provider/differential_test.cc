// SPDX-License-Identifier: Apache-2.0
//
// What vhsm computes against what the default provider computes, both ways.
#include <gtest/gtest.h>
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/rsa.h>

#include <functional>
#include <ostream>
#include <string>
#include <tuple>
#include <vector>

#include "tests/kinds.h"
#include "tests/provider/host.h"
#include "tests/provider/key_folder.h"
#include "tests/provider/params.h"

namespace vhsm::test {
namespace {

struct Case {
  std::string name;
  std::string type;
  std::string detail;
  Scheme scheme;
};

void PrintTo(const Case& test, std::ostream* out) { *out << test.name; }

class SignatureTest : public ::testing::TestWithParam<std::tuple<Case, Order>> {
 protected:
  [[nodiscard]] const Case& parts() const { return std::get<0>(GetParam()); }
  const Host host_{"vhsm", std::get<1>(GetParam())};
  const ossl::PKey ours_ = host_.generate(parts().type, parts().detail);
};

TEST_P(SignatureTest, OursVerifiesInTheDefaultProvider) {
  ASSERT_NE(ours_, nullptr) << take_errors();
  const auto theirs = host_.public_in_default(ours_.get());
  const Bytes whole = sign(host_, ours_.get(), parts().scheme, kMessage);
  ASSERT_FALSE(whole.empty()) << take_errors();
  EXPECT_TRUE(verify(host_, theirs.get(), parts().scheme, kMessage, whole)) << take_errors();
  EXPECT_TRUE(verify(host_, ours_.get(), parts().scheme, kMessage, whole)) << take_errors();
}

TEST_P(SignatureTest, TheDefaultProvidersVerifiesInOurs) {
  const auto theirs = host_.generate(parts().type, parts().detail, kDefault);
  ASSERT_NE(theirs, nullptr);
  const Bytes signature = sign(host_, theirs.get(), parts().scheme, kMessage);
  ASSERT_FALSE(signature.empty()) << take_errors();

  const Bytes der = public_der(theirs.get());
  OSSL_PARAM* params = nullptr;
  ASSERT_EQ(EVP_PKEY_todata(theirs.get(), EVP_PKEY_PUBLIC_KEY, &params), 1);
  const ossl::PKeyCtx ctx(EVP_PKEY_CTX_new_from_name(host_.ctx(), parts().type.c_str(), kVhsm));
  ossl::PKey imported;
  ASSERT_EQ(EVP_PKEY_fromdata_init(ctx.get()), 1);
  ASSERT_EQ(EVP_PKEY_fromdata(ctx.get(), ossl::Receive(imported), EVP_PKEY_PUBLIC_KEY, params), 1)
      << take_errors();
  OSSL_PARAM_free(params);
  EXPECT_EQ(public_der(imported.get()), der);
  EXPECT_TRUE(verify(host_, imported.get(), parts().scheme, kMessage, signature)) << take_errors();
}

TEST_P(SignatureTest, AChangedSignatureOrMessageIsRefused) {
  Bytes signature = sign(host_, ours_.get(), parts().scheme, kMessage);
  EXPECT_FALSE(verify(host_, ours_.get(), parts().scheme, Bytes{1}, signature));
  signature.back() ^= 1;
  EXPECT_FALSE(verify(host_, ours_.get(), parts().scheme, kMessage, signature));
}

/// Of those that hash their message.
class StreamedSignatureTest : public SignatureTest {};

TEST_P(StreamedSignatureTest, PartsAndAnEmptyMessageSignAsWell) {
  const auto theirs = host_.public_in_default(ours_.get());
  for (const Bytes& message : {kMessage, Bytes()}) {
    const Bytes signature = sign_streaming(host_, ours_.get(), parts().scheme, message);
    ASSERT_FALSE(signature.empty()) << take_errors();
    EXPECT_TRUE(verify(host_, theirs.get(), parts().scheme, message, signature));
  }
}

const Case kSpecialCases[] = {
    {"RsaPkcs1Sha1", "RSA", "2048", {"SHA1", "pkcs1"}},
    {"RsaPkcs1Sha256", "RSA", "2048", {"SHA256", "pkcs1"}},
    {"RsaPkcs1Sha512", "RSA", "2048", {"SHA512", "pkcs1"}},
    {"RsaPkcs1Sha3", "RSA", "2048", {"SHA3-256", "pkcs1"}},
    {"Rsa3072Pkcs1", "RSA", "3072", {"SHA384", "pkcs1"}},
    {"RsaPkcs1Md5Sha1", "RSA", "2048", {"MD5-SHA1", "pkcs1"}},
    {"RsaX931", "RSA", "2048", {"SHA256", "x931"}},
    {"RsaPssDigestSalt", "RSA", "2048", {"SHA256", "pss", "digest"}},
    {"RsaPssMaxSalt", "RSA", "2048", {"SHA256", "pss", "max"}},
    {"RsaPssAutoSalt", "RSA", "2048", {"SHA256", "pss", "auto"}},
    {"RsaPssNumberedSalt", "RSA", "2048", {"SHA384", "pss", "20"}},
    {"RsaPssNoSalt", "RSA", "2048", {"SHA512", "pss", "0"}},
    {"RsaPssOtherMgf1", "RSA", "2048", {"SHA256", "pss", "digest", "SHA512"}},
    {"RsaPssKey", "RSA-PSS", "2048", {"SHA256", nullptr, "digest"}},
    {"P256Sha512", "EC", "P-256", {"SHA512"}},
    {"P384Sha384", "EC", "P-384", {"SHA384"}},
    {"P521Sha1", "EC", "P-521", {"SHA1"}},
};

/// Special schemes, and the plain one of each kind that signs.
std::vector<Case> cases() {
  std::vector<Case> all(std::begin(kSpecialCases), std::end(kSpecialCases));
  for (const tests::Kind& kind : tests::kinds_that(std::mem_fn(&tests::Kind::signs))) {
    all.push_back({tests::plain(kind.name), kind.type->name, kind.detail, {kind.digest()}});
  }
  return all;
}

std::vector<Case> hashing_cases() {
  auto all = cases();
  std::erase_if(all, [](const Case& one) { return one.scheme.digest == nullptr; });
  return all;
}

const auto kOrders = ::testing::Values(Order::kDefaultFirst, Order::kVhsmFirst);

std::string name_of(const ::testing::TestParamInfo<std::tuple<Case, Order>>& test) {
  const bool first = std::get<1>(test.param) == Order::kVhsmFirst;
  return std::get<0>(test.param).name + (first ? "VhsmFirst" : "DefaultFirst");
}

INSTANTIATE_TEST_SUITE_P(Schemes, SignatureTest,
                         ::testing::Combine(::testing::ValuesIn(cases()), kOrders), name_of);
INSTANTIATE_TEST_SUITE_P(Hashing, StreamedSignatureTest,
                         ::testing::Combine(::testing::ValuesIn(hashing_cases()), kOrders),
                         name_of);

class ExchangeTest : public ::testing::TestWithParam<tests::Kind> {};

TEST_P(ExchangeTest, BothSidesDeriveTheSameSecret) {
  const Host host;
  const auto ours = host.generate(GetParam().type->name, GetParam().detail);
  const auto theirs = host.generate(GetParam().type->name, GetParam().detail, kDefault);
  ASSERT_NE(ours, nullptr) << take_errors();
  const auto peer = host.public_in_default(theirs.get());
  const Bytes secret = derive(host, ours.get(), peer.get());
  ASSERT_FALSE(secret.empty()) << take_errors();
  const auto public_half = host.public_in_default(ours.get());
  EXPECT_EQ(secret, derive(host, theirs.get(), public_half.get())) << take_errors();
}

INSTANTIATE_TEST_SUITE_P(
    Types, ExchangeTest,
    ::testing::ValuesIn(tests::kinds_that(std::mem_fn(&tests::Kind::exchanges))),
    [](const auto& test) { return tests::plain(test.param.name); });

struct ExchangeCase {
  const char* name;
  const char* type;
  Params params;
};

void PrintTo(const ExchangeCase& one, std::ostream* out) { *out << one.name; }

/// With a named key that the default provider has too.
class ExchangeParamsTest : public ::testing::TestWithParam<ExchangeCase> {
 protected:
  /// A context with the case's parameters and a peer; null if they are refused.
  [[nodiscard]] ossl::PKeyCtx begin(EVP_PKEY* key) const {
    ossl::PKeyCtx ctx(EVP_PKEY_CTX_new_from_pkey(host_.ctx(), key, nullptr));
    const bool begun = EVP_PKEY_derive_init_ex(ctx.get(), GetParam().params.get().data()) == 1 &&
                       EVP_PKEY_derive_set_peer(ctx.get(), peer_.get()) == 1;
    return begun ? std::move(ctx) : nullptr;
  }
  static Bytes derive(EVP_PKEY_CTX* ctx) {
    std::size_t size = 512;
    Bytes secret(size);
    if (ctx == nullptr || EVP_PKEY_derive(ctx, secret.data(), &size) != 1) return {};
    secret.resize(size);
    return secret;
  }

  const KeyFolder folder_;
  const Host host_{"vhsm_files"};
  const ossl::PKey ours_ = host_.open(folder_.uri(GetParam().type));
  const ossl::PKey theirs_ = folder_.in_default(host_, GetParam().type);
  const ossl::PKey other_ = host_.generate(GetParam().type, {}, kDefault);
  const ossl::PKey peer_ = host_.public_in_default(other_.get());
};

TEST_P(ExchangeParamsTest, GiveTheDefaultProvidersSecretInACopyToo) {
  const Bytes expected = derive(begin(theirs_.get()).get());
  const auto ctx = begin(ours_.get());
  EXPECT_EQ(derive(ctx.get()), expected) << take_errors();
  if (ctx == nullptr) return;
  const ossl::PKeyCtx copy(EVP_PKEY_CTX_dup(ctx.get()));
  EXPECT_EQ(derive(copy.get()), expected) << take_errors();
}

Params x963(const char* digest, unsigned bytes) {
  return Params()
      .text(OSSL_EXCHANGE_PARAM_KDF_TYPE, OSSL_KDF_NAME_X963KDF)
      .text(OSSL_EXCHANGE_PARAM_KDF_DIGEST, digest)
      .unsigned_number(OSSL_EXCHANGE_PARAM_KDF_OUTLEN, bytes);
}

INSTANTIATE_TEST_SUITE_P(
    Cases, ExchangeParamsTest,
    ::testing::Values(
        ExchangeCase{"Plain", "EC", Params()}, ExchangeCase{"X25519", "X25519", Params()},
        ExchangeCase{"X448", "X448", Params()},
        ExchangeCase{"Cofactor", "EC", Params().number("ecdh-cofactor-mode", 1)},
        ExchangeCase{"NoCofactor", "EC", Params().number("ecdh-cofactor-mode", 0)},
        ExchangeCase{"CofactorOfTheKey", "EC", Params().number("ecdh-cofactor-mode", -1)},
        ExchangeCase{"CofactorOfAnUnknownKind", "EC", Params().number("ecdh-cofactor-mode", 2)},
        ExchangeCase{"Padded", "EC", Params().unsigned_number("pad", 1)},
        ExchangeCase{"X963", "EC", x963("SHA256", 40)},
        ExchangeCase{"X963Sha1", "EC", x963("SHA1", 16)},
        ExchangeCase{"X963Sha3", "EC", x963("SHA3-256", 100)},
        ExchangeCase{"X963Ukm", "EC", x963("SHA512", 32).bytes("kdf-ukm", {1, 2, 3})},
        ExchangeCase{"X963Properties", "EC",
                     x963("SHA256", 32).text("kdf-digest-props", "provider=default")},
        ExchangeCase{"UnknownDigest", "EC", x963("SHA-7", 32)},
        ExchangeCase{"UnknownKdf", "EC", Params().text("kdf-type", "none-such")}),
    [](const auto& test) { return std::string(test.param.name); });

}  // namespace
}  // namespace vhsm::test
