// SPDX-License-Identifier: Apache-2.0
//
// The attestation service: challenge, evidence, token. Knows no HTTP.
// Source: KBS protocol 0.4.0 (Trustee kbs/src/attestation/backend.rs).
#pragma once

#include <string_view>

#include "base/result.h"
#include "kbs/config.h"
#include "kbs/journal.h"
#include "kbs/reply.h"
#include "kbs/sessions.h"
#include "kbs/token_authority.h"
#include "snp/verify.h"

namespace vhsm::kbs {

inline constexpr std::string_view kProtocolVersion = "0.4.0";

/// Thread-safe. What it refers to must outlive it.
class AttestationService {
 public:
  /// @errors kIo, kBadFormat (roots and certificates).
  static Result<AttestationService> open(const Config& config, Sessions& sessions,
                                         const TokenAuthority& tokens, const Journal& journal);

  [[nodiscard]] Reply auth(std::string_view body, std::string_view peer) const;
  [[nodiscard]] Reply attest(std::string_view cookie, std::string_view body,
                             std::string_view peer) const;

 private:
  AttestationService(const Config& config, snp::Roots roots, Sessions& sessions,
                     const TokenAuthority& tokens, const Journal& journal)
      : config_(&config),
        roots_(std::move(roots)),
        sessions_(&sessions),
        tokens_(&tokens),
        journal_(&journal) {}

  Result<Challenge> challenge(std::string_view body) const;
  Result<std::string> appraise(const Challenge& challenge, std::string_view body,
                               AuditRow& row) const;
  Result<snp::VerifiedReport> judged(const jose::Json& evidence, const snp::ReportData& expected,
                                     AuditRow& row) const;

  const Config* config_;
  snp::Roots roots_;
  Sessions* sessions_;
  const TokenAuthority* tokens_;
  const Journal* journal_;
};

}  // namespace vhsm::kbs
