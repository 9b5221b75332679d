// SPDX-License-Identifier: Apache-2.0
#include "keystore/key_policy.h"

#include <strings.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "base/words.h"

namespace vhsm::keystore {

/// Every rule, in the order in which they are written.
struct PolicyRules {
  struct List {
    std::string_view name;
    std::vector<std::string> KeyPolicy::*values;
  };
  struct Number {
    std::string_view name;
    std::optional<std::uint64_t> KeyPolicy::*value;
    std::uint64_t least;
    std::uint64_t most;
  };
  static constexpr std::uint64_t kMostSeconds = 10 * 366 * 86400;  // of a lease: it is none then
  static constexpr std::array<List, 3> kLists{{{"operations", &KeyPolicy::operations_},
                                               {"digests", &KeyPolicy::digests_},
                                               {"paddings", &KeyPolicy::paddings_}}};
  static constexpr std::string_view kGate = "gate";
  static constexpr std::string_view kBackup = "backup";
  static constexpr std::array<Number, 5> kNumbers{
      {{"not-before", &KeyPolicy::not_before_, 0, UINT64_MAX},
       {"not-after", &KeyPolicy::not_after_, 0, UINT64_MAX},
       {"uses", &KeyPolicy::uses_, 1, UINT64_MAX - 1},
       {"lease", &KeyPolicy::lease_, 1, kMostSeconds},
       {"grace", &KeyPolicy::grace_, 0, kMostSeconds}}};

  static Status read(std::string_view part, KeyPolicy& policy);
  static Status read_gate(std::string_view value, KeyPolicy& policy);
  static Status read_backup(std::string_view value, KeyPolicy& policy);
  static Status check(const KeyPolicy& policy);
};

namespace {

struct KindName {
  OperationKind kind;
  std::string_view name;
};
constexpr std::array<KindName, 6> kKinds{{{OperationKind::kSign, "sign"},
                                          {OperationKind::kSignMessage, "sign"},
                                          {OperationKind::kDecrypt, "decrypt"},
                                          {OperationKind::kDerive, "derive"},
                                          {OperationKind::kDecapsulate, "decapsulate"},
                                          {OperationKind::kAuthEncapsulate, "encapsulate"}}};
struct UseName {
  Use use;
  std::string_view name;
};
constexpr std::array<UseName, 7> kUses{{{Use::kSign, "sign"},
                                        {Use::kEncrypt, "encrypt"},
                                        {Use::kDecrypt, "decrypt"},
                                        {Use::kWrap, "wrap"},
                                        {Use::kUnwrap, "unwrap"},
                                        {Use::kDerive, "derive"},
                                        {Use::kRelease, "release"}}};
constexpr std::string_view kRestore = "restore";  // of the keystore itself: see backup.h
constexpr std::string_view kAttested = "attested";
constexpr std::array<std::string_view, 4> kPaddings{"pkcs1", "pss", "oaep", "none"};
constexpr std::array<std::string_view, 3> kGates{"none", "first-use", "lease"};  // as Gate

std::string_view name_of(OperationKind kind) noexcept {
  const auto* const found = std::ranges::find(kKinds, kind, &KindName::kind);
  return found == kKinds.end() ? std::string_view("other") : found->name;
}

bool is_operation(std::string_view word, bool symmetric) {
  const auto is_it = [&](const auto& known) { return known.name == word; };
  if (symmetric) return std::ranges::any_of(kUses, is_it);
  return word == kRestore || std::ranges::any_of(kKinds, is_it);
}

bool contains(const std::vector<std::string>& names, std::string_view name) {
  return std::ranges::any_of(names, [&](const std::string& one) {
    return one.size() == name.size() && ::strncasecmp(one.data(), name.data(), name.size()) == 0;
  });
}

Error malformed(std::string_view part) {
  return fail(
      Errc::kInvalidArgument,
      "a policy is operations=, digests=, paddings=, gate=, backup=, not-before=, not-after=, "
      "uses=, lease= and grace=",
      part);
}

/// A word that nobody's operation has would make a key useless, or a rule that never holds.
bool is_known(std::string_view rule, std::string_view word) {
  if (rule == "operations") return is_operation(word, false) || is_operation(word, true);
  if (rule == "paddings") return std::ranges::find(kPaddings, word) != kPaddings.end();
  const ossl::ErrorMark quiet;
  return ossl::Md(EVP_MD_fetch(nullptr, std::string(word).c_str(), nullptr)) != nullptr;
}

Status read_list(std::string_view rule, std::string_view value, std::vector<std::string>& into) {
  if (!into.empty()) return malformed(rule);
  for (const std::string_view word : words(value, ",")) {
    if (!is_known(rule, word)) return malformed(word);
    into.emplace_back(word);
  }
  return into.empty() ? Status(malformed(rule)) : Status();
}

Status read_number(const PolicyRules::Number& rule, std::string_view value,
                   std::optional<std::uint64_t>& into) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  const bool whole = error == std::errc{} && end == value.data() + value.size();
  const bool fits = whole && number >= rule.least && number <= rule.most;
  if (!fits || into.has_value()) return malformed(rule.name);
  into = number;
  return {};
}

/// A setting of the context, as text; empty: the operation has none.
std::string setting_of(EVP_PKEY_CTX* ctx, const char* name) {
  const ossl::ErrorMark quiet;
  std::array<char, 64> text{};
  OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(name, text.data(), text.size()),
                         OSSL_PARAM_construct_end()};
  const bool told = EVP_PKEY_CTX_get_params(ctx, params) == 1 && OSSL_PARAM_modified(params) == 1;
  return told ? std::string(text.data()) : std::string();
}

