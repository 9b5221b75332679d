// SPDX-License-Identifier: Apache-2.0
#include "keystore/daemon/service.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/haste.h"
#include "keystore/daemon/list_line.h"
#include "keystore/local_key.h"

namespace vhsm::keystore {
namespace {

constexpr unsigned kNotesInASecond = 10;
constexpr std::size_t kScratchBytes = std::size_t{64} << 10;

/// Null where the request has none.
Result<std::shared_ptr<const LocalKey>> peer_of(const Request& request) {
  if (request.peer.empty()) return std::shared_ptr<const LocalKey>();
  auto half = VHSM_TRY(PublicHalf::from_key_info(request.peer));
  return std::shared_ptr<const LocalKey>(std::make_shared<LocalKey>(std::move(half), nullptr));
}

/// A derivation's peer comes after its parameters, an encapsulation's before them.
Result<std::unique_ptr<Operation>> begin(const Request& request, const Key& key) {
  const auto params = request.params.view();
  const auto peer = VHSM_TRY(peer_of(request));
  const bool derives = request.kind == OperationKind::kDerive;
  auto operation = VHSM_TRY(key.begin({.kind = request.kind,
                                       .digest = request.digest,
                                       .params = params.data(),
                                       .peer = derives ? nullptr : peer.get()}));
  if (derives && peer != nullptr) VHSM_TRY(operation->set_peer(*peer));
  return operation;
}

/// The ciphertext, and the shared secret behind it.
Result<std::size_t> encapsulate(Operation& operation, std::span<std::uint8_t> out) {
  const Encapsulated size = VHSM_TRY(operation.encapsulate({}, {}));
  if (out.size() < size.wrapped_bytes + size.secret_bytes) {
    return fail(Errc::kBadLength, "there is no room for the output");
  }
  const auto wrapped = out.first(size.wrapped_bytes);
  [[maybe_unused]] const Encapsulated made =
      VHSM_TRY(operation.encapsulate(wrapped, out.subspan(size.wrapped_bytes, size.secret_bytes)));
  return size.wrapped_bytes + size.secret_bytes;
}

Result<Reply> operate(const Request& request, const Key& key) {
  if (!needs_private(request.kind)) {
    return fail(Errc::kInvalidArgument, "vhsmd does private operations alone");
  }
  const auto operation = VHSM_TRY(begin(request, key));
  if (request.capacity == 0) return fail(Errc::kBadLength, "there is no room for the output");
  Reply reply;
  auto& output = reply.output.bytes();
  output.resize(std::min(request.capacity, kMaxOutputBytes));
  const std::size_t size = VHSM_TRY(request.kind == OperationKind::kAuthEncapsulate
                                        ? encapsulate(*operation, output)
                                        : operation->run(request.input, output));
  output.resize(size);
  return reply;
}

// ----- symmetric keys ---------------------------------------------------------------------------

/// Parameters in the order that the algorithm wants them in, as in the provider.
Status begin(SymmetricOperation& operation, const SymmetricAlgorithm& algorithm,
             const Request& request, const SymmetricKeyPtr& key) {
  const SymmetricStep& step = request.step;
  const auto params = request.params.view();
  const bool params_first = algorithm.kind != SymmetricKind::kCipher;
  if (params_first) VHSM_TRY(operation.set_params(params.data()));
  VHSM_TRY(operation.start({.key = key, .forwards = step.forwards}));
  if (!params_first) VHSM_TRY(operation.set_params(params.data()));
  if (step.iv.empty()) return {};
  return operation.start({.forwards = step.forwards, .iv = step.iv});
}

/// Feeds `in`, whose output nobody wants.
Status feed(SymmetricOperation& operation, ByteView in) {
  Message scratch(std::min(in.size(), kScratchBytes) + EVP_MAX_BLOCK_LENGTH);
  while (!in.empty()) {
    const ByteView chunk = in.first(std::min(in.size(), kScratchBytes));
    [[maybe_unused]] const std::size_t size = VHSM_TRY(operation.update(chunk, scratch.bytes()));
    in = in.subspan(chunk.size());
  }
  return {};
}

Status skip(SymmetricOperation& operation, std::size_t bytes) {
  const std::vector<std::uint8_t> zeros(std::min(bytes, kScratchBytes));
  for (; bytes > 0; bytes -= std::min(bytes, kScratchBytes)) {
    VHSM_TRY(feed(operation, ByteView(zeros).first(std::min(bytes, kScratchBytes))));
  }
  return {};
}

Status feed_associated(SymmetricOperation& operation, ByteView data) {
  if (data.empty()) return {};
  [[maybe_unused]] const std::size_t size = VHSM_TRY(operation.update(data, {}));
  return {};
}

/// What the end yields; of an authenticated encryption the tag.
Status finish_into(SymmetricOperation& operation, const SymmetricAlgorithm& algorithm,
                   const Request& request, std::vector<std::uint8_t>& output) {
  const std::size_t size = VHSM_TRY(operation.finish(output));
  output.resize(size);
  if (algorithm.mode != CipherMode::kGcm || !request.step.forwards) return {};
  if (request.capacity < EVP_GCM_TLS_TAG_LEN) {
    return fail(Errc::kBadLength, "there is no room for the tag");
  }
  output.resize(EVP_GCM_TLS_TAG_LEN);
  OSSL_PARAM params[] = {
      OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, output.data(), output.size()),
      OSSL_PARAM_construct_end()};
  return operation.get_params(params);
}

Result<Reply> use_secret(const Request& request, const SymmetricKeyPtr& key) {
  const SymmetricStep& step = request.step;
  const SymmetricAlgorithm* const algorithm = find_symmetric_algorithm(step.algorithm);
  if (algorithm == nullptr) return fail(Errc::kUnsupported, "no such algorithm", step.algorithm);
  const auto operation = VHSM_TRY(make_local_operation(*algorithm));
  VHSM_TRY(begin(*operation, *algorithm, request, key));
  VHSM_TRY(feed_associated(*operation, step.associated));
  VHSM_TRY(skip(*operation, step.skip));
  Reply reply;
  auto& output = reply.output.bytes();
  output.resize(std::min(request.capacity, kMaxOutputBytes));
  if (step.last) {
    VHSM_TRY(feed(*operation, request.input));
    VHSM_TRY(finish_into(*operation, *algorithm, request, output));
    return reply;
  }
  const std::size_t size = VHSM_TRY(operation->update(request.input, output));
  output.resize(size);
  return reply;
}

std::uint32_t version_of(const KeyUri* uri) noexcept {
  return uri == nullptr ? 0 : uri->version.value_or(0);
}

/// A secret may be a passphrase, which its fingerprint would let be guessed.
Reply describe(const SymmetricKey& key) {
  Reply reply;
  reply.version = version_of(key.uri());
  if (!key.is_secret()) reply.public_key = key.fingerprint();
  reply.size = key.size();
  return reply;
}

Result<Reply> release(const SymmetricKey& key) {
  Reply reply;
  reply.secret = VHSM_TRY(key.release());
  return reply;
}

bool is_about_secret(const Request& request) noexcept {
  constexpr std::array kAboutSecrets{Ask::kOpenSecret, Ask::kUseSecret, Ask::kRelease};
  return std::ranges::find(kAboutSecrets, request.ask) != kAboutSecrets.end();
}

Result<Reply> describe(const Entry& entry) {
  Reply reply;
  reply.public_key = entry.public_key_info;
  reply.certificates = entry.certificates;
  if (entry.key != nullptr) reply.keeping = entry.key->keeping();
  if (entry.key != nullptr) reply.version = version_of(entry.key->uri());
  return reply;
}

bool same(ByteView a, ByteView b) noexcept { return std::ranges::equal(a, b); }

bool is_management(Ask ask) noexcept {
  constexpr std::array kManagement{Ask::kRemove, Ask::kRotate, Ask::kEnable, Ask::kDisable,
                                   Ask::kSetPolicy};
  return std::ranges::find(kManagement, ask) != kManagement.end();
}

bool opens(Ask ask) noexcept {
  return ask == Ask::kOpen || ask == Ask::kOpenSecret || ask == Ask::kRelease;
}

Result<Rule> rule_of(const RuleText& text) {
  const Rule::Kind kind = VHSM_TRY(parse_kind(text.kind));
  return parse_rule(kind, text.value);
}

/// What a request names.
Result<KeyUri> uri_of(const Request& request) {
  auto name = VHSM_TRY(KeyName::parse(request.name));
  KeyUri uri{std::move(name), std::nullopt, std::nullopt};
  if (request.version != 0) uri.version = request.version;
  if (is_about_secret(request)) uri.type = ObjectType::kSecret;
  return uri;
}

Result<std::optional<KeyName>> key_or_every(std::string_view name) {
  if (name.empty()) return std::optional<KeyName>();
  auto key = VHSM_TRY(KeyName::parse(name));
  return std::optional(std::move(key));
}

}  // namespace

