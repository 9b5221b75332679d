// SPDX-License-Identifier: Apache-2.0
//
// Keys made for a test, in the forms that a KBS may store.
#pragma once

#include <gtest/gtest.h>
#include <openssl/pem.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/handle.h"
#include "keystore/warm_up.h"
#include "memory/secret_bytes.h"
#include "tests/keystore/make_key.h"

namespace vhsm::keystore {

class KeystoreTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    ASSERT_TRUE(memory::initialise({}).ok());
    static const memory::Access access;  // the tests stand where the module's code does
    ASSERT_TRUE(warm_up().ok());
  }
};

using tests::make_key;

inline std::string text_of(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return {data, static_cast<std::size_t>(size)};
}

inline std::string pkcs8_pem(EVP_PKEY* key) {
  const ossl::Bio bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_PKCS8PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr);
  return text_of(bio.get());
}

/// SEC1 for EC, PKCS#1 for RSA.
inline std::string traditional_pem(EVP_PKEY* key) {
  const ossl::Bio bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_PrivateKey_traditional(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr);
  return text_of(bio.get());
}

inline std::string traditional_der(EVP_PKEY* key) {
  unsigned char* der = nullptr;
  const int size = i2d_PrivateKey(key, &der);
  const std::string text(reinterpret_cast<char*>(der), static_cast<std::size_t>(size));
  OPENSSL_free(der);
  return text;
}

inline std::string pkcs8_der(EVP_PKEY* key) {
  const ossl::Bio bio(BIO_new(BIO_s_mem()));
  i2d_PKCS8PrivateKey_bio(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr);
  return text_of(bio.get());
}

inline std::string certificate_pem(EVP_PKEY* key) {
  const ossl::X509Cert cert(X509_new());
  X509_set_version(cert.get(), 2);
  ASN1_INTEGER_set(X509_get_serialNumber(cert.get()), 1);
  X509_gmtime_adj(X509_getm_notBefore(cert.get()), 0);
  X509_gmtime_adj(X509_getm_notAfter(cert.get()), 3600);
  X509_set_pubkey(cert.get(), key);
  X509_sign(cert.get(), key, EVP_sha256());
  const ossl::Bio bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(bio.get(), cert.get());
  return text_of(bio.get());
}

inline SecretBytes secret(const std::string& text) {
  auto bytes = SecretBytes::copy({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
  EXPECT_TRUE(bytes.ok());
  return std::move(bytes).value();
}

}  // namespace vhsm::keystore
