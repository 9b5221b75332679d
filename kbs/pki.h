// SPDX-License-Identifier: Apache-2.0
//
// The certificates that `vhsm-kbs init` makes: a CA with a TLS leaf under it (Trustee's client
// refuses a CA as a leaf), and a certificate of its own for the token key.
// Source: RFC 5280.
#pragma once

#include <string>
#include <vector>

#include "base/handle.h"
#include "base/result.h"
#include "kbs/secret_file.h"

namespace vhsm::kbs {

/// @errors kCrypto.
[[nodiscard]] Result<ossl::X509Cert> make_ca(EVP_PKEY* key);

/// @param hosts  names and addresses for subjectAltName, at least one.
/// @errors kInvalidArgument (subject: the host), kCrypto.
[[nodiscard]] Result<ossl::X509Cert> make_leaf(EVP_PKEY* key, EVP_PKEY* ca_key, X509* ca,
                                               const std::vector<std::string>& hosts);

/// Self-signed: the TLS CA has no say in tokens.
/// @errors kCrypto.
[[nodiscard]] Result<ossl::X509Cert> make_token_certificate(EVP_PKEY* key);

/// Writes PEM to a new file of mode 0644.
/// @errors kIo, kCrypto.
Status write_certificate(const std::string& path, X509* certificate);

}  // namespace vhsm::kbs
