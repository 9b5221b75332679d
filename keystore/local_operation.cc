// SPDX-License-Identifier: Apache-2.0
#include "keystore/local_operation.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/opensslv.h>
#include <openssl/params.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vhsm::keystore {
namespace {

// Parameters that change what comes out. An inner OpenSSL that does not know one of them would
// ignore it and, for instance, sign plain Ed25519 where Ed25519ph was asked for.
constexpr std::array<std::string_view, 10> kResultChanging{
    "instance",         "context-string",     "nonce-type", "deterministic", "mu",
    "message-encoding", "implicit-rejection", "ikme",       "kdf-type",      "test-entropy"};

// Where the host's fetches go is not the private OpenSSL's business.
constexpr std::array<std::string_view, 5> kHostOnly{"properties", "mgf1-properties",
                                                    "kdf-digest-props", "digest-props", "engine"};

template <std::size_t N>
bool one_of(const std::array<std::string_view, N>& names, const char* key) noexcept {
  return std::ranges::find(names, std::string_view(key)) != names.end();
}

/// @param settable  null for an algorithm that takes none, and looks at none: libssl 4.0 has some
///                  for every signature.
Result<std::vector<OSSL_PARAM>> fenced(const OSSL_PARAM params[], const OSSL_PARAM* settable) {
  std::vector<OSSL_PARAM> kept;
  kept.reserve(4);
  for (const OSSL_PARAM* p = params; p != nullptr && p->key != nullptr; ++p) {
    if (one_of(kHostOnly, p->key)) continue;
    const bool known = settable != nullptr && OSSL_PARAM_locate_const(settable, p->key) != nullptr;
    if (!known && one_of(kResultChanging, p->key)) {
      return fail(Errc::kUnsupported, "the private OpenSSL does not know this parameter", p->key);
    }
    if (settable != nullptr) kept.push_back(*p);
  }
  kept.push_back(OSSL_PARAM_construct_end());
  return kept;
}

/// `settings` and the parameters in a form that can be compared; empty where they cannot be told by
/// their bytes, are long, or might be secret (octets).
std::string extended(const std::string& settings, const std::vector<OSSL_PARAM>& params) {
  constexpr std::size_t kMaxBytes = 64;
  std::string text;
  text.reserve(256);  // at once: this is done for each TLS handshake
  text = settings;
  for (const OSSL_PARAM& param : std::span(params).first(params.size() - 1)) {
    const bool plain = param.data_type == OSSL_PARAM_INTEGER ||
                       param.data_type == OSSL_PARAM_UNSIGNED_INTEGER ||
                       param.data_type == OSSL_PARAM_UTF8_STRING;
    if (!plain || param.data == nullptr || param.data_size > kMaxBytes) return {};
    // OpenSSL reads texts up to their zero, whatever their size says.
    const auto* const data = static_cast<const char*>(param.data);
    if (param.data_type == OSSL_PARAM_UTF8_STRING &&
        ::strnlen(data, param.data_size + 1) != param.data_size) {
      return {};
    }
    text.append(param.key).push_back('\0');
    text.push_back(static_cast<char>(param.data_type));
    text.push_back(static_cast<char>(param.data_size));
    text.append(static_cast<const char*>(param.data), param.data_size);
  }
  return text;
}

}  // namespace

LocalOperation::~LocalOperation() {
  if (inner_ != nullptr) key_->put(std::move(inner_));
}

Status LocalOperation::set_params(const OSSL_PARAM params[]) {
  if (params == nullptr || params->key == nullptr) return {};
  const auto kept = VHSM_TRY(fenced(params, settable_params()));
  if (kept.front().key == nullptr) return {};
  std::string settings = extended(inner_->settings, kept);
  const bool known = inner_->reusable && !settings.empty();
  if (known && trade(settings)) return {};
  inner_->reusable = false;  // until it is known what it has become
  VHSM_TRY(scoped_if(inner_->held, [&] {
    return crypto(EVP_PKEY_CTX_set_params(inner_->get(), kept.data()), "the parameter is refused");
  }));
  inner_->settings = std::move(settings);
  inner_->reusable = known;
  return {};
}

