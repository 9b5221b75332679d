// SPDX-License-Identifier: Apache-2.0
#include <openssl/core_dispatch.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <set>
#include <utility>

#include "keystore/algorithm_text.h"
#include "keystore/key_policy.h"
#include "keystore/keystore.h"
#include "keystore/local_key.h"
#include "keystore/renewer.h"
#include "keystore/retrier.h"
#include "keystore/sealed/copies.h"
#include "keystore/sealed/folder.h"
#include "keystore/shelf.h"
#include "keystore/stand_in_key.h"

namespace vhsm::keystore {
namespace {

using std::chrono::steady_clock;

Error has_no_folder(const KeyName& name) {
  return fail(Errc::kUnsupported, "keys are in memory alone here: set keystore = dir:PATH",
              name.uri());
}

KeyLine line_of(const KeyName& name, const sealed::Version& version) {
  return {.name = name,
          .version = version.number,
          .enabled = version.state == sealed::State::kEnabled,
          .symmetric = version.content == sealed::Content::kSecret,
          .origin = version.origin,
          .created = version.created,
          .type = version.type,
          .policy = std::string(sealed::text(version.policy)),
          .uses_left = version.uses_left};
}

/// A policy as it stands in the folder.
struct SealedPolicy {
  sealed::Bytes text{};
  sealed::Uses uses{};

  static Result<SealedPolicy> parse(std::string_view text, sealed::Content content) {
    const KeyPolicy policy = VHSM_TRY(KeyPolicy::parse(text));
    VHSM_TRY(policy.check_words(content == sealed::Content::kSecret));
    const std::string canonical = policy.text();
    const auto bytes = sealed::view(canonical);
    return SealedPolicy{{bytes.begin(), bytes.end()}, policy.uses()};
  }
};

/// What a copy may be used for ends with its time.
KeyLine line_of_copy(const KeyName& name, const sealed::Version& version) {
  KeyLine line = line_of(name, version);
  line.version = 0;
  line.policy = "not-after=" + std::to_string(version.copy.until);
  return line;
}

Status check_nonce(std::span<const std::uint8_t> nonce) {
  const bool fits = nonce.size() >= kMinNonceBytes && nonce.size() <= kMaxNonceBytes;
  if (nonce.empty() || fits) return {};
  return fail(Errc::kInvalidArgument, "a nonce has 8 to 64 bytes");
}

/// As the audit log has it.
template <class Value>
const char* outcome_of(const Result<Value>& result) noexcept {
  return result.ok() ? "granted" : reason(result.error().code);
}

constexpr auto by_name = [](const auto& a, const auto& b) { return a.name < b.name; };

/// Keys in this process; with a folder those that are sealed there too.
class MemoryKeystore final : public HoldingKeystore {
 public:
  MemoryKeystore(std::shared_ptr<KeySource> source, const Deadlines& deadlines,
                 std::shared_ptr<Metrics> metrics, const Policy& policy,
                 std::shared_ptr<const Records> records, std::shared_ptr<sealed::Folder> folder,
                 std::shared_ptr<sealed::Copies> copies, std::shared_ptr<Witness> witness)
      : folder_(std::move(folder)),
        copies_(std::move(copies)),
        witness_(std::move(witness)),
        records_(std::move(records)),
        shelf_(std::make_shared<Shelf>(std::move(source), metrics, policy, records_, folder_,
                                       copies_)),
        retrier_(std::make_shared<Retrier>(shelf_, deadlines)),
        renewer_(std::make_shared<Renewer>(shelf_, deadlines.load_wait, deadlines.fetch_timeout)),
        deadlines_(deadlines),
        metrics_(std::move(metrics)),
        attest_before_generate_(policy.attest_before_generate) {
    shelf_->set_renewer(renewer_);
  }

