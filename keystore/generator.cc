// SPDX-License-Identifier: Apache-2.0
//
// Ephemeral keys: generated here or brought in by the host.
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

class PairGenerator final : public Generator {
 public:
  PairGenerator(ScopedPKeyCtx ctx, const OSSL_PARAM* settable) noexcept
      : ctx_(std::move(ctx)), settable_(settable) {}

  Status set_params(const OSSL_PARAM params[]) override {
    return memory::run_protected([&] {
      return crypto(EVP_PKEY_CTX_set_params(ctx_.get(), params), "the parameter is refused");
    });
  }
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

  Result<KeyPtr> generate() override {
    auto key = generate_pair();
    if (!key.ok()) memory::wipe_stacks();
    return key;
  }

 private:
  Result<KeyPtr> generate_pair() {
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
    const auto key = VHSM_TRY(LocalKey::hold(std::move(half), std::move(pair)));
    return KeyPtr(key);
  }

  ScopedPKeyCtx ctx_;
  const OSSL_PARAM* settable_;
};

/// EC domain parameters: nothing secret.
class ParameterGenerator final : public Generator {
 public:
  explicit ParameterGenerator(ossl::PKeyCtx ctx) noexcept : ctx_(std::move(ctx)) {}

  Status set_params(const OSSL_PARAM params[]) override {
    return crypto(EVP_PKEY_CTX_set_params(ctx_.get(), params), "the parameter is refused");
  }
  [[nodiscard]] const OSSL_PARAM* settable_params() const override {
    return EVP_PKEY_CTX_settable_params(ctx_.get());
  }
  Status set_template(const Key& /*key*/) override { return {}; }

  Result<KeyPtr> generate() override {
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

Result<std::unique_ptr<Generator>> pair_generator(const KeyType& type) {
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
  return std::unique_ptr<Generator>(std::make_unique<PairGenerator>(std::move(ctx), settable));
}

Result<KeyPtr> bring_in_pair(const KeyType& type, const OSSL_PARAM params[]) {
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
  VHSM_TRY(check_pair(half, pair.get()));
  const auto key = VHSM_TRY(LocalKey::hold(std::move(half), std::move(pair)));
  return KeyPtr(key);
}

}  // namespace

Result<std::unique_ptr<Generator>> Generator::create(const KeyType& type, Selection selection) {
  if ((selection & OSSL_KEYMGMT_SELECT_KEYPAIR) != 0) return pair_generator(type);
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

Result<KeyPtr> import_pair(const KeyType& type, const OSSL_PARAM params[]) {
  auto key = bring_in_pair(type, params);
  if (!key.ok()) memory::wipe_stacks();
  return key;
}

}  // namespace vhsm::keystore
