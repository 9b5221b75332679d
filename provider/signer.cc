// SPDX-License-Identifier: Apache-2.0
#include "provider/signer.h"

#include <openssl/core_names.h>
#include <openssl/params.h>

#include "provider/ossl/boundary.h"
#include "provider/ossl/compat.h"
#include "provider/provider.h"

namespace vhsm::provider {
namespace {

using keystore::OperationKind;

OperationKind for_messages(OperationKind kind) noexcept {
  return kind == OperationKind::kSign ? OperationKind::kSignMessage : OperationKind::kVerifyMessage;
}

/// The value of the `digest` parameter; empty when there is none.
std::string_view digest_param(const OSSL_PARAM params[]) noexcept {
  const OSSL_PARAM* param = OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_DIGEST);
  const char* name = nullptr;
  if (param == nullptr || OSSL_PARAM_get_utf8_string_ptr(param, &name) != 1) return {};
  return ossl::text(name);
}

}  // namespace

Result<std::unique_ptr<Signer>> Signer::clone() const {
  auto copy = std::make_unique<Signer>(provider(), scheme_);
  VHSM_TRY(copy->copy_from(*this));
  copy->kind_ = kind_;
  copy->digest_ = digest_;
  copy->hashes_ = hashes_;
  copy->signature_ = signature_;
  if (running_ != nullptr) {
    VHSM_TRY(copy->start_hash());
    VHSM_TRY(crypto(EVP_MD_CTX_copy_ex(copy->running_.get(), running_.get()),
                    "a hash cannot be copied"));
  }
  return copy;
}

std::string_view Signer::scheme_digest() const noexcept {
  return scheme_ != nullptr ? scheme_->digest : "";
}

Status Signer::start(keystore::OperationRequest request, const KeyHandle* handle,
                     const OSSL_PARAM params[]) {
  kind_ = request.kind;
  signature_.clear();
  if (scheme_ == nullptr) {
    request.params = params;
    return begin_request(request, handle);
  }
  const auto instance = instance_params(*scheme_);
  request.params = instance.data();
  VHSM_TRY(begin_request(request, handle));
  return set_params(params);
}

Status Signer::begin(OperationKind kind, const KeyHandle* handle, const OSSL_PARAM params[]) {
  running_.reset();
  digest_ = nullptr;
  hashes_ = false;
  return start({.kind = kind, .digest = scheme_digest()}, handle, params);
}

Status Signer::begin_message(OperationKind kind, const KeyHandle* handle,
                             const OSSL_PARAM params[]) {
  VHSM_TRY(begin_digest(kind, scheme_digest(), handle, params));
  hashes_ = digest_ != nullptr;
  return {};
}

Status Signer::begin_digest(OperationKind kind, std::string_view digest, const KeyHandle* handle,
                            const OSSL_PARAM params[]) {
  const keystore::KeyPtr& next = handle != nullptr ? handle->key() : key();
  if (next == nullptr) return fail(Errc::kNoPrivateKey, "the operation has no key");
  running_.reset();
  hashes_ = false;
  if (next->type().signing == keystore::Signing::kMessage) {
    if (!digest.empty()) {
      return fail(Errc::kUnsupported, "this key type signs whole messages, without a digest",
                  digest);
    }
    return begin_whole(for_messages(kind), handle, params);
  }
  if (digest.empty() && digest_ == nullptr) digest = next->default_digest();
  if (handle == nullptr) VHSM_TRY(check_digest(digest));
  if (!digest.empty()) VHSM_TRY(choose_digest(digest));
  return start({.kind = kind, .digest = EVP_MD_get0_name(digest_)}, handle, params);
}

/// Begun again without a key it goes on with the instance and the context that have been set, as
/// OpenSSL's own types do: the next signature must not be a plain one by surprise.
Status Signer::begin_whole(OperationKind kind, const KeyHandle* handle, const OSSL_PARAM params[]) {
  digest_ = nullptr;
  if (handle == nullptr && begun() && kind_ == kind) return set_params(params);
  return start({.kind = kind}, handle, params);
}

Status Signer::choose_digest(std::string_view name) {
  digest_ = VHSM_TRY(provider().digests().find(name));
  return {};
}

Status Signer::start_hash() {
  if (running_ == nullptr) running_.reset(EVP_MD_CTX_new());
  return crypto(running_ != nullptr ? EVP_DigestInit_ex(running_.get(), digest_, nullptr) : 0,
                "a hash does not start");
}

Status Signer::update(std::span<const std::uint8_t> part) {
  if (!begun() || digest_ == nullptr) {
    return fail(Errc::kWrongState, "the operation is not initialised with a digest");
  }
  if (running_ == nullptr) VHSM_TRY(start_hash());
  return crypto(EVP_DigestUpdate(running_.get(), part.data(), part.size()), "hashing failed");
}

