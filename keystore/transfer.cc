// SPDX-License-Identifier: Apache-2.0
#include "keystore/transfer.h"

#include "keystore/key_policy.h"
#include "keystore/local_key.h"

namespace vhsm::keystore {
namespace {

std::optional<ObjectType> type_of(const sealed::Version& version) noexcept {
  const bool is_secret = version.content == sealed::Content::kSecret;
  return is_secret ? std::optional(ObjectType::kSecret) : std::nullopt;
}

/// A gate that is closed to every use is closed to this one.
Status check_may_leave(const Cabinet& cabinet, const KeyUri& uri, const sealed::Version& version) {
  const auto policy = VHSM_TRY(KeyPolicy::parse(sealed::text(version.policy)));
  if (!policy.allows_backup()) {
    return fail(Errc::kPolicy, "only a key that was made with the policy backup=attested leaves",
                uri.text());
  }
  const Entry entry = VHSM_TRY(cabinet.shelf->open(uri, cabinet.deadline()));
  return entry.permit == nullptr ? Status() : entry.permit->ask();
}

Error is_for_another(const KeyUri& receiver) {
  return fail(Errc::kMissing,
              "the backup is for a key of another keystore, or for one that is gone",
              receiver.text())
      .cured_by("have it made for a key that is here: vhsm key attest");
}

/// PKCS#8 of the key that a backup is for.
Result<SecretBytes> receiving_key(const Cabinet& cabinet, const BackupClaims& claims) {
  const KeyUri& uri = claims.receiver;
  sealed::Folder& folder = *cabinet.folder;
  const auto record = VHSM_TRY(folder.find(uri.name.path(), cabinet.deadline()));
  if (!record.has_value()) return is_for_another(uri);
  const auto opened = VHSM_TRY(folder.open(uri.name.path(), uri.version, cabinet.deadline()));
  const auto policy = VHSM_TRY(KeyPolicy::parse(sealed::text(opened.version.policy)));
  if (!policy.restores()) {
    return fail(Errc::kPolicy, "the key that the backup is for opens no backups (operations)",
                uri.text());
  }
  const Entry entry = VHSM_TRY(cabinet.shelf->read(uri, opened.content));
  const bool is_its_key = VHSM_TRY(is_for(claims, entry.public_key_info));
  if (!is_its_key) return is_for_another(uri);
  return static_cast<const LocalKey&>(*entry.key).encoded();
}

}  // namespace

Result<std::string> take_out(const Cabinet& cabinet, const KeyUri& uri,
                             const BackupReceiver& receiver) {
  VHSM_TRY(receiver.check());
  const auto opened =
      VHSM_TRY(cabinet.folder->open(uri.name.path(), uri.version, cabinet.deadline()));
  const KeyUri which{uri.name, type_of(opened.version), opened.version.number};
  VHSM_TRY(check_may_leave(cabinet, which, opened.version));
  return write_backup(opened.content, which, sealed::text(opened.version.policy), receiver.claims);
}

Result<KeyLine> bring_in(const Cabinet& cabinet, std::string_view backup,
                         const BackupClaims& claims, const KeyUri& uri) {
  if (cabinet.folder == nullptr) return has_no_folder(uri.name);
  const auto policy = VHSM_TRY(KeyPolicy::parse(claims.policy));
  if (!policy.allows_backup()) {
    return fail(Errc::kPolicy, "the backup's key was never to leave (backup=)", uri.name.uri());
  }
  const auto receiver = VHSM_TRY(receiving_key(cabinet, claims));
  const auto stored = open_backup(backup, receiver);
  if (!stored.ok()) return stored.error().about(uri.name.uri());
  const Entry entry = VHSM_TRY(cabinet.read_key(uri, stored.value()));
  auto version = VHSM_TRY(new_version(entry, claims.policy));
  version.origin = sealed::Origin::kRestored;
  return cabinet.seal(uri.name, version, stored.value(), std::nullopt);
}

}  // namespace vhsm::keystore
