// SPDX-License-Identifier: Apache-2.0
#include "base/setting_values.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>

#include "base/endpoint.h"
#include "base/log.h"
#include "base/segment.h"
#include "base/words.h"

namespace vhsm::detail {
namespace {

constexpr std::size_t kMaxEndpoints = 8;
constexpr std::size_t kMaxSocketPathBytes = 100;  // sockaddr_un takes 107, and we append to it
constexpr std::size_t kPinHexDigits = 64;         // SHA-256
constexpr std::chrono::milliseconds kLongestWait = std::chrono::hours(1);
constexpr std::uint64_t kMostBoots = 100;
constexpr std::size_t kLargestMemoryLimit = std::size_t{1} << 30;

constexpr std::string_view kYesNo = "yes, no";
constexpr std::string_view kFile = "the path of a file";
constexpr std::string_view kWait = "3s, 500ms or seconds, at most 3600s";
constexpr std::string_view kSpan = "90s, 10m, 1h, 2d or seconds, 1s to 30d";
constexpr std::string_view kSink = "the path of a file, syslog, journal";

Error refuse(std::string_view part = {}) {
  return fail(Errc::kBadConfig, "this value is not allowed", part);
}
Error later(std::string_view part = {}) {
  return fail(Errc::kUnsupported, "this version of vhsm does not have it yet", part);
}

/// The number at the front of `text`, which shrinks to what follows it.
Result<std::uint64_t> take_number(std::string_view& text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{}) return refuse();
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return number;
}

Result<bool> read_yes_no(std::string_view value) {
  if (value == "yes") return true;
  if (value == "no") return false;
  return refuse();
}

Result<std::chrono::milliseconds> read_wait(std::string_view value, std::uint64_t least) {
  const std::uint64_t number = VHSM_TRY(take_number(value));
  if (value != "ms" && value != "s" && !value.empty()) return refuse();
  if (number > static_cast<std::uint64_t>(kLongestWait.count())) return refuse();
  const std::chrono::milliseconds wait(number * (value == "ms" ? 1U : 1000U));
  if (wait > kLongestWait || number < least) return refuse();
  return wait;
}

struct Unit {
  std::string_view name;
  std::chrono::seconds length;
};
constexpr std::array<Unit, 5> kUnits{{{"", std::chrono::seconds(1)},
                                      {"s", std::chrono::seconds(1)},
                                      {"m", std::chrono::minutes(1)},
                                      {"h", std::chrono::hours(1)},
                                      {"d", std::chrono::days(1)}}};

Result<std::chrono::milliseconds> read_span(std::string_view value) {
  constexpr std::chrono::seconds kLongest = std::chrono::days(30);
  const std::uint64_t number = VHSM_TRY(take_number(value));
  const auto unit = std::ranges::find(kUnits, value, &Unit::name);
  if (unit == kUnits.end() || number == 0) return refuse();
  if (number > static_cast<std::uint64_t>(kLongest / unit->length)) return refuse();
  return std::chrono::milliseconds(unit->length * static_cast<std::int64_t>(number));
}

Result<std::size_t> read_memory_limit(std::string_view value) {
  std::size_t bytes = VHSM_TRY(take_number(value));
  if (bytes > kLargestMemoryLimit) return refuse();
  if (value == "K") {
    bytes <<= 10;
  } else if (value == "M") {
    bytes <<= 20;
  } else if (!value.empty()) {
    return refuse();
  }
  if (bytes > kLargestMemoryLimit) return refuse();
  return bytes;
}

/// A path says yes and where the module's configuration is.
Status read_fips(Settings& settings, std::string_view value) {
  const bool is_path = value.starts_with('/');
  settings.fips_config = is_path ? value : "";
  settings.fips = VHSM_TRY(read_yes_no(is_path ? "yes" : value));
  return {};
}

/// A path says yes and where init-data is.
Status read_init_data(Settings& settings, std::string_view value) {
  if (value.starts_with('/')) {
    settings.init_data = value;
    return {};
  }
  const bool required = VHSM_TRY(read_yes_no(value));
  settings.init_data = required ? kDefaultInitDataPath : "";
  return {};
}

Status read_platform(Settings& settings, std::string_view value) {
  constexpr std::array<std::string_view, 8> kNames{"auto", "sev-guest", "tsm",    "svsm",
                                                   "vtpm", "agent",     "sample", "none"};
  constexpr std::array<std::string_view, 3> kPrefixes{"emulator:", "vtpm:", "agent:"};
  const bool known = std::ranges::find(kNames, value) != kNames.end();
  const bool has_argument = std::ranges::any_of(kPrefixes, [&](std::string_view prefix) {
    return value.starts_with(prefix) && value.size() > prefix.size();
  });
  if (!known && !has_argument) return refuse();
  settings.platform = value;
  return {};
}

bool is_path_of(std::string_view scheme, std::string_view value) {
  return value.starts_with(scheme) && value.substr(scheme.size()).starts_with('/');
}

Status read_keystore(Settings& settings, std::string_view value) {
  if (value.starts_with("https:")) return later();
  const bool socket = is_path_of(kSocketScheme, value) &&
                      value.size() <= kSocketScheme.size() + kMaxSocketPathBytes;
  if (value != "memory:" && !socket && !is_path_of(kFolderScheme, value)) return refuse();
  settings.keystore = value;
  return {};
}

Status read_vhsmd_keystore(Settings& settings, std::string_view value) {
  if (value != "memory:" && !is_path_of(kFolderScheme, value)) return refuse();
  settings.vhsmd_keystore = value;
  return {};
}

Status read_keystore_kbs_key(Settings& settings, std::string_view value) {
  std::size_t segments = 0;
  for (std::string_view rest = value; segments < 4; ++segments) {
    const std::size_t slash = rest.find('/');
    if (!is_segment(rest.substr(0, slash))) return refuse();
    if (slash == std::string_view::npos) break;
    rest.remove_prefix(slash + 1);
  }
  if (segments != 2) return refuse();
  settings.keystore_kbs_key = value;
  return {};
}

Status read_gate(Settings& settings, std::string_view value) {
  if (value != "none" && value != "first-use" && value != "lease") return refuse();
  settings.gate = value;
  return {};
}

Status read_offline_copies(Settings& settings, std::string_view value) {
  if (value != "none" && !is_path_of(kFolderScheme, value)) return refuse();
  settings.offline_copies = value;
  return {};
}

Status read_offline_boots(Settings& settings, std::string_view value) {
  const std::uint64_t boots = VHSM_TRY(take_number(value));
  if (boots > kMostBoots || !value.empty()) return refuse();
  settings.offline_boots = static_cast<std::uint8_t>(boots);
  return {};
}

Status read_tee_key(Settings& settings, std::string_view value) {
  if (value != "P-256" && value != "P-521" && value != "RSA") return refuse();
  settings.tee_key = value;
  return {};
}

Status read_attestation_service(Settings& settings, std::string_view value) {
  const Endpoint endpoint = VHSM_TRY(parse_endpoint(value));
  settings.attestation_service = endpoint.url();
  return {};
}

/// Whether they are URIs or paths is found out by the keystore.
template <std::vector<std::string> Settings::*kMember>
Status read_names(Settings& settings, std::string_view value) {
  (settings.*kMember).clear();
  for (const std::string_view name : words(value)) (settings.*kMember).emplace_back(name);
  return {};
}

Status read_vmpl(Settings& settings, std::string_view value) {
  if (value.size() != 1 || value[0] < '0' || value[0] > '3') return refuse();
  settings.vmpl = static_cast<unsigned>(value[0] - '0');
  return {};
}

Status read_endpoints(Settings& settings, std::string_view value) {
  settings.kbs.clear();
  for (const std::string_view url : words(value)) {
    const Endpoint endpoint = VHSM_TRY(parse_endpoint(url));
    settings.kbs.push_back(endpoint.url());
  }
  if (settings.kbs.size() > kMaxEndpoints) return refuse();
  return {};
}

Status read_pins(Settings& settings, std::string_view value) {
  settings.kbs_pin.clear();
  for (const std::string_view pin : words(value)) {
    std::string digits(pin);
    for (char& c : digits) {
      if (c >= 'A' && c <= 'F') c = static_cast<char>(c - 'A' + 'a');
      if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) return refuse(pin);
    }
    if (digits.size() != kPinHexDigits) return refuse(pin);
    settings.kbs_pin.push_back(digits);
  }
  return {};
}

