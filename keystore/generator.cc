// SPDX-License-Identifier: Apache-2.0
//
// Keys that are generated here or brought in by the host.
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include <array>
#include <memory>
#include <utility>

#include "keystore/fips.h"
#include "keystore/hot_set.h"
#include "keystore/key.h"
#include "keystore/local_key.h"
#include "keystore/pair_check.h"

namespace vhsm::keystore {
namespace {

using ScopedPKeyCtx = std::unique_ptr<EVP_PKEY_CTX, ScopedFree<EVP_PKEY_CTX_free>>;

/// Called between candidate primes: RSA generation takes longer than a fork will wait.
int on_progress(EVP_PKEY_CTX* /*ctx*/) {
  memory::pause_for_fork();
  return 1;
}

/// What a generator was told, in an array of its own.
class Settings {
 public:
  Status add(const OSSL_PARAM params[]) {
    if (params == nullptr || params->key == nullptr) return {};
    // Points into both arrays, so it is copied before they go.
    OSSL_PARAM* const joined = OSSL_PARAM_merge(all_.get(), params);
    OSSL_PARAM* const copy = joined != nullptr ? OSSL_PARAM_dup(joined) : nullptr;
    OPENSSL_free(joined);
    if (copy == nullptr) return fail(Errc::kCrypto, "the parameters cannot be kept");
    all_ = OwnedParams(copy);
    return {};
  }
  [[nodiscard]] const OSSL_PARAM* get() const noexcept { return all_.get(); }

 private:
  OwnedParams all_{nullptr};
};

class PairGenerator final : public Generator {
 public:
  PairGenerator(ScopedPKeyCtx ctx, const OSSL_PARAM* settable,
                std::shared_ptr<Metrics> metrics) noexcept
      : ctx_(std::move(ctx)), settable_(settable), metrics_(std::move(metrics)) {}

  Status set_params(const OSSL_PARAM params[]) override {
    VHSM_TRY(memory::run_protected([&] {
      return crypto(EVP_PKEY_CTX_set_params(ctx_.get(), params), "the parameter is refused");
    }));
    return settings_.add(params);
  }
  [[nodiscard]] const OSSL_PARAM* settings() const override { return settings_.get(); }
  [[nodiscard]] const OSSL_PARAM* settable_params() const override { return settable_; }

  Status set_template(const Key& key) override {
    if (&key.type() != &kEc) return {};  // no other type has domain parameters
    std::array<char, 64> group{};
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group.data(), group.size()),
        OSSL_PARAM_construct_end()};
    VHSM_TRY(key.get_params(params));
    return set_params(params);
  }

  Result<KeyPtr> generate(const std::optional<KeyUri>& name) override {
    auto key = generate_pair(name);
    if (!key.ok()) memory::wipe_stacks();
    return key;
  }

 private:
  Result<KeyPtr> generate_pair(const std::optional<KeyUri>& name) {
    HeldPKey pair;
    const auto make = [&]() -> Status {
      VHSM_TRY(hot_set().make_room());
      EVP_PKEY* raw = nullptr;
      const int rc = EVP_PKEY_generate(ctx_.get(), &raw);
      pair.reset(raw);
      return crypto(rc, "key generation failed (an EC key needs a group)");
    };
    VHSM_TRY(run_with_room(make));
    auto half = VHSM_TRY(PublicHalf::of(pair.get()));
    const auto key = VHSM_TRY(
        LocalKey::hold(std::move(half), std::move(pair), name, metrics_, Keeping::kInMemory));
    return KeyPtr(key);
  }

  ScopedPKeyCtx ctx_;
  const OSSL_PARAM* settable_;
  std::shared_ptr<Metrics> metrics_;
  Settings settings_;
};

/// EC domain parameters: nothing secret.
class ParameterGenerator final : public Generator {
 public:
  explicit ParameterGenerator(ossl::PKeyCtx ctx) noexcept : ctx_(std::move(ctx)) {}

  Status set_params(const OSSL_PARAM params[]) override {
    return crypto(EVP_PKEY_CTX_set_params(ctx_.get(), params), "the parameter is refused");
  }
  [[nodiscard]] const OSSL_PARAM* settings() const override { return nullptr; }
  [[nodiscard]] const OSSL_PARAM* settable_params() const override {
    return EVP_PKEY_CTX_settable_params(ctx_.get());
  }
  Status set_template(const Key& /*key*/) override { return {}; }

  Result<KeyPtr> generate(const std::optional<KeyUri>& name) override {
    if (name.has_value()) {
      return fail(Errc::kUnsupported, "parameters have no name", name->name.uri());
    }
    ossl::PKey parameters;
    VHSM_TRY(crypto(EVP_PKEY_generate(ctx_.get(), ossl::Receive(parameters)),
                    "parameter generation failed (EC parameters need a group)"));
    OSSL_PARAM* raw = nullptr;
    VHSM_TRY(crypto(EVP_PKEY_todata(parameters.get(), EVP_PKEY_KEY_PARAMETERS, &raw),
                    "the parameters cannot be read"));
    const OwnedParams params(raw);
    return import_public(kEc, OSSL_KEYMGMT_SELECT_DOMAIN_PARAMETERS, params.get());
  }

