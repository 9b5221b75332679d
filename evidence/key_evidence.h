// SPDX-License-Identifier: Apache-2.0
//
// Evidence of a key: what the keystore says of it, and the report that binds this to a VM. As a
// collection of conceptual messages; nothing here says whether it is true (key_verdict.h).
// Source: docs/key-evidence.md.
#pragma once

#include "base/result.h"
#include "evidence/cmw.h"
#include "keystore/witness.h"
#include "snp/platform.h"

namespace vhsm::evidence {

struct KeyEvidence {
  Bytes claims;  ///< as encode() gives them
  snp::Evidence platform;

  /// Has `platform` say so.
  /// @errors as snp::Platform::attest().
  static Result<KeyEvidence> gather(const keystore::KeyClaims& claims, snp::Platform& platform,
                                    TimePoint deadline);
  /// With the certificates that the host gave, but for the root.
  [[nodiscard]] Collection collection() const;
  /// @errors kBadFormat for a record that is missing, unknown or of another type.
  static Result<KeyEvidence> from(const Collection& collection);
};

}  // namespace vhsm::evidence
