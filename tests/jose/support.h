// SPDX-License-Identifier: Apache-2.0
//
// Keys of the published vectors, and what every test here needs.
// Source: RFC 7518, appendix C (Alice and Bob).
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "base/handle.h"
#include "jose/jwk.h"
#include "memory/secret_bytes.h"

namespace vhsm::jose {

inline constexpr std::string_view kBobX = "weNJy2HscCSM6AEDTDg04biOvhFhyyWvOHQfeF_PxMQ";
inline constexpr std::string_view kBobY = "e8lnCO-AlStT-NJVX-crhB7QRYhiix03illJOVAOyck";
inline constexpr std::string_view kBobD = "VEmDZpDXXK8p8N0Cndsxs924q6nS1RXFASRl6BfUqdw";
inline constexpr std::string_view kAliceX = "gI0GAILBdu7T53akrFmMyGcsF3n5dO7MmwNBHKW5SV0";
inline constexpr std::string_view kAliceY = "SLW_xSffzlPWrHEVI30DHM_4egVwt3NQqeUD7nMFpps";
inline constexpr std::string_view kAliceD = "0_NxaRPUMQoAJt50Gz8YiTr8gRTwyEaCumd-MToTmIo";

/// The vector of a whole answer, made for Bob by Alice: plaintext "this is a test data".
extern const std::string_view kVectorJwe;

[[nodiscard]] EcPublicJwk bob();
[[nodiscard]] EcPublicJwk alice();

/// A P-256 key pair from base64url members; fails the test on nonsense.
[[nodiscard]] ossl::PKey private_key(std::string_view x, std::string_view y, std::string_view d);

[[nodiscard]] std::string text(const SecretBytes& secret);
[[nodiscard]] std::span<const std::uint8_t> bytes(std::string_view text);

/// Compact to flattened; what has not five parts stays as it is.
[[nodiscard]] std::string flattened(const std::string& compact);

}  // namespace vhsm::jose
