// SPDX-License-Identifier: Apache-2.0
//
// Which providers the private OpenSSL works with: its default one, or with `fips = yes` the FIPS
// provider of this machine and, for parsing, the base one.
// Sources: OSSL_PROVIDER-FIPS(7), fips_config(5), OSSL_PROVIDER_load_ex(3).
#pragma once

#include <string>

#include "base/result.h"
#include "base/settings.h"

namespace vhsm::keystore {

/// Decides for the process; later calls must say the same. After memory::adopt_allocator() and
/// before memory::initialise(), outside scopes. Thread-safe.
/// @errors kUnsupported for a private OpenSSL before 3.5, or a FIPS provider that hands out no
///         random numbers; kIo, kBadConfig for fipsmodule.cnf; kCrypto when the FIPS provider does
///         not start; kWrongState when the process has begun without it.
Status choose_providers(const Settings& settings);

[[nodiscard]] bool fips_is_on() noexcept;

/// The private OpenSSL's version, and its FIPS provider's if that is on.
[[nodiscard]] std::string describe_openssl();

}  // namespace vhsm::keystore