Service::Service(std::shared_ptr<HoldingKeystore> keystore, std::shared_ptr<Grants> grants, Log log,
                 std::function<DaemonStatus()> status, std::chrono::milliseconds longest_wait)
    : keystore_(std::move(keystore)),
      grants_(std::move(grants)),
      log_(std::move(log)),
      status_(std::move(status)),
      longest_wait_(longest_wait) {}

void Service::note(const Error& refusal) noexcept {
  const auto since = std::chrono::steady_clock::now().time_since_epoch();
  const std::int64_t second = std::chrono::floor<std::chrono::seconds>(since).count();
  if (noted_second_.exchange(second) != second) noted_ = 0;
  if (noted_.fetch_add(1) < kNotesInASecond) log_.error(refusal);
}

Status Service::check_owner(const Peer& peer) const {
  if (grants_->is_owner(peer)) return {};
  return fail(Errc::kNotGranted, "only root and vhsmd's own user may ask for this",
              "user " + std::to_string(peer.uid))
      .cured_by("ask as one of them");
}

Status Service::may_take_over(const Peer& peer) { return check_owner(peer); }

Result<KeyUri> Service::permitted(const Request& request, const Peer& peer) {
  auto uri = VHSM_TRY(uri_of(request));
  VHSM_TRY(request.ask == Ask::kRelease ? grants_->allow_release(peer, uri.name)
                                        : grants_->allow(peer, uri.name));
  return uri;
}

