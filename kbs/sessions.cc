// SPDX-License-Identifier: Apache-2.0
//
// One session for each handshake.
#include "kbs/sessions.h"

#include <openssl/rand.h>

#include <array>
#include <cstdint>
#include <utility>

#include "jose/base64.h"
#include "snp/hex.h"

namespace vhsm::kbs {
namespace {

constexpr std::size_t kIdBytes = 16;
constexpr std::size_t kNonceBytes = 32;

template <std::size_t N>
Result<std::array<std::uint8_t, N>> random_bytes() {
  std::array<std::uint8_t, N> bytes{};
  VHSM_TRY(crypto(RAND_bytes(bytes.data(), static_cast<int>(N)), "RAND_bytes"));
  return bytes;
}

/// RFC 4122, section 4.4.
Result<std::string> new_id() {
  auto bytes = VHSM_TRY(random_bytes<kIdBytes>());
  bytes[6] = static_cast<std::uint8_t>((bytes[6] & 0x0F) | 0x40);
  bytes[8] = static_cast<std::uint8_t>((bytes[8] & 0x3F) | 0x80);
  return snp::to_hex(bytes);
}

}  // namespace

Sessions::Sessions(std::chrono::seconds lifetime, std::size_t max, Clock now)
    : lifetime_(lifetime),
      max_(max),
      now_(std::move(now)),
      table_(std::make_unique<Guarded<Table>>(std::in_place)) {}

Result<Challenge> Sessions::start() {
  Challenge challenge;
  challenge.id = VHSM_TRY(new_id());
  const auto nonce = VHSM_TRY(random_bytes<kNonceBytes>());
  challenge.nonce = jose::base64(nonce);
  const Time now = now_();
  challenge.expires = now + lifetime_;
  auto table = table_->lock();
  if (table->size() >= max_) {
    std::erase_if(*table, [&](const auto& entry) { return entry.second.challenge.expires <= now; });
  }
  if (table->size() >= max_) return fail(Errc::kDenied, "too many sessions at once");
  table->emplace(challenge.id, Session{challenge, false, {}});
  return challenge;
}

Result<Sessions::Session*> Sessions::find(Table& table, std::string_view id) const {
  const auto it = table.find(id);
  if (it == table.end()) return fail(Errc::kMissing, "no such session");
  if (it->second.challenge.expires <= now_()) {
    table.erase(it);
    return fail(Errc::kMissing, "the session has expired");
  }
  return &it->second;
}

Result<Challenge> Sessions::use(std::string_view id) {
  auto table = table_->lock();
  Session* session = VHSM_TRY(find(*table, id));
  if (std::exchange(session->used, true)) {
    return fail(Errc::kWrongState, "the session's nonce was used before");
  }
  return session->challenge;
}

Status Sessions::attested(std::string_view id, std::string token) {
  auto table = table_->lock();
  Session* session = VHSM_TRY(find(*table, id));
  session->token = std::move(token);
  return {};
}

Result<std::string> Sessions::token(std::string_view id) {
  auto table = table_->lock();
  const Session* session = VHSM_TRY(find(*table, id));
  if (session->token.empty()) return fail(Errc::kNotAttested, "the session is not attested");
  return session->token;
}

}  // namespace vhsm::kbs
