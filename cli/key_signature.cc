// SPDX-License-Identifier: Apache-2.0
#include "cli/key_signature.h"

#include <openssl/core_names.h>
#include <openssl/objects.h>
#include <openssl/params.h>
#include <openssl/rsa.h>

#include <array>
#include <utility>

namespace vhsm::cli {
namespace {

using keystore::Signing;
using Integer = ossl::Handle<ASN1_INTEGER, ASN1_INTEGER_free>;
using PssParams = ossl::Handle<RSA_PSS_PARAMS, RSA_PSS_PARAMS_free>;
using PublicKey = ossl::Handle<X509_PUBKEY, X509_PUBKEY_free>;
using String = ossl::Handle<ASN1_STRING, ASN1_STRING_free>;

Result<ossl::Algorithm> new_algorithm() {
  return made(ossl::Algorithm(X509_ALGOR_new()), "no memory for an algorithm's identifier");
}

/// Of the key itself.
Result<ossl::Algorithm> algorithm_of_key(const keystore::Key& key) {
  const auto der = VHSM_TRY(key.public_key_info());
  const unsigned char* next = der.data();
  const auto info =
      VHSM_TRY(made(PublicKey(d2i_X509_PUBKEY(nullptr, &next, static_cast<long>(der.size()))),
                    "the key's public half cannot be read"));
  X509_ALGOR* found = nullptr;
  VHSM_TRY(crypto(X509_PUBKEY_get0_param(nullptr, nullptr, nullptr, &found, info.get()),
                  "the key has no identifier"));
  return made(ossl::Algorithm(X509_ALGOR_dup(found)), "no memory for an algorithm's identifier");
}

Result<ossl::Algorithm> digest_with_key(const keystore::Key& key, const EVP_MD* digest) {
  const bool rsa = key.type().family == keystore::Family::kRsa;
  int nid = NID_undef;
  if (OBJ_find_sigid_by_algs(&nid, EVP_MD_get_type(digest),
                             rsa ? NID_rsaEncryption : NID_X9_62_id_ecPublicKey) != 1) {
    return fail(Errc::kUnsupported, "X.509 has no signature with this digest",
                EVP_MD_get0_name(digest));
  }
  auto algorithm = VHSM_TRY(new_algorithm());
  X509_ALGOR_set0(algorithm.get(), OBJ_nid2obj(nid), rsa ? V_ASN1_NULL : V_ASN1_UNDEF, nullptr);
  return algorithm;
}

Result<ossl::Algorithm> digest_algorithm(const EVP_MD* digest) {
  auto algorithm = VHSM_TRY(new_algorithm());
  X509_ALGOR_set_md(algorithm.get(), digest);
  return algorithm;
}

/// `value`, packed, as the parameters of the algorithm `nid`.
Status set_packed(X509_ALGOR* algorithm, int nid, const void* value, const ASN1_ITEM* item) {
  String packed(ASN1_item_pack(const_cast<void*>(value), item, nullptr));
  if (packed == nullptr) return fail(Errc::kCrypto, "an identifier cannot be encoded");
  return crypto(X509_ALGOR_set0(algorithm, OBJ_nid2obj(nid), V_ASN1_SEQUENCE, packed.release()),
                "an identifier cannot be encoded");
}

Result<ossl::Algorithm> pss_with(const EVP_MD* digest) {
  const PssParams params(RSA_PSS_PARAMS_new());
  if (params == nullptr) return fail(Errc::kOutOfMemory, "no memory for PSS");
  auto hash = VHSM_TRY(digest_algorithm(digest));
  auto mask = VHSM_TRY(new_algorithm());
  VHSM_TRY(set_packed(mask.get(), NID_mgf1, hash.get(), ASN1_ITEM_rptr(X509_ALGOR)));
  params->hashAlgorithm = hash.release();
  params->maskGenAlgorithm = mask.release();
  params->saltLength = ASN1_INTEGER_new();
  ASN1_INTEGER_set(params->saltLength, EVP_MD_get_size(digest));
  auto algorithm = VHSM_TRY(new_algorithm());
  VHSM_TRY(
      set_packed(algorithm.get(), NID_rsassaPss, params.get(), ASN1_ITEM_rptr(RSA_PSS_PARAMS)));
  return algorithm;
}

/// Null for a type that signs whole messages.
Result<const EVP_MD*> digest_of(const keystore::Key& key, const SigningTerms& terms) {
  if (key.type().signing == Signing::kMessage) {
    if (terms.digest.empty()) return static_cast<const EVP_MD*>(nullptr);
    return fail(Errc::kUnsupported, "keys of this type sign whole messages: no --digest",
                key.type().name);
  }
  const std::string name(terms.digest.empty() ? std::string(key.default_digest()) : terms.digest);
  const EVP_MD* const digest = EVP_get_digestbyname(name.c_str());
  if (digest != nullptr) return digest;
  return fail(Errc::kInvalidArgument, "there is no such digest", name);
}

Result<std::vector<std::uint8_t>> hash(const EVP_MD* digest,
                                       std::span<const std::uint8_t> message) {
  std::vector<std::uint8_t> value(static_cast<std::size_t>(EVP_MD_get_size(digest)));
  VHSM_TRY(
      crypto(EVP_Digest(message.data(), message.size(), value.data(), nullptr, digest, nullptr),
             "the message cannot be hashed"));
  return value;
}

/// Of RSA with PSS; else none.
std::array<OSSL_PARAM, 3> padding_params(bool pss) {
  const auto text = [](const char* name, const char* value) {
    return OSSL_PARAM_construct_utf8_string(name, const_cast<char*>(value), 0);
  };
  if (!pss) return {OSSL_PARAM_construct_end()};
  return {text(OSSL_SIGNATURE_PARAM_PAD_MODE, OSSL_PKEY_RSA_PAD_MODE_PSS),
          text(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, OSSL_PKEY_RSA_PSS_SALT_LEN_DIGEST),
          OSSL_PARAM_construct_end()};
}

}  // namespace

Result<KeySigner> KeySigner::create(const keystore::Key& key, const SigningTerms& terms) {
  if (key.type().signing == Signing::kNone) {
    return fail(Errc::kUnsupported, "keys of this type do not sign", key.type().name);
  }
  const bool is_rsa = key.type().family == keystore::Family::kRsa;
  if (terms.pss && !is_rsa) {
    return fail(Errc::kUnsupported, "PSS is for RSA keys", key.type().name);
  }
  const EVP_MD* const digest = VHSM_TRY(digest_of(key, terms));
  const bool pss = terms.pss || std::string_view(key.type().name) == "RSA-PSS";
  auto algorithm = VHSM_TRY(digest == nullptr ? algorithm_of_key(key)
                            : pss             ? pss_with(digest)
                                              : digest_with_key(key, digest));
  return KeySigner(key, digest, pss, std::move(algorithm));
}

Result<std::vector<std::uint8_t>> KeySigner::sign(std::span<const std::uint8_t> message) const {
  const auto params = padding_params(pss_);
  keystore::OperationRequest request{.kind = keystore::OperationKind::kSignMessage,
                                     .params = params.data()};
  std::vector<std::uint8_t> input(message.begin(), message.end());
  if (digest_ != nullptr) {
    request.kind = keystore::OperationKind::kSign;
    request.digest = EVP_MD_get0_name(digest_);
    input = VHSM_TRY(hash(digest_, message));
  }
  const auto operation = VHSM_TRY(key_.begin(request));
  const std::size_t bound = VHSM_TRY(operation->run(input, {}));
  std::vector<std::uint8_t> signature(bound);
  const std::size_t size = VHSM_TRY(operation->run(input, signature));
  signature.resize(size);
  return signature;
}

}  // namespace vhsm::cli
