// SPDX-License-Identifier: Apache-2.0
//
// Keys: what each question about a key is answered.
#include <gtest/gtest.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/encoder.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/params.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "tests/provider/twins.h"

namespace vhsm::test {
namespace {

using EncoderCtx = ossl::Handle<OSSL_ENCODER_CTX, OSSL_ENCODER_CTX_free>;

constexpr const char* kPrivateNames[] = {"d", "priv", "seed", "private"};

bool is_private(const std::string& name) {
  return std::ranges::find(kPrivateNames, name) != std::end(kPrivateNames) ||
         name.starts_with("rsa-");
}

class KeyConformanceTest : public TwinTest {};

// T19 T21
TEST_P(KeyConformanceTest, SizesAndNamesAreTheSame) {
  compare([](const Side& side, Transcript& t) {
    t.value("bits", std::to_string(EVP_PKEY_get_bits(side.key)));
    t.value("security bits", std::to_string(EVP_PKEY_get_security_bits(side.key)));
    t.value("size", std::to_string(EVP_PKEY_get_size(side.key)));
    t.value("type", EVP_PKEY_get0_type_name(side.key));
    t.value("base id", std::to_string(EVP_PKEY_get_base_id(side.key)));
    t.value("id", std::to_string(EVP_PKEY_get_id(side.key)));
    t.call("can sign", EVP_PKEY_can_sign(side.key));
    t.call("missing parameters", EVP_PKEY_missing_parameters(side.key));
    t.value("point format", std::to_string(EVP_PKEY_get_ec_point_conv_form(side.key)));
    t.value("field type", std::to_string(EVP_PKEY_get_field_type(side.key)));
    ERR_clear_error();
    std::array<char, 64> text{};
    t.call("default digest", EVP_PKEY_get_default_digest_name(side.key, text.data(), text.size()));
    t.value("it", text.data());
    std::size_t size = 0;
    t.call("group", EVP_PKEY_get_group_name(side.key, text.data(), text.size(), &size));
    t.value("it", text.data());
    for (const char* name : {"RSA", "RSA-PSS", "EC", "id-ecPublicKey", "ED25519", "ED448", "X25519",
                             "X448", "DH", "DSA", "ML-DSA-65"}) {
      t.call(std::string("is a ") + name, EVP_PKEY_is_a(side.key, name));
    }
  });
}

// T11
TEST_P(KeyConformanceTest, EachPublicParameterHasTheSameValueInEachForm) {
  const auto names = names_of(EVP_PKEY_gettable_params(theirs()));
  compare([&](const Side& side, Transcript& t) {
    for (const std::string& name : names) {
      if (is_private(name)) continue;
      Bytes buffer(2048);
      std::size_t size = 0;
      std::array<char, 256> text{};
      int number = 0;
      BIGNUM* big = nullptr;
      if (t.call("octets of " + name,
                 EVP_PKEY_get_octet_string_param(side.key, name.c_str(), buffer.data(),
                                                 buffer.size(), &size))) {
        t.bytes("they", Bytes(buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(size)));
      }
      if (t.call("text of " + name, EVP_PKEY_get_utf8_string_param(
                                        side.key, name.c_str(), text.data(), text.size(), &size))) {
        t.value("it", text.data());
      }
      if (t.call("number of " + name, EVP_PKEY_get_int_param(side.key, name.c_str(), &number))) {
        t.value("it", std::to_string(number));
      }
      if (t.call("integer of " + name, EVP_PKEY_get_bn_param(side.key, name.c_str(), &big))) {
        char* const digits = BN_bn2hex(big);
        t.value("it", digits);
        OPENSSL_free(digits);
      }
      BN_free(big);
      t.call("size of " + name,
             EVP_PKEY_get_octet_string_param(side.key, name.c_str(), nullptr, 0, &size));
      t.call("small buffer for " + name,
             EVP_PKEY_get_octet_string_param(side.key, name.c_str(), buffer.data(), 1, &size));
    }
  });
}

TEST_P(KeyConformanceTest, TheSamePublicParametersAreListed) {
  compare([&](const Side& side, Transcript& t) {
    for (const std::string& name : names_of(EVP_PKEY_gettable_params(side.key))) {
      if (!is_private(name)) t.value("gettable", name);
    }
  });
}

TEST_P(KeyConformanceTest, EachDigestIsSupportedOrNotAlike) {
  const auto digests = all_digests();
  compare([&](const Side& side, Transcript& t) {
    for (const std::string& digest : digests) {
      t.call("supports " + digest,
             EVP_PKEY_digestsign_supports_digest(side.key, side.ctx, digest.c_str(), nullptr));
    }
  });
}

TEST_P(KeyConformanceTest, ChecksGiveTheSameVerdict) {
  compare([&](const Side& side, Transcript& t) {
    const ossl::PKeyCtx ctx(EVP_PKEY_CTX_new_from_pkey(side.ctx, side.key, nullptr));
    t.call("check", EVP_PKEY_check(ctx.get()));
    t.call("public", EVP_PKEY_public_check(ctx.get()));
    t.call("public, quick", EVP_PKEY_public_check_quick(ctx.get()));
    t.call("private", EVP_PKEY_private_check(ctx.get()));
    t.call("pairwise", EVP_PKEY_pairwise_check(ctx.get()));
    t.call("parameters", EVP_PKEY_param_check(ctx.get()));
    t.call("parameters, quick", EVP_PKEY_param_check_quick(ctx.get()));
  });
}

void note_encoding(const Side& side, int selection, const char* output, const char* structure,
                   Transcript& t) {
  const EncoderCtx ctx(
      OSSL_ENCODER_CTX_new_for_pkey(side.key, selection, output, structure, nullptr));
  const std::string what = std::string(output) + " " + (structure == nullptr ? "any" : structure);
  const ossl::Bio out(BIO_new(BIO_s_mem()));
  if (!t.call(what, OSSL_ENCODER_to_bio(ctx.get(), out.get()))) return;
  t.bytes("it", contents(out.get()));
}

// T10
TEST_P(KeyConformanceTest, ThePublicHalfIsEncodedAlike) {
  compare([&](const Side& side, Transcript& t) {
    for (const char* output : {"DER", "PEM"}) {
      for (const char* structure : {"SubjectPublicKeyInfo", "pkcs1", "type-specific", "nonsense"}) {
        note_encoding(side, EVP_PKEY_PUBLIC_KEY, output, structure, t);
      }
    }
    const ossl::Bio out(BIO_new(BIO_s_mem()));
    t.call("PEM_write_bio_PUBKEY", PEM_write_bio_PUBKEY(out.get(), side.key));
    t.bytes("it", contents(out.get()));
    unsigned char* raw = nullptr;
    const std::size_t size = EVP_PKEY_get1_encoded_public_key(side.key, &raw);
    t.bytes("encoded", Bytes(raw, raw + size));
    OPENSSL_free(raw);
    Bytes key(256);
    std::size_t key_size = key.size();
    if (t.call("raw", EVP_PKEY_get_raw_public_key(side.key, key.data(), &key_size))) {
      key.resize(key_size);
      t.bytes("it", key);
    }
    X509_PUBKEY* info = nullptr;
    t.call("X509_PUBKEY_set", X509_PUBKEY_set(&info, side.key));
    X509_PUBKEY_free(info);
  });
}

// T7 T8
TEST_P(KeyConformanceTest, ThePublicHalfIsExportedAndImportedAlike) {
  compare([&](const Side& side, Transcript& t) {
    OSSL_PARAM* params = nullptr;
    if (!t.call("export", EVP_PKEY_todata(side.key, EVP_PKEY_PUBLIC_KEY, &params))) return;
    for (const std::string& name : names_of(params)) t.value("exported", name);
    const ossl::PKeyCtx ctx(
        EVP_PKEY_CTX_new_from_name(side.ctx, EVP_PKEY_get0_type_name(side.key), nullptr));
    t.call("begin", EVP_PKEY_fromdata_init(ctx.get()));
    ossl::PKey copy;
    t.call("import",
           EVP_PKEY_fromdata(ctx.get(), ossl::Receive(copy), EVP_PKEY_PUBLIC_KEY, params));
    t.call("same", EVP_PKEY_eq(copy.get(), side.key));
    t.call("same, turned round", EVP_PKEY_eq(side.key, copy.get()));
    OSSL_PARAM_free(params);
  });
}

// T6
TEST_P(KeyConformanceTest, KeysAreComparedAlike) {
  const Host other(nullptr);
  const std::string name = kind().type->name;
  const auto another = stranger();
  const auto rsa = other.generate("RSA", {}, kDefault);
  const auto ed = other.generate("ED25519", {}, kDefault);
  compare([&](const Side& side, Transcript& t) {
    const ossl::PKey copy(EVP_PKEY_dup(side.key));
    for (EVP_PKEY* one : {side.key, side.judge, copy.get(), another.get(), rsa.get(), ed.get()}) {
      t.call("eq", EVP_PKEY_eq(side.key, one));
      t.call("eq, turned round", EVP_PKEY_eq(one, side.key));
      t.call("parameters", EVP_PKEY_parameters_eq(side.key, one));
      t.call("parameters, turned round", EVP_PKEY_parameters_eq(one, side.key));
    }
  });
}

int init(EVP_PKEY_CTX* ctx, int operation) {
  switch (operation) {
    case 0: return EVP_PKEY_sign_init(ctx);
    case 1: return EVP_PKEY_verify_init(ctx);
    case 2: return EVP_PKEY_verify_recover_init(ctx);
    case 3: return EVP_PKEY_encrypt_init(ctx);
    case 4: return EVP_PKEY_decrypt_init(ctx);
    case 5: return EVP_PKEY_derive_init(ctx);
    case 6: return EVP_PKEY_encapsulate_init(ctx, nullptr);
    case 7: return EVP_PKEY_decapsulate_init(ctx, nullptr);
    case 8: return EVP_PKEY_paramgen_init(ctx);
    case 9: return EVP_PKEY_keygen_init(ctx);
    default: return EVP_PKEY_fromdata_init(ctx);
  }
}

TEST_P(KeyConformanceTest, TheSameOperationsAreThere) {
  compare([&](const Side& side, Transcript& t) {
    for (int operation = 0; operation <= 10; ++operation) {
      const Transcript::Section section(t, "operation " + std::to_string(operation));
      const ossl::PKeyCtx ctx(EVP_PKEY_CTX_new_from_pkey(side.ctx, side.key, nullptr));
      t.call("init", init(ctx.get(), operation));
    }
  });
}

TEST_P(KeyConformanceTest, GenerationTakesAndRefusesTheSameParameters) {
  const std::string name = kind().type->name;
  for (const auto& [parameter, value] :
       std::vector<std::pair<const char*, const char*>>{{"bits", "2048"},
                                                        {"bits", "511"},
                                                        {"bits", "-1"},
                                                        {"bits", "nonsense"},
                                                        {"primes", "3"},
                                                        {"pubexp", "3"},
                                                        {"group", "P-384"},
                                                        {"group", "nonsense"},
                                                        {"encoding", "explicit"},
                                                        {"digest", "SHA384"},
                                                        {"digest", "nonsense"},
                                                        {"saltlen", "20"},
                                                        {"unheard-of", "1"}}) {
    compare([&](const Side& side, Transcript& t) {
      const Transcript::Section section(t, std::string(parameter) + "=" + value);
      const char* properties = side.ctx == plain().ctx() ? nullptr : kVhsm;
      const ossl::PKeyCtx ctx(EVP_PKEY_CTX_new_from_name(side.ctx, name.c_str(), properties));
      t.call("init", EVP_PKEY_keygen_init(ctx.get()));
      t.call("set", EVP_PKEY_CTX_ctrl_str(ctx.get(), parameter, value));
      ossl::PKey made;
      t.call("generate", EVP_PKEY_generate(ctx.get(), ossl::Receive(made)));
      if (made != nullptr) t.value("bits", std::to_string(EVP_PKEY_get_bits(made.get())));
    });
  }
}

INSTANTIATE_TEST_SUITE_P(Keys, KeyConformanceTest, ::testing::ValuesIn(tests::every_kind()),
                         twin_name);

}  // namespace
}  // namespace vhsm::test
