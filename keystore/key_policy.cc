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
  struct Time {
    std::string_view name;
    std::optional<std::uint64_t> KeyPolicy::*value;
  };
  static constexpr std::array<List, 3> kLists{{{"operations", &KeyPolicy::operations_},
                                               {"digests", &KeyPolicy::digests_},
                                               {"paddings", &KeyPolicy::paddings_}}};
  static constexpr std::array<Time, 2> kTimes{
      {{"not-before", &KeyPolicy::not_before_}, {"not-after", &KeyPolicy::not_after_}}};
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
constexpr std::array<std::string_view, 4> kPaddings{"pkcs1", "pss", "oaep", "none"};

std::string_view name_of(OperationKind kind) noexcept {
  const auto* const found = std::ranges::find(kKinds, kind, &KindName::kind);
  return found == kKinds.end() ? std::string_view("other") : found->name;
}

bool contains(const std::vector<std::string>& names, std::string_view name) {
  return std::ranges::any_of(names, [&](const std::string& one) {
    return one.size() == name.size() && ::strncasecmp(one.data(), name.data(), name.size()) == 0;
  });
}

Error malformed(std::string_view part) {
  return fail(Errc::kInvalidArgument,
              "a policy is operations=, digests=, paddings=, not-before= and not-after=", part);
}

/// A word that nobody's operation has would make a key useless, or a rule that never holds.
bool is_known(std::string_view rule, std::string_view word) {
  if (rule == "operations") {
    return std::ranges::any_of(kKinds, [&](const KindName& kind) { return kind.name == word; });
  }
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

Status read_time(std::string_view rule, std::string_view value,
                 std::optional<std::uint64_t>& into) {
  std::uint64_t seconds = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), seconds);
  const bool whole = error == std::errc{} && end == value.data() + value.size();
  if (!whole || into.has_value()) return malformed(rule);
  into = seconds;
  return {};
}

Status read_rule(std::string_view part, KeyPolicy& policy) {
  const std::size_t equals = std::min(part.find('='), part.size());
  const std::string_view rule = part.substr(0, equals);
  const std::string_view value = part.substr(std::min(equals + 1, part.size()));
  for (const auto& list : PolicyRules::kLists) {
    if (list.name == rule) return read_list(rule, value, policy.*list.values);
  }
  for (const auto& time : PolicyRules::kTimes) {
    if (time.name == rule) return read_time(rule, value, policy.*time.value);
  }
  return malformed(part);
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

Result<KeyPolicy> KeyPolicy::parse(std::string_view text) {
  KeyPolicy policy;
  for (const std::string_view part : words(text, " ")) VHSM_TRY(read_rule(part, policy));
  for (const std::string& digest : policy.digests_) {
    const auto names = names_of(digest);
    policy.digest_names_.insert(policy.digest_names_.end(), names.begin(), names.end());
  }
  return policy;
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
  for (const auto& time : PolicyRules::kTimes) {
    const auto& value = this->*time.value;
    if (value.has_value()) add(time.name, std::to_string(*value));
  }
  return text;
}

Status KeyPolicy::allow(OperationKind kind, std::uint64_t now) const {
  if (not_before_.has_value() && now < *not_before_) {
    return fail(Errc::kPolicy, "the key's policy lets it be used later (not-before)");
  }
  if (not_after_.has_value() && now > *not_after_) {
    return fail(Errc::kPolicy, "the key's policy let it be used until now (not-after)");
  }
  if (operations_.empty() || contains(operations_, name_of(kind))) return {};
  return fail(Errc::kPolicy, "the key's policy forbids this operation (operations)");
}

/// Types that sign whole messages have neither digest nor padding to choose.
Status KeyPolicy::allow(const InnerContext& context) const {
  if (context.kind == OperationKind::kSign && !digests_.empty() &&
      !contains(digest_names_, setting_of(context.get(), OSSL_SIGNATURE_PARAM_DIGEST))) {
    return fail(Errc::kPolicy, "the key's policy forbids this digest (digests)");
  }
  const bool pads = context.kind == OperationKind::kSign || context.kind == OperationKind::kDecrypt;
  if (!pads || paddings_.empty()) return {};
  if (contains(paddings_, setting_of(context.get(), OSSL_PKEY_PARAM_PAD_MODE))) return {};
  return fail(Errc::kPolicy, "the key's policy forbids this padding (paddings)");
}

}  // namespace vhsm::keystore
