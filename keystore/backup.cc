// SPDX-License-Identifier: Apache-2.0
#include "keystore/backup.h"

#include <openssl/x509.h>

#include <utility>

#include "base/handle.h"
#include "jose/base64.h"
#include "jose/jcs.h"
#include "jose/json.h"
#include "jose/jwe.h"
#include "jose/jwk.h"
#include "jose/tee_key.h"
#include "keystore/key_policy.h"
#include "keystore/sealed/index.h"

namespace vhsm::keystore {
namespace {

constexpr std::string_view kFormat = "vhsm backup of a key 1";

namespace member {
constexpr const char* kFormat = "format";
constexpr const char* kKey = "key";
constexpr const char* kPolicy = "policy";
constexpr const char* kReceiver = "receiver";
constexpr const char* kReceiverKey = "receiver_key";
constexpr std::size_t kCount = 5;
}  // namespace member

Error malformed(std::string_view what) {
  return fail(Errc::kBadFormat, "this is no backup of a key", what);
}

Result<jose::TeeJwk> recipient_of(std::span<const std::uint8_t> public_key_info) {
  const ossl::ErrorMark quiet;
  const unsigned char* next = public_key_info.data();
  const ossl::PKey key(d2i_PUBKEY(nullptr, &next, static_cast<long>(public_key_info.size())));
  if (key == nullptr) return fail(Errc::kBadFormat, "the receiver's public key cannot be read");
  return jose::tee_jwk_of(key.get());
}

/// A key of a folder: it has a version.
Result<KeyUri> uri_member(const jose::Json& json, const char* name) {
  const auto text = VHSM_TRY(jose::text_member(json, name));
  auto uri = VHSM_TRY(KeyUri::parse(text, {}));
  const bool is_key = !uri.type.has_value() || *uri.type == ObjectType::kSecret;
  if (!uri.version.has_value() || !is_key) return malformed(name);
  return uri;
}

Result<BackupClaims> claims_from(const jose::Json& json) {
  const auto format = VHSM_TRY(jose::text_member(json, member::kFormat));
  if (format != kFormat || json.size() != member::kCount) return malformed("format");
  auto key = VHSM_TRY(uri_member(json, member::kKey));
  const auto policy = VHSM_TRY(jose::text_member(json, member::kPolicy));
  auto receiver = VHSM_TRY(uri_member(json, member::kReceiver));
  const auto receiver_key = VHSM_TRY(jose::text_member(json, member::kReceiverKey));
  return BackupClaims{std::move(key), std::string(policy), std::move(receiver),
                      std::string(receiver_key)};
}

}  // namespace

Status BackupReceiver::check() const {
  if (claims.origin == KeyOrigin::kKbsReceiver && may_be_kbs) return {};
  if (claims.origin != KeyOrigin::kGenerated) {
    return fail(Errc::kPolicyRefused, "a key that opens backups must be generated in its keystore",
                claims.name);
  }
  if (claims.policy == kRestorePolicy) return {};
  return fail(Errc::kPolicyRefused,
              "the receiver's key may do more than open backups: one that was generated with "
              "--policy operations=restore is needed",
              claims.name);
}

Result<std::string> digest_of(std::span<const std::uint8_t> public_key_info) {
  const auto digest = VHSM_TRY(sealed::digest_of(public_key_info));
  return jose::base64url(digest);
}

Result<std::string> write_backup(const SecretBytes& stored, const KeyUri& key,
                                 std::string_view policy, const KeyClaims& receiver) {
  const auto recipient = VHSM_TRY(recipient_of(receiver.public_key_info));
  auto receiver_name = VHSM_TRY(KeyName::parse(receiver.name));
  const KeyUri receiver_uri{std::move(receiver_name), std::nullopt, receiver.version};
  const auto receiver_key = VHSM_TRY(digest_of(receiver.public_key_info));
  const jose::Json claims{{member::kFormat, kFormat},
                          {member::kKey, key.text()},
                          {member::kPolicy, policy},
                          {member::kReceiver, receiver_uri.text()},
                          {member::kReceiverKey, receiver_key}};
  return jose::encrypt(stored.expose(), recipient, jose::canonical(claims));
}

Result<BackupClaims> read_backup(std::string_view backup) {
  if (backup.size() > kMaxBackupBytes) return malformed("too long");
  const auto text = VHSM_TRY(jose::aad_of(backup));
  const auto json = VHSM_TRY(jose::parse_object(text));
  auto claims = claims_from(json);
  if (!claims.ok()) return malformed(claims.error().subject.text());
  return claims;
}

Result<bool> is_for(const BackupClaims& claims, std::span<const std::uint8_t> public_key_info) {
  const auto digest = VHSM_TRY(digest_of(public_key_info));
  return digest == claims.receiver_key;
}

Result<SecretBytes> open_backup(std::string_view backup, EVP_PKEY* receiver) {
  auto stored = jose::decrypt(backup, receiver);
  if (stored.ok() || stored.error().code != Errc::kForged) return stored;
  return fail(Errc::kBadSignature, "the backup was changed since it was made")
      .cured_by("have it made again: vhsm key backup");
}

Result<SecretBytes> open_backup(std::string_view backup, const SecretBytes& receiver) {
  const auto key = VHSM_TRY(jose::TeeKey::imported(receiver));
  return open_backup(backup, key.key());
}

}  // namespace vhsm::keystore