Status Signer::finish_hash(Hash& hash) {
  if (digest_ == nullptr) return fail(Errc::kWrongState, "the operation has no digest");
  if (running_ == nullptr) VHSM_TRY(start_hash());
  VHSM_TRY(crypto(EVP_DigestFinal_ex(running_.get(), hash.bytes, &hash.size), "hashing failed"));
  running_.reset();
  return {};
}

Status Signer::hash_message(std::span<const std::uint8_t> message, Hash& hash) {
  if (running_ != nullptr) {
    VHSM_TRY(update(message));
    return finish_hash(hash);
  }
  return crypto(
      EVP_Digest(message.data(), message.size(), hash.bytes, &hash.size, digest_, nullptr),
      "hashing failed");
}

Result<std::size_t> Signer::sign(std::span<const std::uint8_t> in, std::span<std::uint8_t> out) {
  return hashes_ ? sign_message(in, out) : run(in, out);
}

Result<bool> Signer::verify(std::span<const std::uint8_t> in,
                            std::span<const std::uint8_t> signature) {
  return hashes_ ? verify_message(in, signature) : OperationContext::verify(in, signature);
}

Result<std::size_t> Signer::finish_sign(std::span<std::uint8_t> out) {
  if (out.data() == nullptr) return run({}, out);
  Hash hash;
  VHSM_TRY(finish_hash(hash));
  return run(hash.view(), out);
}

Result<bool> Signer::finish_verify(std::span<const std::uint8_t> signature) {
  Hash hash;
  VHSM_TRY(finish_hash(hash));
  return OperationContext::verify(hash.view(), signature);
}

Result<bool> Signer::finish_verify() {
  if (signature_.empty()) return fail(Errc::kWrongState, "no signature to verify has been set");
  return finish_verify(signature_);
}

Result<std::size_t> Signer::sign_message(std::span<const std::uint8_t> message,
                                         std::span<std::uint8_t> out) {
  if (digest_ == nullptr || out.data() == nullptr) return run(message, out);
  Hash hash;
  VHSM_TRY(hash_message(message, hash));
  return run(hash.view(), out);
}

Result<bool> Signer::verify_message(std::span<const std::uint8_t> message,
                                    std::span<const std::uint8_t> signature) {
  if (digest_ == nullptr) return OperationContext::verify(message, signature);
  Hash hash;
  VHSM_TRY(hash_message(message, hash));
  return OperationContext::verify(hash.view(), signature);
}

Status Signer::check_digest(std::string_view name) const {
  if (digest_ == nullptr || name.empty()) return {};
  const EVP_MD* digest = VHSM_TRY(provider().digests().find(name));
  if (digest == digest_) return {};
  return fail(Errc::kWrongState, "the digest is chosen when the operation begins", name);
}

Status Signer::set_params(const OSSL_PARAM params[]) {
  if (params == nullptr) return {};
  if (scheme_ != nullptr) return set_scheme_params(params);
  VHSM_TRY(check_digest(digest_param(params)));
  return OperationContext::set_params(params);
}

/// The signature to be verified stays here; others go on to the algorithm, if they are settable.
Status Signer::set_scheme_params(const OSSL_PARAM params[]) {
  std::vector<OSSL_PARAM> others;
  for (const OSSL_PARAM* p = params; p->key != nullptr; ++p) {
    if (is_fixed(p->key)) {
      return fail(Errc::kUnsupported, "the algorithm's name has fixed this parameter", p->key);
    }
    if (OSSL_PARAM_locate_const(settable_params(), p->key) == nullptr) continue;
    if (std::string_view(p->key) == ossl::compat::kSignature) {
      const auto signature = VHSM_TRY(ossl::octets(*p));
      signature_.assign(signature.begin(), signature.end());
    } else {
      others.push_back(*p);
    }
  }
  others.push_back(OSSL_PARAM_construct_end());
  return OperationContext::set_params(others.data());
}

const OSSL_PARAM* Signer::settable_params() const noexcept {
  return scheme_ != nullptr ? settable_params_of(*scheme_) : OperationContext::settable_params();
}

Status Signer::get_digest_params(OSSL_PARAM params[]) const {
  if (running_ == nullptr) return fail(Errc::kWrongState, "no hash has begun");
  return crypto(EVP_MD_CTX_get_params(running_.get(), params), "the parameter is not to be had");
}

Status Signer::set_digest_params(const OSSL_PARAM params[]) {
  if (running_ == nullptr) return fail(Errc::kWrongState, "no hash has begun");
  return crypto(EVP_MD_CTX_set_params(running_.get(), params), "the parameter is refused");
}

const OSSL_PARAM* Signer::gettable_digest_params() const noexcept {
  return digest_ != nullptr ? EVP_MD_gettable_ctx_params(digest_) : nullptr;
}

const OSSL_PARAM* Signer::settable_digest_params() const noexcept {
  return digest_ != nullptr ? EVP_MD_settable_ctx_params(digest_) : nullptr;
}

}  // namespace vhsm::provider