Status read_kbs_path(Settings& settings, std::string_view value) {
  const std::size_t slash = value.find('/');
  if (slash == std::string_view::npos || !is_segment(value.substr(0, slash)) ||
      !is_segment(value.substr(slash + 1))) {
    return refuse();
  }
  settings.kbs_path = value;
  return {};
}

Status read_log_level(Settings& settings, std::string_view value) {
  if (!parse_log_level(value).ok()) return refuse();
  settings.log_level = value;
  return {};
}

template <std::string Settings::*Member>
Status read_text(Settings& settings, std::string_view value) {
  settings.*Member = value;
  return {};
}

template <bool Settings::*Member>
Status read_flag(Settings& settings, std::string_view value) {
  settings.*Member = VHSM_TRY(read_yes_no(value));
  return {};
}

template <std::chrono::milliseconds Settings::*Member, std::uint64_t Least>
Status read_duration(Settings& settings, std::string_view value) {
  settings.*Member = VHSM_TRY(read_wait(value, Least));
  return {};
}

template <std::chrono::milliseconds Settings::*Member>
Status read_long(Settings& settings, std::string_view value) {
  settings.*Member = VHSM_TRY(read_span(value));
  return {};
}

Status read_limit(Settings& settings, std::string_view value) {
  settings.memory_limit = VHSM_TRY(read_memory_limit(value));
  return {};
}

