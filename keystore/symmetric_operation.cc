// SPDX-License-Identifier: Apache-2.0
#include "keystore/symmetric_operation.h"

#include <openssl/core_names.h>
#include <openssl/params.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "keystore/hot_set.h"
#include "keystore/symmetric_engine.h"

namespace vhsm::keystore {
namespace {

/// A scope that holds up forks takes no more data at once; a multiple of every block.
constexpr std::size_t kMaxChunkBytes = std::size_t{256} << 10;

/// Where the host's fetches go is not the private OpenSSL's business, and padding is set for
/// ciphers that have none, too.
constexpr std::array<std::string_view, 3> kIgnored{OSSL_ALG_PARAM_PROPERTIES, "engine",
                                                   OSSL_CIPHER_PARAM_PADDING};

bool listed(const OSSL_PARAM* list, const char* name) noexcept {
  return list != nullptr && OSSL_PARAM_locate_const(list, name) != nullptr;
}

/// TLS records have a life of their own inside the ciphers, in which data and IV mean other things.
bool is_record_param(std::string_view name) noexcept { return name.starts_with("tls"); }

/// Every parameter may change the result; so what would be ignored is refused.
Result<std::vector<OSSL_PARAM>> fenced(const OSSL_PARAM params[], const OSSL_PARAM* settable,
                                       SymmetricKind kind) {
  std::vector<OSSL_PARAM> kept;
  for (const OSSL_PARAM* p = params; p != nullptr && p->key != nullptr; ++p) {
    const std::string_view name(p->key);
    if (name == OSSL_KDF_PARAM_KEY) {
      return fail(Errc::kUnsupported, "a key in the clear is for another provider", name);
    }
    const bool known = listed(settable, p->key);
    const bool host_only = name == OSSL_ALG_PARAM_PROPERTIES;
    if (host_only || (!known && std::ranges::find(kIgnored, name) != kIgnored.end())) continue;
    if (!known || (kind == SymmetricKind::kCipher && is_record_param(name))) {
      return fail(Errc::kUnsupported, "the private OpenSSL does not take this parameter", name);
    }
    kept.push_back(*p);
  }
  kept.push_back(OSSL_PARAM_construct_end());
  return kept;
}

template <class Engine>
class LocalOperation final : public SymmetricOperation {
 public:
  LocalOperation(const SymmetricAlgorithm& algorithm, const OSSL_PARAM* settable, Engine engine)
      : algorithm_(algorithm), settable_(settable), engine_(std::move(engine)) {}

  static Result<std::unique_ptr<SymmetricOperation>> create(const SymmetricAlgorithm& algorithm) {
    const auto method =
        VHSM_TRY(made(Engine::fetch(algorithm.name), "the private OpenSSL lacks the algorithm"));
    auto engine = VHSM_TRY(run_with_room([&] { return Engine::create(method); }));
    return std::unique_ptr<SymmetricOperation>(std::make_unique<LocalOperation>(
        algorithm, Engine::describe(method).settable, std::move(engine)));
  }

  Status set_params(const OSSL_PARAM params[]) override {
    if (params == nullptr || params->key == nullptr) return {};
    const auto kept = VHSM_TRY(fenced(params, settable_, algorithm_.kind));
    note_digest(kept.data());
    return run_with_room([&] { return engine_.set_params(kept.data()); });
  }

  Status get_params(OSSL_PARAM params[]) const override {
    return memory::run_protected([&] { return engine_.get_params(params); });
  }

  Status start(const SymmetricStart& start) override {
    const bool anew = start.key != nullptr || Engine::kStartsWithKey;
    if (start.key != nullptr) key_ = start.key;
    if (key_ == nullptr && Engine::kStartsWithKey) return no_key();
    if (key_ == nullptr) return run_with_room([&] { return engine_.start(start, {}); });
    use_ = start.forwards ? algorithm_.forwards : algorithm_.backwards;
    spent_ = false;
    VHSM_TRY(key_->ask());
    VHSM_TRY(key_->allow(algorithm_, use_, digest_));
    const Status started = run_with_room([&] { return start_with_key(start, anew); });
    return started.ok() ? started : key_->named(started.error());
  }

  Result<std::size_t> update(ByteSpan in, std::span<std::uint8_t> out) override {
    if (key_ == nullptr) return no_key();
    const bool asks_size = algorithm_.forwards == Use::kWrap && out.data() == nullptr;
    if (!asks_size) VHSM_TRY(spend());
    if (in.size() <= kMaxChunkBytes) return feed(in, out);
    std::size_t written = 0;
    while (!in.empty()) {
      const ByteSpan chunk = in.first(std::min(in.size(), kMaxChunkBytes));
      written += VHSM_TRY(feed(chunk, out.data() != nullptr ? out.subspan(written) : out));
      in = in.subspan(chunk.size());
    }
    return written;
  }

