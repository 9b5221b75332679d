// SPDX-License-Identifier: Apache-2.0
//
// The keys of section [vhsm_kbs].
#include "kbs/config_values.h"

#include <algorithm>
#include <charconv>
#include <vector>

#include "base/words.h"
#include "snp/hex.h"

namespace vhsm::kbs {
namespace {

using detail::Key;

Result<bool> yes_or_no(std::string_view text) {
  if (text == "yes") return true;
  if (text == "no") return false;
  return fail(Errc::kBadConfig, "neither yes nor no", text);
}

Result<std::uint32_t> number(std::string_view text, std::uint32_t from, std::uint32_t to) {
  std::uint32_t value = 0;
  const char* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, value);
  if (parsed.ec != std::errc() || parsed.ptr != end || value < from || value > to) {
    return fail(Errc::kBadConfig, "not a number in its range", text);
  }
  return value;
}

template <bool Config::*Member>
Status set_flag(Config& config, std::string_view value) {
  config.*Member = VHSM_TRY(yes_or_no(value));
  return {};
}

template <bool snp::ReportPolicy::*Member>
Status set_policy_flag(Config& config, std::string_view value) {
  config.policy.*Member = VHSM_TRY(yes_or_no(value));
  return {};
}

template <bool snp::VerifyOptions::*Member>
Status set_verify_flag(Config& config, std::string_view value) {
  config.verify.*Member = VHSM_TRY(yes_or_no(value));
  return {};
}

template <std::chrono::seconds Config::*Member>
Status set_lifetime(Config& config, std::string_view value) {
  const std::uint32_t seconds = VHSM_TRY(number(value, 1, 86400));
  config.*Member = std::chrono::seconds(seconds);
  return {};
}

template <std::size_t Config::*Member, std::uint32_t Max>
Status set_count(Config& config, std::string_view value) {
  config.*Member = VHSM_TRY(number(value, 1, Max));
  return {};
}

Status set_listen(Config& config, std::string_view value) {
  config.listen = VHSM_TRY(parse_listen(value));
  return {};
}

Status set_release(Config& config, std::string_view value) {
  if (value != "attested" && value != "nobody") {
    return fail(Errc::kBadConfig, "no such resource policy", value);
  }
  config.release = value == "attested";
  return {};
}

Status set_log_level(Config& config, std::string_view value) {
  config.log_level = VHSM_TRY(parse_log_level(value));
  return {};
}

Status set_measurements(Config& config, std::string_view value) {
  for (const std::string_view word : words(value)) {
    if (word == "any") {
      config.policy.any_measurement = true;
      continue;
    }
    snp::Measurement measurement;
    VHSM_TRY(snp::from_hex(word, measurement.value));
    config.policy.measurements.push_back(measurement);
  }
  return {};
}

Status set_vmpl(Config& config, std::string_view value) {
  config.policy.vmpl = VHSM_TRY(number(value, 0, snp::kMaxVmpl));
  return {};
}

Status set_guest_svn(Config& config, std::string_view value) {
  config.policy.minimum_guest_svn = VHSM_TRY(number(value, 0, UINT32_MAX));
  return {};
}

Status set_products(Config& config, std::string_view value) {
  for (const std::string_view word : words(value)) {
    const auto product = VHSM_TRY(snp::parse_product(word));
    config.policy.products.push_back(product);
  }
  return {};
}

template <auto Member>
Status add_octets(Config& config, std::string_view value) {
  for (const std::string_view word : words(value)) {
    auto& octets = (config.policy.*Member).emplace_back();
    VHSM_TRY(snp::from_hex(word, octets.value));
  }
  return {};
}

Status set_component(snp::Tcb& tcb, std::string_view name, std::uint8_t value) {
  const struct {
    std::string_view name;
    std::uint8_t& member;
  } components[] = {{"fmc", tcb.fmc},
                    {"bootloader", tcb.bootloader},
                    {"tee", tcb.tee},
                    {"snp", tcb.snp},
                    {"microcode", tcb.microcode}};
  for (const auto& component : components) {
    if (component.name != name) continue;
    component.member = value;
    return {};
  }
  return fail(Errc::kBadConfig, "no such component of a TCB", name);
}

/// "Milan:bootloader=3:tee=0:snp=8:microcode=115", several separated by blanks.
Status set_minimum_tcb(Config& config, std::string_view value) {
  for (const std::string_view word : words(value)) {
    const auto parts = words(word, ":");
    if (parts.empty()) return fail(Errc::kBadConfig, "no product", word);
    snp::MinimumTcb minimum{};
    minimum.product = VHSM_TRY(snp::parse_product(parts.front()));
    for (std::size_t i = 1; i < parts.size(); ++i) {
      const auto equals = std::min(parts[i].find('='), parts[i].size());
      const auto level =
          VHSM_TRY(number(parts[i].substr(std::min(equals + 1, parts[i].size())), 0, 255));
      VHSM_TRY(
          set_component(minimum.tcb, parts[i].substr(0, equals), static_cast<std::uint8_t>(level)));
    }
    config.policy.minimum_tcb.push_back(minimum);
  }
  return {};
}

template <std::string Config::*Member>
Status set_path(Config& config, std::string_view value) {
  config.*Member = value;
  return {};
}

template <std::string Config::*Member>
constexpr Key path_key(std::string_view name, std::string_view allowed) {
  return {name, allowed, set_path<Member>, Member};
}

constexpr std::string_view kFlag = "yes, no";
constexpr std::string_view kFile = "a file";

constexpr Key kKeys[] = {
    {"listen", "HOST:PORT", set_listen},
    path_key<&Config::certificate>("certificate", kFile),
    path_key<&Config::private_key>("private_key", kFile),
    {"insecure_http", kFlag, set_flag<&Config::insecure_http>},
    path_key<&Config::database>("database", kFile),
    path_key<&Config::token_key>("token_key", kFile),
    path_key<&Config::token_certificate>("token_certificate", kFile),
    path_key<&Config::receiver_key>("receiver_key", kFile),
    path_key<&Config::token_trust>("token_trust", kFile),
    {"token_lifetime", "1 to 86400 seconds", set_lifetime<&Config::token_lifetime>},
    {"session_lifetime", "1 to 86400 seconds", set_lifetime<&Config::session_lifetime>},
    {"max_sessions", "1 to 1000000", set_count<&Config::max_sessions, 1000000>},
    {"threads", "1 to 256", set_count<&Config::threads, 256>},
    {"trustee_compat", kFlag, set_flag<&Config::trustee_compat>},
    {"resource_policy", "attested, nobody", set_release},
    path_key<&Config::log>("log", kFile),
    {"log_level", "error, warning, info, debug", set_log_level},
    path_key<&Config::certificates>("certificates", "a folder"),
    path_key<&Config::trust_test_root>("trust_test_root", kFile),
    {"allow_vlek", kFlag, set_verify_flag<&snp::VerifyOptions::allow_vlek>},
    {"allow_masked_chip_id", kFlag, set_verify_flag<&snp::VerifyOptions::allow_masked_chip_id>},
    {"measurement", "96 hex digits each, or any", set_measurements},
    {"vmpl", "0 to 3", set_vmpl},
    {"allow_debug", kFlag, set_policy_flag<&snp::ReportPolicy::allow_debug>},
    {"allow_migration", kFlag, set_policy_flag<&snp::ReportPolicy::allow_migration>},
    {"allow_cxl", kFlag, set_policy_flag<&snp::ReportPolicy::allow_cxl>},
    {"allow_smt", kFlag, set_policy_flag<&snp::ReportPolicy::allow_smt>},
    {"minimum_guest_svn", "a number", set_guest_svn},
    {"minimum_tcb", "PRODUCT:component=N:...", set_minimum_tcb},
    {"products", "Milan, Genoa, Turin", set_products},
    {"chip_ids", "128 hex digits each", add_octets<&snp::ReportPolicy::chip_ids>},
    {"host_data", "64 hex digits each", add_octets<&snp::ReportPolicy::host_data>},
};

}  // namespace

std::span<const Key> detail::all_keys() noexcept { return kKeys; }

Result<Listen> parse_listen(std::string_view text) {
  const auto colon = text.rfind(':');
  if (colon == text.npos || colon == 0) {
    return fail(Errc::kBadConfig, "an address is not HOST:PORT", text);
  }
  std::string_view host = text.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  Listen listen;
  listen.host = host;
  const std::uint32_t port = VHSM_TRY(number(text.substr(colon + 1), 0, 65535));
  listen.port = static_cast<int>(port);
  return listen;
}

}  // namespace vhsm::kbs