 private:
  ossl::PKeyCtx ctx_;
};

Error not_generated(const KeyType& type) {
  if (fips_is_on() && !type.approved) {
    return fail(Errc::kUnsupported, "the FIPS provider (fips = yes) has no such keys", type.name);
  }
  return fail(Errc::kUnsupported, "keys of this type are not generated", type.name);
}

Result<std::unique_ptr<Generator>> pair_generator(const KeyType& type,
                                                  std::shared_ptr<Metrics> metrics) {
  ScopedPKeyCtx ctx;
  const OSSL_PARAM* settable = nullptr;
  const auto start = [&]() -> Status {
    ctx.reset(EVP_PKEY_CTX_new_from_name(nullptr, type.name, nullptr));
    if (ctx == nullptr) return not_generated(type);
    EVP_PKEY_CTX_set_cb(ctx.get(), on_progress);
    VHSM_TRY(crypto(EVP_PKEY_keygen_init(ctx.get()), "keys of this type are not generated"));
    settable = EVP_PKEY_CTX_settable_params(ctx.get());
    return {};
  };
  VHSM_TRY(run_with_room(start));
  return std::unique_ptr<Generator>(
      std::make_unique<PairGenerator>(std::move(ctx), settable, std::move(metrics)));
}

/// A public half that comes with the private one must be the pair's: some types pass over it.
Status check_given_public(const PublicHalf& half, const OSSL_PARAM params[]) {
  if (OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_PUB_KEY) == nullptr) return {};
  const auto given = PublicHalf::from_params(half.type(), OSSL_KEYMGMT_SELECT_ALL, params);
  if (given.ok() && half.matches(given.value(), OSSL_KEYMGMT_SELECT_KEYPAIR)) return {};
  return fail(Errc::kBadFormat,
              "the private and the public half of the key do not belong together");
}

Result<KeyPtr> bring_in_pair(const KeyType& type, const OSSL_PARAM params[],
                             std::shared_ptr<Metrics> metrics) {
  HeldPKey pair;
  const auto bring_in = [&]() -> Status {
    const ossl::ErrorMark quiet;
    VHSM_TRY(hot_set().make_room());
    const auto ctx =
        VHSM_TRY(made(ossl::PKeyCtx(EVP_PKEY_CTX_new_from_name(nullptr, type.name, nullptr)),
                      "no such key type"));
    VHSM_TRY(crypto(EVP_PKEY_fromdata_init(ctx.get()), "key import does not start"));
    EVP_PKEY* raw = nullptr;
    // Read-only for EVP_PKEY_fromdata; the prototype lacks the const.
    auto* writable = const_cast<OSSL_PARAM*>(params);
    const int rc = EVP_PKEY_fromdata(ctx.get(), &raw, EVP_PKEY_KEYPAIR, writable);
    pair.reset(raw);
    return crypto(rc, "the parameters do not make a key pair");
  };
  const Status brought = run_with_room(bring_in);
  if (!brought.ok() && brought.error().code == Errc::kCrypto) {
    return fail(Errc::kBadFormat, "the parameters do not make a key pair");
  }
  VHSM_TRY(brought);
  auto half = VHSM_TRY(PublicHalf::of(pair.get()));
  VHSM_TRY(check_given_public(half, params));
  VHSM_TRY(check_pair(half, pair.get()));
  const auto key =
      VHSM_TRY(LocalKey::hold(std::move(half), std::move(pair), std::nullopt, std::move(metrics)));
  return KeyPtr(key);
}

}  // namespace

Result<std::unique_ptr<Generator>> Generator::create(const KeyType& type, Selection selection,
                                                     std::shared_ptr<Metrics> metrics) {
  if ((selection & OSSL_KEYMGMT_SELECT_KEYPAIR) != 0) {
    return pair_generator(type, std::move(metrics));
  }
  if (&type != &kEc) return fail(Errc::kUnsupported, "only EC has domain parameters", type.name);
  auto ctx = VHSM_TRY(made(ossl::PKeyCtx(EVP_PKEY_CTX_new_from_name(nullptr, type.name, nullptr)),
                           "no EC parameters"));
  VHSM_TRY(crypto(EVP_PKEY_paramgen_init(ctx.get()), "no EC parameters"));
  return std::unique_ptr<Generator>(std::make_unique<ParameterGenerator>(std::move(ctx)));
}

Result<KeyPtr> import_public(const KeyType& type, Selection selection, const OSSL_PARAM params[]) {
  auto half = VHSM_TRY(PublicHalf::from_params(type, selection, params));
  return KeyPtr(std::make_shared<LocalKey>(std::move(half), nullptr));
}

Result<KeyPtr> import_pair(const KeyType& type, const OSSL_PARAM params[],
                           std::shared_ptr<Metrics> metrics) {
  auto key = bring_in_pair(type, params, std::move(metrics));
  if (!key.ok()) memory::wipe_stacks();
  return key;
}

}  // namespace vhsm::keystore
