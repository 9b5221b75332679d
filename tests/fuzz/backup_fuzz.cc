// SPDX-License-Identifier: Apache-2.0
//
// Backups that somebody else has written. The first byte says what the rest is: a backup, a member
// that stands in a good one for its own (the second byte says which), or claims. Nothing opens that
// was changed, and what claims say can be written and read again.
#include <openssl/x509.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "jose/base64.h"
#include "jose/json.h"
#include "jose/tee_key.h"
#include "keystore/backup.h"
#include "keystore/key_policy.h"
#include "keystore/warm_up.h"
#include "memory/protected_memory.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using namespace vhsm;            // NOLINT(google-build-using-namespace): the target is this
using namespace vhsm::keystore;  // NOLINT(google-build-using-namespace)

constexpr const char* kReceiver = "default/backup/in";
constexpr std::array kMembers{"protected", "encrypted_key", "aad", "iv", "ciphertext", "tag"};

void expect(bool holds) {
  if (!holds) std::abort();
}

KeyUri uri(const char* path) { return {KeyName::parse(path).value(), std::nullopt, 1}; }

/// A key that backups are for, and one of them.
struct Receiver {
  explicit Receiver(jose::TeeKeyKind kind) {
    const auto pair = jose::TeeKey::generate(kind).value();
    unsigned char* der = nullptr;
    const int size = i2d_PUBKEY(pair.key(), &der);
    expect(size > 0);
    claims = {.public_key_info = {der, der + size}, .name = kReceiver, .version = 1};
    OPENSSL_free(der);
    key = pair.exported().value();
    const auto stored = SecretBytes::copy(std::array<std::uint8_t, 4>{1, 2, 3, 4}).value();
    backup = write_backup(stored, uri("default/tls/www"), "backup=attested", claims).value();
    expect(open_backup(backup, key).ok());
  }

  KeyClaims claims;
  SecretBytes key;
  std::string backup;
};

/// What it says of itself has a form of its own, whether it is true or not.
void read(const std::string& backup, const Receiver& receiver) {
  const auto read = read_backup(backup);
  if (!read.ok()) return;
  const BackupClaims& claims = read.value();
  expect(claims.key.version.has_value() && claims.receiver.version.has_value());
  static_cast<void>(KeyPolicy::parse(claims.policy));
  KeyClaims named = receiver.claims;
  named.name = claims.receiver.name.path();
  named.version = *claims.receiver.version;
  const auto again = write_backup(SecretBytes(), claims.key, claims.policy, named);
  if (!again.ok()) std::abort();
  const auto same = read_backup(again.value());
  expect(same.ok() && same.value().key.text() == claims.key.text());
  expect(same.value().policy == claims.policy);
  expect(same.value().receiver.text() == claims.receiver.text());
}

void try_backup(const std::string& text, const Receiver& receiver) {
  read(text, receiver);
  expect(!open_backup(text, receiver.key).ok());
}

void try_member(const char* name, const std::string& value, const Receiver& receiver) {
  auto json = jose::parse_object(receiver.backup).value();
  if (json[name] == value) return;
  json[name] = value;
  using Replace = nlohmann::detail::error_handler_t;
  try_backup(json.dump(-1, ' ', false, Replace::replace), receiver);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const bool ready = memory::initialise({.force_locked = true}).ok() && warm_up().ok();
  expect(ready);
  static const Receiver ec(jose::TeeKeyKind::kP256);
  static const Receiver rsa(jose::TeeKeyKind::kRsa);
  if (size < 2) return 0;
  const Receiver& receiver = (data[0] & 1U) == 0 ? ec : rsa;
  const std::string rest(reinterpret_cast<const char*>(data + 2), size - 2);
  switch (data[0] >> 1U & 3U) {
    case 0: try_backup(rest, receiver); break;
    case 1: try_member(kMembers[data[1] % kMembers.size()], rest, receiver); break;
    default: try_member("aad", jose::base64url(rest), receiver);
  }
  return 0;
}
