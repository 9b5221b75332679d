// SPDX-License-Identifier: Apache-2.0
//
// Named keys: what a vhsm: URI resolves to.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "base/metrics.h"
#include "base/result.h"
#include "keystore/backup.h"
#include "keystore/key.h"
#include "keystore/key_name.h"
#include "keystore/key_source.h"
#include "keystore/permit.h"
#include "keystore/sealed/index.h"
#include "keystore/symmetric_key.h"
#include "keystore/symmetric_operation.h"
#include "keystore/witness.h"
#include "memory/secret_bytes.h"

namespace vhsm::keystore {

namespace sealed {
class Copies;
class Folder;
}  // namespace sealed

/// What stands behind a URI.
struct Entry {
  KeyPtr key;                                           ///< null when only certificates are there
  std::vector<std::vector<std::uint8_t>> certificates;  ///< DER, in stored order
  std::vector<std::uint8_t> public_key_info{};          ///< DER of the key's public half
  SymmetricKeyPtr symmetric{};  ///< alone: what was asked for by type=secret
  PermitPtr permit{};           ///< of the key; null: it is under no gate
  std::string policy{};         ///< what the stored form itself allows, as key_policy.h writes it
};

/// @errors kMissing when something else stands there.
[[nodiscard]] inline Result<SymmetricKeyPtr> symmetric_in(const Entry& entry, const KeyName& name) {
  if (entry.symmetric != nullptr) return entry.symmetric;
  return fail(Errc::kMissing, "a key pair stands there, not a symmetric key", name.uri())
      .cured_by("name a symmetric key");
}

/// What a list says of one version of a key.
struct KeyLine {
  KeyName name;
  std::uint32_t version = 0;  ///< 0: it has none, and is in memory alone
  bool enabled = true;
  bool symmetric = false;
  sealed::Origin origin = sealed::Origin::kGenerated;  ///< a copy has no version either
  std::uint64_t created = 0;                           ///< seconds since 1970; 0: not known
  std::string type{};                        ///< as algorithm_text.h writes it; empty: not known
  std::string policy{};                      ///< as key_policy.h writes it
  std::optional<std::uint64_t> uses_left{};  ///< that no process has taken; none: no limit

  friend bool operator==(const KeyLine&, const KeyLine&) = default;
};

/// Thread-safe.
class Keystore {
 public:
  Keystore() = default;
  Keystore(const Keystore&) = delete;
  Keystore& operator=(const Keystore&) = delete;
  virtual ~Keystore() = default;

  /// Case A: answers from memory. Case B: asks the KeySource first, one fetch for any number of
  /// threads that ask for the same name at once. Certificates of a bundle come with the key. What
  /// a URI with type=secret names is taken for a symmetric key, and for nothing else.
  /// @errors those of KeySource::fetch, kBadFormat and kUnsupported for what was fetched.
  virtual Result<Entry> open(const KeyUri& uri) = 0;

  /// The key of a PEM stand-in: at once, with the public half from `public_key_info` (DER). The
  /// private half is fetched now if that succeeds in time. Else private operations fail at once
  /// with the reason, from the first one on a thread of this process goes on trying, and they
  /// succeed when it has. A fetched key whose public half is another is an error of that operation.
  /// @errors kBadFormat.
  virtual Result<KeyPtr> open_stand_in(const KeyUri& uri, const KeyType& type,
                                       std::span<const std::uint8_t> public_key_info) = 0;

  /// The names of all that is here and may be used, in their order; of symmetric keys with their
  /// type.
  virtual Result<std::vector<KeyUri>> names() = 0;

  /// What is here. Fetches nothing.
  virtual Result<std::optional<Entry>> find(const KeyUri& uri) = 0;

  /// All versions of all keys that are here, in the order of their names.
  virtual Result<std::vector<KeyLine>> list() = 0;

  /// Makes a key pair under `name`. Where there is no folder of keys it ends with this keystore.
  /// @param settings  as Generator::settings().
  /// @param policy  as set_policy(); it holds from the first moment on.
  /// @errors kWrongState when the name is taken, here or at the KeySource; those of
  ///         KeySource::fetch when it cannot tell, and with attest_before_generate those of
  ///         KeySource::prove; kUnsupported for a policy without a folder; kNotGranted; those of
  ///         Generator.
  virtual Result<KeyPtr> generate(const KeyName& name, const KeyType& type,
                                  const OSSL_PARAM settings[], std::string_view policy) = 0;
  Result<KeyPtr> generate(const KeyName& name, const KeyType& type, const OSSL_PARAM settings[]) {
    return generate(name, type, settings, {});
  }

  /// Makes a new version of a key in the folder, of the same type as the newest. Handles that are
  /// open go on with the version that they have.
  /// @errors kMissing, kInUse when it is changed meanwhile, kUnsupported without a folder,
  ///         kNotGranted, those of generate().
  virtual Result<KeyLine> rotate(const KeyName& name) = 0;

  /// Lets a key in the folder be used, or no longer; without a version all of its versions.
  /// @errors kMissing, kUnsupported without a folder, kNotGranted.
  virtual Status set_enabled(const KeyUri& uri, bool enabled) = 0;

  /// Says what the private half of a key in the folder may be used for; without a version, of all
  /// of its versions. Handles that are open go on with what was said before. Uses that processes
  /// have taken stay theirs.
  /// @param policy  as key_policy.h reads it; empty: for everything.
  /// @errors kInvalidArgument, also for what such a key does not do; kMissing; kPolicy where it
  /// would
  ///         change how the key may leave; kUnsupported without a folder; kNotGranted.
  virtual Status set_policy(const KeyUri& uri, std::string_view policy) = 0;

