// SPDX-License-Identifier: Apache-2.0
#include "keystore/daemon/remote_keystore.h"

#include <utility>

#include "keystore/daemon/list_line.h"
#include "keystore/daemon/remote_key.h"
#include "keystore/daemon/remote_symmetric.h"

namespace vhsm::keystore {
namespace {

class Client final : public RemoteKeystore {
 public:
  Client(const std::string& path, const Deadlines& deadlines, std::shared_ptr<Metrics> metrics)
      : context_(std::make_shared<RemoteContext>(path, kAnswerWait, std::move(metrics))),
        deadlines_(deadlines) {}

  Result<Entry> open(const KeyUri& uri) override {
    if (uri.type == ObjectType::kSecret) return open_secret(uri);
    Reply reply = VHSM_TRY(ask_for(uri, {}, deadlines_.fetch_timeout));
    return entry_of(uri, std::move(reply));
  }

  Result<KeyPtr> open_stand_in(const KeyUri& uri, const KeyType& type,
                               std::span<const std::uint8_t> public_key_info) override {
    auto key = VHSM_TRY(RemoteKey::make(public_key_info, uri, Keeping::kStored, context_));
    if (&key->type() != &type) {
      return fail(Errc::kBadFormat, "the stand-in's key type and public key differ",
                  uri.name.uri());
    }
    // vhsmd fetches it now; an outage is no reason not to start, a key that is not ours is.
    const auto loaded = ask_for(uri, public_key_info, deadlines_.load_wait);
    if (!loaded.ok() && loaded.error().code == Errc::kBadFormat) return loaded.error();
    return KeyPtr(std::move(key));
  }

  Result<std::vector<KeyUri>> names() override {
    const Reply reply = VHSM_TRY(context_->channel.ask({.ask = Ask::kNames}, kAnswerWait));
    std::vector<KeyUri> names;
    for (const std::string& line : reply.lines) {
      auto name = VHSM_TRY(KeyUri::parse(line, {}, true));
      names.push_back(std::move(name));
    }
    return names;
  }

  Result<std::optional<Entry>> find(const KeyUri& uri) override {
    auto reply = context_->channel.ask(about(Ask::kFind, uri), kAnswerWait);
    if (!reply.ok() && reply.error().code == Errc::kMissing) return std::optional<Entry>();
    Reply found = VHSM_TRY(std::move(reply));
    auto entry = VHSM_TRY(entry_of(uri, std::move(found)));
    return std::optional(std::move(entry));
  }

  Result<KeyPtr> generate(const KeyName& name, const KeyType& type, const OSSL_PARAM settings[],
                          std::string_view policy) override {
    Request request{
        .ask = Ask::kGenerate, .name = name.path(), .type = type.name, .policy = policy};
    VHSM_TRY(request.params.add(settings));
    const Reply reply = VHSM_TRY(context_->channel.ask(request, kGenerationWait));
    const auto key = VHSM_TRY(RemoteKey::make(reply.public_key,
                                              versioned({name, std::nullopt, std::nullopt}, reply),
                                              reply.keeping, context_));
    return KeyPtr(key);
  }

  Result<std::vector<KeyLine>> list() override {
    const Reply reply = VHSM_TRY(context_->channel.ask({.ask = Ask::kList}, kAnswerWait));
    std::vector<KeyLine> lines;
    for (const std::string& text : reply.lines) {
      auto line = VHSM_TRY(parse_list_line(text));
      lines.push_back(std::move(line));
    }
    return lines;
  }

  Result<KeyLine> rotate(const KeyName& name) override {
    const Reply reply = VHSM_TRY(
        context_->channel.ask({.ask = Ask::kRotate, .name = name.path()}, kGenerationWait));
    if (reply.lines.size() != 1) return fail(Errc::kBadFormat, "vhsmd tells of no new version");
    return parse_list_line(reply.lines.front());
  }

  Status set_enabled(const KeyUri& uri, bool enabled) override {
    return manage(about(enabled ? Ask::kEnable : Ask::kDisable, uri));
  }

  Status set_policy(const KeyUri& uri, std::string_view policy) override {
    Request request = about(Ask::kSetPolicy, uri);
    request.policy = policy;
    return manage(request);
  }

