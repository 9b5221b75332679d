// SPDX-License-Identifier: Apache-2.0
#include <openssl/core_dispatch.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <utility>

#include "keystore/algorithm_text.h"
#include "keystore/cabinet.h"
#include "keystore/key_policy.h"
#include "keystore/keystore.h"
#include "keystore/local_key.h"
#include "keystore/renewer.h"
#include "keystore/retrier.h"
#include "keystore/sealed/copies.h"
#include "keystore/sealed/folder.h"
#include "keystore/shelf.h"
#include "keystore/stand_in_key.h"
#include "keystore/statement.h"
#include "keystore/transfer.h"

namespace vhsm::keystore {
namespace {

using std::chrono::steady_clock;

/// What a copy may be used for ends with its time.
KeyLine line_of_copy(const KeyName& name, const sealed::Version& version) {
  KeyLine line = line_of(name, version);
  line.version = 0;
  line.policy = "not-after=" + std::to_string(version.copy.until);
  return line;
}

/// What its stored form says is all that binds it.
KeyLine line_in_memory(const KeyUri& uri, const Entry& entry) {
  KeyLine line{.name = uri.name, .symmetric = entry.symmetric != nullptr};
  if (entry.key != nullptr) line.type = AlgorithmText::of(*entry.key);
  if (entry.symmetric != nullptr) line.type = AlgorithmText::of(*entry.symmetric);
  if (!line.type.empty()) line.policy = entry.policy;
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
        cabinet_{folder_, shelf_, deadlines.fetch_timeout},
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
    std::vector<KeyUri> names;
    const auto held = VHSM_TRY(shelf_->held());
    for (const auto& [uri, entry] : held) names.push_back(uri);
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
    const auto held = VHSM_TRY(shelf_->held());
    for (const auto& [uri, entry] : held) lines.push_back(line_in_memory(uri, entry));
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
    auto terms = VHSM_TRY(SealedPolicy::make(policy, &type));
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
    const auto read = VHSM_TRY(predecessor(name));
    VHSM_TRY(check_rotatable(read.versions.back(), name));
    auto algorithm = VHSM_TRY(AlgorithmText::parse(read.versions.back().type));
    const auto start = steady_clock::now();
    [[maybe_unused]] const auto proven = VHSM_TRY(prove_if_needed(start));
    if (algorithm.type() == nullptr) {
      return seal_random(name, algorithm.secret_bytes(), policy_of(read), read);
    }
    const KeyUri uri{name, std::nullopt, std::nullopt};
    const KeyPtr key = VHSM_TRY(make_pair(uri, *algorithm.type(), algorithm.settings()));
    const auto sealed = VHSM_TRY(static_cast<const LocalKey&>(*key).encoded());
    auto terms = VHSM_TRY(SealedPolicy::make(policy_of(read), algorithm.type()));
    const auto made =
        VHSM_TRY(folder_->add_version(read, pair_version(*key, std::move(terms)), sealed));
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
    const auto change = [&](const sealed::Version& version) {
      return replaced(uri.name, version, policy);
    };
    VHSM_TRY(folder_->set_policy(uri.name.path(), uri.version, change));
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
    KeyClaims claims = VHSM_TRY(statement_of(cabinet_, uri));
    claims.nonce.assign(nonce.begin(), nonce.end());
    if (witness_ == nullptr) {
      return fail(Errc::kNoPlatform, "nobody vouches for this VM: set platform", uri.name.uri());
    }
    return witness_->vouch(claims, deadline());
  }

  Result<KeyLine> import(const KeyUri& uri, const SecretBytes& stored,
                         const Importing& how) override {
    if (folder_ == nullptr) return has_no_folder(uri.name);
    const Entry entry = VHSM_TRY(cabinet_.read_key(uri, stored));
    std::optional<sealed::Record> read;
    if (how.successor) read = VHSM_TRY(predecessor(uri.name));
    const bool inherits = how.policy.empty() && read.has_value();
    const std::string text = inherits ? policy_of(*read) : std::string(how.policy);
    auto version = VHSM_TRY(new_version(entry, text));
    version.origin = sealed::Origin::kImported;
    return cabinet_.seal(uri.name, version, stored, read);
  }

