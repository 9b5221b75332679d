// SPDX-License-Identifier: Apache-2.0
//
// A TLS client that keeps what the server has signed.
#pragma once

#include "tests/residue/values.h"

namespace vhsm::tests {

/// One TLS 1.3 handshake with the server at this port of 127.0.0.1.
/// @return the signature of its CertificateVerify message and what was signed (RFC 8446, section
/// 4.4.3); without a signature when the handshake failed.
Signature tls_signature(int port);

}  // namespace vhsm::tests