  Result<Entry> open(const KeyUri& uri) override { return fetch(uri, deadlines_.fetch_timeout); }
  Result<SecretBytes> release(const KeyUri& uri) override {
    const Entry entry = VHSM_TRY(open({uri.name, ObjectType::kSecret, uri.version}));
    if (entry.symmetric != nullptr) return entry.symmetric->release();
    return fail(Errc::kNotExportable, "a key pair stands there, and keys never come out",
                uri.name.uri());
  }
  Result<Entry> fetch(const KeyUri& uri, std::chrono::milliseconds patience) override {
    return shelf_->open(uri, steady_clock::now() + patience);
  }

  Result<KeyPtr> open_stand_in(const KeyUri& uri, const KeyType& type,
                               std::span<const std::uint8_t> public_key_info) override {
    auto half = VHSM_TRY(PublicHalf::from_key_info(public_key_info));
    if (&half.type() != &type) {
      return fail(Errc::kBadFormat, "the stand-in's key type and public key differ",
                  uri.name.uri());
    }
    auto same_half = VHSM_TRY(PublicHalf::from_key_info(public_key_info));
    auto key = std::make_shared<StandInKey>(
        std::move(half), std::make_shared<LocalKey>(std::move(same_half), nullptr), uri, shelf_,
        retrier_);
    // Fetched now, while device, files and names are still in reach; an outage is no reason not to
    // start, a key that is not ours is.
    const Status loaded = key->load(steady_clock::now() + deadlines_.load_wait);
    if (!loaded.ok() && loaded.error().code == Errc::kBadFormat) return loaded.error();
    return KeyPtr(std::move(key));
  }

  Result<std::optional<Entry>> find(const KeyUri& uri) override { return shelf_->find(uri); }
  Result<Entry> expect(const KeyUri& uri, std::chrono::milliseconds patience) override {
    return retrier_->open(uri, patience);
  }

  Result<std::vector<KeyUri>> names() override {
    auto names = VHSM_TRY(shelf_->names());
    const auto records = VHSM_TRY(this->records());
    for (const sealed::Record& record : records) {
      const sealed::Version* const version = record.version(std::nullopt);
      if (version == nullptr) continue;  // disabled
      auto name = VHSM_TRY(KeyName::parse(record.name));
      KeyUri uri{std::move(name), std::nullopt, std::nullopt};
      if (version->content == sealed::Content::kSecret) uri.type = ObjectType::kSecret;
      names.push_back(std::move(uri));
    }
    std::ranges::sort(names, by_name);
    return names;
  }

  Result<std::vector<KeyLine>> list() override {
    std::vector<KeyLine> lines;
    const auto in_memory = VHSM_TRY(shelf_->names());
    for (const KeyUri& uri : in_memory) {
      lines.push_back({.name = uri.name, .symmetric = uri.type == ObjectType::kSecret});
    }
    const auto records = VHSM_TRY(this->records());
    for (const sealed::Record& record : records) {
      const auto name = VHSM_TRY(KeyName::parse(record.name));
      for (const auto& version : record.versions) lines.push_back(line_of(name, version));
    }
    VHSM_TRY(list_copies(lines));
    std::ranges::stable_sort(lines, by_name);
    return lines;
  }

  Result<KeyPtr> generate(const KeyName& name, const KeyType& type, const OSSL_PARAM settings[],
                          std::string_view policy) override {
    if (!policy.empty() && folder_ == nullptr) return has_no_folder(name);
    auto terms = VHSM_TRY(SealedPolicy::parse(policy, sealed::Content::kPair));
    const KeyUri uri{name, std::nullopt, std::nullopt};
    const auto start = steady_clock::now();
    VHSM_TRY(shelf_->check_free(uri, start + deadlines_.fetch_timeout));
    const auto proven = VHSM_TRY(prove_if_needed(start));
    const KeyPtr key = VHSM_TRY(make_pair(uri, type, settings));
    if (folder_ != nullptr) return seal_new(name, *key, std::move(terms));
    Entry entry{.key = key, .certificates = {}};
    entry.public_key_info = VHSM_TRY(key->public_key_info());
    VHSM_TRY(shelf_->add(name, std::move(entry), proven));
    return key;
  }

