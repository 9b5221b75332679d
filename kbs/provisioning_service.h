// SPDX-License-Identifier: Apache-2.0
//
// The provisioning service: a token in, a resource encrypted to the token's TEE key out. Knows no
// HTTP.
// Source: KBS protocol 0.4.0 (Trustee kbs/src/api_server.rs).
#pragma once

#include <string_view>

#include "base/result.h"
#include "kbs/claims.h"
#include "kbs/config.h"
#include "kbs/journal.h"
#include "kbs/reply.h"
#include "kbs/sessions.h"
#include "kbs/store.h"
#include "kbs/token_authority.h"

namespace vhsm::kbs {

/// Thread-safe. What it refers to must outlive it.
class ProvisioningService {
 public:
  ProvisioningService(const Config& config, Store& store, Sessions& sessions,
                      const TokenAuthority& tokens, const Journal& journal)
      : config_(&config),
        store_(&store),
        sessions_(&sessions),
        tokens_(&tokens),
        journal_(&journal) {}

  /// @param path           what follows /kbs/v0/resource/.
  /// @param authorization  the header's value: "Bearer TOKEN" or nothing.
  [[nodiscard]] Reply resource(std::string_view path, std::string_view cookie,
                               std::string_view authorization, std::string_view peer) const;

 private:
  /// How far a request came: the protocol has a name for a refusal at each step.
  enum class Step { kToken, kVerify, kPolicy, kFetch, kEncrypt };

  struct Request {
    std::string_view path;
    std::string session;
    std::string_view authorization;
    Step step = Step::kToken;
    AuditRow row;
  };

  Result<std::string> token(const Request& request) const;
  Result<std::string> release(Request& request) const;
  [[nodiscard]] Reply refused(Step step, Errc code) const;

  const Config* config_;
  Store* store_;
  Sessions* sessions_;
  const TokenAuthority* tokens_;
  const Journal* journal_;
};

}  // namespace vhsm::kbs