/// As setting_of() tells it.
const std::string kRawRsa = OSSL_PKEY_RSA_PAD_MODE_NONE;

bool has_mask(std::string_view padding) noexcept {
  return padding == OSSL_PKEY_RSA_PAD_MODE_OAEP || padding == OSSL_PKEY_RSA_PAD_MODE_PSS;
}

bool is_rsa(EVP_PKEY_CTX* ctx) noexcept {
  const EVP_PKEY* const key = EVP_PKEY_CTX_get0_pkey(ctx);
  return key != nullptr && EVP_PKEY_is_a(key, "RSA") == 1;
}

/// What OpenSSL calls a digest: a host may name it by any of them.
std::vector<std::string> names_of(const std::string& digest) {
  std::vector<std::string> names;
  const ossl::Md found(EVP_MD_fetch(nullptr, digest.c_str(), nullptr));
  const auto add = [](const char* name, void* into) {
    static_cast<std::vector<std::string>*>(into)->emplace_back(name);
  };
  if (found != nullptr) EVP_MD_names_do_all(found.get(), add, &names);
  return names;
}

}  // namespace

Status PolicyRules::read_gate(std::string_view value, KeyPolicy& policy) {
  const auto* const found = std::ranges::find(kGates, value);
  if (found == kGates.end() || policy.gate_ != Gate::kNone) return malformed(kGate);
  policy.gate_ = static_cast<Gate>(found - kGates.begin());
  return {};
}

Status PolicyRules::read_backup(std::string_view value, KeyPolicy& policy) {
  if (value != kAttested || policy.backup_) return malformed(kBackup);
  policy.backup_ = true;
  return {};
}

Status PolicyRules::read(std::string_view part, KeyPolicy& policy) {
  const std::size_t equals = std::min(part.find('='), part.size());
  const std::string_view rule = part.substr(0, equals);
  const std::string_view value = part.substr(std::min(equals + 1, part.size()));
  for (const List& list : kLists) {
    if (list.name == rule) return read_list(rule, value, policy.*list.values);
  }
  for (const Number& number : kNumbers) {
    if (number.name == rule) return read_number(number, value, policy.*number.value);
  }
  if (rule == kBackup) return read_backup(value, policy);
  return rule == kGate ? read_gate(value, policy) : malformed(part);
}

/// Rules that do not go together would look like rules that hold.
Status PolicyRules::check(const KeyPolicy& policy) {
  if (contains(policy.operations_, kRestore) && !policy.restores()) {
    return fail(Errc::kInvalidArgument,
                "operations=restore is for a key that opens backups alone, and is its only rule",
                policy.text());
  }
  if (policy.backup_ && policy.uses_.has_value()) {
    return fail(Errc::kInvalidArgument, "uses= cannot be counted in two places (backup=attested)",
                policy.text());
  }
  const bool leased = policy.gate_ == Gate::kLease;
  if (leased == policy.lease_.has_value() && (leased || !policy.grace_.has_value())) return {};
  return fail(Errc::kInvalidArgument, "gate=lease needs lease=, and lease= and grace= need it",
              policy.text());
}

Result<KeyPolicy> KeyPolicy::parse(std::string_view text) {
  KeyPolicy policy;
  for (const std::string_view part : words(text, " ")) VHSM_TRY(PolicyRules::read(part, policy));
  VHSM_TRY(PolicyRules::check(policy));
  for (const std::string& digest : policy.digests_) {
    const auto names = names_of(digest);
    policy.digest_names_.insert(policy.digest_names_.end(), names.begin(), names.end());
  }
  return policy;
}

Status KeyPolicy::check_words(bool symmetric) const {
  for (const std::string& word : operations_) {
    if (is_operation(word, symmetric)) continue;
    return fail(Errc::kInvalidArgument, "this key has no such operation", word);
  }
  if (!symmetric || paddings_.empty()) return {};
  return fail(Errc::kInvalidArgument, "a symmetric key has no such paddings", paddings_.front());
}