  Status remove(const KeyUri& uri) override { return manage(about(Ask::kRemove, uri)); }

  Result<SecretBytes> release(const KeyUri& uri) override {
    Request request = about(Ask::kRelease, uri);
    request.wait = deadlines_.fetch_timeout;
    Reply reply = VHSM_TRY(context_->channel.ask(request, request.wait + kAnswerWait));
    if (reply.secret.size() > 0) return std::move(reply.secret);
    return fail(Errc::kBadFormat, "vhsmd gives no secret", uri.name.uri());
  }

  Result<std::vector<std::uint8_t>> attest(const KeyUri& uri,
                                           std::span<const std::uint8_t> nonce) override {
    Request request = about(Ask::kAttest, uri);
    request.input = nonce;
    const Reply reply =
        VHSM_TRY(context_->channel.ask(request, deadlines_.fetch_timeout + kAnswerWait));
    return reply.output.bytes();
  }

  Result<std::unique_ptr<SymmetricOperation>> make_operation(
      const SymmetricAlgorithm& algorithm) override {
    return RemoteSymmetricOperation::create(algorithm, context_);
  }

  Result<DaemonStatus> status() override {
    Reply reply = VHSM_TRY(context_->channel.ask({.ask = Ask::kStatus}, kAnswerWait));
    if (!reply.status.has_value()) return fail(Errc::kBadFormat, "vhsmd tells no status");
    return *std::move(reply.status);
  }

  Status change(Ask ask, std::string_view name, const RuleText& rule) override {
    [[maybe_unused]] const Reply reply =
        VHSM_TRY(context_->channel.ask({.ask = ask, .name = name, .rule = rule}, kAnswerWait));
    return {};
  }

  Result<std::vector<std::string>> grants(std::string_view name) override {
    Reply reply = VHSM_TRY(context_->channel.ask({.ask = Ask::kGrants, .name = name}, kAnswerWait));
    return std::move(reply.lines);
  }

 private:
  static Request about(Ask ask, const KeyUri& uri) {
    return {.ask = ask, .name = uri.name.path(), .version = uri.version.value_or(0)};
  }

  /// From now on that very version is meant.
  static KeyUri versioned(KeyUri uri, const Reply& reply) {
    if (reply.version != 0) uri.version = reply.version;
    return uri;
  }

  Status manage(const Request& request) {
    [[maybe_unused]] const Reply reply = VHSM_TRY(context_->channel.ask(request, kManagementWait));
    return {};
  }

  [[nodiscard]] Result<Entry> entry_of(const KeyUri& uri, Reply reply) const {
    Entry entry{.key = nullptr, .certificates = std::move(reply.certificates)};
    if (reply.public_key.empty()) return entry;
    entry.key =
        VHSM_TRY(RemoteKey::make(reply.public_key, versioned(uri, reply), reply.keeping, context_));
    entry.public_key_info = std::move(reply.public_key);
    return entry;
  }

  Result<Entry> open_secret(const KeyUri& uri) {
    const auto wait = deadlines_.fetch_timeout;
    Request request = about(Ask::kOpenSecret, uri);
    request.wait = wait;
    Reply reply = VHSM_TRY(context_->channel.ask(request, wait + kAnswerWait));
    if (reply.size == 0) return fail(Errc::kBadFormat, "vhsmd tells no length of the key");
    Entry entry{.key = nullptr, .certificates = {}};
    entry.symmetric =
        SymmetricKey::remote(versioned(uri, reply), reply.size, std::move(reply.public_key));
    return entry;
  }

  Result<Reply> ask_for(const KeyUri& uri, ByteView public_key, std::chrono::milliseconds wait) {
    Request request = about(Ask::kOpen, uri);
    request.public_key = public_key;
    request.wait = wait;
    return context_->channel.ask(request, wait + kAnswerWait);
  }

  std::shared_ptr<RemoteContext> context_;
  Deadlines deadlines_;
};

}  // namespace

std::unique_ptr<RemoteKeystore> make_remote_keystore(const std::string& path,
                                                     const Deadlines& deadlines,
                                                     std::shared_ptr<Metrics> metrics) {
  return std::make_unique<Client>(path, deadlines, std::move(metrics));
}

}  // namespace vhsm::keystore