  Result<std::size_t> finish(std::span<std::uint8_t> out) override {
    if (key_ == nullptr) return no_key();
    VHSM_TRY(spend());
    const auto size = memory::run_protected([&] { return engine_.finish(out); });
    if (size.ok()) key_->count_operation();
    spent_ = false;
    return size;
  }

  Result<std::unique_ptr<SymmetricOperation>> clone() const override {
    auto engine = VHSM_TRY(run_with_room([&] { return engine_.copy(); }));
    auto other = std::make_unique<LocalOperation>(algorithm_, settable_, std::move(engine));
    other->key_ = key_;
    other->digest_ = digest_;
    other->use_ = use_;
    return std::unique_ptr<SymmetricOperation>(std::move(other));
  }

 private:
  static Error no_key() {
    return fail(Errc::kWrongState, "the operation has no key; name one by vhsm-uri");
  }

  /// With its first piece an operation counts. By then all is set that the key's owner asks for.
  Status spend() {
    VHSM_TRY(key_->ask());
    if (spent_) return {};
    VHSM_TRY(key_->allow(algorithm_, use_, digest_));
    VHSM_TRY(key_->spend());
    spent_ = true;
    return {};
  }

  /// In a scope.
  Status start_with_key(const SymmetricStart& start, bool anew) {
    if (!anew) return engine_.start(start, {});
    VHSM_TRY(hot_set().make_room());
    const SecretBytes bytes = VHSM_TRY(key_->open());
    return engine_.start(start, bytes.expose());
  }

  Result<std::size_t> feed(ByteSpan in, std::span<std::uint8_t> out) {
    return memory::run_protected([&] { return engine_.update(in, out); });
  }

  void note_digest(const OSSL_PARAM params[]) {
    const OSSL_PARAM* const digest = OSSL_PARAM_locate_const(params, OSSL_ALG_PARAM_DIGEST);
    const char* name = nullptr;
    if (digest != nullptr && OSSL_PARAM_get_utf8_string_ptr(digest, &name) == 1) digest_ = name;
  }

  const SymmetricAlgorithm& algorithm_;
  const OSSL_PARAM* settable_;
  Engine engine_;
  SymmetricKeyPtr key_;
  std::string digest_;
  Use use_ = Use::kSign;  ///< with a key: what it was started for
  bool spent_ = false;
};

/// Calls `use`, a template, for the engine of that kind.
template <class Use>
auto with_engine(SymmetricKind kind, Use&& use) {
  switch (kind) {
    case SymmetricKind::kMac: return use.template operator()<MacEngine>();
    case SymmetricKind::kCipher: return use.template operator()<CipherEngine>();
    default: return use.template operator()<KdfEngine>();
  }
}

}  // namespace

Result<std::unique_ptr<SymmetricOperation>> make_local_operation(
    const SymmetricAlgorithm& algorithm) {
  return with_engine(algorithm.kind,
                     [&]<class Engine>() { return LocalOperation<Engine>::create(algorithm); });
}

SymmetricParams describe_params(const SymmetricAlgorithm& algorithm) {
  return with_engine(algorithm.kind, [&]<class Engine>() {
    const auto method = Engine::fetch(algorithm.name);
    return method != nullptr ? Engine::describe(method) : SymmetricParams{};
  });
}

Status get_algorithm_params(const SymmetricAlgorithm& algorithm, OSSL_PARAM params[]) {
  return with_engine(algorithm.kind, [&]<class Engine>() -> Status {
    const auto method =
        VHSM_TRY(made(Engine::fetch(algorithm.name), "the private OpenSSL lacks the algorithm"));
    return Engine::get_algorithm_params(method, params);
  });
}

Result<SymmetricKeyPtr> derive_key(SymmetricOperation& operation, std::size_t bytes) {
  if (bytes == 0 || bytes > kMaxSecretKeyBytes) {
    return fail(Errc::kBadLength, "a symmetric key has 1 to 1024 bytes");
  }
  SecretMaterial material;
  material.key = VHSM_TRY(SecretBytes::zeros(bytes));
  [[maybe_unused]] const std::size_t size = VHSM_TRY(operation.finish(material.key.expose()));
  return SymmetricKey::hold(material, std::nullopt);
}

}  // namespace vhsm::keystore
