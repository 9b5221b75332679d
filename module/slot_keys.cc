// SPDX-License-Identifier: Apache-2.0
#include "module/slot_keys.h"

#include <utility>

#include "keystore/key_name.h"
#include "snp/sealing.h"

namespace vhsm {
namespace {

using keystore::sealed::Bytes;
using keystore::sealed::NewSlot;
using keystore::sealed::SlotKind;
using keystore::sealed::SlotTerms;

constexpr std::string_view kLabel = "vhsm keystore root key";

/// Shorter ones could be guessed.
Result<SecretBytes> long_enough(SecretBytes key) {
  if (key.size() >= keystore::sealed::kKeyBytes) return key;
  return fail(Errc::kBadFormat, "the key of a slot has 32 bytes at least");
}

}  // namespace

Result<SecretBytes> PlatformSlotKeys::derive(const Bytes& terms, TimePoint deadline) {
  if (platform_ == nullptr) return fail(Errc::kNoPlatform, "there is no SNP platform here");
  const auto binding = VHSM_TRY(snp::binding_from_bytes(terms));
  auto keys = VHSM_TRY(snp::SealingKeys::open(platform_, deadline));
  return keys.sealing_key(binding, kLabel, deadline);
}

Result<SecretBytes> PlatformSlotKeys::release(const Bytes& terms, TimePoint deadline) {
  if (source_ == nullptr) return fail(Errc::kUnsupported, "no KBS is configured");
  if (kbs_key_.empty() || keystore::sealed::text(terms) != kbs_key_) {
    return fail(Errc::kUnsupported, "keystore_kbs_key does not name this slot's resource");
  }
  const auto name = VHSM_TRY(keystore::KeyName::parse(kbs_key_));
  auto key = VHSM_TRY(source_->fetch(name, deadline));
  return long_enough(std::move(key));
}

Result<SecretBytes> PlatformSlotKeys::recover() const {
  if (!recovery_key_.has_value()) return fail(Errc::kUnsupported, "its owner has the key");
  auto key = VHSM_TRY(recovery_key_->clone());
  return long_enough(std::move(key));
}

Result<SecretBytes> PlatformSlotKeys::key_for(const SlotTerms& terms, TimePoint deadline) {
  switch (terms.kind) {
    case SlotKind::kPlatform: return derive(terms.terms, deadline);
    case SlotKind::kKbs: return release(terms.terms, deadline);
    default: return recover();
  }
}

Result<NewSlot> PlatformSlotKeys::platform_slot(TimePoint deadline) {
  if (platform_ == nullptr) return fail(Errc::kNoPlatform, "there is no SNP platform here");
  auto keys = VHSM_TRY(snp::SealingKeys::open(platform_, deadline));
  const auto binding = VHSM_TRY(keys.binding(snp::SealTo::kMeasurement));
  auto key = VHSM_TRY(keys.sealing_key(binding, kLabel, deadline));
  return NewSlot{{SlotKind::kPlatform, snp::to_bytes(binding)}, std::move(key)};
}

Result<NewSlot> PlatformSlotKeys::kbs_slot(TimePoint deadline) {
  const auto name = keystore::sealed::view(kbs_key_);
  const Bytes terms(name.begin(), name.end());
  auto key = VHSM_TRY(release(terms, deadline));
  return NewSlot{{SlotKind::kKbs, terms}, std::move(key)};
}

}  // namespace vhsm
