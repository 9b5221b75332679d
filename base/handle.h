// SPDX-License-Identifier: Apache-2.0
//
// Ownership of libcrypto objects: one line per type, the size of a raw pointer.
#pragma once

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/conf.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>

#include <memory>

namespace vhsm::ossl {

template <auto Free>
struct Deleter {
  template <class T>
  void operator()(T* object) const noexcept {
    Free(object);
  }
};

template <class T, auto Free>
using Handle = std::unique_ptr<T, Deleter<Free>>;

/// Frees the list alone: its certificates belong to others.
inline void free_list(STACK_OF(X509) * certificates) noexcept { sk_X509_free(certificates); }

using Bignum = Handle<BIGNUM, BN_clear_free>;
using Bio = Handle<BIO, BIO_free_all>;
using Cipher = Handle<EVP_CIPHER, EVP_CIPHER_free>;
using CipherCtx = Handle<EVP_CIPHER_CTX, EVP_CIPHER_CTX_free>;
using Conf = Handle<CONF, NCONF_free>;
using EcGroup = Handle<EC_GROUP, EC_GROUP_free>;
using EcPoint = Handle<EC_POINT, EC_POINT_clear_free>;
using EcdsaSig = Handle<ECDSA_SIG, ECDSA_SIG_free>;
using Kdf = Handle<EVP_KDF, EVP_KDF_free>;
using KdfCtx = Handle<EVP_KDF_CTX, EVP_KDF_CTX_free>;
using LibCtx = Handle<OSSL_LIB_CTX, OSSL_LIB_CTX_free>;
using Mac = Handle<EVP_MAC, EVP_MAC_free>;
using Md = Handle<EVP_MD, EVP_MD_free>;
using MdCtx = Handle<EVP_MD_CTX, EVP_MD_CTX_free>;
using PKey = Handle<EVP_PKEY, EVP_PKEY_free>;
using PKeyCtx = Handle<EVP_PKEY_CTX, EVP_PKEY_CTX_free>;
using X509Cert = Handle<X509, X509_free>;
using X509Name = Handle<X509_NAME, X509_NAME_free>;
using X509Stack = Handle<STACK_OF(X509), free_list>;
using X509Store = Handle<X509_STORE, X509_STORE_free>;
using X509StoreCtx = Handle<X509_STORE_CTX, X509_STORE_CTX_free>;
static_assert(sizeof(PKey) == sizeof(EVP_PKEY*));

/// Adopts what a C function stores through a T**, when the full expression ends.
template <class H>
class Receive {
 public:
  explicit Receive(H& owner) noexcept : owner_(owner) {}
  Receive(const Receive&) = delete;
  Receive& operator=(const Receive&) = delete;
  ~Receive() { owner_.reset(raw_); }
  // NOLINTNEXTLINE(google-explicit-constructor): stands for a T** argument
  operator typename H::pointer *() noexcept { return &raw_; }

 private:
  H& owner_;
  typename H::pointer raw_ = nullptr;
};

/// Drops the errors that libcrypto queues inside this scope: for attempts that may fail.
class ErrorMark {
 public:
  ErrorMark() noexcept { ERR_set_mark(); }
  ~ErrorMark() { ERR_pop_to_mark(); }
  ErrorMark(const ErrorMark&) = delete;
  ErrorMark& operator=(const ErrorMark&) = delete;
};

}  // namespace vhsm::ossl
