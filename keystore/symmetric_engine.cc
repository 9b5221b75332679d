// SPDX-License-Identifier: Apache-2.0
#include "keystore/symmetric_engine.h"

#include <openssl/core_names.h>
#include <openssl/params.h>

#include <algorithm>
#include <array>
#include <utility>

namespace vhsm::keystore {
namespace {

constexpr Literal kNoContext("no inner context");
constexpr Literal kNoCopy("the context has no copy");
constexpr Literal kRefusedParameter("the parameter is refused");
constexpr Literal kUnknownParameter("the parameter is not to be had");

}  // namespace

// ----- MAC --------------------------------------------------------------------------------------

SymmetricParams MacEngine::describe(const Method& mac) {
  return {EVP_MAC_settable_ctx_params(mac.get()), EVP_MAC_gettable_ctx_params(mac.get()),
          EVP_MAC_gettable_params(mac.get())};
}

Status MacEngine::get_algorithm_params(const Method& mac, OSSL_PARAM params[]) {
  return crypto(EVP_MAC_get_params(mac.get(), params), kUnknownParameter);
}

Result<MacEngine> MacEngine::create(const Method& mac) {
  auto ctx = VHSM_TRY(made(Ctx(EVP_MAC_CTX_new(mac.get())), kNoContext));
  return MacEngine(std::move(ctx));
}

Status MacEngine::set_params(const OSSL_PARAM params[]) {
  return crypto(EVP_MAC_CTX_set_params(ctx_.get(), params), kRefusedParameter);
}

Status MacEngine::get_params(OSSL_PARAM params[]) const {
  return crypto(EVP_MAC_CTX_get_params(ctx_.get(), params), kUnknownParameter);
}

Status MacEngine::start(const SymmetricStart& /*start*/, ByteSpan key) {
  return crypto(EVP_MAC_init(ctx_.get(), key.data(), key.size(), nullptr),
                "the MAC does not start: it lacks its digest or cipher, or has none for this key");
}

Result<std::size_t> MacEngine::update(ByteSpan in, std::span<std::uint8_t> /*out*/) {
  VHSM_TRY(crypto(EVP_MAC_update(ctx_.get(), in.data(), in.size()), "the MAC takes no data"));
  return 0;
}

Result<std::size_t> MacEngine::finish(std::span<std::uint8_t> out) {
  std::size_t size = 0;
  if (out.size() < EVP_MAC_CTX_get_mac_size(ctx_.get())) {
    return fail(Errc::kBadLength, "there is no room for the MAC");
  }
  VHSM_TRY(crypto(EVP_MAC_final(ctx_.get(), out.data(), &size, out.size()), "no MAC"));
  return size;
}

Result<MacEngine> MacEngine::copy() const {
  auto ctx = VHSM_TRY(made(Ctx(EVP_MAC_CTX_dup(ctx_.get())), kNoCopy));
  return MacEngine(std::move(ctx));
}

// ----- cipher -----------------------------------------------------------------------------------

SymmetricParams CipherEngine::describe(const Method& cipher) {
  return {EVP_CIPHER_settable_ctx_params(cipher.get()),
          EVP_CIPHER_gettable_ctx_params(cipher.get()), EVP_CIPHER_gettable_params(cipher.get())};
}

Status CipherEngine::get_algorithm_params(const Method& cipher, OSSL_PARAM params[]) {
  return crypto(EVP_CIPHER_get_params(cipher.get(), params), kUnknownParameter);
}

Result<CipherEngine> CipherEngine::create(const Method& cipher) {
  auto ctx = VHSM_TRY(made(Ctx(EVP_CIPHER_CTX_new()), kNoContext));
  EVP_CIPHER_CTX_set_flags(ctx.get(), EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
  VHSM_TRY(crypto(EVP_CipherInit_ex2(ctx.get(), cipher.get(), nullptr, nullptr, 1, nullptr),
                  kNoContext));
  return CipherEngine(std::move(ctx));
}

Status CipherEngine::set_params(const OSSL_PARAM params[]) {
  return crypto(EVP_CIPHER_CTX_set_params(ctx_.get(), params), kRefusedParameter);
}

Status CipherEngine::get_params(OSSL_PARAM params[]) const {
  return crypto(EVP_CIPHER_CTX_get_params(ctx_.get(), params), kUnknownParameter);
}

bool CipherEngine::wraps() const noexcept {
  return EVP_CIPHER_CTX_get_mode(ctx_.get()) == EVP_CIPH_WRAP_MODE;
}

bool CipherEngine::takes_null_output() const noexcept {
  const auto flags = EVP_CIPHER_get_flags(EVP_CIPHER_CTX_get0_cipher(ctx_.get()));
  return wraps() || (flags & EVP_CIPH_FLAG_AEAD_CIPHER) != 0;
}

/// How much longer than its input an output may be: what was held back, or the block of a WRAP.
std::size_t CipherEngine::growth() const noexcept {
  const int block = EVP_CIPHER_CTX_get_block_size(ctx_.get());
  return block > 1 ? static_cast<std::size_t>(block) : 0;
}

Status CipherEngine::start(const SymmetricStart& start, ByteSpan key) {
  const auto wanted = [](int size) { return static_cast<std::size_t>(size); };
  if (!key.empty() && key.size() != wanted(EVP_CIPHER_CTX_get_key_length(ctx_.get()))) {
    return fail(Errc::kBadLength, "the key has another length than the cipher's keys");
  }
  if (!start.iv.empty() && start.iv.size() != wanted(EVP_CIPHER_CTX_get_iv_length(ctx_.get()))) {
    return fail(Errc::kBadLength, "the IV has another length than the cipher is set to");
  }
  VHSM_TRY(crypto(EVP_CipherInit_ex2(ctx_.get(), nullptr, key.empty() ? nullptr : key.data(),
                                     start.iv.empty() ? nullptr : start.iv.data(),
                                     start.forwards ? 1 : 0, nullptr),
                  "the cipher does not start"));
  has_iv_ = has_iv_ || !start.iv.empty();
  return {};
}

Result<std::size_t> CipherEngine::update(ByteSpan in, std::span<std::uint8_t> out) {
  // The private OpenSSL would draw one, or take zeros.
  if (!has_iv_ && !wraps()) return fail(Errc::kWrongState, "the cipher has no IV yet");
  if (in.empty()) return 0;
  if (out.data() == nullptr && !takes_null_output()) {
    return fail(Errc::kInvalidArgument, "the cipher takes no associated data");
  }
  if (out.data() != nullptr && out.size() < in.size() + growth()) {
    return fail(Errc::kBadLength, "there is no room for the output");
  }
  int size = 0;
  VHSM_TRY(crypto(
      EVP_CipherUpdate(ctx_.get(), out.data(), &size, in.data(), static_cast<int>(in.size())),
      "the cipher refuses the data"));
  return static_cast<std::size_t>(size);
}

Result<std::size_t> CipherEngine::finish(std::span<std::uint8_t> out) {
  std::array<std::uint8_t, EVP_MAX_BLOCK_LENGTH> last{};
  int size = 0;
  VHSM_TRY(crypto(EVP_CipherFinal_ex(ctx_.get(), last.data(), &size),
                  "the end of the data, its padding or its tag is wrong"));
  const ByteSpan yielded(last.data(), static_cast<std::size_t>(size));
  if (yielded.size() > out.size()) return fail(Errc::kBadLength, "there is no room for the output");
  std::ranges::copy(yielded, out.begin());
  return yielded.size();
}

Result<CipherEngine> CipherEngine::copy() const {
  auto ctx = VHSM_TRY(made(Ctx(EVP_CIPHER_CTX_new()), kNoContext));
  VHSM_TRY(crypto(EVP_CIPHER_CTX_copy(ctx.get(), ctx_.get()), kNoCopy));
  CipherEngine other(std::move(ctx));
  other.has_iv_ = has_iv_;
  return other;
}

// ----- KDF --------------------------------------------------------------------------------------

SymmetricParams KdfEngine::describe(const Method& kdf) {
  return {EVP_KDF_settable_ctx_params(kdf.get()), EVP_KDF_gettable_ctx_params(kdf.get()),
          EVP_KDF_gettable_params(kdf.get())};
}

Status KdfEngine::get_algorithm_params(const Method& kdf, OSSL_PARAM params[]) {
  return crypto(EVP_KDF_get_params(kdf.get(), params), kUnknownParameter);
}

Result<KdfEngine> KdfEngine::create(const Method& kdf) {
  auto ctx = VHSM_TRY(made(Ctx(EVP_KDF_CTX_new(kdf.get())), kNoContext));
  return KdfEngine(std::move(ctx));
}

Status KdfEngine::set_params(const OSSL_PARAM params[]) {
  VHSM_TRY(crypto(EVP_KDF_CTX_set_params(ctx_.get(), params), kRefusedParameter));
  return params_.add(params);
}

Status KdfEngine::get_params(OSSL_PARAM params[]) const {
  return crypto(EVP_KDF_CTX_get_params(ctx_.get(), params), kUnknownParameter);
}

Status KdfEngine::start(const SymmetricStart& /*start*/, ByteSpan key) {
  key_ = VHSM_TRY(SecretBytes::copy(key));
  return {};
}

Result<std::size_t> KdfEngine::update(ByteSpan /*in*/, std::span<std::uint8_t> /*out*/) {
  return fail(Errc::kWrongState, "a key derivation takes no data");
}

Result<std::size_t> KdfEngine::finish(std::span<std::uint8_t> out) {
  const SecretBytes key = std::exchange(key_, SecretBytes());
  auto params = params_.view();
  // Read-only for the call; OSSL_PARAM's pointer lacks the const.
  auto* const bytes = const_cast<std::uint8_t*>(key.expose().data());
  params.insert(params.begin(),
                OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, bytes, key.size()));
  VHSM_TRY(crypto(EVP_KDF_derive(ctx_.get(), out.data(), out.size(), params.data()),
                  "the key is not derived: a parameter is missing, or the length is wrong"));
  return out.size();
}

/// By its parameters: not every derivation of OpenSSL 3.0 can be copied.
Result<KdfEngine> KdfEngine::copy() const {
  // The context takes a reference of its own; OpenSSL's getter says const all the same.
  auto* const kdf = const_cast<EVP_KDF*>(EVP_KDF_CTX_kdf(ctx_.get()));
  auto ctx = VHSM_TRY(made(Ctx(EVP_KDF_CTX_new(kdf)), kNoContext));
  KdfEngine other(std::move(ctx));
  if (!params_.empty()) VHSM_TRY(other.set_params(params_.view().data()));
  return other;
}

}  // namespace vhsm::keystore
