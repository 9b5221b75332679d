// SPDX-License-Identifier: Apache-2.0
#include "keystore/statement.h"

#include <set>
#include <string>
#include <vector>

#include "keystore/key_policy.h"

namespace vhsm::keystore {
namespace {

KeyOrigin origin_of(const sealed::Version& version) noexcept {
  switch (version.origin) {
    case sealed::Origin::kGenerated: return KeyOrigin::kGenerated;
    case sealed::Origin::kImported: return KeyOrigin::kImported;
    case sealed::Origin::kRestored: return KeyOrigin::kRestored;
    case sealed::Origin::kCopy: break;
  }
  return KeyOrigin::kFetched;
}

Error has_no_public_half(const KeyName& name) {
  return fail(Errc::kUnsupported, "a symmetric key has no public half to attest", name.uri());
}

/// @param policy  of the folder; what the stored form says holds beside it.
Result<KeyClaims> public_claims(const KeyUri& uri, const Entry& entry, std::string_view policy) {
  if (entry.key == nullptr || !entry.key->has_private()) {
    return fail(Errc::kNoPrivateKey, "there is no private key to attest", uri.name.uri());
  }
  const auto said = VHSM_TRY(KeyPolicy::parse(policy));
  const auto own = VHSM_TRY(KeyPolicy::parse(entry.policy));
  const auto both = VHSM_TRY(said.within(own));
  return KeyClaims{
      .public_key_info = entry.public_key_info, .name = uri.name.path(), .policy = both.text()};
}

Result<std::vector<std::string>> who_else_opens(const Cabinet& cabinet) {
  const auto kinds = VHSM_TRY(cabinet.folder->slots_of_others(cabinet.deadline()));
  std::set<std::string> names;
  for (const sealed::SlotKind kind : kinds) names.emplace(sealed::name_of(kind));
  return std::vector<std::string>(names.begin(), names.end());
}

/// Key and index are read together, past the shelf: else a key that took another one's name and
/// number meanwhile would lend it its origin.
Result<KeyClaims> sealed_claims(const Cabinet& cabinet, const KeyUri& uri) {
  const auto opened =
      VHSM_TRY(cabinet.folder->open(uri.name.path(), uri.version, cabinet.deadline()));
  if (opened.version.content == sealed::Content::kSecret) return has_no_public_half(uri.name);
  const Entry entry = VHSM_TRY(cabinet.shelf->read(uri, opened.content));
  auto claims = VHSM_TRY(public_claims(uri, entry, sealed::text(opened.version.policy)));
  claims.version = opened.version.number;
  claims.origin = origin_of(opened.version);
  claims.others = VHSM_TRY(who_else_opens(cabinet));
  return claims;
}

}  // namespace

Result<KeyClaims> statement_of(const Cabinet& cabinet, const KeyUri& uri) {
  if (uri.type == ObjectType::kSecret) return has_no_public_half(uri.name);
  if (cabinet.folder != nullptr) {
    const auto record = VHSM_TRY(cabinet.folder->find(uri.name.path(), cabinet.deadline()));
    if (record.has_value()) return sealed_claims(cabinet, uri);
  }
  const Entry entry = VHSM_TRY(cabinet.shelf->open(uri, cabinet.deadline()));
  auto claims = VHSM_TRY(public_claims(uri, entry, {}));
  const bool made_here = entry.key->keeping() == Keeping::kInMemory;
  claims.origin = made_here ? KeyOrigin::kGenerated : KeyOrigin::kFetched;
  return claims;
}

}  // namespace vhsm::keystore
