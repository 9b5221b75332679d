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
  static constexpr std::array<List, 5> kLists{{{"operations", &KeyPolicy::operations_},
                                               {"algorithms", &KeyPolicy::algorithms_},
                                               {"digests", &KeyPolicy::digests_},
                                               {"paddings", &KeyPolicy::paddings_},
                                               {"salt", &KeyPolicy::salts_}}};
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
  OperationNames KeyType::*of;  ///< there, where a type has it
};
constexpr std::array<KindName, 6> kKinds{
    {{OperationKind::kSign, "sign", &KeyType::signature},
     {OperationKind::kSignMessage, "sign", &KeyType::signature},
     {OperationKind::kDecrypt, "decrypt", &KeyType::cipher},
     {OperationKind::kDerive, "derive", &KeyType::exchange},
     {OperationKind::kDecapsulate, "decapsulate", &KeyType::kem},
     {OperationKind::kAuthEncapsulate, "encapsulate", &KeyType::kem}}};
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
constexpr std::string_view kSaltOfDigest = "digest";  // RFC 7518, section 3.5; RFC 8230, section 2
constexpr std::array<std::string_view, 4> kPaddings{"pkcs1", "pss", "oaep", "none"};
constexpr std::array<std::string_view, 3> kGates{"none", "first-use", "lease"};  // as Gate

std::string_view name_of(OperationKind kind) noexcept {
  const auto* const found = std::ranges::find(kKinds, kind, &KindName::kind);
  return found == kKinds.end() ? std::string_view("other") : found->name;
}

std::string_view name_of(Use use) noexcept {
  return std::ranges::find(kUses, use, &UseName::use)->name;
}

bool is_operation(std::string_view word, bool symmetric) {
  const auto is_it = [&](const auto& known) { return known.name == word; };
  if (symmetric) return std::ranges::any_of(kUses, is_it);
  return word == kRestore || std::ranges::any_of(kKinds, is_it);
}

/// Backups are for EC and RSA: jose/jwe.h.
bool does(const KeyType& type, std::string_view operation) {
  if (operation == kRestore) return type.cipher.exist() || type.family == Family::kEc;
  return std::ranges::any_of(kKinds, [&](const KindName& known) {
    return known.name == operation && (type.*known.of).exist();
  });
}

bool does(const SymmetricAlgorithm& algorithm, std::string_view operation) {
  return name_of(algorithm.forwards) == operation || name_of(algorithm.backwards) == operation;
}

bool contains(const std::vector<std::string>& names, std::string_view name) {
  return std::ranges::any_of(names, [&](const std::string& one) {
    return one.size() == name.size() && ::strncasecmp(one.data(), name.data(), name.size()) == 0;
  });
}

Error malformed(std::string_view part) {
  return fail(Errc::kInvalidArgument,
              "a policy is operations=, algorithms=, digests=, paddings=, salt=, gate=, backup=, "
              "not-before=, not-after=, uses=, lease= and grace=",
              part);
}

