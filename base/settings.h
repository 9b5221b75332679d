// SPDX-License-Identifier: Apache-2.0
//
// vhsm.cnf, section [vhsm]: one configuration for provider, daemon and command line.
// Source: OpenSSL config(5) for the syntax; docs/man/vhsm.cnf.5 for the keys.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/init_data.h"
#include "base/result.h"

namespace vhsm {

inline constexpr std::string_view kDefaultSettingsPath = "/etc/vhsm/vhsm.cnf";
inline constexpr std::string_view kDefaultInitDataPath = "/etc/vhsm/init-data.toml";
inline constexpr std::string_view kSocketScheme = "unix:";
inline constexpr std::string_view kFolderScheme = "dir:";

struct Settings {
  std::string source;  ///< the file that was read, empty when there was none

  std::string keystore = "memory:";        ///< memory: | dir:PATH | unix:PATH
  std::string vhsmd_keystore = "memory:";  ///< memory: | dir:PATH: where vhsmd keeps its keys
  std::string keystore_kbs_key;            ///< name of the KBS resource that opens a slot of dir:
  std::string platform = "auto";           ///< as snp/platform.h: auto | sev-guest | ...; or sample
  std::optional<unsigned> vmpl;            ///< 0..3; unset: the level that the guest runs at
  std::vector<std::string> kbs;            ///< https://host[:port], in order of preference
  std::string kbs_ca;                      ///< PEM file; empty: the system's trust store
  std::string kbs_cert;                    ///< PEM file with our TLS client certificate (chain)
  std::string kbs_key;                     ///< PEM file with its key
  std::vector<std::string> kbs_pin;        ///< SHA-256 of the server's SubjectPublicKeyInfo, hex
  bool kbs_insecure = false;               ///< plain http to other hosts than loopback
  std::string kbs_path = "default/key";    ///< leading segments of a URI with fewer than three
  std::string attestation_service;    ///< https://host[:port]; empty: each KBS attests by itself
  std::string tee_key = "P-256";      ///< P-256 | P-521 | RSA: what a KBS encrypts to
  std::string release_key;            ///< PEM file: the public key that signs resources
  bool require_signed_keys = false;   ///< a resource without its signature is refused
  std::vector<std::string> prefetch;  ///< URIs of keys to bring in at the start
  std::vector<std::string> secret_paths;  ///< folders of a KBS: bytes there are secrets, no keys

  std::string init_data;  ///< file that says whom to trust; empty: this configuration does
  Documents documents;    ///< of it, once measured: what kbs_ca and release_key name then

  std::string gate = "none";                   ///< none | first-use | lease
  std::chrono::milliseconds lease{0};          ///< with gate = lease, else 0
  std::chrono::milliseconds offline_grace{0};  ///< with gate = lease, else 0
  std::string offline_copies;  ///< none | dir:PATH: sealed copies of the KBS's keys; empty: none
  std::uint8_t offline_boots = 3;       ///< how many boots a copy may live through
  bool attest_before_generate = false;  ///< a key with a name is made on a fresh attestation
  bool import_private = false;          ///< let EVP_PKEY_fromdata bring private keys in
  bool pkcs1_v15_decrypt = false;       ///< RSA decryption that tells of a wrong padding
  std::chrono::milliseconds load_wait{3000};
  std::chrono::milliseconds connect_timeout{3000};
  std::chrono::milliseconds fetch_timeout{10000};
  std::size_t memory_limit = 0;                 ///< bytes; 0: see memory::Options
  std::string log;                              ///< file | syslog | journal; empty: none
  std::string log_level = "info";               ///< error | warning | info | debug
  std::string audit;                            ///< file | syslog | journal; empty: none
  bool assume_fips = false;                     ///< algorithms carry the property fips=yes
  bool fips = false;                            ///< the private OpenSSL uses its FIPS provider
  std::string fips_config;                      ///< its fipsmodule.cnf; empty: where OpenSSL's is
  std::string grants = "/var/lib/vhsm/grants";  ///< vhsmd: who may use which key

  /// The socket of vhsmd, if the keystore is there; else empty.
  [[nodiscard]] std::string daemon_socket() const {
    return keystore.starts_with(kSocketScheme) ? keystore.substr(kSocketScheme.size()) : "";
  }

  /// The folder of sealed keys of the process that holds the keys; empty: it has none.
  [[nodiscard]] std::string key_folder() const {
    const std::string& held = daemon_socket().empty() ? keystore : vhsmd_keystore;
    return held.starts_with(kFolderScheme) ? held.substr(kFolderScheme.size()) : "";
  }

  /// The folder of sealed copies; empty: there is none.
  [[nodiscard]] std::string copy_folder() const {
    return offline_copies.starts_with(kFolderScheme) ? offline_copies.substr(kFolderScheme.size())
                                                     : "";
  }
};

/// One `key = value` that the host gave beside the file: a provider section of openssl.cnf.
struct Override {
  std::string key;
  std::string value;
};

/// Names of all keys, for a provider that asks its core for each of them.
[[nodiscard]] std::span<const std::string_view> setting_names();

/// Reads the settings: from `overrides`' own `config`, else $VHSM_CONF (secure_getenv), else
/// kDefaultSettingsPath if that file exists, else the defaults. `overrides` win over the file.
/// @errors kBadConfig for an unknown key or value (subject: file, line, key and the allowed
///         values), kIo for a named file that cannot be read, kUnsupported for a key of a later
///         version.
[[nodiscard]] Result<Settings> load_settings(std::span<const Override> overrides);

/// The document of init-data that has section [vhsm] with the settings of whom to trust.
inline constexpr std::string_view kMeasuredSettings = "vhsm.cnf";

/// Takes those settings from init-data that is known to be this VM's.
/// @errors kBadConfig (subject: document, line, key): no such document, another key, no KBS's CA or
///         pin, kbs_ca or release_key that name no document.
Status apply_measured(Settings& settings, Documents documents);

/// The text that kbs_ca or release_key names: a document of init-data, where settings have come
/// from there; else a file.
/// @errors kIo for what cannot be read or is over 1 MiB (subject: `name`).
[[nodiscard]] Result<std::string> named_text(const Settings& settings, const std::string& name);

}  // namespace vhsm
