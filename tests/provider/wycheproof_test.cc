// SPDX-License-Identifier: Apache-2.0
//
// Project Wycheproof's vectors of known attacks, with keys that vhsm holds. The folder is that of
// Debian's golang-github-c2sp-wycheproof-dev, or VHSM_WYCHEPROOF. What a vector calls acceptable
// must come out as in the default provider.
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/params.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tests/provider/configured.h"
#include "tests/provider/host.h"
#include "tests/provider/key_folder.h"

namespace vhsm::test {
namespace {

using Json = nlohmann::json;

constexpr const char* kPackaged = "/usr/share/gocode/src/github.com/c2sp/wycheproof/testvectors_v1";

std::filesystem::path vectors() {
  const char* const other = std::getenv("VHSM_WYCHEPROOF");
  return other != nullptr ? other : kPackaged;
}

Bytes unhex(const std::string& text) {
  Bytes bytes;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2)
    bytes.push_back(static_cast<std::uint8_t>(std::stoi(text.substr(i, 2), nullptr, 16)));
  return bytes;
}

/// What an operation gave: nothing when it was refused.
using Answer = std::optional<Bytes>;
const Bytes kYes{1};

class WycheproofTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::is_directory(vectors())) {
      GTEST_SKIP() << "no vectors in " << vectors()
                   << ": apt-get install golang-github-c2sp-wycheproof-dev";
    }
  }

  /// Runs `test` on each group of each file whose groups are of `type`.
  template <class Test>
  void each_group(const std::string& type, Test&& test) {
    for (const auto& entry : std::filesystem::directory_iterator(vectors())) {
      std::ifstream in(entry.path());
      if (entry.path().extension() != ".json") continue;
      const Json file = Json::parse(in, nullptr, false);
      if (file.is_discarded() || !file.contains("testGroups")) continue;
      for (const Json& group : file["testGroups"]) {
        if (group.value("type", "") == type) test(entry.path().stem().string(), group);
      }
    }
  }

  /// The private key as one that vhsm holds: it goes the way of every named key.
  ossl::PKey hold(EVP_PKEY* key) {
    const std::string name = "wycheproof-" + std::to_string(++held_);
    const ossl::Bio out(BIO_new_file((folder_.path() + "/default/test/" + name).c_str(), "w"));
    PEM_write_bio_PrivateKey(out.get(), key, nullptr, nullptr, 0, nullptr, nullptr);
    BIO_flush(out.get());
    return host_.open(folder_.uri(name));
  }

  [[nodiscard]] ossl::PKey plain_pair(const std::string& pkcs8) const {
    const Bytes der = unhex(pkcs8);
    const unsigned char* next = der.data();
    return ossl::PKey(d2i_AutoPrivateKey_ex(nullptr, &next, static_cast<long>(der.size()),
                                            plain_.ctx(), nullptr));
  }

  static ossl::PKey public_key(const Host& host, const std::string& der_hex) {
    const Bytes der = unhex(der_hex);
    const unsigned char* next = der.data();
    return ossl::PKey(
        d2i_PUBKEY_ex(nullptr, &next, static_cast<long>(der.size()), host.ctx(), nullptr));
  }

  /// `vector` says what is right; `ours` and `theirs` what came out.
  void judge(const std::string& file, const Json& test, const Answer& ours, const Answer& theirs,
             const Bytes& expected) {
    ERR_clear_error();
    ++judged_;
    const std::string where =
        file + " " + std::to_string(test["tcId"].get<int>()) + " " + test.value("comment", "");
    EXPECT_EQ(ours.has_value(), theirs.has_value()) << where << ": not as the default provider";
    if (ours && theirs) {
      EXPECT_EQ(*ours, *theirs) << where;
    }
    if (test["result"] == "valid") {
      ASSERT_TRUE(ours.has_value()) << where << " " << take_errors();
      EXPECT_EQ(*ours, expected) << where;
    }
  }

  void TearDown() override {
    if (!IsSkipped()) {
      EXPECT_GT(judged_, 0) << "no vector was found";
      std::cout << judged_ << " vectors\n";
    }
  }

  const Configured configured_{"pkcs1_v15_decrypt = yes\n"};
  const KeyFolder folder_;
  const Host host_{"vhsm_files"};
  const Host plain_{nullptr};

 private:
  int held_ = 0;
  int judged_ = 0;
};

Answer derive(OSSL_LIB_CTX* ctx, EVP_PKEY* key, EVP_PKEY* peer) {
  const ossl::PKeyCtx derivation(EVP_PKEY_CTX_new_from_pkey(ctx, key, nullptr));
  Bytes secret(128);
  std::size_t size = secret.size();
  if (EVP_PKEY_derive_init(derivation.get()) != 1 ||
      EVP_PKEY_derive_set_peer(derivation.get(), peer) != 1 ||
      EVP_PKEY_derive(derivation.get(), secret.data(), &size) != 1) {
    return {};
  }
  secret.resize(size);
  return secret;
}