Result<Reply> Service::use_symmetric(const Request& request, const KeyUri& uri,
                                     const Entry& entry) const {
  const SymmetricKeyPtr key = VHSM_TRY(symmetric_in(entry, uri.name));
  if (request.ask == Ask::kRelease) return release(*key);
  const bool known = !request.public_key.empty() && !key->is_secret();
  if (known && !same(request.public_key, key->fingerprint())) {
    return fail(Errc::kBadFormat, "this is another key than the client was told of",
                uri.name.uri());
  }
  if (request.ask == Ask::kOpenSecret) return describe(*key);
  if (!known) return fail(Errc::kNoPrivateKey, "the key's fingerprint is missing", uri.name.uri());
  return use_secret(request, key);
}

/// The key under a name may have been replaced since the client saw its public half.
Result<Reply> Service::use(const Request& request, const KeyUri& uri, const Entry& entry) const {
  if (is_about_secret(request)) return use_symmetric(request, uri, entry);
  if (!request.public_key.empty() && !same(request.public_key, entry.public_key_info)) {
    return fail(Errc::kBadFormat, "this is another key than the client was told of",
                uri.name.uri());
  }
  if (request.ask != Ask::kOperate) return describe(entry);
  if (entry.key == nullptr || request.public_key.empty()) {
    return fail(Errc::kNoPrivateKey, "there is no private key", uri.name.uri());
  }
  return operate(request, *entry.key);
}

