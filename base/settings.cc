// SPDX-License-Identifier: Apache-2.0
#include "base/settings.h"

#include <unistd.h>

#include <openssl/bio.h>
#include <openssl/conf.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <utility>

#include "base/endpoint.h"
#include "base/handle.h"
#include "base/setting_values.h"

namespace vhsm {
namespace {

constexpr const char* kSection = "vhsm";
constexpr std::size_t kMaxFileBytes = std::size_t{1} << 20;

// What of a subject a path and a value may take, so that the allowed values still fit.
constexpr std::size_t kShownPathBytes = 56;
constexpr std::size_t kShownValueBytes = 32;

std::string shown_path(const std::string& path) {
  if (path.size() <= kShownPathBytes) return path;
  return "..." + path.substr(path.size() - kShownPathBytes + 3);
}

std::string shown_value(std::string_view value) {
  if (value.size() <= kShownValueBytes) return std::string(value);
  return std::string(value.substr(0, kShownValueBytes - 3)) + "...";
}

std::string_view trim(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r";
  const std::size_t from = text.find_first_not_of(kBlanks);
  if (from == std::string_view::npos) return {};
  return text.substr(from, text.find_last_not_of(kBlanks) - from + 1);
}

/// The number of single edits between `a` and `b`: to name the key that was meant.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = std::exchange(row[j], std::min({replaced, row[j] + 1, row[j - 1] + 1}));
    }
  }
  return row[b.size()];
}

std::string_view closest_name(std::string_view key) {
  const std::string_view bounded = key.substr(0, kShownValueBytes);
  return std::ranges::min(setting_names(), {},
                          [&](std::string_view name) { return distance(bounded, name); });
}

/// A configuration file: its name, for errors, and its text, to find a key's line.
struct Source {
  std::string path;  ///< empty: a provider section of the host
  std::string text;
};

/// The key that a line of text sets in [vhsm], or an empty view. Keeps track of sections.
std::string_view key_of(std::string_view line, bool& in_section) {
  line = trim(line);
  if (line.starts_with('[')) {
    in_section = trim(line.substr(1, line.find(']') - 1)) == kSection;
    return {};
  }
  const std::size_t equals = line.find('=');
  if (line.starts_with('#') || equals == std::string_view::npos) return {};
  const std::string_view key = trim(line.substr(0, equals));
  if (key.starts_with("vhsm::")) return key.substr(6);
  return in_section ? key : std::string_view{};
}

/// The line that sets `key` last; 0 when it stands in an included file.
std::size_t line_of(std::string_view key, std::string_view text) {
  std::size_t found = 0;
  std::size_t number = 0;
  bool in_section = false;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    ++number;
    if (key_of(text.substr(0, end), in_section) == key) found = number;
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return found;
}

std::string place_of(std::string_view key, const Source& source) {
  if (source.path.empty()) return "provider section";
  const std::size_t line = line_of(key, source.text);
  return shown_path(source.path) + (line == 0 ? "" : ":" + std::to_string(line));
}

/// "FILE:LINE: key = value" and what would be right.
std::string subject_of(const Source& source, std::string_view key, std::string_view value,
                       std::string_view advice) {
  return place_of(key, source) + ": " + shown_value(key) + " = " + shown_value(value) +
         std::string(advice);
}

/// Where a setting stands.
struct Place {
  const Source* source;
  std::string subject;
};

/// What has been read so far.
struct Reading {
  Settings settings;
  std::map<std::string_view, Place> places;  ///< by the setting's name

  [[nodiscard]] const Place* place(std::string_view name) const {
    const auto found = places.find(name);
    return found == places.end() ? nullptr : &found->second;
  }
};

Status apply(Reading& reading, const Source& source, std::string_view key, std::string_view value) {
  const auto all = detail::all_settings();
  const auto setting = std::ranges::find(all, key, &detail::Setting::name);
  if (setting == all.end()) {
    const std::string advice = "; closest key: " + std::string(closest_name(key));
    return fail(Errc::kBadConfig, "there is no such key", subject_of(source, key, value, advice));
  }
  if (setting->apply == nullptr) {
    return fail(Errc::kUnsupported, "this version of vhsm does not have this key yet",
                subject_of(source, key, value, ""));
  }
  const Status applied = setting->apply(reading.settings, trim(value));
  reading.places[setting->name] = {&source, subject_of(source, key, value, "")};
  if (applied.ok()) return {};
  Error error = applied.error();
  const std::string part(error.subject.empty() ? value : error.subject.text());
  error.subject = subject_of(source, key, part, "; allowed: " + std::string(setting->allowed));
  return error;
}

Status check_url(const Source& source, std::string_view key, const std::string& url) {
  const Endpoint endpoint = VHSM_TRY(parse_endpoint(url));
  if (endpoint.scheme == "https" || endpoint.is_loopback) return {};
  return fail(Errc::kBadConfig, "plain http reaches other hosts only with kbs_insecure = yes",
              subject_of(source, key, url, "; allowed: https://"));
}

