// SPDX-License-Identifier: Apache-2.0
//
// The PEM stand-in: a file without a secret that programs read where they expect a private key.
//
//   VhsmKeyUri ::= SEQUENCE {
//     version    INTEGER (1),
//     uri        UTF8String,            -- "vhsm:default/tls/www"
//     type       UTF8String,            -- "EC", so that decoders of other types decline at once
//     publicKey  SubjectPublicKeyInfo } -- RFC 5280, section 4.1.2.7
//
// Source: docs/man/vhsm.7 for the format; X.690 (DER); RFC 7468 (PEM).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace vhsm::provider {

inline constexpr std::string_view kStandInLabel = "VHSM KEY URI";
/// The data-structure name that the PEM stage gives the DER stage.
inline constexpr const char* kStandInStructure = "vhsm-uri";
inline constexpr std::size_t kMaxStandInBytes = 16384;

struct StandIn {
  std::string uri;
  std::string type;
  std::vector<std::uint8_t> public_key_info;  ///< DER

  friend bool operator==(const StandIn&, const StandIn&) = default;
};

[[nodiscard]] std::vector<std::uint8_t> encode_stand_in(const StandIn& stand_in);

/// Accepts exactly what encode_stand_in() makes: DER, version 1, nothing after it, printable ASCII
/// texts. What the SubjectPublicKeyInfo holds is not looked at.
/// @errors kBadFormat.
Result<StandIn> parse_stand_in(std::span<const std::uint8_t> der);

/// Whether `head`, the first bytes of some DER, may begin a stand-in.
[[nodiscard]] bool looks_like_stand_in(std::span<const std::uint8_t> head) noexcept;

/// `der` as PEM, 64 characters a line.
[[nodiscard]] std::string to_pem(std::string_view label, std::span<const std::uint8_t> der);

/// Base64 with blanks and line ends anywhere.
/// @errors kBadFormat.
Result<std::vector<std::uint8_t>> from_base64(std::string_view text);

}  // namespace vhsm::provider