Result<Reply> Service::names_for(const Peer& peer) {
  const auto names = VHSM_TRY(keystore_->names());
  Reply reply;
  for (const KeyUri& uri : names) {
    if (grants_->allow(peer, uri.name).ok())
      reply.lines.push_back(uri.text().substr(kScheme.size()));
  }
  return reply;
}

Result<Reply> Service::generate(const Request& request, const Peer& peer) {
  VHSM_TRY(check_owner(peer));
  const auto name = VHSM_TRY(KeyName::parse(request.name));
  const KeyType* const type = find_key_type(request.type);
  if (type == nullptr) return fail(Errc::kUnsupported, "no such key type", request.type);
  const auto settings = request.params.view();
  const KeyPtr key = VHSM_TRY(keystore_->generate(name, *type, settings.data(), request.policy));
  Reply reply;
  reply.public_key = VHSM_TRY(key->public_key_info());
  reply.keeping = key->keeping();
  reply.version = version_of(key->uri());
  log_.write(LogLevel::kInfo, "user " + std::to_string(peer.uid) + " generates " + name.uri());
  return reply;
}

/// A client names the key and its nonce; all that is said of the key is the keystore's.
Result<Reply> Service::attest(const Request& request, const Peer& peer) {
  const KeyUri uri = VHSM_TRY(permitted(request, peer));
  Reply reply;
  reply.output.bytes() = VHSM_TRY(keystore_->attest(uri, request.input));
  log_.write(LogLevel::kInfo,
             "user " + std::to_string(peer.uid) + " has evidence of " + uri.text());
  return reply;
}

/// What owners do to a key that is there.
Result<Reply> Service::manage(const Request& request, const Peer& peer) {
  VHSM_TRY(check_owner(peer));
  const KeyUri uri = VHSM_TRY(uri_of(request));
  Reply reply;
  const char* what = " deletes ";
  if (request.ask == Ask::kRotate) {
    const KeyLine line = VHSM_TRY(keystore_->rotate(uri.name));
    reply.lines.push_back(to_line(line));
    what = " rotates ";
  } else if (request.ask == Ask::kRemove) {
    VHSM_TRY(keystore_->remove(uri));
  } else if (request.ask == Ask::kSetPolicy) {
    VHSM_TRY(keystore_->set_policy(uri, request.policy));
    what = " sets the policy of ";
  } else {
    const bool enabled = request.ask == Ask::kEnable;
    VHSM_TRY(keystore_->set_enabled(uri, enabled));
    what = enabled ? " enables " : " disables ";
  }
  log_.write(LogLevel::kInfo, "user " + std::to_string(peer.uid) + what + uri.text());
  return reply;
}

Result<Reply> Service::list_for(const Peer& peer) {
  const auto lines = VHSM_TRY(keystore_->list());
  Reply reply;
  for (const KeyLine& line : lines) {
    if (grants_->allow(peer, line.name).ok()) reply.lines.push_back(to_line(line));
  }
  return reply;
}

Result<Reply> Service::manage_grants(const Request& request, const Peer& peer) {
  VHSM_TRY(check_owner(peer));
  Reply reply;
  const auto name = VHSM_TRY(key_or_every(request.name));
  if (request.ask == Ask::kGrants) {
    reply.lines = grants_->list(name);
    return reply;
  }
  const Rule rule = VHSM_TRY(rule_of(request.rule));
  const bool grants = request.ask == Ask::kGrant;
  VHSM_TRY(grants ? grants_->grant(name, rule) : grants_->revoke(name, rule));
  log_.write(LogLevel::kInfo,
             "user " + std::to_string(peer.uid) + (grants ? " grants " : " revokes ") +
                 (name.has_value() ? name->uri() : "every key") + " for " + to_text(rule));
  return reply;
}

