// SPDX-License-Identifier: Apache-2.0
//
// The key for which `vhsm key backup` wraps keys that are to come to this KBS.
#include "kbs/receiver.h"

#include <openssl/x509.h>

#include "evidence/key_evidence.h"
#include "keystore/key_policy.h"
#include "keystore/witness.h"
#include "memory/protected_memory.h"

namespace vhsm::kbs {
namespace {

/// What the key is called in evidence and backups: a KBS has one.
constexpr const char* kName = "vhsm-kbs/receiver/key";

Result<std::vector<std::uint8_t>> public_half_of(EVP_PKEY* key) {
  const memory::Access access;
  const int size = i2d_PUBKEY(key, nullptr);
  if (size <= 0) return fail(Errc::kCrypto, "writing the receiver's public key");
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(size));
  std::uint8_t* next = bytes.data();
  VHSM_TRY(crypto(i2d_PUBKEY(key, &next) == size ? 1 : 0, "writing the receiver's public key"));
  return bytes;
}

Status check_nonce(std::span<const std::uint8_t> nonce) {
  if (nonce.size() >= keystore::kMinNonceBytes && nonce.size() <= keystore::kMaxNonceBytes) {
    return {};
  }
  return fail(Errc::kInvalidArgument, "a nonce has 8 to 64 bytes", "--nonce");
}

/// Which part of it is wrong helps nobody who took the wrong file.
Result<keystore::BackupClaims> claims_in(std::string_view backup) {
  auto claims = keystore::read_backup(backup);
  if (claims.ok()) return claims;
  return fail(Errc::kBadFormat, "this is no backup of a key")
      .cured_by("name a file that vhsm key backup wrote");
}

/// As for a restored key of a keystore.
Status check_may_leave(const keystore::BackupClaims& claims) {
  const auto policy = VHSM_TRY(keystore::KeyPolicy::parse(claims.policy));
  if (policy.allows_backup()) return {};
  return fail(Errc::kPolicy, "the backup's key was never to leave (backup=)", claims.key.text());
}

}  // namespace

Status Receiver::create(const std::string& path) {
  const PrivateKey key = VHSM_TRY(PrivateKey::generate_p256());
  const Status written = key.write(path);
  if (written.ok()) return {};
  return written.error().cured_by("is there one already? It opens what was made for it: keep it");
}

Result<Receiver> Receiver::open(const std::string& path) {
  auto key = PrivateKey::read(path);
  if (!key.ok()) return key.error().cured_by("make one: vhsm-kbs receiver init");
  auto public_half = VHSM_TRY(public_half_of(key.value().get()));
  return Receiver(std::move(key).value(), std::move(public_half));
}

Result<evidence::Collection> Receiver::attest(snp::Platform& platform,
                                              std::span<const std::uint8_t> nonce) const {
  VHSM_TRY(check_nonce(nonce));
  const keystore::KeyClaims claims{.nonce = {nonce.begin(), nonce.end()},
                                   .public_key_info = public_key_info_,
                                   .name = kName,
                                   .version = 1,
                                   .origin = keystore::KeyOrigin::kKbsReceiver};
  const auto evidence = VHSM_TRY(evidence::KeyEvidence::gather(claims, platform, snp::kNoDeadline));
  return evidence.collection();
}

Result<ReceivedKey> Receiver::receive(std::string_view backup) const {
  auto claims = VHSM_TRY(claims_in(backup));
  const bool is_ours = VHSM_TRY(is_for(claims, public_key_info_));
  if (!is_ours) {
    return fail(Errc::kMissing, "the backup is for another receiver", claims.receiver.text())
        .cured_by("have it made for evidence of this KBS: vhsm-kbs receiver attest");
  }
  VHSM_TRY(check_may_leave(claims));
  auto content = VHSM_TRY(keystore::open_backup(backup, key_.get()));
  return ReceivedKey{std::move(claims), std::move(content)};
}

}  // namespace vhsm::kbs
