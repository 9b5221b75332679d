// SPDX-License-Identifier: Apache-2.0
//
// vhsm-kbs.cnf, section [vhsm_kbs].
// Source: OpenSSL config(5) for the syntax; docs/man/vhsm-kbs.cnf.5 for the keys.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/result.h"
#include "snp/policy.h"
#include "snp/verify.h"

namespace vhsm::kbs {

inline constexpr const char* kDefaultConfigPath = "/etc/vhsm/vhsm-kbs.cnf";

/// HOST:PORT; the host of an IPv6 address stands without brackets.
struct Listen {
  std::string host = "127.0.0.1";
  int port = 8080;
};

struct Config {
  Listen listen;
  std::string certificate;        ///< PEM chain for TLS, leaf first
  std::string private_key;        ///< PEM
  bool insecure_http = false;     ///< no TLS: behind a proxy on the same machine
  std::string database;           ///< SQLite file
  std::string token_key;          ///< PEM, P-256
  std::string token_certificate;  ///< PEM chain, leaf first; its last one is also trusted
  std::string receiver_key;       ///< PEM, P-256: by default receiver.key in the folder of the file
  std::string token_trust;        ///< PEM certificates of other attestation services; may be empty
  std::chrono::seconds token_lifetime{300};
  std::chrono::seconds session_lifetime{300};
  std::size_t max_sessions = 4096;
  std::size_t threads = 16;
  bool trustee_compat = false;  ///< 401 for everything, as Trustee answers
  bool release = true;          ///< resource_policy: attested, or nobody
  std::string log;              ///< file; empty: stderr
  LogLevel log_level = LogLevel::kInfo;

  std::string certificates;     ///< folder with VCEKs that evidence may come without
  std::string trust_test_root;  ///< ARK of an emulator
  snp::VerifyOptions verify;
  snp::ReportPolicy policy;  ///< all but report_data
};

/// Reads and checks `path`. Relative paths in it count from its folder.
/// @errors kIo; kBadConfig (subject: FILE:LINE: KEY = VALUE).
[[nodiscard]] Result<Config> read_config(const std::string& path);

/// "HOST:PORT" or "[ADDRESS]:PORT", port 0..65535.
/// @errors kBadConfig.
[[nodiscard]] Result<Listen> parse_listen(std::string_view text);

}  // namespace vhsm::kbs