/// A TLS server sets the same parameters for each handshake, which costs more than to go on with an
/// idle context that has them already.
bool LocalOperation::trade(const std::string& settings) {
  auto idle = key_->take(inner_->kind, inner_->digest, settings);
  if (idle == nullptr) return false;
  key_->put(std::exchange(inner_, std::move(idle)));
  return true;
}

Status LocalOperation::get_params(OSSL_PARAM params[]) const {
  return scoped_if(inner_->held, [&] {
    return crypto(EVP_PKEY_CTX_get_params(inner_->get(), params), "the parameter is not to be had");
  });
}

const OSSL_PARAM* LocalOperation::settable_params() const { return inner_->settable; }

const OSSL_PARAM* LocalOperation::gettable_params() const { return inner_->gettable; }

Status LocalOperation::renew_message() {
  constexpr bool kOncePerInit = OPENSSL_VERSION_NUMBER >= 0x30400000L;
  if (!kOncePerInit || !inner_->message_used) return {};
  const auto init =
      inner_->kind == OperationKind::kSignMessage ? EVP_DigestSignInit_ex : EVP_DigestVerifyInit_ex;
  return crypto(init(inner_->message.get(), nullptr, nullptr, nullptr, nullptr, nullptr, nullptr),
                "the inner context does not start again");
}

Result<std::size_t> LocalOperation::perform(std::span<const std::uint8_t> in, unsigned char* out,
                                            std::size_t capacity) {
  std::size_t size = capacity;
  EVP_PKEY_CTX* ctx = inner_->get();
  int rc = 0;
  switch (inner_->kind) {
    case OperationKind::kSign: rc = EVP_PKEY_sign(ctx, out, &size, in.data(), in.size()); break;
    case OperationKind::kDecrypt:
      rc = EVP_PKEY_decrypt(ctx, out, &size, in.data(), in.size());
      break;
    case OperationKind::kEncrypt:
      rc = EVP_PKEY_encrypt(ctx, out, &size, in.data(), in.size());
      break;
    case OperationKind::kDerive: rc = EVP_PKEY_derive(ctx, out, &size); break;
    case OperationKind::kDecapsulate:
      VHSM_TRY(check_room(in, out, capacity));
      rc = EVP_PKEY_decapsulate(ctx, out, &size, in.data(), in.size());
      break;
    case OperationKind::kVerifyRecover:
      rc = EVP_PKEY_verify_recover(ctx, out, &size, in.data(), in.size());
      break;
    case OperationKind::kSignMessage:
      VHSM_TRY(renew_message());
      inner_->message_used = true;
      rc = EVP_DigestSign(inner_->message.get(), out, &size, in.data(), in.size());
      break;
    default: return fail(Errc::kWrongState, "the operation was begun as a verification");
  }
  VHSM_TRY(crypto(rc, "the private OpenSSL refused the operation"));
  return size;
}

/// OpenSSL 3.0 writes a shared secret wherever it is told to, however little room there is.
Status LocalOperation::check_room(std::span<const std::uint8_t> in, const unsigned char* out,
                                  std::size_t capacity) {
  std::size_t needed = 0;
  VHSM_TRY(crypto(EVP_PKEY_decapsulate(inner_->get(), nullptr, &needed, in.data(), in.size()),
                  "the size of the shared secret is not to be had"));
  if (out == nullptr || capacity >= needed) return {};
  return fail(Errc::kBadLength, "there is no room for the shared secret");
}