  Result<KeyLine> rotate(const KeyName& name) override {
    VHSM_TRY(check_own(name));
    const auto record = VHSM_TRY(folder_->find(name.path(), deadline()));
    if (!record.has_value() || record->versions.empty()) return no_such_key(name);
    VHSM_TRY(check_rotatable(record->versions.back(), name));
    auto algorithm = VHSM_TRY(AlgorithmText::parse(record->versions.back().type));
    const auto start = steady_clock::now();
    [[maybe_unused]] const auto proven = VHSM_TRY(prove_if_needed(start));
    if (algorithm.type() == nullptr) {
      return seal_random(name, algorithm.secret_bytes(), policy_of(*record), true);
    }
    const KeyUri uri{name, std::nullopt, std::nullopt};
    const KeyPtr key = VHSM_TRY(make_pair(uri, *algorithm.type(), algorithm.settings()));
    const auto sealed = VHSM_TRY(static_cast<const LocalKey&>(*key).encoded());
    auto terms = VHSM_TRY(SealedPolicy::parse(policy_of(*record), sealed::Content::kPair));
    const auto made =
        VHSM_TRY(folder_->add_version(name.path(), version_of(*key, std::move(terms)), sealed));
    return line_of(name, made);
  }

  Status set_enabled(const KeyUri& uri, bool enabled) override {
    VHSM_TRY(check_own(uri.name));
    VHSM_TRY(folder_->set_state(uri.name.path(), uri.version,
                                enabled ? sealed::State::kEnabled : sealed::State::kDisabled));
    return shelf_->forget(uri.name);
  }

  Status set_policy(const KeyUri& uri, std::string_view policy) override {
    VHSM_TRY(check_own(uri.name));
    const auto record = VHSM_TRY(folder_->find(uri.name.path(), deadline()));
    if (!record.has_value()) return no_such_key(uri.name);
    const auto terms = VHSM_TRY(SealedPolicy::parse(policy, record->versions.front().content));
    const auto replaces = [&](const sealed::Version& version) {
      return check_replaces(terms, version, uri.name);
    };
    VHSM_TRY(folder_->set_policy(uri.name.path(), uri.version, terms.text, terms.uses, replaces));
    return shelf_->forget(uri.name);
  }

  Status remove(const KeyUri& uri) override {
    if (folder_ == nullptr) return remove_from_memory(uri);
    const Status removed = folder_->remove(uri.name.path(), uri.version);
    if (removed.ok()) return shelf_->forget(uri.name);
    const bool elsewhere = removed.error().code == Errc::kMissing && !uri.version.has_value();
    return elsewhere ? remove_from_memory(uri) : removed;
  }

  Result<std::vector<std::uint8_t>> attest(const KeyUri& uri,
                                           std::span<const std::uint8_t> nonce) override {
    VHSM_TRY(check_nonce(nonce));
    if (uri.type == ObjectType::kSecret) return has_no_public_half(uri.name);
    KeyClaims claims = VHSM_TRY(claims_of(uri));
    claims.nonce.assign(nonce.begin(), nonce.end());
    if (witness_ == nullptr) {
      return fail(Errc::kNoPlatform, "nobody vouches for this VM: set platform", uri.name.uri());
    }
    return witness_->vouch(claims, deadline());
  }

  Result<KeyLine> import(const KeyUri& uri, const SecretBytes& stored,
                         const Importing& how) override {
    if (folder_ == nullptr) return has_no_folder(uri.name);
    const Entry entry = VHSM_TRY(read_key(uri, stored));
    const std::string text = VHSM_TRY(policy_for(uri.name, entry, how));
    auto version = VHSM_TRY(new_version(entry, text));
    version.origin = sealed::Origin::kImported;
    return seal(uri.name, version, stored, how.successor);
  }

