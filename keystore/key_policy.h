// SPDX-License-Identifier: Apache-2.0
//
// What a key's owner lets its private half be used for. The keystore asks below the provider, so
// that no host gets around it. As text, which is how it is sealed beside the key and shown:
//
//   operations=sign,derive digests=SHA256,SHA384 paddings=pss not-before=1767225600 not-after=...
//
// Rules with a blank between them, each at most once; what has no rule is free. Times are seconds
// since 1970 on the machine's clock, which the host sets.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "keystore/inner_context.h"
#include "keystore/key.h"

namespace vhsm::keystore {

class KeyPolicy {
 public:
  /// @errors kInvalidArgument, with the part that breaks the form as subject.
  static Result<KeyPolicy> parse(std::string_view text);
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

 private:
  std::vector<std::string> operations_;
  std::vector<std::string> digests_;
  std::vector<std::string> digest_names_;  ///< all that OpenSSL calls them
  std::vector<std::string> paddings_;
  std::optional<std::uint64_t> not_before_;
  std::optional<std::uint64_t> not_after_;
  friend struct PolicyRules;
};

using KeyPolicyPtr = std::shared_ptr<const KeyPolicy>;

}  // namespace vhsm::keystore