Bytes point_of(const std::string& curve, const Bytes& scalar) {
  const ossl::EcGroup group(EC_GROUP_new_by_curve_name(OBJ_txt2nid(curve.c_str())));
  if (group == nullptr) return {};
  const ossl::EcPoint point(EC_POINT_new(group.get()));
  const ossl::Bignum number(BN_bin2bn(scalar.data(), static_cast<int>(scalar.size()), nullptr));
  Bytes encoded(256);
  EC_POINT_mul(group.get(), point.get(), number.get(), nullptr, nullptr, nullptr);
  encoded.resize(EC_POINT_point2oct(group.get(), point.get(), POINT_CONVERSION_UNCOMPRESSED,
                                    encoded.data(), encoded.size(), nullptr));
  return encoded;
}

ossl::PKey ec_pair(const Host& host, std::string curve, const Bytes& scalar) {
  Bytes point = point_of(curve, scalar);
  if (point.empty()) return nullptr;
  Bytes number(scalar.rbegin(), scalar.rend());
  OSSL_PARAM params[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, curve.data(), 0),
      OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size()),
      OSSL_PARAM_construct_BN(OSSL_PKEY_PARAM_PRIV_KEY, number.data(), number.size()),
      OSSL_PARAM_construct_end()};
  const ossl::PKeyCtx ctx(EVP_PKEY_CTX_new_from_name(host.ctx(), "EC", nullptr));
  ossl::PKey key;
  EVP_PKEY_fromdata_init(ctx.get());
  EVP_PKEY_fromdata(ctx.get(), ossl::Receive(key), EVP_PKEY_KEYPAIR, params);
  return key;
}

TEST_F(WycheproofTest, EllipticCurveExchangesAreRight) {
  std::map<std::string, int> not_held;
  each_group("EcdhTest", [&](const std::string& file, const Json& group) {
    const std::string named = group["curve"];
    const std::string curve = named == "secp256r1" ? "prime256v1" : named;
    for (const Json& test : group["tests"]) {
      const auto pair = ec_pair(plain_, curve, unhex(test["private"]));
      const auto ours = pair == nullptr ? nullptr : hold(pair.get());
      if (ours == nullptr) {
        if (not_held[curve]++ == 0) std::cout << "not held: " << curve << ": " << take_errors();
        ERR_clear_error();
        continue;
      }
      const auto peer = public_key(plain_, test["public"]);
      const Answer nothing;
      judge(file, test, peer == nullptr ? nothing : derive(host_.ctx(), ours.get(), peer.get()),
            peer == nullptr ? nothing : derive(plain_.ctx(), pair.get(), peer.get()),
            unhex(test["shared"]));
    }
  });
  for (const auto& [curve, count] : not_held)
    std::cout << "not held: " << curve << ", " << count << " vectors\n";
  for (const char* curve : {"prime256v1", "secp384r1", "secp521r1"})
    EXPECT_LT(not_held[curve], 5) << curve;
}

TEST_F(WycheproofTest, MontgomeryExchangesAreRight) {
  each_group("XdhComp", [&](const std::string& file, const Json& group) {
    const char* const type = group["curve"] == "curve25519" ? "X25519" : "X448";
    for (const Json& test : group["tests"]) {
      const Bytes secret = unhex(test["private"]);
      const Bytes point = unhex(test["public"]);
      const ossl::PKey pair(EVP_PKEY_new_raw_private_key_ex(plain_.ctx(), type, nullptr,
                                                            secret.data(), secret.size()));
      const ossl::PKey peer(
          EVP_PKEY_new_raw_public_key_ex(plain_.ctx(), type, nullptr, point.data(), point.size()));
      if (pair == nullptr || peer == nullptr) continue;
      const auto ours = hold(pair.get());
      ASSERT_NE(ours, nullptr) << take_errors();
      judge(file, test, derive(host_.ctx(), ours.get(), peer.get()),
            derive(plain_.ctx(), pair.get(), peer.get()), unhex(test["shared"]));
    }
  });
}

Answer decrypt(OSSL_LIB_CTX* ctx, EVP_PKEY* key, const Json& group, const Json& test) {
  const ossl::PKeyCtx decryption(EVP_PKEY_CTX_new_from_pkey(ctx, key, nullptr));
  const bool oaep = group.contains("mgfSha");
  const Bytes cipher = unhex(test["ct"]);
  if (EVP_PKEY_decrypt_init(decryption.get()) != 1 ||
      EVP_PKEY_CTX_set_rsa_padding(decryption.get(),
                                   oaep ? RSA_PKCS1_OAEP_PADDING : RSA_PKCS1_PADDING) != 1) {
    return {};
  }
  const auto set = [&](const char* name, const std::string& value) {
    return EVP_PKEY_CTX_ctrl_str(decryption.get(), name, value.c_str()) == 1;
  };
  if (oaep && (!set("rsa_oaep_md", group["sha"]) || !set("rsa_mgf1_md", group["mgfSha"]) ||
               (test["label"] != "" && !set("hexrsa_oaep_label", test["label"]) &&
                EVP_PKEY_CTX_ctrl_str(decryption.get(), "rsa_oaep_label",
                                      test["label"].get<std::string>().c_str()) != 1))) {
    return {};
  }
  Bytes plain(1024);
  std::size_t size = plain.size();
  if (EVP_PKEY_decrypt(decryption.get(), plain.data(), &size, cipher.data(), cipher.size()) != 1)
    return {};
  plain.resize(size);
  return plain;
}

