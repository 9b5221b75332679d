// SPDX-License-Identifier: Apache-2.0
//
// Init-data: texts that whoever launches an SEV-SNP VM gives it beside its image. Their hash is in
// each report of the VM (HOST_DATA), so a KBS knows them, and nobody can change them afterwards.
// Source: Confidential Containers, Initdata Specification, version 0.1.0; TOML v1.0.0.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace vhsm {

/// Text by name: the table [data].
using Documents = std::map<std::string, std::string, std::less<>>;

struct InitData {
  std::string algorithm;  ///< sha256 | sha384 | sha512
  Documents documents;
};

/// Reads TOML that has strings alone: version "0.1.0", algorithm, and the table [data].
/// @errors kBadFormat (subject: "line N").
[[nodiscard]] Result<InitData> parse_init_data(std::string_view toml);

/// The documents of init-data that this VM was launched with: what its algorithm makes of `toml`,
/// cut to 32 bytes, is `host_data`. Nothing is read of a text with another hash.
/// @param host_data  32 bytes of a report of this VM.
/// @errors kBadConfig for another text (subject: both hashes' first digits); kBadFormat; kCrypto.
[[nodiscard]] Result<Documents> measured_documents(std::string_view toml,
                                                   std::span<const std::uint8_t> host_data);

}  // namespace vhsm
