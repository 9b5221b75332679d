// SPDX-License-Identifier: Apache-2.0
//
// Evidence of a key as somebody presents it: by itself, in a request for a certificate, or in a
// certificate. All of it is untrusted.
#pragma once

#include <optional>

#include "base/result.h"
#include "evidence/key_evidence.h"

namespace vhsm::evidence {

enum class Form : std::uint8_t { kJson, kCbor, kRequest, kCertificate };
/// "JSON", "CBOR", "certificate request", "certificate".
[[nodiscard]] const char* name_of(Form form) noexcept;

struct Presented {
  Form form = Form::kCbor;
  KeyEvidence evidence;
  Bytes public_key_info{};  ///< of the request or certificate; empty: evidence alone
  /// Whether request or certificate is signed by its own key; nothing for evidence alone, and for a
  /// certificate that somebody else has issued.
  std::optional<Status> signature{};
};

inline constexpr std::size_t kMaxPresentedBytes = std::size_t{1} << 20;

/// Tells the form by the first bytes; requests and certificates in DER or PEM.
/// @errors kBadFormat; kBadLength.
[[nodiscard]] Result<Presented> read_presented(ByteView bytes);

}  // namespace vhsm::evidence