  Result<KeyLine> generate_secret(const KeyName& name, std::size_t bytes,
                                  std::string_view policy) override {
    if (folder_ == nullptr) return has_no_folder(name);
    return seal_random(name, bytes, policy, false);
  }

  Result<std::string> backup(const KeyUri& uri, const BackupReceiver& receiver) override {
    auto made = make_backup(uri, receiver);
    record({.event = "backup",
            .outcome = outcome_of(made),
            .key = uri.name.path(),
            .measurement = receiver.measurement});
    return made;
  }

  Result<KeyLine> restore(std::string_view backup, const std::optional<KeyName>& as) override {
    const auto claims = VHSM_TRY(read_backup(backup));
    const KeyUri uri{as.value_or(claims.key.name), claims.key.type, std::nullopt};
    auto line = open_and_seal(backup, claims, uri);
    record({.event = "restore", .outcome = outcome_of(line), .key = uri.name.path()});
    return line;
  }

 private:
  void record(const AuditEvent& event) const noexcept {
    if (records_ != nullptr) records_->audit.write(event);
  }

  // ----- backups

  Result<std::string> make_backup(const KeyUri& uri, const BackupReceiver& receiver) {
    VHSM_TRY(check_own(uri.name));
    VHSM_TRY(receiver.check());
    const auto opened = VHSM_TRY(folder_->open(uri.name.path(), uri.version, deadline()));
    const KeyUri which{uri.name, type_of(opened.version), opened.version.number};
    VHSM_TRY(check_may_leave(which, opened.version));
    return write_backup(opened.content, which, sealed::text(opened.version.policy),
                        receiver.claims);
  }

  /// A gate that is closed to every use is closed to this one.
  Status check_may_leave(const KeyUri& uri, const sealed::Version& version) {
    const auto policy = VHSM_TRY(KeyPolicy::parse(sealed::text(version.policy)));
    if (!policy.allows_backup()) {
      return fail(Errc::kPolicy, "only a key that was made with the policy backup=attested leaves",
                  uri.text());
    }
    const Entry entry = VHSM_TRY(open(uri));
    return entry.permit == nullptr ? Status() : entry.permit->ask();
  }

  Result<KeyLine> open_and_seal(std::string_view backup, const BackupClaims& claims,
                                const KeyUri& uri) {
    if (folder_ == nullptr) return has_no_folder(uri.name);
    const auto policy = VHSM_TRY(KeyPolicy::parse(claims.policy));
    if (!policy.allows_backup()) {
      return fail(Errc::kPolicy, "the backup's key was never to leave (backup=)", uri.name.uri());
    }
    const auto receiver = VHSM_TRY(receiving_key(claims));
    const auto stored = open_backup(backup, receiver);
    if (!stored.ok()) return stored.error().about(uri.name.uri());
    const Entry entry = VHSM_TRY(read_key(uri, stored.value()));
    auto version = VHSM_TRY(new_version(entry, claims.policy));
    version.origin = sealed::Origin::kRestored;
    return seal(uri.name, version, stored.value(), false);
  }

  static std::optional<ObjectType> type_of(const sealed::Version& version) noexcept {
    const bool is_secret = version.content == sealed::Content::kSecret;
    return is_secret ? std::optional(ObjectType::kSecret) : std::nullopt;
  }

