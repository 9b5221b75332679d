// SPDX-License-Identifier: Apache-2.0
#include "tests/provider/host.h"

#include <gtest/gtest.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/store.h>
#include <openssl/x509.h>

#include <array>

namespace vhsm::test {

using ossl::Receive;

namespace {

bool set(EVP_PKEY_CTX* ctx, const char* name, const char* value) {
  return value == nullptr || EVP_PKEY_CTX_ctrl_str(ctx, name, value) == 1;
}

bool apply(EVP_PKEY_CTX* ctx, const Scheme& scheme) {
  return set(ctx, "rsa_padding_mode", scheme.padding) && set(ctx, "rsa_pss_saltlen", scheme.salt) &&
         set(ctx, "rsa_mgf1_md", scheme.mgf1);
}

ossl::MdCtx begin_sign(const Host& host, EVP_PKEY* key, const Scheme& scheme) {
  ossl::MdCtx ctx(EVP_MD_CTX_new());
  EVP_PKEY_CTX* inner = nullptr;
  const bool begun = EVP_DigestSignInit_ex(ctx.get(), &inner, scheme.digest, host.ctx(), nullptr,
                                           key, nullptr) == 1 &&
                     apply(inner, scheme);
  return begun ? std::move(ctx) : nullptr;
}

}  // namespace

LoadedProvider load(OSSL_LIB_CTX* ctx, const char* name) {
  OSSL_PROVIDER_set_default_search_path(ctx, VHSM_MODULE_DIR);
  LoadedProvider provider(OSSL_PROVIDER_load(ctx, name));
  EXPECT_NE(provider, nullptr) << name << ": " << take_errors();
  return provider;
}

Host::Host(const char* module, Order order) : ctx_(OSSL_LIB_CTX_new()) {
  take_errors();  // of an earlier test
  if (order == Order::kDefaultFirst) default_ = load(ctx(), "default");
  if (module != nullptr) vhsm_ = load(ctx(), module);
  if (order == Order::kVhsmFirst) default_ = load(ctx(), "default");
}

ossl::PKey Host::generate(const std::string& type, const std::string& detail,
                          const char* properties) const {
  const ossl::PKeyCtx gen(EVP_PKEY_CTX_new_from_name(ctx(), type.c_str(), properties));
  ossl::PKey key;
  if (gen == nullptr || EVP_PKEY_keygen_init(gen.get()) != 1) return key;
  const bool rsa = type.starts_with("RSA");
  const std::string chosen = detail.empty() ? (rsa ? "2048" : "P-256") : detail;
  if (rsa) EVP_PKEY_CTX_set_rsa_keygen_bits(gen.get(), std::stoi(chosen));
  if (type == "EC") EVP_PKEY_CTX_set_group_name(gen.get(), chosen.c_str());
  EVP_PKEY_generate(gen.get(), Receive(key));
  return key;
}

ossl::PKey Host::open(const std::string& uri) const {
  const StoreCtx store = open_store(*this, uri);
  if (store == nullptr) return nullptr;
  OSSL_STORE_expect(store.get(), OSSL_STORE_INFO_PKEY);
  while (OSSL_STORE_eof(store.get()) != 1) {
    const StoreInfo info(OSSL_STORE_load(store.get()));
    if (info != nullptr && OSSL_STORE_INFO_get_type(info.get()) == OSSL_STORE_INFO_PKEY) {
      return ossl::PKey(OSSL_STORE_INFO_get1_PKEY(info.get()));
    }
  }
  return nullptr;
}

ossl::PKey Host::public_in_default(EVP_PKEY* key) const {
  const Bytes der = public_der(key);
  const unsigned char* next = der.data();
  return ossl::PKey(d2i_PUBKEY_ex(nullptr, &next, static_cast<long>(der.size()), ctx(), kDefault));
}

std::uint64_t Host::counter(const char* name) const {
  std::uint64_t value = 0;
  OSSL_PARAM params[] = {OSSL_PARAM_construct_uint64(name, &value), OSSL_PARAM_construct_end()};
  EXPECT_EQ(OSSL_PROVIDER_get_params(vhsm(), params), 1);
  return value;
}

StoreCtx open_store(const Host& host, const std::string& uri) {
  return StoreCtx(OSSL_STORE_open_ex(uri.c_str(), host.ctx(), nullptr, nullptr, nullptr, nullptr,
                                     nullptr, nullptr));
}

std::vector<StoreInfo> rest_of(const StoreCtx& store) {
  constexpr int kMostLoads = 1000;
  std::vector<StoreInfo> found;
  for (int i = 0; i < kMostLoads && OSSL_STORE_eof(store.get()) != 1; ++i) {
    StoreInfo info(OSSL_STORE_load(store.get()));
    if (info != nullptr) found.push_back(std::move(info));
  }
  EXPECT_EQ(OSSL_STORE_eof(store.get()), 1) << "no end";
  return found;
}

std::string private_pem(EVP_PKEY* key) {
  const ossl::Bio out(BIO_new(BIO_s_mem()));
  EXPECT_EQ(PEM_write_bio_PrivateKey(out.get(), key, nullptr, nullptr, 0, nullptr, nullptr), 1)
      << take_errors();
  const Bytes text = contents(out.get());
  return {text.begin(), text.end()};
}

ossl::PKey read_private_pem(const Host& host, const std::string& pem) {
  const ossl::Bio in(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  return ossl::PKey(
      PEM_read_bio_PrivateKey_ex(in.get(), nullptr, nullptr, nullptr, host.ctx(), nullptr));
}

std::string take_errors() {
  const ossl::Bio bio(BIO_new(BIO_s_mem()));
  ERR_print_errors(bio.get());
  const Bytes text = contents(bio.get());
  return {text.begin(), text.end()};
}

Bytes contents(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return size > 0 ? Bytes(data, data + size) : Bytes();
}

Bytes public_der(EVP_PKEY* key) {
  const ossl::Bio bio(BIO_new(BIO_s_mem()));
  EXPECT_EQ(i2d_PUBKEY_bio(bio.get(), key), 1) << take_errors();
  return contents(bio.get());
}

Bytes sign(const Host& host, EVP_PKEY* key, const Scheme& scheme, const Bytes& message) {
  const auto ctx = begin_sign(host, key, scheme);
  std::size_t size = 0;
  if (ctx == nullptr ||
      EVP_DigestSign(ctx.get(), nullptr, &size, message.data(), message.size()) != 1) {
    return {};
  }
  Bytes signature(size);
  if (EVP_DigestSign(ctx.get(), signature.data(), &size, message.data(), message.size()) != 1) {
    return {};
  }
  signature.resize(size);
  return signature;
}

Bytes sign_streaming(const Host& host, EVP_PKEY* key, const Scheme& scheme, const Bytes& message) {
  const auto ctx = begin_sign(host, key, scheme);
  if (ctx == nullptr) return {};
  for (const auto& byte : message) {
    if (EVP_DigestSignUpdate(ctx.get(), &byte, 1) != 1) return {};
  }
  std::size_t size = 0;
  if (EVP_DigestSignFinal(ctx.get(), nullptr, &size) != 1) return {};
  Bytes signature(size);
  if (EVP_DigestSignFinal(ctx.get(), signature.data(), &size) != 1) return {};
  signature.resize(size);
  return signature;
}

bool verify(const Host& host, EVP_PKEY* key, const Scheme& scheme, const Bytes& message,
            const Bytes& signature) {
  const ossl::MdCtx ctx(EVP_MD_CTX_new());
  EVP_PKEY_CTX* inner = nullptr;
  const bool begun = EVP_DigestVerifyInit_ex(ctx.get(), &inner, scheme.digest, host.ctx(), nullptr,
                                             key, nullptr) == 1 &&
                     apply(inner, scheme);
  return begun && EVP_DigestVerify(ctx.get(), signature.data(), signature.size(), message.data(),
                                   message.size()) == 1;
}

Bytes derive(const Host& host, EVP_PKEY* key, EVP_PKEY* peer) {
  const ossl::PKeyCtx ctx(EVP_PKEY_CTX_new_from_pkey(host.ctx(), key, nullptr));
  std::size_t size = 0;
  if (EVP_PKEY_derive_init(ctx.get()) != 1 || EVP_PKEY_derive_set_peer(ctx.get(), peer) != 1 ||
      EVP_PKEY_derive(ctx.get(), nullptr, &size) != 1) {
    return {};
  }
  Bytes secret(size);
  if (EVP_PKEY_derive(ctx.get(), secret.data(), &size) != 1) return {};
  secret.resize(size);
  return secret;
}

}  // namespace vhsm::test
