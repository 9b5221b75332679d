// SPDX-License-Identifier: Apache-2.0
//
// Every private name of every key type, asked through every API. Named keys are known to the test,
// so whatever comes out is searched for their private bytes; the same search must find them in the
// default provider's output.
#define OPENSSL_SUPPRESS_DEPRECATED
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/encoder.h>
#include <openssl/params.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/rsa.h>

#include <algorithm>
#include <array>
#include <functional>
#include <string>

#include "tests/kinds.h"
#include "tests/provider/host.h"
#include "tests/provider/key_folder.h"

namespace vhsm::test {
namespace {

using EncoderCtx = ossl::Handle<OSSL_ENCODER_CTX, OSSL_ENCODER_CTX_free>;
using Pkcs8 = ossl::Handle<PKCS8_PRIV_KEY_INFO, PKCS8_PRIV_KEY_INFO_free>;
using Pkcs12 = ossl::Handle<PKCS12, PKCS12_free>;

std::vector<std::string> all_private_names() {
  std::vector<std::string> names{"d", "priv", "p", "q", "seed", "private-key", "encoded-priv-key"};
  for (int i = 1; i <= 10; ++i) {
    for (const char* name : {"rsa-factor", "rsa-exponent", "rsa-coefficient"}) {
      names.push_back(name + std::to_string(i));
    }
  }
  return names;
}

/// But for what is public of this type: a curve's prime and seed.
std::vector<std::string> private_names_of(const keystore::KeyType& type) {
  auto names = all_private_names();
  std::erase_if(names, [&](const std::string& name) {
    return std::ranges::find(type.public_params, name) != type.public_params.end();
  });
  return names;
}

/// Whether one parameter of any of the types that hold secrets comes back.
bool answers(EVP_PKEY* key, const std::string& name) {
  std::array<unsigned char, 8192> buffer{};
  std::size_t size = 0;
  BIGNUM* number = nullptr;
  bool answered = EVP_PKEY_get_bn_param(key, name.c_str(), &number) == 1;
  BN_clear_free(number);
  answered |=
      EVP_PKEY_get_octet_string_param(key, name.c_str(), buffer.data(), buffer.size(), &size) == 1;
  char text[2048] = {};
  answered |= EVP_PKEY_get_utf8_string_param(key, name.c_str(), text, sizeof(text), &size) == 1;
  for (const auto& param :
       {OSSL_PARAM_construct_BN(name.c_str(), buffer.data(), buffer.size()),
        OSSL_PARAM_construct_octet_string(name.c_str(), buffer.data(), buffer.size()),
        OSSL_PARAM_construct_octet_string(name.c_str(), nullptr, 0)}) {
    OSSL_PARAM params[] = {param, OSSL_PARAM_construct_end()};
    answered |= EVP_PKEY_get_params(key, params) == 1 && OSSL_PARAM_modified(&params[0]) == 1;
  }
  return answered || std::ranges::any_of(buffer, [](unsigned char byte) { return byte != 0; });
}

class FenceTest : public ::testing::TestWithParam<tests::Kind> {
 protected:
  const KeyFolder folder_;
  const Host host_{"vhsm_files"};
  const ossl::PKey ephemeral_ = make();
  const ossl::PKey named_ = host_.open(folder_.uri(GetParam().name));
  const Bytes private_ = folder_.private_bytes(GetParam().name);  ///< d, or the scalar, or the seed

  void SetUp() override {
    ASSERT_NE(ephemeral_, nullptr) << take_errors();
    ASSERT_NE(named_, nullptr) << take_errors();
    ASSERT_GE(private_.size(), 24U);  // a scalar may begin with zeros
  }

  /// Whether any 16-byte window of the private bytes is in `data`, also reversed, or behind base64.
  [[nodiscard]] bool leaks(const Bytes& data) const {
    const auto finds = [&](const Bytes& where) {
      Bytes reversed = private_;
      std::ranges::reverse(reversed);
      for (const Bytes& secret : {private_, reversed}) {
        for (auto window = secret.begin(); secret.end() - window >= 16; ++window) {
          if (std::search(where.begin(), where.end(), window, window + 16) != where.end()) {
            return true;
          }
        }
      }
      return false;
    };
    return finds(data) || finds(unarmoured(data));
  }

  /// The bytes inside a PEM block.
  static Bytes unarmoured(const Bytes& pem) {
    const ossl::Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
    char* name = nullptr;
    char* header = nullptr;
    unsigned char* data = nullptr;
    long size = 0;
    Bytes out;
    if (PEM_read_bio(bio.get(), &name, &header, &data, &size) == 1) out.assign(data, data + size);
    OPENSSL_free(name);
    OPENSSL_free(header);
    OPENSSL_free(data);
    take_errors();
    return out;
  }