Result<Reply> Service::use_here(const Request& request, const Peer& peer, bool& has_to_wait) {
  const KeyUri uri = VHSM_TRY(permitted(request, peer));
  const auto here = VHSM_TRY(keystore_->find(uri));
  const bool waits_for_proof =
      here.has_value() && opens(request.ask) && here->permit != nullptr && here->permit->closed();
  if (here.has_value() && !waits_for_proof) return use(request, uri, *here);
  if (request.ask == Ask::kFind) {
    return fail(Errc::kMissing, "there is no such key here", uri.name.uri());
  }
  has_to_wait = true;
  return Reply{};
}

Result<Reply> Service::reply_at_once(const Request& request, const Peer& peer, bool& has_to_wait) {
  switch (request.ask) {
    case Ask::kStatus: {
      Reply reply;
      reply.status = status_();
      return reply;
    }
    case Ask::kNames: return names_for(peer);
    case Ask::kOpen:
    case Ask::kFind:
    case Ask::kOperate:
    case Ask::kOpenSecret:
    case Ask::kUseSecret:
    case Ask::kRelease: return use_here(request, peer, has_to_wait);
    case Ask::kGenerate:
    case Ask::kRotate:
    case Ask::kEnable:
    case Ask::kDisable:
    case Ask::kSetPolicy:
    case Ask::kRemove:
      VHSM_TRY(check_owner(peer));
      has_to_wait = true;  // they ask the KBS, take long, or wait for another process
      return Reply{};
    case Ask::kList: return list_for(peer);
    case Ask::kAttest: {
      [[maybe_unused]] const KeyUri uri = VHSM_TRY(permitted(request, peer));
      has_to_wait = true;  // the device is slow
      return Reply{};
    }
    default: return manage_grants(request, peer);
  }
}

/// A client's patience is the deadline of a fetch that others share: one that gives a KBS no time
/// would make it look dead to all.
std::chrono::milliseconds Service::patience(std::chrono::milliseconds asked) const noexcept {
  return std::min(std::max(asked, kShortestWait), longest_wait_);
}

Result<Reply> Service::reply_waiting(const Request& request, const Peer& peer) {
  if (request.ask == Ask::kGenerate) return generate(request, peer);
  if (request.ask == Ask::kAttest) return attest(request, peer);
  if (is_management(request.ask)) return manage(request, peer);
  const KeyUri uri = VHSM_TRY(permitted(request, peer));
  const auto entry = opens(request.ask) ? keystore_->fetch(uri, patience(request.wait))
                                        : keystore_->expect(uri, kFirstOutcome);
  if (!entry.ok()) return entry.error();
  return use(request, uri, entry.value());
}

Reply Service::finish(Result<Reply> reply, const Request& request) {
  if (reply.ok()) return std::move(reply).value();
  Error error = reply.error();
  if (!request.name.empty()) error = error.about(std::string(kScheme) + std::string(request.name));
  if (error.code == Errc::kNotGranted) note(error);
  Reply refusal;
  refusal.error = error;
  return refusal;
}

std::optional<Reply> Service::answer_at_once(const Request& request, const Peer& peer) {
  const Haste haste;
  bool has_to_wait = false;
  auto reply = reply_at_once(request, peer, has_to_wait);
  // Somebody changes the folder that uses of a key have to be taken from, or attests: nothing is
  // spent yet.
  if (!reply.ok() && reply.error().code == Errc::kInUse) return std::nullopt;
  if (has_to_wait) return std::nullopt;
  return finish(std::move(reply), request);
}

Reply Service::answer(const Request& request, const Peer& peer) {
  auto at_once = answer_at_once(request, peer);
  if (at_once.has_value()) return *std::move(at_once);
  return finish(reply_waiting(request, peer), request);
}

}  // namespace vhsm::keystore