Result<Encapsulated> LocalOperation::make_secret(std::span<std::uint8_t> wrapped,
                                                 std::span<std::uint8_t> secret) {
  constexpr Literal kRefused = "the private OpenSSL refused the operation";
  EVP_PKEY_CTX* ctx = inner_->get();
  Encapsulated size;
  VHSM_TRY(
      crypto(EVP_PKEY_encapsulate(ctx, nullptr, &size.wrapped_bytes, nullptr, &size.secret_bytes),
             kRefused));
  if (wrapped.data() == nullptr) return size;
  if (wrapped.size() < size.wrapped_bytes || secret.size() < size.secret_bytes) {
    return fail(Errc::kBadLength, "there is no room for the shared secret and its ciphertext");
  }
  VHSM_TRY(crypto(EVP_PKEY_encapsulate(ctx, wrapped.data(), &size.wrapped_bytes, secret.data(),
                                       &size.secret_bytes),
                  kRefused));
  return size;
}

Result<Encapsulated> LocalOperation::encapsulate(std::span<std::uint8_t> wrapped,
                                                 std::span<std::uint8_t> secret) {
  if (inner_->kind != OperationKind::kEncapsulate &&
      inner_->kind != OperationKind::kAuthEncapsulate) {
    return fail(Errc::kWrongState, "the operation was not begun as an encapsulation");
  }
  if (needs_private(inner_->kind)) VHSM_TRY(key_->ask(inner_->kind));
  const bool counts = needs_private(inner_->kind) && wrapped.data() != nullptr;
  if (counts) VHSM_TRY(key_->spend());
  const auto made = scoped_if(inner_->held, [&] { return make_secret(wrapped, secret); });
  if (made.ok() && counts) key_->count_operation();
  return made;
}

Result<std::size_t> LocalOperation::run(std::span<const std::uint8_t> in,
                                        std::span<std::uint8_t> out) {
  if (signs(inner_->kind)) {
    const std::size_t longest = VHSM_TRY(key_->public_half().room_for_signature(out));
    if (out.data() == nullptr) return longest;
  }
  if (needs_private(inner_->kind)) VHSM_TRY(key_->ask(inner_->kind));
  const bool counts = needs_private(inner_->kind) && out.data() != nullptr;
  if (counts) VHSM_TRY(key_->spend());
  // Counted whatever comes of it: all users see vhsmd's counter, which must not tell them whose
  // decryption failed.
  if (counts) key_->count_operation();
  return scoped_if(inner_->held, [&]() -> Result<std::size_t> {
    if (needs_private(inner_->kind)) VHSM_TRY(key_->check(*inner_));
    return perform(in, out.data(), out.size());
  });
}

namespace {

/// As OpenSSL answers: it may have more to say of a wrong signature.
Result<bool> verdict(int rc) {
  if (rc == 1) return true;
  if (rc < 0) return fail(Errc::kBadFormat, "not a signature");
  if (ERR_peek_error() == 0) return false;
  return fail(Errc::kCrypto, "the signature is not right");
}

}  // namespace

Result<bool> LocalOperation::verify(std::span<const std::uint8_t> in,
                                    std::span<const std::uint8_t> signature) {
  if (inner_->kind == OperationKind::kVerify) {
    return verdict(EVP_PKEY_verify(inner_->plain.get(), signature.data(), signature.size(),
                                   in.data(), in.size()));
  }
  if (inner_->kind != OperationKind::kVerifyMessage) {
    return fail(Errc::kWrongState, "the operation was not begun as a verification");
  }
  VHSM_TRY(renew_message());
  inner_->message_used = true;
  return verdict(EVP_DigestVerify(inner_->message.get(), signature.data(), signature.size(),
                                  in.data(), in.size()));
}

Status LocalOperation::set_peer(const Key& peer) {
  inner_->reusable = false;
  return scoped_if(inner_->held, [&] {
    return crypto(EVP_PKEY_derive_set_peer(inner_->get(), peer.public_half().get()),
                  "the peer's key does not go with this one");
  });
}

Result<std::unique_ptr<Operation>> LocalOperation::clone() const {
  auto inner = VHSM_TRY(clone_inner(*inner_));
  return std::unique_ptr<Operation>(std::make_unique<LocalOperation>(key_, std::move(inner)));
}

}  // namespace vhsm::keystore
