// SPDX-License-Identifier: Apache-2.0
#include "evidence/presented.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "evidence/pkix.h"

namespace vhsm::evidence {
namespace {

inline void free_extensions(STACK_OF(X509_EXTENSION) * list) noexcept {
  sk_X509_EXTENSION_pop_free(list, X509_EXTENSION_free);
}
using Extensions = ossl::Handle<STACK_OF(X509_EXTENSION), free_extensions>;

std::string_view text_of(ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

Result<Presented> from_collection(Form form, const Collection& collection) {
  auto evidence = VHSM_TRY(KeyEvidence::from(collection));
  return Presented{form, std::move(evidence)};
}

Status signed_by_itself(int verified) {
  if (verified == 1) return {};
  return fail(Errc::kBadSignature, "it is not signed by the key that is in it");
}

Result<Bytes> encode_key(const X509_PUBKEY* key) {
  unsigned char* der = nullptr;
  const int size = i2d_X509_PUBKEY(key, &der);
  if (size <= 0) return fail(Errc::kBadFormat, "its public key cannot be read");
  Bytes bytes(der, der + size);
  OPENSSL_free(der);
  return bytes;
}

Result<Presented> from_request(const ossl::X509Req& request) {
  const Extensions extensions(X509_REQ_get_extensions(request.get()));
  const auto collection = VHSM_TRY(collection_in(extensions.get()));
  auto presented = VHSM_TRY(from_collection(Form::kRequest, collection));
  presented.public_key_info = VHSM_TRY(encode_key(X509_REQ_get_X509_PUBKEY(request.get())));
  presented.signature =
      signed_by_itself(X509_REQ_verify(request.get(), X509_REQ_get0_pubkey(request.get())));
  return presented;
}

Result<Presented> from_certificate(const ossl::X509Cert& certificate) {
  const auto collection = VHSM_TRY(collection_in(X509_get0_extensions(certificate.get())));
  auto presented = VHSM_TRY(from_collection(Form::kCertificate, collection));
  presented.public_key_info = VHSM_TRY(encode_key(X509_get_X509_PUBKEY(certificate.get())));
  const bool own = X509_NAME_cmp(X509_get_subject_name(certificate.get()),
                                 X509_get_issuer_name(certificate.get())) == 0;
  if (own) {
    presented.signature =
        signed_by_itself(X509_verify(certificate.get(), X509_get0_pubkey(certificate.get())));
  }
  return presented;
}

/// A request or a certificate; nothing may stand behind it.
Result<Presented> from_der(ByteView der) {
  const ossl::ErrorMark quiet;
  const unsigned char* const end = der.data() + der.size();
  const unsigned char* next = der.data();
  const ossl::X509Req request(d2i_X509_REQ(nullptr, &next, static_cast<long>(der.size())));
  if (request != nullptr && next == end) return from_request(request);
  next = der.data();
  const ossl::X509Cert certificate(d2i_X509(nullptr, &next, static_cast<long>(der.size())));
  if (certificate != nullptr && next == end) return from_certificate(certificate);
  return fail(Errc::kBadFormat, "neither a certificate request nor a certificate");
}

/// The first block.
Result<Bytes> decode_pem(ByteView text) {
  const ossl::ErrorMark quiet;
  const ossl::Bio bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  char* label = nullptr;
  char* header = nullptr;
  unsigned char* data = nullptr;
  long size = 0;
  if (PEM_read_bio(bio.get(), &label, &header, &data, &size) != 1) {
    return fail(Errc::kBadFormat, "there is no PEM block in it");
  }
  Bytes der(data, data + size);
  OPENSSL_free(label);
  OPENSSL_free(header);
  OPENSSL_free(data);
  return der;
}

}  // namespace

const char* name_of(Form form) noexcept {
  switch (form) {
    case Form::kJson: return "JSON";
    case Form::kCbor: return "CBOR";
    case Form::kRequest: return "certificate request";
    default: return "certificate";
  }
}

Result<Presented> read_presented(ByteView bytes) {
  constexpr std::uint8_t kFirstMap = 0xa0;
  constexpr std::uint8_t kLastMap = 0xbb;
  constexpr std::uint8_t kSequence = 0x30;
  if (bytes.empty() || bytes.size() > kMaxPresentedBytes) {
    return fail(Errc::kBadLength, "evidence has 1 byte to 1 MiB");
  }
  if (bytes[0] >= kFirstMap && bytes[0] <= kLastMap) {
    const auto collection = VHSM_TRY(collection_from_cbor(bytes));
    return from_collection(Form::kCbor, collection);
  }
  if (bytes[0] == '{') {
    const auto collection = VHSM_TRY(collection_from_json(text_of(bytes)));
    return from_collection(Form::kJson, collection);
  }
  if (bytes[0] == kSequence) return from_der(bytes);
  const auto der = VHSM_TRY(decode_pem(bytes));
  return from_der(der);
}

}  // namespace vhsm::evidence
