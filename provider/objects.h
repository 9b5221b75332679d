// SPDX-License-Identifier: Apache-2.0
//
// Objects as store loaders and decoders tell them to libcrypto.
// Source: provider-object(7), OpenSSL 3.0.
#pragma once

#include <openssl/core.h>

#include <cstdint>
#include <span>
#include <string>

#include "provider/key_handle.h"
#include "provider/stand_in.h"

namespace vhsm::provider {

/// Tells `handle` by reference; it must live during the call only.
/// @return what the callback says.
bool tell_key(const KeyHandle& handle, OSSL_CALLBACK* tell, void* arg) noexcept;

/// Tells the URI of something to open.
bool tell_name(const std::string& uri, OSSL_CALLBACK* tell, void* arg) noexcept;

/// Tells a certificate, DER.
bool tell_certificate(std::span<const std::uint8_t> der, OSSL_CALLBACK* tell, void* arg) noexcept;

/// Tells the DER inside a PEM stand-in for keys of type `type`.
bool tell_stand_in(std::span<const std::uint8_t> der, const char* type, OSSL_CALLBACK* tell,
                   void* arg) noexcept;

}  // namespace vhsm::provider