  /// PKCS#8 of the key that a backup is for.
  Result<SecretBytes> receiving_key(const BackupClaims& claims) {
    const KeyUri& uri = claims.receiver;
    const auto record = VHSM_TRY(folder_->find(uri.name.path(), deadline()));
    if (!record.has_value()) return is_for_another(uri);
    const auto opened = VHSM_TRY(folder_->open(uri.name.path(), uri.version, deadline()));
    const auto policy = VHSM_TRY(KeyPolicy::parse(sealed::text(opened.version.policy)));
    if (!policy.restores()) {
      return fail(Errc::kPolicy, "the key that the backup is for opens no backups (operations)",
                  uri.text());
    }
    const Entry entry = VHSM_TRY(shelf_->read(uri, opened.content));
    const auto digest = VHSM_TRY(digest_of(entry.public_key_info));
    if (digest != claims.receiver_key) return is_for_another(uri);
    return static_cast<const LocalKey&>(*entry.key).encoded();
  }

  static Error is_for_another(const KeyUri& receiver) {
    return fail(Errc::kMissing,
                "the backup is for a key of another keystore, or for one that is gone",
                receiver.text())
        .cured_by("have it made for a key that is here: vhsm key attest");
  }

  /// Each version for itself: they may have come in different ways.
  static Status check_replaces(const SealedPolicy& terms, const sealed::Version& version,
                               const KeyName& name) {
    const auto then = VHSM_TRY(KeyPolicy::parse(sealed::text(version.policy)));
    const auto now = VHSM_TRY(KeyPolicy::parse(sealed::text(terms.text)));
    const Status replaces = now.check_replaces(then);
    return replaces.ok() ? Status() : Status(replaces.error().about(name.uri()));
  }

  Result<std::optional<Moment>> prove_if_needed(steady_clock::time_point since) {
    if (!attest_before_generate_) return std::optional<Moment>();
    const Moment proven =
        VHSM_TRY(shelf_->prove(since, steady_clock::now() + deadlines_.fetch_timeout));
    return std::optional(proven);
  }

  [[nodiscard]] steady_clock::time_point deadline() const {
    return steady_clock::now() + deadlines_.fetch_timeout;
  }

  Result<std::vector<sealed::Record>> records() {
    if (folder_ == nullptr) return std::vector<sealed::Record>();
    return folder_->records(deadline());
  }

  Result<KeyClaims> claims_of(const KeyUri& uri) {
    if (folder_ != nullptr) {
      const auto record = VHSM_TRY(folder_->find(uri.name.path(), deadline()));
      if (record.has_value()) return sealed_claims(uri);
    }
    const Entry entry = VHSM_TRY(open(uri));
    KeyClaims claims = VHSM_TRY(public_claims(uri, entry));
    const bool made_here = entry.key->keeping() == Keeping::kInMemory;
    claims.origin = made_here ? KeyOrigin::kGenerated : KeyOrigin::kFetched;
    return claims;
  }

  /// Key and index are read together, past the shelf: else a key that took another one's name and
  /// number meanwhile would lend it its origin.
  Result<KeyClaims> sealed_claims(const KeyUri& uri) {
    const auto opened = VHSM_TRY(folder_->open(uri.name.path(), uri.version, deadline()));
    if (opened.version.content == sealed::Content::kSecret) return has_no_public_half(uri.name);
    const Entry entry = VHSM_TRY(shelf_->read(uri, opened.content));
    KeyClaims claims = VHSM_TRY(public_claims(uri, entry));
    claims.version = opened.version.number;
    claims.origin = origin_of(opened.version);
    claims.policy = sealed::text(opened.version.policy);
    claims.others = VHSM_TRY(who_else_opens());
    return claims;
  }

  static KeyOrigin origin_of(const sealed::Version& version) noexcept {
    switch (version.origin) {
      case sealed::Origin::kGenerated: return KeyOrigin::kGenerated;
      case sealed::Origin::kImported: return KeyOrigin::kImported;
      case sealed::Origin::kRestored: return KeyOrigin::kRestored;
      case sealed::Origin::kCopy: break;
    }
    return KeyOrigin::kFetched;
  }

  static Error has_no_public_half(const KeyName& name) {
    return fail(Errc::kUnsupported, "a symmetric key has no public half to attest", name.uri());
  }

