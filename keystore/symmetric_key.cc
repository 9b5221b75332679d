// SPDX-License-Identifier: Apache-2.0
#include "keystore/symmetric_key.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <ctime>
#include <mutex>
#include <string>
#include <utility>

#include "base/handle.h"
#include "keystore/hot_set.h"

namespace vhsm::keystore {
namespace {

bool same_digest(const char* wanted, std::string_view given) {
  const ossl::ErrorMark quiet;
  const ossl::Md digest(EVP_MD_fetch(nullptr, std::string(given).c_str(), nullptr));
  return digest != nullptr && EVP_MD_is_a(digest.get(), wanted) == 1;
}

/// HMAC of a text that nobody else asks for. In a scope.
Result<std::vector<std::uint8_t>> fingerprint_of(const SecretBytes& key) {
  constexpr std::string_view kText = "vhsm: fingerprint of a symmetric key";
  constexpr std::size_t kBytes = 16;
  std::vector<std::uint8_t> digest(EVP_MAX_MD_SIZE);
  const unsigned char* const made =
      EVP_Q_mac(nullptr, "HMAC", nullptr, "SHA256", nullptr, key.expose().data(), key.size(),
                reinterpret_cast<const unsigned char*>(kText.data()), kText.size(), digest.data(),
                digest.size(), nullptr);
  if (made == nullptr) return fail(Errc::kCrypto, "no fingerprint of the key");
  digest.resize(kBytes);
  return digest;
}

}  // namespace

Result<SymmetricKeyPtr> SymmetricKey::hold(const SecretMaterial& material,
                                           std::optional<KeyUri> uri,
                                           std::shared_ptr<Metrics> metrics) {
  Sealed sealed = VHSM_TRY(run_with_room([&] { return seal(material.key.expose()); }));
  auto fingerprint = VHSM_TRY(run_with_room([&] { return fingerprint_of(material.key); }));
  return SymmetricKeyPtr(new SymmetricKey(std::move(sealed), material.key.size(),
                                          std::move(fingerprint), material.uses, std::move(uri),
                                          std::move(metrics)));
}

Result<SymmetricKeyPtr> SymmetricKey::generate(std::size_t bytes) {
  if (bytes == 0 || bytes > kMaxSecretKeyBytes) {
    return fail(Errc::kBadLength, "a symmetric key has 1 to 1024 bytes");
  }
  SecretMaterial material;
  const auto draw = [&]() -> Status {
    material.key = VHSM_TRY(SecretBytes::zeros(bytes));
    return crypto(RAND_priv_bytes(material.key.expose().data(), static_cast<int>(bytes)),
                  "no random key");
  };
  VHSM_TRY(run_with_room(draw));
  return hold(material, std::nullopt);
}

SymmetricKeyPtr SymmetricKey::remote(KeyUri uri, std::size_t bytes,
                                     std::vector<std::uint8_t> fingerprint) {
  return SymmetricKeyPtr(
      new SymmetricKey({}, bytes, std::move(fingerprint), {}, std::move(uri), nullptr));
}

SymmetricKey::~SymmetricKey() {
  if (here()) memory::wipe_stacks();
}

Status SymmetricKey::allow(const SymmetricAlgorithm& algorithm, Use use,
                           std::string_view digest) const {
  if (is_secret()) {
    return named(fail(Errc::kPolicy, "a secret that may come out does not serve as a key"));
  }
  if ((uses_.uses & KeyUses::bit(use)) == 0) {
    return named(fail(Errc::kPolicy, "the key's key_ops or use do not have this operation"));
  }
  if (uses_.algorithm != nullptr && std::string_view(uses_.algorithm) != algorithm.name) {
    return named(fail(Errc::kPolicy, "the key's alg names another algorithm"));
  }
  if (uses_.digest != nullptr && !same_digest(uses_.digest, digest)) {
    return named(fail(Errc::kPolicy, "the key's alg names another digest"));
  }
  VHSM_TRY(allow_now());
  return ask_policy(use, algorithm.name, digest);
}

Status SymmetricKey::ask_policy(Use use, std::string_view algorithm,
                                std::string_view digest) const {
  if (!policy_.has_value()) return {};
  const auto now = static_cast<std::uint64_t>(std::time(nullptr));
  const Status allowed = policy_->allow(use, algorithm, digest, now);
  return allowed.ok() ? allowed : named(allowed.error());
}

Status SymmetricKey::spend() const {
  if (count_ == nullptr) return {};
  const Status spent = count_->spend();
  return spent.ok() ? spent : named(spent.error());
}

Status SymmetricKey::allow_now() const {
  const auto now = static_cast<std::uint64_t>(std::time(nullptr));
  if (uses_.not_before.value_or(0) > now) {
    return named(fail(Errc::kPolicy, "the key is to be used later (nbf)"));
  }
  if (uses_.not_after.value_or(UINT64_MAX) < now) {
    return named(fail(Errc::kPolicy, "the key has expired (exp)"));
  }
  return {};
}

Result<SecretBytes> SymmetricKey::release() const {
  if (!is_secret()) {
    return named(fail(Errc::kNotExportable,
                      "this is a key, or its owner has not marked it as one that may come out")
                     .cured_by("its owner can store it anew with --releasable"));
  }
  VHSM_TRY(allow_now());
  VHSM_TRY(ask_policy(Use::kRelease, {}, {}));
  VHSM_TRY(ask());
  VHSM_TRY(spend());
  return run_with_room([this] { return open(); });
}

Result<SecretBytes> SymmetricKey::open() const {
  if (!here()) return named(fail(Errc::kNoPrivateKey, "the key's bytes are not in this process"));
  const std::shared_lock lock(mutex_);
  auto bytes = unseal(sealed_);
  if (!bytes.ok()) return named(bytes.error());
  return bytes;
}

void SymmetricKey::wipe() const noexcept {
  static_cast<void>(memory::run_protected([this]() -> Status {
    const std::unique_lock lock(mutex_);
    OPENSSL_cleanse(sealed_.data(), sealed_.size());
    sealed_.clear();
    return {};
  }));
}

void SymmetricKey::count_operation() const noexcept {
  if (metrics_ != nullptr) metrics_->operations.fetch_add(1, std::memory_order_relaxed);
}

/// Of a key that was taken back meanwhile, whatever failed, that is the cause.
Error SymmetricKey::named(const Error& error) const noexcept {
  if (permit_ != nullptr && permit_->revoked()) return permit_->verdict().error();
  return uri_.has_value() ? error.about(uri_->name.uri()) : error;
}

}  // namespace vhsm::keystore
