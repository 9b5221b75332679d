// SPDX-License-Identifier: Apache-2.0
//
// vhsm-kbs.cnf, section [vhsm_kbs].
#include "kbs/config.h"

#include <openssl/conf.h>

#include <algorithm>
#include <filesystem>

#include "base/handle.h"
#include "kbs/config_values.h"
#include "snp/files.h"

namespace vhsm::kbs {
namespace {

constexpr const char* kSection = "vhsm_kbs";
constexpr std::size_t kMaxFileBytes = std::size_t{1} << 20;

struct Source {
  std::string path;
  std::string text;
};

std::string_view trim(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r";
  const auto from = text.find_first_not_of(kBlanks);
  if (from == text.npos) return {};
  return text.substr(from, text.find_last_not_of(kBlanks) - from + 1);
}

/// The last line that sets `key`, counted from 1; 0 when there is none.
std::size_t line_of(std::string_view key, std::string_view text) {
  std::size_t found = 0;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const auto end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    if (trim(line.substr(0, std::min(line.find('='), line.size()))) == key) found = number;
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return found;
}

std::string place_of(const Source& source, std::string_view key) {
  return source.path + ":" + std::to_string(line_of(key, source.text));
}

std::string subject_of(const Source& source, std::string_view key, std::string_view value,
                       std::string_view allowed) {
  constexpr std::size_t kShownValueBytes = 32;
  return place_of(source, key) + ": " + std::string(key) + " = " +
         std::string(value.substr(0, kShownValueBytes)) + "; allowed: " + std::string(allowed);
}

Status apply(Config& config, const Source& source, std::string_view key, std::string_view value) {
  const auto keys = detail::all_keys();
  const auto known = std::ranges::find(keys, key, &detail::Key::name);
  if (known == keys.end()) {
    return fail(Errc::kBadConfig, "there is no such key",
                place_of(source, key) + ": " + std::string(key));
  }
  const Status applied = known->apply(config, value);
  if (!applied.ok()) {
    return Error{Errc::kBadConfig, applied.error().what,
                 subject_of(source, key, value, known->allowed), applied.error().where};
  }
  if (known->path == nullptr || value.empty()) return {};
  const auto folder = std::filesystem::path(source.path).parent_path();
  config.*known->path = (folder / value).string();  // an absolute value stays as it is
  return {};
}

Result<ossl::Conf> parse(const Source& source) {
  const ossl::ErrorMark quiet;
  const auto bio = VHSM_TRY(
      made(ossl::Bio(BIO_new_mem_buf(source.text.data(), static_cast<int>(source.text.size()))),
           "BIO_new_mem_buf"));
  ossl::Conf conf = VHSM_TRY(made(ossl::Conf(NCONF_new(nullptr)), "NCONF_new"));
  long line = 0;
  if (NCONF_load_bio(conf.get(), bio.get(), &line) != 1) {
    return fail(Errc::kBadConfig, "not in OpenSSL's configuration syntax",
                source.path + ":" + std::to_string(line));
  }
  return conf;
}

/// What must be there, and what contradicts itself.
Status check(const Config& config, const Source& source) {
  const struct {
    const char* name;
    bool present;
  } required[] = {
      {"database", !config.database.empty()},
      {"token_key", !config.token_key.empty()},
      {"token_certificate", !config.token_certificate.empty()},
      {"certificate", config.insecure_http || !config.certificate.empty()},
      {"private_key", config.insecure_http || !config.private_key.empty()},
      {"measurement", config.policy.any_measurement || !config.policy.measurements.empty()},
  };
  for (const auto& one : required) {
    if (one.present) continue;
    return fail(Errc::kBadConfig, "a key is missing", source.path + ": " + one.name);
  }
  if (config.policy.any_measurement && !config.policy.measurements.empty()) {
    return fail(Errc::kBadConfig, "any measurement and a list of measurements at once",
                place_of(source, "measurement"));
  }
  return {};
}

}  // namespace

Result<Config> read_config(const std::string& path) {
  const auto bytes = VHSM_TRY(snp::read_file(path, kMaxFileBytes));
  const Source source{path, std::string(bytes.begin(), bytes.end())};
  const auto conf = VHSM_TRY(parse(source));
  Config config;
  config.policy.vmpl = 0;
  config.receiver_key = std::filesystem::path(path).replace_filename("receiver.key").string();
  STACK_OF(CONF_VALUE)* values = NCONF_get_section(conf.get(), kSection);
  if (values == nullptr) {
    return fail(Errc::kBadConfig, "no section [vhsm_kbs]", path);
  }
  for (int i = 0; i < sk_CONF_VALUE_num(values); ++i) {
    const CONF_VALUE* entry = sk_CONF_VALUE_value(values, i);
    VHSM_TRY(apply(config, source, entry->name, trim(entry->value)));
  }
  VHSM_TRY(check(config, source));
  return config;
}

}  // namespace vhsm::kbs