  static Result<KeyClaims> public_claims(const KeyUri& uri, const Entry& entry) {
    if (entry.key == nullptr || !entry.key->has_private()) {
      return fail(Errc::kNoPrivateKey, "there is no private key to attest", uri.name.uri());
    }
    return KeyClaims{.public_key_info = entry.public_key_info, .name = uri.name.path()};
  }

  Result<std::vector<std::string>> who_else_opens() {
    const auto kinds = VHSM_TRY(folder_->slots_of_others(deadline()));
    std::set<std::string> names;
    for (const sealed::SlotKind kind : kinds) names.emplace(sealed::name_of(kind));
    return std::vector<std::string>(names.begin(), names.end());
  }

  static Error no_such_key(const KeyName& name) { return sealed::no_such_key(name.path()); }

  static sealed::NewVersion secret_version(std::string type, SealedPolicy policy) {
    return {.content = sealed::Content::kSecret,
            .type = std::move(type),
            .policy = std::move(policy.text),
            .uses = policy.uses};
  }

  static sealed::NewVersion version_of(const Key& key, SealedPolicy policy) {
    return {.type = AlgorithmText::of(key), .policy = std::move(policy.text), .uses = policy.uses};
  }

  static std::string policy_of(const sealed::Record& record) {
    return std::string(sealed::text(record.versions.back().policy));
  }

  /// What is stored, after it has been found to be a key.
  Result<Entry> read_key(const KeyUri& uri, const SecretBytes& stored) const {
    auto read = shelf_->read(uri, stored);
    if (!read.ok()) return read.error().about(uri.name.uri());
    if (read.value().key != nullptr || read.value().symmetric != nullptr) return read;
    return fail(Errc::kNoPrivateKey, "only certificates are there, and no key", uri.name.uri());
  }

  static Result<sealed::NewVersion> new_version(const Entry& entry, std::string_view policy) {
    const bool is_secret = entry.symmetric != nullptr;
    auto terms = VHSM_TRY(
        SealedPolicy::parse(policy, is_secret ? sealed::Content::kSecret : sealed::Content::kPair));
    return is_secret ? secret_version(AlgorithmText::of(*entry.symmetric), std::move(terms))
                     : version_of(*entry.key, std::move(terms));
  }

  /// Without a word of its owner's a successor is bound as its predecessor is.
  Result<std::string> policy_for(const KeyName& name, const Entry& entry, const Importing& how) {
    if (!how.policy.empty()) return std::string(how.policy);
    if (!how.successor) return entry.policy;
    const auto record = VHSM_TRY(folder_->find(name.path(), deadline()));
    return record.has_value() ? policy_of(*record) : entry.policy;
  }

  Result<KeyPtr> make_pair(const KeyUri& uri, const KeyType& type, const OSSL_PARAM settings[]) {
    const auto generator = VHSM_TRY(Generator::create(type, OSSL_KEYMGMT_SELECT_KEYPAIR, metrics_));
    VHSM_TRY(generator->set_params(settings));
    return generator->generate(uri);
  }

  /// What is handed out is what was read back: a key that cannot be is none.
  Result<KeyPtr> seal_new(const KeyName& name, const Key& key, SealedPolicy policy) {
    const auto encoded = VHSM_TRY(static_cast<const LocalKey&>(key).encoded());
    const auto made =
        VHSM_TRY(folder_->add(name.path(), version_of(key, std::move(policy)), encoded));
    Entry entry = VHSM_TRY(shelf_->open({name, std::nullopt, made.number}, deadline()));
    return entry.key;
  }

  Result<KeyLine> seal(const KeyName& name, const sealed::NewVersion& version,
                       const SecretBytes& content, bool successor) {
    if (!successor) {
      VHSM_TRY(shelf_->check_free({name, std::nullopt, std::nullopt}, deadline()));
    }
    const auto made = VHSM_TRY(successor ? folder_->add_version(name.path(), version, content)
                                         : folder_->add(name.path(), version, content));
    return line_of(name, made);
  }