/// Plain http gives the KBS's answers to everyone on the way, unless there is no way.
Status check_transport(const Settings& settings, const Source& source) {
  if (settings.kbs_insecure) return {};
  for (const std::string& url : settings.kbs) VHSM_TRY(check_url(source, "kbs", url));
  const std::string& service = settings.attestation_service;
  return service.empty() ? Status() : check_url(source, "attestation_service", service);
}

/// A copy serves as long as a lease that an outage has stretched.
Status check_copies(const Settings& settings, const Source& source) {
  const auto refused = [&](Literal why) {
    return fail(Errc::kBadConfig, why,
                subject_of(source, "offline_copies", settings.offline_copies, ""));
  };
  if (settings.copy_folder().empty()) return {};
  if (settings.copy_folder() == settings.key_folder()) {
    return refused("copies need a folder of their own");
  }
  const bool is_measured_later = !settings.init_data.empty() && settings.documents.empty();
  if (is_measured_later || settings.offline_grace.count() != 0) return {};
  return refused("copies serve for offline_grace, which is not set");
}

/// What goes together: no setting is ever ignored.
Status check_gate(Settings& settings, const Source& source) {
  constexpr std::chrono::minutes kUsualLease{10};
  const bool leased = settings.gate == "lease";
  if (leased && settings.lease.count() == 0) settings.lease = kUsualLease;
  if (!leased && settings.lease.count() != 0) {
    return fail(Errc::kBadConfig, "a lease needs a gate",
                subject_of(source, "gate", settings.gate, "; allowed with lease: lease"));
  }
  if (leased || settings.offline_grace.count() == 0) return check_copies(settings, source);
  return fail(Errc::kBadConfig, "without leases keys outlast every outage anyway",
              subject_of(source, "gate", settings.gate, "; allowed with offline_grace: lease"));
}

Status check_release_key(const Settings& settings, const Source& source) {
  if (settings.release_key.empty() != settings.require_signed_keys) return {};
  return fail(Errc::kBadConfig, "release_key and require_signed_keys = yes go together",
              subject_of(source, "release_key", settings.release_key, ""));
}

/// What says where keys and reports come from binds nobody who can say something else there. The
/// guest's own devices are all the same: none of them can be given another HOST_DATA.
Status check_beside(const Reading& reading, std::string_view name) {
  const Place* const place = reading.place(name);
  if (place == nullptr || place->source == reading.place("require_init_data")->source) return {};
  return fail(Errc::kBadConfig, "with require_init_data this stands beside it, or nowhere",
              place->subject);
}

constexpr std::string_view kHere = "memory:";  ///< a keystore that nobody can have filled before

bool is_own_device(std::string_view platform) {
  constexpr std::array<std::string_view, 4> kDevices{"auto", "sev-guest", "tsm", "svsm"};
  return std::ranges::find(kDevices, platform) != kDevices.end();
}

Status check_init_data(const Reading& reading) {
  if (reading.settings.init_data.empty()) return {};
  for (const detail::Setting& setting : detail::all_settings()) {
    const Place* const place = setting.tells_trust ? reading.place(setting.name) : nullptr;
    if (place == nullptr) continue;
    return fail(Errc::kBadConfig, "with require_init_data this is for init-data alone to say",
                place->subject);
  }
  // The root key's slot may open with a resource of the KBS's whose content its author knows.
  VHSM_TRY(check_beside(reading, "keystore_kbs_key"));
  if (reading.settings.keystore != kHere) VHSM_TRY(check_beside(reading, "keystore"));
  if (reading.settings.vhsmd_keystore != kHere) VHSM_TRY(check_beside(reading, "vhsmd_keystore"));
  if (is_own_device(reading.settings.platform)) return {};
  return check_beside(reading, "platform");
}

Result<std::string> read_file(const std::string& path) {
  const std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(path.c_str(), "re"), &std::fclose);
  if (file == nullptr) return fail(Errc::kIo, "this file cannot be opened", path);
  std::string text;
  std::array<char, 4096> chunk{};
  std::size_t size = 0;
  while ((size = std::fread(chunk.data(), 1, chunk.size(), file.get())) > 0) {
    if (text.size() + size > kMaxFileBytes) {
      return fail(Errc::kIo, "this file is larger than 1 MiB", path);
    }
    text.append(chunk.data(), size);
  }
  if (std::ferror(file.get()) != 0) {
    return fail(Errc::kIo, "this file cannot be read", path);
  }
  return text;
}

/// Parses `source` by OpenSSL's own rules: quoting, continuation, variables, .include.
Result<ossl::Conf> parse(const Source& source) {
  const ossl::ErrorMark quiet;
  ossl::Conf conf = VHSM_TRY(made(ossl::Conf(NCONF_new(nullptr)), "no configuration object"));
  const ossl::Bio bio = VHSM_TRY(
      made(ossl::Bio(BIO_new_mem_buf(source.text.data(), static_cast<int>(source.text.size()))),
           "no buffer for the configuration"));
  long line = 0;
  if (NCONF_load_bio(conf.get(), bio.get(), &line) != 1) {
    return fail(Errc::kBadConfig, "this line is not in OpenSSL's configuration syntax",
                shown_path(source.path) + ":" + std::to_string(line));
  }
  return conf;
}

