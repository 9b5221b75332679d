// SPDX-License-Identifier: Apache-2.0
//
// A new KBS in one folder: configuration, certificates, keys, database.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace vhsm::kbs {

struct InitOptions {
  std::string config;              ///< path of the configuration file
  std::vector<std::string> hosts;  ///< empty: localhost, 127.0.0.1 and ::1
  std::string listen = "127.0.0.1:8080";
  std::string trust_test_root;
  std::vector<std::string>
      measurements;  ///< hex, or "any"; empty: left for the operator to fill in
};

/// Makes the folder if need be, and in it the configuration file, ca.pem, ca.key, server.pem,
/// server.key, token.pem, token.key and kbs.db. Keys and database have mode 0600.
/// @errors kInvalidArgument for an option; kWrongState when one of them is there already: then
///         nothing is changed; kBadConfig (listen); kIo, kCrypto.
Status init(const InitOptions& options);

}  // namespace vhsm::kbs
