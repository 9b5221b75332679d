// SPDX-License-Identifier: Apache-2.0
//
// Decryption and key exchange: what comes out is the same byte for byte.
#include <gtest/gtest.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/rsa.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "tests/provider/twins.h"

namespace vhsm::test {
namespace {

constexpr std::size_t kPlainSizes[] = {0, 1, 48, 100, 256};
constexpr std::size_t kDamaged[] = {0, 1, 100, 255};  // bytes of a ciphertext

struct Padding {
  int mode;
  const char* oaep = nullptr;
  const char* mgf1 = nullptr;
  const char* label = nullptr;
};

std::string described(const Padding& padding) {
  const auto text = [](const char* value) { return value == nullptr ? "-" : value; };
  return std::to_string(padding.mode) + " " + text(padding.oaep) + " " + text(padding.mgf1) + " " +
         text(padding.label);
}

bool choose(EVP_PKEY_CTX* ctx, const Padding& padding, Transcript& t) {
  bool all = t.call("padding", EVP_PKEY_CTX_set_rsa_padding(ctx, padding.mode));
  const auto set = [&](const char* name, const char* value) {
    if (value != nullptr) all &= t.call(name, EVP_PKEY_CTX_ctrl_str(ctx, name, value));
  };
  set("rsa_oaep_md", padding.oaep);
  set("rsa_mgf1_md", padding.mgf1);
  set("rsa_oaep_label", padding.label);
  return all;
}

/// By the judge, which both sides share.
Bytes encrypt(EVP_PKEY* key, const Padding& padding, const Bytes& plain) {
  const ossl::PKeyCtx ctx(EVP_PKEY_CTX_new_from_pkey(nullptr, key, nullptr));
  Transcript unheard;
  if (EVP_PKEY_encrypt_init(ctx.get()) != 1 || !choose(ctx.get(), padding, unheard)) return {};
  Bytes cipher(512);
  std::size_t size = cipher.size();
  if (EVP_PKEY_encrypt(ctx.get(), cipher.data(), &size, plain.data(), plain.size()) != 1) return {};
  cipher.resize(size);
  return cipher;
}

void decrypt(const Side& side, const Padding& padding, const Bytes& cipher, bool same_each_time,
             Transcript& t) {
  const ossl::PKeyCtx ctx(EVP_PKEY_CTX_new_from_pkey(side.ctx, side.key, nullptr));
  if (!t.call("init", EVP_PKEY_decrypt_init(ctx.get())) || !choose(ctx.get(), padding, t)) return;
  std::size_t size = 0;
  t.call("size query", EVP_PKEY_decrypt(ctx.get(), nullptr, &size, cipher.data(), cipher.size()));
  t.value("size", std::to_string(size));
  Bytes plain(512);
  for (const std::size_t capacity :
       {std::size_t{0}, std::size_t{3}, std::size_t{48}, std::size_t{512}}) {
    size = capacity;
    const int rc = EVP_PKEY_decrypt(ctx.get(), plain.data(), &size, cipher.data(), cipher.size());
    t.call("decrypt into " + std::to_string(capacity), rc);
    if (rc == 1 && same_each_time) {
      t.bytes("it", Bytes(plain.begin(), plain.begin() + static_cast<std::ptrdiff_t>(size)));
    }
  }
  const ossl::PKeyCtx copy(EVP_PKEY_CTX_dup(ctx.get()));
  size = plain.size();
  if (t.call("by a copy",
             EVP_PKEY_decrypt(copy.get(), plain.data(), &size, cipher.data(), cipher.size())) &&
      same_each_time) {
    t.value("size", std::to_string(size));
  }
}

class DecryptionConformanceTest : public TwinTest {
 protected:
  /// Without implicit rejection a wrong ciphertext is an error; with it, a made-up text that
  /// depends on the private key, so both sides make up the same.
  void compare_decryption(const Padding& padding, const Bytes& cipher) const {
    compare([&](const Side& side, Transcript& t) {
      const Transcript::Section section(t, described(padding));
      decrypt(side, padding, cipher, padding.mode != RSA_PKCS1_WITH_TLS_PADDING, t);
    });
  }
};

std::vector<Padding> oaep_paddings() {
  std::vector<Padding> all;
  for (const std::string& digest : all_digests()) {
    static std::vector<std::string> kept;
    kept.reserve(64);
    kept.push_back(digest);
    all.push_back({RSA_PKCS1_OAEP_PADDING, kept.back().c_str()});
    all.push_back({RSA_PKCS1_OAEP_PADDING, kept.back().c_str(), "SHA1", "a label"});
  }
  return all;
}

TEST_P(DecryptionConformanceTest, EachPaddingWithWhatFits) {
  std::vector<Padding> paddings = oaep_paddings();
  for (const int mode : {RSA_PKCS1_PADDING, RSA_NO_PADDING, RSA_PKCS1_PSS_PADDING, RSA_X931_PADDING,
                         RSA_PKCS1_WITH_TLS_PADDING, 99}) {
    paddings.push_back({mode});
  }
  for (const Padding& padding : paddings) {
    const bool tls = padding.mode == RSA_PKCS1_WITH_TLS_PADDING;
    const Padding with = tls ? Padding{RSA_PKCS1_PADDING} : padding;
    for (const std::size_t size : kPlainSizes) {
      Bytes cipher = encrypt(judge(), with, Bytes(size, 0x41));
      ERR_clear_error();
      if (cipher.empty()) cipher.assign(256, 0x11);
      compare_decryption(padding, cipher);
      if (!is_rsa()) return;
    }
  }
}

TEST_P(DecryptionConformanceTest, DamagedCiphertextsFailAlike) {
  for (const Padding& padding :
       {Padding{RSA_PKCS1_PADDING}, Padding{RSA_PKCS1_OAEP_PADDING}, Padding{RSA_NO_PADDING}}) {
    const Bytes good =
        encrypt(judge(), padding, Bytes(padding.mode == RSA_NO_PADDING ? 256 : 48, 0x41));
    ERR_clear_error();
    if (good.empty()) return;
    for (const std::size_t at : kDamaged) {
      Bytes changed = good;
      changed[at] ^= 0x20;
      compare_decryption(padding, changed);
    }
    Bytes longer = good;
    longer.insert(longer.begin(), 0);
    compare_decryption(padding, longer);
    compare_decryption(padding, Bytes(good.begin(), good.end() - 1));
    compare_decryption(padding, {});
    compare_decryption(padding, Bytes(256, 0xff));
    compare_decryption(padding, Bytes(256, 0x00));
  }
}

INSTANTIATE_TEST_SUITE_P(Keys, DecryptionConformanceTest, ::testing::ValuesIn(tests::every_kind()),
                         twin_name);

class ExchangeConformanceTest : public TwinTest {
 protected:
  /// A public key: vhsm takes no foreign private half over, and so no foreign pair as a peer.
  [[nodiscard]] ossl::PKey peer(const std::string& type, const std::string& group = {}) const {
    const auto pair = plain().generate(type, group, kDefault);
    return plain().public_in_default(pair.get());
  }
};

struct Exchange {
  std::optional<int> cofactor{};
  std::optional<unsigned> pad{};
  const char* kdf = nullptr;
  const char* digest = nullptr;
  std::optional<std::size_t> length{};
  Bytes ukm{};
};

bool choose(EVP_PKEY_CTX* ctx, const Exchange& exchange, Transcript& t) {
  Exchange copy = exchange;
  std::vector<OSSL_PARAM> params;
  if (copy.cofactor) {
    params.push_back(
        OSSL_PARAM_construct_int(OSSL_EXCHANGE_PARAM_EC_ECDH_COFACTOR_MODE, &*copy.cofactor));
  }
  if (copy.pad) params.push_back(OSSL_PARAM_construct_uint(OSSL_EXCHANGE_PARAM_PAD, &*copy.pad));
  const auto text = [&](const char* name, const char* value) {
    if (value != nullptr)
      params.push_back(OSSL_PARAM_construct_utf8_string(name, const_cast<char*>(value), 0));
  };
  text(OSSL_EXCHANGE_PARAM_KDF_TYPE, copy.kdf);
  text(OSSL_EXCHANGE_PARAM_KDF_DIGEST, copy.digest);
  if (copy.length)
    params.push_back(OSSL_PARAM_construct_size_t(OSSL_EXCHANGE_PARAM_KDF_OUTLEN, &*copy.length));
  if (!copy.ukm.empty()) {
    params.push_back(OSSL_PARAM_construct_octet_string(OSSL_EXCHANGE_PARAM_KDF_UKM, copy.ukm.data(),
                                                       copy.ukm.size()));
  }
  params.push_back(OSSL_PARAM_construct_end());
  return t.call("set", EVP_PKEY_CTX_set_params(ctx, params.data()));
}

void derive(const Side& side, EVP_PKEY* peer, const Exchange& exchange, Transcript& t) {
  const ossl::PKeyCtx ctx(EVP_PKEY_CTX_new_from_pkey(side.ctx, side.key, nullptr));
  Bytes secret(1024);
  std::size_t size = secret.size();
  t.call("before init", EVP_PKEY_derive(ctx.get(), secret.data(), &size));
  if (!t.call("init", EVP_PKEY_derive_init(ctx.get()))) return;
  size = secret.size();
  t.call("without a peer", EVP_PKEY_derive(ctx.get(), secret.data(), &size));
  choose(ctx.get(), exchange, t);
  if (!t.call("peer", EVP_PKEY_derive_set_peer(ctx.get(), peer))) return;
  size = 0;
  t.call("size query", EVP_PKEY_derive(ctx.get(), nullptr, &size));
  t.value("size", std::to_string(size));
  for (const std::size_t capacity : {std::size_t{0}, std::size_t{5}, std::size_t{1024}}) {
    size = capacity;
    const int rc = EVP_PKEY_derive(ctx.get(), secret.data(), &size);
    t.call("derive into " + std::to_string(capacity), rc);
    if (rc == 1)
      t.bytes("it", Bytes(secret.begin(), secret.begin() + static_cast<std::ptrdiff_t>(size)));
  }
  const ossl::PKeyCtx copy(EVP_PKEY_CTX_dup(ctx.get()));
  t.value("a copy", copy == nullptr ? "none" : "made");
  size = secret.size();
  if (copy != nullptr) t.call("by the copy", EVP_PKEY_derive(copy.get(), secret.data(), &size));
}

TEST_P(ExchangeConformanceTest, EachParameterGivesTheSameSecret) {
  const auto with = peer(kind().type->name, kind().detail);
  const char* x963 = OSSL_KDF_NAME_X963KDF;
  std::vector<Exchange> exchanges{
      {},
      {.cofactor = -1},
      {.cofactor = 0},
      {.cofactor = 1},
      {.cofactor = 2},
      {.pad = 0},
      {.pad = 1},
      {.kdf = ""},
      {.kdf = "NONSENSE"},
      {.kdf = x963},
      {.kdf = x963, .digest = "SHA256"},
      {.kdf = x963, .digest = "NONSENSE", .length = 32},
      {.kdf = x963, .digest = "SHA256", .length = 0},
      {.kdf = x963, .digest = "SHA256", .length = 1 << 20},
      {.kdf = x963, .digest = "SHA256", .length = 16, .ukm = {1, 2, 3}}};
  for (const std::string& digest : all_digests()) {
    static std::vector<std::string> kept;
    kept.reserve(64);
    kept.push_back(digest);
    exchanges.push_back({.kdf = x963, .digest = kept.back().c_str(), .length = 100});
  }
  int i = 0;
  for (const Exchange& exchange : exchanges) {
    compare([&](const Side& side, Transcript& t) {
      const Transcript::Section section(t, "exchange " + std::to_string(i));
      derive(side, with.get(), exchange, t);
    });
    ++i;
  }
}

TEST_P(ExchangeConformanceTest, WrongPeersAreRefusedAlike) {
  const auto rsa = peer("RSA");
  const auto x25519 = peer("X25519");
  const auto x448 = peer("X448");
  const auto p384 = peer("EC", "P-384");
  for (EVP_PKEY* wrong : {rsa.get(), x25519.get(), x448.get(), p384.get()}) {
    compare([&](const Side& side, Transcript& t) { derive(side, wrong, {}, t); });
  }
}

INSTANTIATE_TEST_SUITE_P(Keys, ExchangeConformanceTest, ::testing::ValuesIn(tests::every_kind()),
                         twin_name);

}  // namespace
}  // namespace vhsm::test