/// What another file says is not measured.
Status check_no_include(const Source& source) {
  std::string_view text = source.text;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    if (trim(text.substr(0, end)).starts_with(".include")) {
      return fail(Errc::kBadConfig, "init-data includes no other file", shown_path(source.path));
    }
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return {};
}

Status apply_file(Reading& reading, const Source& source) {
  const ossl::Conf conf = VHSM_TRY(parse(source));
  const ossl::ErrorMark quiet;
  const STACK_OF(CONF_VALUE)* values = NCONF_get_section(conf.get(), kSection);
  if (values == nullptr) {
    return fail(Errc::kBadConfig, "this file has no section [vhsm]", shown_path(source.path));
  }
  for (int i = 0; i < sk_CONF_VALUE_num(values); ++i) {
    const CONF_VALUE* value = sk_CONF_VALUE_value(values, i);
    VHSM_TRY(apply(reading, source, value->name, value->value != nullptr ? value->value : ""));
  }
  return {};
}

/// The file to read; empty when the default one does not exist.
std::string choose_file(std::span<const Override> overrides) {
  const auto named = std::ranges::find(overrides, "config", &Override::key);
  if (named != overrides.end() && !named->value.empty()) return named->value;
  const char* environment = secure_getenv("VHSM_CONF");
  if (environment != nullptr && environment[0] != '\0') return environment;
  const std::string fallback(kDefaultSettingsPath);
  return access(fallback.c_str(), F_OK) == 0 ? fallback : std::string();
}

Status check_document(const Settings& settings, const Source& source, std::string_view key,
                      const std::string& name) {
  if (name.empty() || settings.documents.contains(name)) return {};
  return fail(Errc::kBadConfig, "in init-data this names a document of it",
              subject_of(source, key, name, ""));
}

/// The system's trust store is on the disk.
Status check_measured_tls(const Settings& settings, const Source& source) {
  const bool has_https =
      std::ranges::any_of(settings.kbs,
                          [](const auto& url) { return url.starts_with("https:"); }) ||
      settings.attestation_service.starts_with("https:");
  if (!has_https || !settings.kbs_ca.empty() || !settings.kbs_pin.empty()) return {};
  return fail(Errc::kBadConfig, "init-data has to say kbs_ca or kbs_pin too", source.path);
}

}  // namespace

Result<Settings> load_settings(std::span<const Override> overrides) {
  Reading reading;
  Settings& settings = reading.settings;
  Source file{choose_file(overrides), {}};
  if (!file.path.empty()) {
    file.text = VHSM_TRY(read_file(file.path));
    VHSM_TRY(apply_file(reading, file));
  }
  settings.source = file.path;
  const Source host;
  const std::vector<std::string> from_file = settings.kbs;
  for (const Override& given : overrides) {
    if (given.key == "config") continue;
    VHSM_TRY(apply(reading, host, given.key, given.value));
  }
  VHSM_TRY(check_init_data(reading));
  VHSM_TRY(check_transport(settings, settings.kbs == from_file ? file : host));
  VHSM_TRY(check_gate(settings, file));
  VHSM_TRY(check_release_key(settings, file));
  return std::move(settings);
}

Status apply_measured(Settings& settings, Documents documents) {
  Source source{settings.init_data + ", " + std::string(kMeasuredSettings), {}};
  const auto document = documents.find(kMeasuredSettings);
  if (document == documents.end()) {
    return fail(Errc::kBadConfig, "init-data has no document vhsm.cnf", settings.init_data);
  }
  source.text = document->second;
  Reading reading{settings, {}};
  reading.settings.documents = std::move(documents);
  VHSM_TRY(check_no_include(source));
  VHSM_TRY(apply_file(reading, source));
  for (const detail::Setting& setting : detail::all_settings()) {
    const Place* const place = setting.tells_trust ? nullptr : reading.place(setting.name);
    if (place == nullptr) continue;
    return fail(Errc::kBadConfig, "init-data says whom to trust, and nothing else", place->subject);
  }
  VHSM_TRY(check_transport(reading.settings, source));
  VHSM_TRY(check_gate(reading.settings, source));
  VHSM_TRY(check_release_key(reading.settings, source));
  VHSM_TRY(check_measured_tls(reading.settings, source));
  VHSM_TRY(check_document(reading.settings, source, "kbs_ca", reading.settings.kbs_ca));
  VHSM_TRY(check_document(reading.settings, source, "release_key", reading.settings.release_key));
  settings = std::move(reading.settings);
  return {};
}

Result<std::string> named_text(const Settings& settings, const std::string& name) {
  const auto document = settings.documents.find(name);
  if (document != settings.documents.end()) return document->second;
  return read_file(name);
}

}  // namespace vhsm
