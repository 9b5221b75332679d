// SPDX-License-Identifier: Apache-2.0
#include "snp/policy_file.h"

#include <openssl/conf.h>

#include <algorithm>

#include "base/handle.h"
#include "snp/files.h"
#include "snp/policy_keys.h"

namespace vhsm::snp {
namespace {

using detail::PolicyDraft;
using detail::PolicyKey;

constexpr const char* kSection = "snp_policy";
constexpr std::size_t kMaxFileBytes = std::size_t{1} << 18;

std::string_view trim(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r";
  const auto from = text.find_first_not_of(kBlanks);
  if (from == text.npos) return {};
  return text.substr(from, text.find_last_not_of(kBlanks) - from + 1);
}

std::string subject_of(const std::string& path, std::string_view key, std::string_view value) {
  constexpr std::size_t kShownBytes = 32;
  return path + ": " + std::string(key.substr(0, kShownBytes)) + " = " +
         std::string(value.substr(0, kShownBytes));
}

Status apply(PolicyDraft& draft, const std::string& path, std::string_view key,
             std::string_view value) {
  const auto keys = detail::policy_keys();
  const auto known = std::ranges::find(keys, key, &PolicyKey::name);
  const std::string subject = subject_of(path, key, value);
  if (known == keys.end()) return fail(Errc::kBadConfig, "there is no such key", subject);
  if (value.empty()) return fail(Errc::kBadConfig, "a key without a value", subject);
  const Status applied = known->apply(draft, value);
  if (applied.ok()) return {};
  return Error{Errc::kBadConfig, applied.error().what,
               subject + "; allowed: " + std::string(known->allowed), applied.error().where};
}

Result<ossl::Conf> parse(std::string_view text, const std::string& path) {
  const ossl::ErrorMark quiet;
  const auto bio = VHSM_TRY(
      made(ossl::Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))), "no buffer"));
  ossl::Conf conf = VHSM_TRY(made(ossl::Conf(NCONF_new(nullptr)), "no configuration object"));
  long line = 0;
  if (NCONF_load_bio(conf.get(), bio.get(), &line) == 1) return conf;
  return fail(Errc::kBadConfig, "this line is not in OpenSSL's configuration syntax",
              path + ":" + std::to_string(line));
}

/// A file that leaves out what a verifier has to decide would accept what nobody meant to.
Status check(const PolicyDraft& draft, const std::string& path) {
  const Status complete = check_complete(draft.policy.report);
  if (!complete.ok()) return Error{Errc::kBadConfig, complete.error().what, path, Where::here()};
  if (draft.policy.report.minimum_tcb.empty() == draft.any_minimum_tcb) return {};
  return fail(Errc::kBadConfig, "the report policy does not say which minimum_tcb is asked for",
              path);
}

std::string folder_of(const std::string& path) {
  return path.substr(0, path.find_last_of('/') + 1);  // npos + 1: no folder
}

Result<VerifierPolicy> read_text(std::string_view text, const std::string& path) {
  if (text.size() > kMaxFileBytes) {
    return fail(Errc::kBadConfig, "a policy has at most 256 KiB", path);
  }
  const ossl::Conf conf = VHSM_TRY(parse(text, path));
  const STACK_OF(CONF_VALUE)* values = NCONF_get_section(conf.get(), kSection);
  if (values == nullptr) {
    return fail(Errc::kBadConfig, "this file has no section [snp_policy]", path);
  }
  PolicyDraft draft{.policy = {}, .folder = folder_of(path)};
  draft.policy.report.required_platform_bits =
      platform_bit::kEcc | platform_bit::kAliasCheckComplete;
  for (int i = 0; i < sk_CONF_VALUE_num(values); ++i) {
    const CONF_VALUE* const entry = sk_CONF_VALUE_value(values, i);
    VHSM_TRY(apply(draft, path, entry->name, trim(entry->value != nullptr ? entry->value : "")));
  }
  VHSM_TRY(check(draft, path));
  return std::move(draft.policy);
}

}  // namespace

Result<VerifierPolicy> parse_policy(std::string_view text, const std::string& path) {
  auto policy = read_text(text, path);
  if (policy.ok()) return policy;
  return policy.error().cured_by("correct this file, see vhsm-snp-policy(5)");
}

Result<VerifierPolicy> read_policy(const std::string& path) {
  const auto bytes = VHSM_TRY(read_file(path, kMaxFileBytes));
  return parse_policy({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path);
}

}  // namespace vhsm::snp
