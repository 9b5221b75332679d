// SPDX-License-Identifier: Apache-2.0
//
// The files in an emulator's folder.
#pragma once

#include <array>

#include "snp/emulator.h"

namespace vhsm::snp::emulator_file {

inline constexpr const char* kState = "/emulator.json";

/// The key that signs reports and its certificate.
struct Leaf {
  CertificateKind kind;
  const char* common_name;
  const char* certificate;
  const char* key;
};
[[nodiscard]] constexpr Leaf leaf_of(EmulatedSigner signer) noexcept {
  if (signer == EmulatedSigner::kVlek) {
    return {CertificateKind::kVlek, "SEV-VLEK", "/vlek.pem", "/vlek.key"};
  }
  return {CertificateKind::kVcek, "SEV-VCEK", "/vcek.pem", "/vcek.key"};
}

struct CertificateFile {
  CertificateKind kind;
  const char* name;
};
inline constexpr std::array<CertificateFile, 2> kAuthorities{
    {{CertificateKind::kAsk, "/ask.pem"}, {CertificateKind::kArk, "/ark.pem"}}};

}  // namespace vhsm::snp::emulator_file