  [[nodiscard]] ossl::PKey make(const char* properties = kVhsm) const {
    return host_.generate(GetParam().type->name, GetParam().detail, properties);
  }
  [[nodiscard]] static bool is_rsa() { return GetParam().type->family == keystore::Family::kRsa; }
};

TEST_P(FenceTest, NoPrivateNameIsAnswered) {
  for (const auto& name : private_names_of(*GetParam().type)) {
    EXPECT_FALSE(answers(ephemeral_.get(), name)) << name;
    EXPECT_FALSE(answers(named_.get(), name)) << name;
    const ossl::PKey copy(EVP_PKEY_dup(named_.get()));
    ASSERT_NE(copy, nullptr);
    EXPECT_FALSE(answers(copy.get(), name)) << name;
  }
}

TEST_P(FenceTest, TheDefaultProviderWouldHaveAnswered) {
  const auto key = make(kDefault);
  EXPECT_TRUE(answers(key.get(), is_rsa() ? "d" : "priv"));
}

TEST_P(FenceTest, DataWithThePrivatePartIsRefusedAndThePublicPartIsPublic) {
  for (EVP_PKEY* key : {ephemeral_.get(), named_.get()}) {
    OSSL_PARAM* params = nullptr;
    EXPECT_EQ(EVP_PKEY_todata(key, EVP_PKEY_KEYPAIR, &params), 0);
    EXPECT_EQ(EVP_PKEY_todata(key, OSSL_KEYMGMT_SELECT_PRIVATE_KEY, &params), 0);
    EXPECT_EQ(take_errors().find("vhsm"), std::string::npos) << "a refused export leaves no error";
    ASSERT_EQ(EVP_PKEY_todata(key, EVP_PKEY_PUBLIC_KEY, &params), 1) << take_errors();
    for (const auto& name : private_names_of(*GetParam().type)) {
      EXPECT_EQ(OSSL_PARAM_locate(params, name.c_str()), nullptr) << name;
    }
    OSSL_PARAM_free(params);
  }
}

TEST_P(FenceTest, RawAndLegacyExtractionYieldNothing) {
  for (EVP_PKEY* key : {ephemeral_.get(), named_.get()}) {
    std::array<unsigned char, 4096> raw{};
    std::size_t size = raw.size();
    EXPECT_NE(EVP_PKEY_get_raw_private_key(key, raw.data(), &size), 1);
    RSA* rsa = EVP_PKEY_get1_RSA(key);
    EXPECT_TRUE(rsa == nullptr || RSA_get0_d(rsa) == nullptr);
    RSA_free(rsa);
    EC_KEY* ec = EVP_PKEY_get1_EC_KEY(key);
    EXPECT_TRUE(ec == nullptr || EC_KEY_get0_private_key(ec) == nullptr);
    EC_KEY_free(ec);
    EXPECT_THAT(raw, ::testing::Each(0));
  }
}

TEST_P(FenceTest, DerFormsOfThePrivateKeyFailWithAReasonAndNoByte) {
  for (EVP_PKEY* key : {ephemeral_.get(), named_.get()}) {
    const ossl::Bio out(BIO_new(BIO_s_mem()));
    const ossl::X509Cert none;
    EXPECT_LE(i2d_PrivateKey_bio(out.get(), key), 0);
    EXPECT_THAT(take_errors(), ::testing::HasSubstr("not exportable"));
    EXPECT_NE(i2d_PKCS8PrivateKey_bio(out.get(), key, nullptr, nullptr, 0, nullptr, nullptr), 1);
    EXPECT_THAT(take_errors(), ::testing::HasSubstr("not exportable"));
    char pass[] = "password";
    EXPECT_NE(i2d_PKCS8PrivateKey_bio(out.get(), key, EVP_aes_256_cbc(), pass, 8, nullptr, nullptr),
              1);
    EXPECT_EQ(Pkcs8(EVP_PKEY2PKCS8(key)), nullptr);
    EXPECT_THAT(take_errors(), ::testing::HasSubstr("not exportable"));
    EXPECT_EQ(Pkcs12(PKCS12_create(pass, "name", key, none.get(), nullptr, 0, 0, 0, 0, 0)),
              nullptr);
    EXPECT_THAT(take_errors(), ::testing::HasSubstr("not exportable"));
    EXPECT_TRUE(contents(out.get()).empty());
  }
}

TEST_P(FenceTest, PemOfAnEphemeralKeyIsRefusedAndOfANamedOneIsTheStandIn) {
  char pass[] = "password";
  const std::array<std::function<int(BIO*, EVP_PKEY*)>, 5> writers{
      [&](BIO* out, EVP_PKEY* key) {
        return PEM_write_bio_PrivateKey(out, key, nullptr, nullptr, 0, nullptr, nullptr);
      },
      [&](BIO* out, EVP_PKEY* key) {
        return PEM_write_bio_PrivateKey(out, key, EVP_aes_256_cbc(), nullptr, 0, nullptr, pass);
      },
      [&](BIO* out, EVP_PKEY* key) {
        return PEM_write_bio_PKCS8PrivateKey(out, key, nullptr, nullptr, 0, nullptr, nullptr);
      },
      [&](BIO* out, EVP_PKEY* key) {
        return PEM_write_bio_PKCS8PrivateKey(out, key, EVP_aes_256_cbc(), pass, 8, nullptr,
                                             nullptr);
      },
      [&](BIO* out, EVP_PKEY* key) {
        return PEM_write_bio_PrivateKey_traditional(out, key, nullptr, nullptr, 0, nullptr,
                                                    nullptr);
      }};
  for (const auto& write : writers) {
    const ossl::Bio none(BIO_new(BIO_s_mem()));
    EXPECT_NE(write(none.get(), ephemeral_.get()), 1);
    EXPECT_TRUE(contents(none.get()).empty());
    take_errors();
    const ossl::Bio out(BIO_new(BIO_s_mem()));
    if (write(out.get(), named_.get()) == 1) {
      const Bytes text = contents(out.get());
      EXPECT_THAT(std::string(text.begin(), text.end()),
                  ::testing::StartsWith("-----BEGIN VHSM KEY URI-----"));
      EXPECT_FALSE(leaks(text));
    } else {
      EXPECT_TRUE(contents(out.get()).empty());
    }
    take_errors();
  }
}

TEST_P(FenceTest, NoEncoderWhateverItsFormLetsPrivateBytesOut) {
  bool control = false;
  const auto theirs = folder_.in_default(host_, GetParam().name);
  for (const char* type : {"DER", "PEM", "TEXT", "MSBLOB", "PVK", "blob"}) {
    for (const char* structure : {"", "type-specific", "PrivateKeyInfo", "EncryptedPrivateKeyInfo",
                                  "SubjectPublicKeyInfo", "pkcs1", "X9.62", "sec1", "pkcs8"}) {
      for (const int selection : {EVP_PKEY_KEYPAIR, EVP_PKEY_PUBLIC_KEY, 0x01, 0}) {
        const auto encode = [&](EVP_PKEY* key) {
          const EncoderCtx ctx(OSSL_ENCODER_CTX_new_for_pkey(
              key, selection, type, *structure != '\0' ? structure : nullptr, nullptr));
          const ossl::Bio out(BIO_new(BIO_s_mem()));
          if (ctx != nullptr) static_cast<void>(OSSL_ENCODER_to_bio(ctx.get(), out.get()));
          take_errors();
          return contents(out.get());
        };
        EXPECT_FALSE(leaks(encode(named_.get()))) << type << " " << structure << " " << selection;
        control = control || leaks(encode(theirs.get()));
      }
    }
  }
  EXPECT_TRUE(control) << "the search does not find what it should";
}

TEST_P(FenceTest, NothingChangesAHeldKey) {
  const Bytes before = public_der(named_.get());
  const auto other = make(kDefault);
  unsigned char* encoded = nullptr;
  const std::size_t size = EVP_PKEY_get1_encoded_public_key(other.get(), &encoded);
  const Bytes point(encoded, encoded + size);
  OPENSSL_free(encoded);
  for (EVP_PKEY* key : {ephemeral_.get(), named_.get()}) {
    const Bytes own = public_der(key);
    if (!point.empty()) {
      EXPECT_NE(EVP_PKEY_set1_encoded_public_key(key, point.data(), point.size()), 1);
    }
    for (const char* name : {"pub", "priv", "encoded-pub-key"}) {
      static_cast<void>(
          EVP_PKEY_set_octet_string_param(key, name, point.empty() ? private_.data() : point.data(),
                                          point.empty() ? private_.size() : point.size()));
    }
    ossl::Bignum number(BN_new());
    BN_set_word(number.get(), 65537);
    for (const char* name : {"n", "e", "d", "priv"}) {
      static_cast<void>(EVP_PKEY_set_bn_param(key, name, number.get()));
    }
    EXPECT_EQ(public_der(key), own);
    take_errors();
  }
  EXPECT_EQ(public_der(named_.get()), before);
}

TEST_P(FenceTest, PrintingThePrivateKeyPrintsThePublicOne) {
  const ossl::Bio out(BIO_new(BIO_s_mem()));
  EXPECT_EQ(EVP_PKEY_print_private(out.get(), named_.get(), 0, nullptr), 1) << take_errors();
  const Bytes bytes = contents(out.get());
  const std::string text(bytes.begin(), bytes.end());
  EXPECT_THAT(text, ::testing::HasSubstr(folder_.uri(GetParam().name)));
  EXPECT_THAT(text, ::testing::Not(::testing::HasSubstr("priv:")));
  EXPECT_THAT(text, ::testing::Not(::testing::HasSubstr("privateExponent")));
}

INSTANTIATE_TEST_SUITE_P(Types, FenceTest, ::testing::ValuesIn(tests::every_kind()),
                         [](const auto& test) { return tests::plain(test.param.name); });

}  // namespace
}  // namespace vhsm::test
