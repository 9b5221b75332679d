// SPDX-License-Identifier: Apache-2.0
//
// What a key's owner lets its private half, or a symmetric key, be used for. The keystore asks
// below the provider, so that no host gets around it. As text, which is how it is sealed beside the
// key and shown:
//
//   operations=sign,derive digests=SHA256,SHA384 paddings=pss salt=digest not-before=1767225600
//   not-after=... uses=1000 gate=lease lease=3600 grace=600
//   operations=encrypt,decrypt algorithms=AES-256-GCM
//   operations=sign backup=attested
//   operations=restore
//
// Rules with a blank between them, each at most once; what has no rule is free. Times are seconds
// since 1970 on the machine's clock, which the host sets; lease and grace are seconds. What says
// how a key may leave (keystore/backup.h) is said when the key is made, and never again:
// backup=attested, and operations=restore for a key that opens backups and does nothing else.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "keystore/inner_context.h"
#include "keystore/key.h"
#include "keystore/key_type.h"
#include "keystore/lease.h"
#include "keystore/secret_material.h"
#include "keystore/symmetric_algorithm.h"

namespace vhsm::keystore {

/// The one policy of a key that opens backups.
inline constexpr std::string_view kRestorePolicy = "operations=restore";

class KeyPolicy {
 public:
  /// @errors kInvalidArgument, with the part that breaks the form as subject.
  static Result<KeyPolicy> parse(std::string_view text);
  /// Whether such a key can have it: else the key would be useless, or a rule never hold.
  /// @param type  of a key pair; null: it is a symmetric key.
  /// @errors kInvalidArgument, with the first word that it cannot have.
  [[nodiscard]] Status check_fits(const KeyType* type) const;
  /// What this and `terms` allow: what a key's stored form says of itself, no policy loosens. Of
  /// `terms` what it may be used for and when counts, and nothing else.
  /// @errors kPolicy when nothing is left, with the rule.
  [[nodiscard]] Result<KeyPolicy> within(const KeyPolicy& terms) const;
  /// What parse() reads again; empty: everything is allowed.
  [[nodiscard]] std::string text() const;

  /// Before an operation with the private half is begun, and before it is done.
  /// @param now  seconds since 1970.
  /// @errors kPolicy: the sentence says which rule.
  [[nodiscard]] Status allow(OperationKind kind, std::uint64_t now) const;
  /// What is set in the context, read back from it: what it does not tell is not allowed. In a
  /// scope.
  /// @errors kPolicy.
  [[nodiscard]] Status allow(const InnerContext& context) const;
  /// The same for a symmetric key.
  /// @param algorithm  SymmetricAlgorithm::name; empty for Use::kRelease.
  /// @param digest  that the operation is set to; empty: it has none.
  [[nodiscard]] Status allow(Use use, std::string_view algorithm, std::string_view digest,
                             std::uint64_t now) const;

  /// How often the key may be used; none: as often as one likes.
  [[nodiscard]] std::optional<std::uint64_t> uses() const noexcept { return uses_; }
  /// The gate that the key stands under where all keys stand under `ours`: the stricter one, and of
  /// two leases the shorter times.
  [[nodiscard]] GateTerms gate_under(const GateTerms& ours) const noexcept;

  /// Whether the key may leave for a keystore that proves itself.
  [[nodiscard]] bool allows_backup() const noexcept { return backup_; }
  /// Whether the key opens backups, and does nothing else.
  [[nodiscard]] bool restores() const;
  /// Whether this may stand in the place of `other`: who may have a key's bytes, and whose bytes
  /// it may open, was promised in evidence and does not change.
  /// @errors kPolicy.
  [[nodiscard]] Status check_replaces(const KeyPolicy& other) const;

 private:
  std::vector<std::string> operations_;
  std::vector<std::string> algorithms_;  ///< of a symmetric key
  std::vector<std::string> digests_;
  std::vector<std::string> digest_names_;  ///< all that OpenSSL calls them
  std::vector<std::string> paddings_;
  std::vector<std::string> salts_;  ///< of PSS
  std::optional<std::uint64_t> not_before_;
  std::optional<std::uint64_t> not_after_;
  std::optional<std::uint64_t> uses_;
  Gate gate_ = Gate::kNone;
  bool backup_ = false;
  std::optional<std::uint64_t> lease_;  ///< seconds; with Gate::kLease
  std::optional<std::uint64_t> grace_;
  friend struct PolicyRules;

  [[nodiscard]] Status allow(std::string_view operation, std::uint64_t now) const;
  [[nodiscard]] Status check_symmetric() const;
  [[nodiscard]] Status check_pair(const KeyType& type) const;
  void learn_digest_names();
  [[nodiscard]] bool has_rules() const noexcept {
    return !operations_.empty() || !digests_.empty() || !paddings_.empty() || !salts_.empty();
  }
  [[nodiscard]] Status allow_digest(std::string_view digest) const;
  [[nodiscard]] Status allow_salt(EVP_PKEY_CTX* ctx, const std::string& digest) const;
};

/// What the stored form of a symmetric key says of its use, as a policy; empty: nothing.
[[nodiscard]] std::string policy_of(const KeyUses& uses);

}  // namespace vhsm::keystore