constexpr Setting kSettings[] = {
    {"keystore", "memory:, dir:/PATH, unix:/PATH of at most 100 bytes", read_keystore},
    {"vhsmd_keystore", "memory:, dir:/PATH", read_vhsmd_keystore},
    {"keystore_kbs_key", "three segments, e.g. default/keystore/root", read_keystore_kbs_key},
    {"platform",
     "auto, sev-guest, tsm, svsm, vtpm, vtpm:FILE, agent, agent:PATH, emulator:DIR, sample, none",
     read_platform},
    {"vmpl", "0, 1, 2, 3", read_vmpl},
    {"kbs", "up to 8 URLs http[s]://HOST[:PORT]", read_endpoints, true},
    {"kbs_ca", kFile, read_text<&Settings::kbs_ca>, true},
    {"kbs_pin", "SHA-256 fingerprints, 64 hex digits each", read_pins, true},
    {"kbs_cert", kFile, read_text<&Settings::kbs_cert>},
    {"kbs_key", kFile, read_text<&Settings::kbs_key>},
    {"kbs_insecure", kYesNo, read_flag<&Settings::kbs_insecure>, true},
    {"kbs_path", "two segments, e.g. default/key", read_kbs_path},
    {"attestation_service", "one URL http[s]://HOST[:PORT]", read_attestation_service, true},
    {"tee_key", "P-256, P-521, RSA", read_tee_key},
    {"release_key", kFile, read_text<&Settings::release_key>, true},
    {"require_signed_keys", kYesNo, read_flag<&Settings::require_signed_keys>, true},
    {"prefetch", "URIs, e.g. vhsm:default/tls/www", read_names<&Settings::prefetch>},
    {"secret_paths", "one or two segments each, e.g. default/secret",
     read_names<&Settings::secret_paths>, true},
    {"gate", "none, first-use, lease", read_gate, true},
    {"lease", kSpan, read_long<&Settings::lease>, true},
    {"offline_grace", kSpan, read_long<&Settings::offline_grace>, true},
    {"offline_copies", "none, dir:/PATH", read_offline_copies},
    {"offline_boots", "0 to 100", read_offline_boots, true},
    {"attest_before_generate", kYesNo, read_flag<&Settings::attest_before_generate>, true},
    {"import_private", kYesNo, read_flag<&Settings::import_private>},
    {"pkcs1_v15_decrypt", kYesNo, read_flag<&Settings::pkcs1_v15_decrypt>},
    {"load_wait", kWait, read_duration<&Settings::load_wait, 0>},
    {"connect_timeout", kWait, read_duration<&Settings::connect_timeout, 1>},
    {"fetch_timeout", kWait, read_duration<&Settings::fetch_timeout, 1>},
    {"memory_limit", "bytes, or with suffix K or M, at most 1024M", read_limit},
    {"log", kSink, read_text<&Settings::log>},
    {"log_level", "error, warning, info, debug", read_log_level},
    {"audit", kSink, read_text<&Settings::audit>},
    {"grants", kFile, read_text<&Settings::grants>},
    {"fips", "yes, no, or the path of fipsmodule.cnf", read_fips},
    {"assume_fips", kYesNo, read_flag<&Settings::assume_fips>},
    {"snp_policy", "", nullptr},
    {"trust_test_root", "", nullptr},
    {"require_init_data", "yes, no, or the path of the file", read_init_data},
};

constexpr auto kNames = [] {
  std::array<std::string_view, std::size(kSettings) + 1> names{"config"};
  std::ranges::transform(kSettings, names.begin() + 1, &Setting::name);
  return names;
}();

}  // namespace

std::span<const Setting> all_settings() noexcept { return kSettings; }

}  // namespace vhsm::detail

std::span<const std::string_view> vhsm::setting_names() { return vhsm::detail::kNames; }