  /// What came from elsewhere may be a JWK, whose terms a random successor would not have.
  static Status check_rotatable(const sealed::Version& newest, const KeyName& name) {
    const bool is_secret = newest.content == sealed::Content::kSecret;
    if (!is_secret || newest.origin == sealed::Origin::kGenerated) return {};
    return fail(Errc::kUnsupported, "an imported symmetric key is replaced by importing another",
                name.uri());
  }

  Result<KeyLine> seal_random(const KeyName& name, std::size_t bytes, std::string_view policy,
                              bool successor) {
    auto terms = VHSM_TRY(SealedPolicy::parse(policy, sealed::Content::kSecret));
    const auto secret = VHSM_TRY(sealed::random_secret(bytes));
    return seal(name, secret_version(AlgorithmText::of_secret(bytes), std::move(terms)), secret,
                successor);
  }

  /// And its copy.
  Status remove_from_memory(const KeyUri& uri) {
    if (uri.version.has_value()) return has_no_folder(uri.name);
    const bool had_copy = VHSM_TRY(drop_copy(uri.name));
    const Status removed = shelf_->remove(uri.name);
    const bool is_gone = !removed.ok() && removed.error().code == Errc::kMissing;
    return had_copy && is_gone ? Status() : removed;
  }

  Result<bool> drop_copy(const KeyName& name) {
    if (copies_ == nullptr) return false;
    return copies_->drop(name.path());
  }

  /// Only the owner's keys change here.
  Status check_own(const KeyName& name) {
    const bool is_copy = VHSM_TRY(has_copy(name));
    if (is_copy) {
      return fail(Errc::kUnsupported, "this is a copy of the KBS's key: change that one",
                  name.uri());
    }
    return folder_ == nullptr ? Status(has_no_folder(name)) : Status();
  }

  /// A key of the folder comes before a copy of this name.
  Result<bool> has_copy(const KeyName& name) {
    if (copies_ == nullptr) return false;
    if (folder_ == nullptr) return copies_->has(name.path());
    const auto own = VHSM_TRY(folder_->find(name.path(), deadline()));
    return own.has_value() ? Result<bool>(false) : copies_->has(name.path());
  }

  Status list_copies(std::vector<KeyLine>& lines) {
    if (copies_ == nullptr) return {};
    const auto records = VHSM_TRY(copies_->records());
    for (const sealed::Record& record : records) {
      const auto name = VHSM_TRY(KeyName::parse(record.name));
      lines.push_back(line_of_copy(name, record.versions.back()));
    }
    return {};
  }

  std::shared_ptr<sealed::Folder> folder_;  ///< null: keys are in memory alone
  std::shared_ptr<sealed::Copies> copies_;  ///< null: nothing of the source's is kept
  std::shared_ptr<Witness> witness_;        ///< null: nobody vouches for this VM
  std::shared_ptr<const Records> records_;  ///< null: nowhere
  std::shared_ptr<Shelf> shelf_;
  std::shared_ptr<Retrier> retrier_;
  std::shared_ptr<Renewer> renewer_;
  Deadlines deadlines_;
  std::shared_ptr<Metrics> metrics_;
  bool attest_before_generate_;
};

}  // namespace

std::unique_ptr<HoldingKeystore> make_memory_keystore(
    std::shared_ptr<KeySource> source, const Deadlines& deadlines, std::shared_ptr<Metrics> metrics,
    const Policy& policy, std::shared_ptr<const Records> records,
    std::shared_ptr<sealed::Folder> folder, std::shared_ptr<sealed::Copies> copies,
    std::shared_ptr<Witness> witness) {
  return std::make_unique<MemoryKeystore>(std::move(source), deadlines, std::move(metrics), policy,
                                          std::move(records), std::move(folder), std::move(copies),
                                          std::move(witness));
}

}  // namespace vhsm::keystore