  /// Takes away what is here under `name`, or one version; what the KeySource has stays there. Keys
  /// that are open in this process go on working.
  /// @errors kMissing, kNotGranted.
  virtual Status remove(const KeyUri& uri) = 0;

  /// The bytes of a secret that its owner lets come out. Keys never do.
  /// @param uri  its type does not matter.
  /// @errors kNotExportable for a key; kNotGranted; those of open().
  virtual Result<SecretBytes> release(const KeyUri& uri) = 0;

  /// Evidence of what this keystore says of a key pair: where it comes from, what it may be used
  /// for, and who else could open it. What is said is the keystore's, never the asker's.
  /// @param nonce  kMinNonceBytes to kMaxNonceBytes of who wants to know, or none.
  /// @return a message of docs/key-evidence.md, as CBOR.
  /// @errors kInvalidArgument for a nonce of another length; those of open(); kUnsupported for a
  ///         symmetric key; kNoPrivateKey; those of Witness::vouch().
  virtual Result<std::vector<std::uint8_t>> attest(const KeyUri& uri,
                                                   std::span<const std::uint8_t> nonce) = 0;

  /// An operation that takes symmetric keys of this keystore, and ephemeral ones.
  /// @errors as make_local_operation().
  virtual Result<std::unique_ptr<SymmetricOperation>> make_operation(
      const SymmetricAlgorithm& algorithm) {
    return make_local_operation(algorithm);
  }
};

/// How long open() may wait for the KeySource.
struct Deadlines {
  std::chrono::milliseconds load_wait{3000};       ///< for stand-ins, which can stay lazy
  std::chrono::milliseconds fetch_timeout{10000};  ///< for a URI, and for each later try
};

/// When keys may be used.
struct Policy {
  GateTerms gate{};  ///< of all keys with a name
  bool attest_before_generate = false;
  std::vector<KeyFolder> secret_paths{};  ///< at the KeySource: what is there are secrets
};

/// How a key comes into the folder.
struct Importing {
  bool successor = false;  ///< of the key that has this name: a new version
  std::string_view
      policy{};  ///< as set_policy(); empty: what the stored form or the predecessor has
};

/// A keystore that holds its keys itself, and so can serve other processes.
class HoldingKeystore : public Keystore {
 public:
  /// As open(), with a patience of its own.
  virtual Result<Entry> fetch(const KeyUri& uri, std::chrono::milliseconds patience) = 0;

  /// What is here; else it is wanted from now on, on a thread of ours, and the answer is the reason
  /// why it is not here yet: that of the last try, after `patience` at most for the first.
  /// @errors as open().
  virtual Result<Entry> expect(const KeyUri& uri, std::chrono::milliseconds patience) = 0;

  /// Seals what a KBS would store for a key, after it has been read as one.
  /// @param type  kSecret: it is a symmetric key.
  /// @errors kUnsupported without a folder, and for a symmetric key's policy; kInvalidArgument when
  ///         the name is taken; kMissing for a successor of nothing; kInUse for one of a key that
  ///         is changed meanwhile; kBadFormat, kTooFewSlots.
  virtual Result<KeyLine> import(const KeyUri& uri, const SecretBytes& stored,
                                 const Importing& how) = 0;

  /// Makes a symmetric key in the folder.
  /// @param policy  as set_policy().  @errors as import().
  virtual Result<KeyLine> generate_secret(const KeyName& name, std::size_t bytes,
                                          std::string_view policy) = 0;

  /// A version of a key in the folder, wrapped for another keystore. Whether the evidence is
  /// genuine and its machine the right one is the caller's to know: evidence/key_verdict.h.
  /// @return what restore() takes there.
  /// @errors kPolicyRefused as BackupReceiver::check(); kPolicy for a key that may not leave;
  ///         kMissing, also for a key of the KBS; kUnsupported for a copy, and without a folder;
  ///         those of Permit::ask() and write_backup().
  virtual Result<std::string> backup(const KeyUri& uri, const BackupReceiver& receiver) = 0;

  /// Seals a key of another keystore, with the policy that it had there.
  /// @param as  its name here; none: the one that it had there.
  /// @errors kWrongState when the name is taken; kBadFormat, kBadSignature; kMissing when the
  ///         key is not here that it is for; kPolicy when that key does not open backups, or the
  ///         restored one was never to leave; kUnsupported without a folder; kTooFewSlots.
  virtual Result<KeyLine> restore(std::string_view backup, const std::optional<KeyName>& as) = 0;
};

/// `keystore = memory:`, or with a folder `dir:`. Without a `source` every key that is not there is
/// kMissing.
/// @param records  where it is told when a key is wiped, or serves in an outage; null: nowhere.
/// @param folder  what is there comes before what the source has; null: none.
/// @param copies  of what the source has released, for outages; with gate kLease; null: none.
/// @param witness  vouches for what is said of keys; null: nobody does.
std::unique_ptr<HoldingKeystore> make_memory_keystore(
    std::shared_ptr<KeySource> source, const Deadlines& deadlines, std::shared_ptr<Metrics> metrics,
    const Policy& policy = {}, std::shared_ptr<const Records> records = nullptr,
    std::shared_ptr<sealed::Folder> folder = nullptr,
    std::shared_ptr<sealed::Copies> copies = nullptr, std::shared_ptr<Witness> witness = nullptr);

}  // namespace vhsm::keystore
