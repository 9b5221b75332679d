// SPDX-License-Identifier: Apache-2.0
//
// Names and types of the parameters of a key type, as the private OpenSSL's own key management
// lists them: nothing to keep in step by hand.
// Source: provider-keymgmt(7).
#pragma once

#include <openssl/core.h>

#include "keystore/key_type.h"

namespace vhsm::keystore {

/// What may be asked of a key of `type`: public names only. Lives as long as the process; null when
/// the private OpenSSL lacks the type.
[[nodiscard]] const OSSL_PARAM* gettable_params(const KeyType& type) noexcept;

/// What makes a public key of `type`, which is also what one is exported as; with `pair`, what
/// makes a key pair. Lives as long as the process.
[[nodiscard]] const OSSL_PARAM* import_params(const KeyType& type, bool pair) noexcept;

}  // namespace vhsm::keystore