std::string KeyPolicy::text() const {
  std::string text;
  const auto add = [&](std::string_view rule, const std::string& value) {
    text.append(text.empty() ? "" : " ").append(rule).append("=").append(value);
  };
  for (const auto& list : PolicyRules::kLists) {
    std::string joined;
    for (const std::string& word : this->*list.values) {
      joined.append(joined.empty() ? "" : ",").append(word);
    }
    if (!joined.empty()) add(list.name, joined);
  }
  if (gate_ != Gate::kNone) {
    add(PolicyRules::kGate, std::string(kGates[static_cast<std::size_t>(gate_)]));
  }
  if (backup_) add(PolicyRules::kBackup, std::string(kAttested));
  for (const auto& number : PolicyRules::kNumbers) {
    const auto& value = this->*number.value;
    if (value.has_value()) add(number.name, std::to_string(*value));
  }
  return text;
}

bool KeyPolicy::restores() const { return text() == kRestorePolicy; }

Status KeyPolicy::check_replaces(const KeyPolicy& other) const {
  if (backup_ == other.backup_ && restores() == other.restores()) return {};
  return fail(
      Errc::kPolicy,
      "backup= and operations=restore are said when a key is made and stay as they are: make "
      "another key");
}

GateTerms KeyPolicy::gate_under(const GateTerms& ours) const noexcept {
  GateTerms terms = ours;
  if (gate_ <= ours.gate && gate_ != Gate::kLease) return terms;
  terms.gate = gate_;
  if (gate_ != Gate::kLease) return terms;
  const bool both = ours.gate == Gate::kLease;
  const std::chrono::milliseconds lease = std::chrono::seconds(lease_.value_or(0));
  const std::chrono::milliseconds grace = std::chrono::seconds(grace_.value_or(0));
  terms.lease = both ? std::min(ours.lease, lease) : lease;
  terms.grace = both ? std::min(ours.grace, grace) : grace;
  return terms;
}

Status KeyPolicy::allow(OperationKind kind, std::uint64_t now) const {
  return allow(name_of(kind), now);
}

Status KeyPolicy::allow(Use use, std::string_view digest, std::uint64_t now) const {
  VHSM_TRY(allow(std::ranges::find(kUses, use, &UseName::use)->name, now));
  return digest.empty() ? Status() : allow_digest(digest);
}

Status KeyPolicy::allow_digest(std::string_view digest) const {
  if (digests_.empty() || contains(digest_names_, digest)) return {};
  return fail(Errc::kPolicy, "the key's policy forbids this digest (digests)");
}

Status KeyPolicy::allow(std::string_view operation, std::uint64_t now) const {
  if (not_before_.has_value() && now < *not_before_) {
    return fail(Errc::kPolicy, "the key's policy lets it be used later (not-before)");
  }
  if (not_after_.has_value() && now > *not_after_) {
    return fail(Errc::kPolicy, "the key's policy let it be used until now (not-after)");
  }
  if (operations_.empty() || contains(operations_, operation)) return {};
  return fail(Errc::kPolicy, "the key's policy forbids this operation (operations)");
}

/// RSA without a padding is one and the same whether it is called signing, decrypting or
/// encapsulating (RSASVE), so who may do one of them may not do it under that name. Types that sign
/// whole messages have neither digest nor padding to choose.
Status KeyPolicy::allow(const InnerContext& context) const {
  const bool signs = context.kind == OperationKind::kSign;
  const bool decrypts = context.kind == OperationKind::kDecrypt;
  const bool unwraps = context.kind == OperationKind::kDecapsulate && is_rsa(context.get());
  if ((!signs && !decrypts && !unwraps) || !has_rules()) return {};
  const std::string padding =
      unwraps ? kRawRsa : setting_of(context.get(), OSSL_PKEY_PARAM_PAD_MODE);
  if (padding == kRawRsa && paddings_.empty()) {
    return fail(Errc::kPolicy,
                "without a padding all operations of RSA are one: the key's policy has to name "
                "paddings=none for it (paddings)");
  }
  const bool has_digest = signs || padding == OSSL_PKEY_RSA_PAD_MODE_OAEP;
  if (has_digest) VHSM_TRY(allow_digest(setting_of(context.get(), OSSL_PKEY_PARAM_DIGEST)));
  const std::string mask_digest = setting_of(context.get(), OSSL_PKEY_PARAM_MGF1_DIGEST);
  if (!mask_digest.empty() && has_mask(padding)) VHSM_TRY(allow_digest(mask_digest));
  if (paddings_.empty() || contains(paddings_, padding)) return {};
  return fail(Errc::kPolicy, "the key's policy forbids this padding (paddings)");
}

}  // namespace vhsm::keystore