/// A word that nobody's operation has would make a key useless, or a rule that never holds.
bool is_known(std::string_view rule, std::string_view word) {
  if (rule == "operations") return is_operation(word, false) || is_operation(word, true);
  if (rule == "algorithms") return find_symmetric_algorithm(word) != nullptr;
  if (rule == "paddings") return std::ranges::find(kPaddings, word) != kPaddings.end();
  if (rule == "salt") return word == kSaltOfDigest;
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

/// Rules that do not go together would look like rules that hold, or make the key useless.
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
  if (policy.not_after_.has_value() && policy.not_before_.value_or(0) > *policy.not_after_) {
    return fail(Errc::kInvalidArgument,
                "not-before= is after not-after=: the key could never be used", policy.text());
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
  policy.learn_digest_names();
  return policy;
}

void KeyPolicy::learn_digest_names() {
  digest_names_.clear();
  for (const std::string& digest : digests_) {
    const auto names = names_of(digest);
    digest_names_.insert(digest_names_.end(), names.begin(), names.end());
  }
}

Status KeyPolicy::check_fits(const KeyType* type) const {
  for (const std::string& word : operations_) {
    if (is_operation(word, type == nullptr)) continue;
    return fail(Errc::kInvalidArgument, "this key has no such operation", word);
  }
  return type == nullptr ? check_symmetric() : check_pair(*type);
}

Status KeyPolicy::check_symmetric() const {
  if (!paddings_.empty() || !salts_.empty()) {
    return fail(Errc::kInvalidArgument, "a symmetric key has no paddings= and no salt=");
  }
  const auto has_one = [this](const std::string& algorithm) {
    return std::ranges::any_of(operations_, [&](const std::string& operation) {
      return does(*find_symmetric_algorithm(algorithm), operation);
    });
  };
  if (algorithms_.empty() || operations_.empty()) return {};
  if (std::ranges::any_of(algorithms_, has_one)) return {};
  return fail(Errc::kInvalidArgument, "none of algorithms= has one of these operations",
              operations_.front());
}

Status KeyPolicy::check_pair(const KeyType& type) const {
  if (!algorithms_.empty()) {
    return fail(Errc::kInvalidArgument, "algorithms= is for symmetric keys", algorithms_.front());
  }
  if (type.family != Family::kRsa && (!paddings_.empty() || !salts_.empty())) {
    return fail(Errc::kInvalidArgument, "only RSA has paddings= and salt=", type.name);
  }
  const auto has = [&](const std::string& operation) { return does(type, operation); };
  if (operations_.empty() || std::ranges::any_of(operations_, has)) return {};
  return fail(Errc::kInvalidArgument, "the key's algorithm has none of these operations",
              operations_.front());
}

Result<KeyPolicy> KeyPolicy::within(const KeyPolicy& terms) const {
  KeyPolicy both = *this;
  for (const auto& list : PolicyRules::kLists) {
    const auto& theirs = terms.*list.values;
    auto& words = both.*list.values;
    const bool is_free = words.empty();
    if (is_free) words = theirs;
    if (is_free || theirs.empty()) continue;
    const auto& known = list.values == &KeyPolicy::digests_ ? terms.digest_names_ : theirs;
    std::erase_if(words, [&](const std::string& word) { return !contains(known, word); });
    if (!words.empty()) continue;
    return fail(Errc::kPolicy, "the JWK or COSE_Key itself leaves nothing of this rule", list.name);
  }
  both.learn_digest_names();
  both.not_before_ = std::max(not_before_, terms.not_before_);
  const auto ends = terms.not_after_.value_or(UINT64_MAX);
  if (terms.not_after_.has_value()) both.not_after_ = std::min(not_after_.value_or(ends), ends);
  VHSM_TRY(PolicyRules::check(both));
  return both;
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

Status KeyPolicy::allow(Use use, std::string_view algorithm, std::string_view digest,
                        std::uint64_t now) const {
  VHSM_TRY(allow(name_of(use), now));
  if (!algorithms_.empty() && !contains(algorithms_, algorithm)) {
    return fail(Errc::kPolicy, "the key's policy forbids this algorithm (algorithms)");
  }
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

/// OpenSSL's default is another in each version; `auto-digestmax` is the digest's length, unless
/// the key is too short for it.
Status KeyPolicy::allow_salt(EVP_PKEY_CTX* ctx, const std::string& digest) const {
  if (salts_.empty()) return {};
  const std::string salt = setting_of(ctx, OSSL_SIGNATURE_PARAM_PSS_SALTLEN);
  const ossl::ErrorMark quiet;
  const ossl::Md md(EVP_MD_fetch(nullptr, digest.c_str(), nullptr));
  const int bytes = md == nullptr ? 0 : EVP_MD_get_size(md.get());
  const int room = EVP_PKEY_get_size(EVP_PKEY_CTX_get0_pkey(ctx)) - bytes - 2;
  const bool fits = salt == OSSL_PKEY_RSA_PSS_SALT_LEN_DIGEST || salt == std::to_string(bytes) ||
                    (salt == "auto-digestmax" && bytes <= room);
  if (bytes > 0 && fits) return {};
  return fail(Errc::kPolicy,
              "the key's policy wants a salt as long as the digest, rsa_pss_saltlen:digest (salt)");
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
  const std::string digest = setting_of(context.get(), OSSL_PKEY_PARAM_DIGEST);
  if (has_digest) VHSM_TRY(allow_digest(digest));
  if (padding == OSSL_PKEY_RSA_PAD_MODE_PSS) VHSM_TRY(allow_salt(context.get(), digest));
  const std::string mask_digest = setting_of(context.get(), OSSL_PKEY_PARAM_MGF1_DIGEST);
  if (!mask_digest.empty() && has_mask(padding)) VHSM_TRY(allow_digest(mask_digest));
  if (paddings_.empty() || contains(paddings_, padding)) return {};
  return fail(Errc::kPolicy, "the key's policy forbids this padding (paddings)");
}

std::string policy_of(const KeyUses& uses) {
  std::string text;
  const auto add = [&](std::string_view rule, std::string_view value) {
    text.append(text.empty() ? "" : " ").append(rule).append("=").append(value);
  };
  if (uses.uses != KeyUses::kEvery && uses.uses != KeyUses::kRelease) {  // a secret's type tells it
    std::string operations;
    for (const UseName& known : kUses) {
      if ((uses.uses & KeyUses::bit(known.use)) == 0) continue;
      operations.append(operations.empty() ? "" : ",").append(known.name);
    }
    add("operations", operations);
  }
  if (uses.algorithm != nullptr) add("algorithms", uses.algorithm);
  if (uses.digest != nullptr) add("digests", uses.digest);
  if (uses.not_before.has_value()) add("not-before", std::to_string(*uses.not_before));
  if (uses.not_after.has_value()) add("not-after", std::to_string(*uses.not_after));
  return text;
}

}  // namespace vhsm::keystore