class WycheproofDecryptionTest : public WycheproofTest,
                                 public ::testing::WithParamInterface<const char*> {};

TEST_P(WycheproofDecryptionTest, DecryptionIsRight) {
  std::map<std::string, std::pair<ossl::PKey, ossl::PKey>> keys;
  each_group(GetParam(), [&](const std::string& file, const Json& group) {
    const std::string der = group["privateKeyPkcs8"];
    if (!keys.contains(der)) {
      auto pair = plain_pair(der);
      ASSERT_NE(pair, nullptr) << file << take_errors();
      const int bits = EVP_PKEY_get_bits(pair.get());
      if (bits < 2048 || bits > 4096) return;  // not held
      auto ours = hold(pair.get());
      keys.emplace(der, std::pair(std::move(pair), std::move(ours)));
    }
    const auto& [theirs, ours] = keys.at(der);
    ASSERT_NE(ours, nullptr) << file << take_errors();
    for (const Json& test : group["tests"]) {
      judge(file, test, decrypt(host_.ctx(), ours.get(), group, test),
            decrypt(plain_.ctx(), theirs.get(), group, test), unhex(test["msg"]));
    }
  });
}

INSTANTIATE_TEST_SUITE_P(Paddings, WycheproofDecryptionTest,
                         ::testing::Values("RsaesOaepDecrypt", "RsaesPkcs1Decrypt"),
                         [](const auto& test) { return std::string(test.param); });

/// The public key as one of vhsm's; null where it has no such keys.
ossl::PKey taken_over(const Host& host, EVP_PKEY* key) {
  OSSL_PARAM* params = nullptr;
  if (EVP_PKEY_todata(key, EVP_PKEY_PUBLIC_KEY, &params) != 1) return nullptr;
  const ossl::PKeyCtx ctx(
      EVP_PKEY_CTX_new_from_name(host.ctx(), EVP_PKEY_get0_type_name(key), kVhsm));
  ossl::PKey taken;
  if (ctx != nullptr && EVP_PKEY_fromdata_init(ctx.get()) == 1)
    EVP_PKEY_fromdata(ctx.get(), ossl::Receive(taken), EVP_PKEY_PUBLIC_KEY, params);
  OSSL_PARAM_free(params);
  ERR_clear_error();
  return taken;
}

Scheme scheme_of(const Json& group, const std::string& digest, const std::string& salt,
                 const std::string& mgf1) {
  const std::string type = group["type"];
  if (type == "EddsaVerify") return {};
  if (type == "EcdsaVerify") return {digest.c_str()};
  if (type == "RsassaPkcs1Verify") return {digest.c_str(), "pkcs1"};
  if (type == "RsassaPssWithParametersVerify") return {digest.c_str()};
  return {digest.c_str(), "pss", salt.c_str(), mgf1.c_str()};
}

class WycheproofSignatureTest : public WycheproofTest,
                                public ::testing::WithParamInterface<const char*> {};

TEST_P(WycheproofSignatureTest, VerificationIsRight) {
  each_group(GetParam(), [&](const std::string& file, const Json& group) {
    const auto theirs = public_key(plain_, group["publicKeyDer"]);
    const std::string digest = group.value("sha", "");
    if (theirs == nullptr || digest.starts_with("SHAKE")) return;  // no digests of a fixed size
    const auto ours = taken_over(host_, theirs.get());
    if (ours == nullptr) return;
    const std::string salt = std::to_string(group.value("sLen", 0));
    const std::string mgf1 = group.value("mgfSha", digest);
    const Scheme scheme = scheme_of(group, digest, salt, mgf1);
    for (const Json& test : group["tests"]) {
      const Bytes message = unhex(test["msg"]);
      const Bytes signature = unhex(test["sig"]);
      const auto answer = [&](const Host& host, EVP_PKEY* key) {
        return verify(host, key, scheme, message, signature) ? Answer(kYes) : Answer();
      };
      judge(file, test, answer(host_, ours.get()), answer(plain_, theirs.get()), kYes);
    }
  });
}

INSTANTIATE_TEST_SUITE_P(Schemes, WycheproofSignatureTest,
                         ::testing::Values("EcdsaVerify", "EddsaVerify", "RsassaPkcs1Verify",
                                           "RsassaPssVerify", "RsassaPssWithParametersVerify"),
                         [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace vhsm::test