  Result<KeyLine> generate_secret(const KeyName& name, std::size_t bytes,
                                  std::string_view policy) override {
    if (folder_ == nullptr) return has_no_folder(name);
    return seal_random(name, bytes, policy, std::nullopt);
  }

  Result<std::string> backup(const KeyUri& uri, const BackupReceiver& receiver) override {
    const Status own = check_own(uri.name);
    auto made = own.ok() ? take_out(cabinet_, uri, receiver) : Result<std::string>(own.error());
    record({.event = "backup",
            .outcome = outcome_of(made),
            .key = uri.name.path(),
            .measurement = receiver.measurement});
    return made;
  }

  Result<KeyLine> restore(std::string_view backup, const std::optional<KeyName>& as) override {
    const auto claims = VHSM_TRY(read_backup(backup));
    const KeyUri uri{as.value_or(claims.key.name), claims.key.type, std::nullopt};
    auto line = bring_in(cabinet_, backup, claims, uri);
    record({.event = "restore", .outcome = outcome_of(line), .key = uri.name.path()});
    return line;
  }

 private:
  void record(const AuditEvent& event) const noexcept {
    if (records_ != nullptr) records_->audit.write(event);
  }

  /// Each version for itself: they may have come in different ways.
  Result<sealed::NewPolicy> replaced(const KeyName& name, const sealed::Version& version,
                                     std::string_view policy) const {
    const auto then = VHSM_TRY(KeyPolicy::parse(sealed::text(version.policy)));
    const auto now = VHSM_TRY(KeyPolicy::parse(policy));
    const Status replaces = now.check_replaces(then);
    if (!replaces.ok()) return replaces.error().about(name.uri());
    const Entry entry = VHSM_TRY(entry_of(name, version));
    const KeyType* const type = entry.key == nullptr ? nullptr : &entry.key->type();
    auto made = VHSM_TRY(SealedPolicy::make(policy, type, entry.policy));
    return sealed::NewPolicy{std::move(made.text), made.uses};
  }

  /// Also of a version that is disabled.
  Result<Entry> entry_of(const KeyName& name, const sealed::Version& version) const {
    KeyUri uri{name, std::nullopt, version.number};
    if (version.content == sealed::Content::kSecret) uri.type = ObjectType::kSecret;
    const auto opened = VHSM_TRY(folder_->read(name.path(), version));
    return cabinet_.read_key(uri, opened.content);
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

  static Error no_such_key(const KeyName& name) { return sealed::no_such_key(name.path()); }

  static std::string policy_of(const sealed::Record& record) {
    return std::string(sealed::text(record.versions.back().policy));
  }

  /// Without a word of its owner's a successor is bound as its predecessor is.
  Result<sealed::Record> predecessor(const KeyName& name) {
    auto record = VHSM_TRY(folder_->find(name.path(), deadline()));
    if (!record.has_value() || record->versions.empty()) return no_such_key(name);
    return *std::move(record);
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
        VHSM_TRY(folder_->add(name.path(), pair_version(key, std::move(policy)), encoded));
    Entry entry = VHSM_TRY(shelf_->open({name, std::nullopt, made.number}, deadline()));
    return entry.key;
  }

  /// What came from elsewhere may be a JWK, whose terms a random successor would not have.
  static Status check_rotatable(const sealed::Version& newest, const KeyName& name) {
    const bool is_secret = newest.content == sealed::Content::kSecret;
    if (!is_secret || newest.origin == sealed::Origin::kGenerated) return {};
    return fail(Errc::kUnsupported, "an imported symmetric key is replaced by importing another",
                name.uri());
  }

  Result<KeyLine> seal_random(const KeyName& name, std::size_t bytes, std::string_view policy,
                              const std::optional<sealed::Record>& predecessor) {
    auto terms = VHSM_TRY(SealedPolicy::make(policy, nullptr));
    const auto secret = VHSM_TRY(sealed::random_secret(bytes));
    const auto version = secret_version(AlgorithmText::of_secret(bytes), std::move(terms));
    return cabinet_.seal(name, version, secret, predecessor);
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
  Cabinet cabinet_;
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
